package oauth_test

import (
	"net/url"
	"strings"
	"testing"

	"latchkey/pkg/oauth"
)

// FuzzParseScopes: the canonical form is a fixed point, and set operations agree with it (RFC 6749 §3.3).
func FuzzParseScopes(f *testing.F) {
	for _, s := range []string{"", "gmail.read drive.read", " a  b a ", "a\"b", strings.Repeat("x ", 101), "a\\b", "\u00e4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scopes, err := oauth.ParseScopes(s)
		if err != nil {
			return
		}
		again, err := oauth.ParseScopes(scopes.String())
		if err != nil || !again.Equal(scopes) || !scopes.ContainsAll(again) || len(scopes.Slice()) > oauth.MaxScopes {
			t.Errorf("%q became %q", s, scopes)
		}
		for _, one := range strings.Fields(s) {
			if !scopes.Contains(one) {
				t.Errorf("%q lost %q", s, one)
			}
		}
		if scopes.Empty() != (strings.TrimSpace(s) == "") {
			t.Errorf("%q is empty: %v", s, scopes.Empty())
		}
	})
}

// FuzzParseResource: an accepted identifier is one spelling of an absolute URI without anything hidden (RFC 8707 §2).
func FuzzParseResource(f *testing.F) {
	for _, s := range []string{"https://mcp.example.com/mcp", "http://127.0.0.1:8090/mcp", "https://MCP.example.com/mcp", "https://mcp.example.com/mcp/", "https://u@mcp.example.com/mcp", "https://mcp.example.com/mcp#f", "https://mcp.example.com/a/../mcp", "http://mcp.example.com/mcp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := oauth.ParseResource(s)
		if err != nil {
			return
		}
		u, err := url.Parse(r.String())
		if err != nil || r.String() != s || u.String() != s || u.User != nil || u.Fragment != "" || u.RawQuery != "" || r.Origin()+r.Path() != s {
			t.Errorf("%q became %q", s, r)
		}
		if u.Scheme != "https" && !oauth.LoopbackHost(u.Hostname()) {
			t.Errorf("accepted %q", s)
		}
	})
}
