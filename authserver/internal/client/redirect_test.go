package client_test

import (
	"net/url"
	"strings"
	"testing"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"latchkey/authserver/internal/client"
	"latchkey/pkg/oauth"
)

// TestMatchRedirect: OAuth 2.1 §2.3.1, RFC 8252 §7.3 and the parser confusions of PEERS A6.
func TestMatchRedirect(t *testing.T) {
	t.Parallel()
	t.Run("A6 AS-A2 AS-A4 what matches a registered redirect URI", matchRedirect)
}

func matchRedirect(t *testing.T) {
	t.Parallel()
	const web, v4, name, v6 = "https://claude.ai/api/mcp/auth_callback", "http://127.0.0.1/callback", "http://localhost/callback", "http://[::1]:1/callback"
	c := &client.Client{RedirectURIs: []string{web, v4, name, v6, "cursor://anysphere.cursor-mcp/oauth/callback", "https://q.example/cb?a=1&b=2"}}
	for requested, want := range map[string]bool{
		web: true, v4: true, name: true, v6: true,
		"cursor://anysphere.cursor-mcp/oauth/callback": true,
		"https://q.example/cb?a=1&b=2":                 true,
		"http://127.0.0.1:51234/callback":              true, // any port on loopback
		"http://localhost:3118/callback":               true, // Claude Code
		"http://[::1]:65535/callback":                  true,

		"https://claude.ai:443/api/mcp/auth_callback":     false, // https is compared to the letter
		"https://claude.ai/api/mcp/auth_callback/":        false,
		"https://claude.ai/api/mcp/../mcp/auth_callback":  false,
		"https://CLAUDE.ai/api/mcp/auth_callback":         false,
		"https://claude.ai./api/mcp/auth_callback":        false,
		"https://q.example/cb?b=2&a=1":                    false, // query order
		"https://q.example/cb":                            false,
		"http://127.0.0.1:9/other":                        false,
		"http://127.0.0.1:9/callback?x=1":                 false,
		"http://127.0.0.1:9/callback#f":                   false,
		"http://127.0.0.1:/callback":                      false,
		"http://127.0.0.1:99999999/callback":              false,
		"http://[::1]:65536/callback":                     false, // a browser has no such port
		"http://127.0.0.1:80@evil.example/callback":       false, // user information
		"http://evil@127.0.0.1:9/callback":                false,
		"http://127.0.0.1.evil.example/callback":          false,
		"http://localhost.evil.example/callback":          false,
		"http://127.0.0.2:9/callback":                     false, // another host than registered
		"http://LOCALHOST:9/callback":                     false,
		"http://localhost.:9/callback":                    false,
		"http://[::1%25eth0]:9/callback":                  false, // zone
		"http://[::ffff:127.0.0.1]:9/callback":            false,
		"http://2130706433:9/callback":                    false, // decimal spelling
		"http://0x7f.1:9/callback":                        false,
		"http://127.0.0.1:9\\@evil.example/callback":      false,
		"http://127.0.0.1:9/\tcallback":                   false,
		"http://127.0.0.1:9/call%62ack":                   false,
		"https://127.0.0.1:9/callback":                    false, // scheme
		"//127.0.0.1:9/callback":                          false,
		"javascript:alert(1)":                             false,
		"cursor://anysphere.cursor-mcp/oauth/callback?x=": false,
		"": false,
	} {
		if got := c.MatchRedirect(requested); got != want {
			t.Errorf("%q: %v", requested, got)
		}
	}
}

func TestErrorOfRedirect(t *testing.T) {
	t.Parallel()
	t.Run("A6 AS-R6 AS-A22 what may be registered", errorOfRedirect)
}

func errorOfRedirect(t *testing.T) {
	t.Parallel()
	const cursor = "cursor://anysphere.cursor-mcp/oauth/callback"
	for uri, ok := range map[string]bool{
		"https://claude.ai/api/mcp/auth_callback": true, "http://127.0.0.1/": true, "http://localhost:8787/callback": true, cursor: true,
		"http://example.com/cb": false, "javascript:alert(1)": false, "data:text/html,x": false, "file:///etc/passwd": false,
		"vbscript:x": false, "https://a.example/cb#frag": false, "https://u:p@a.example/cb": false, "cursor://other/cb": false,
		"com.example.app:/cb": false, "/relative": false, "https:///nohost": false, "https://a.example:65536/cb": false, "https://a.example:65535/cb": true, "https://a%2eexample/cb": false, "": false,
		"https://a.example/" + strings.Repeat("x", oauth.MaxURLBytes): false,
	} {
		if msg := client.ErrorOfRedirect(uri, []string{cursor}); (msg == "") != ok {
			t.Errorf("%q: %q", uri, msg)
		}
	}
}

// FuzzMatchRedirect checks the hand-made comparison against two parsers that did
// not make it: Go's and the browsers' (WHATWG URL). Whatever matches must be, for
// both, a registered URI but for a loopback port: same scheme, host, path and
// query, no user, no fragment (PEERS A6).
func FuzzMatchRedirect(f *testing.F) {
	registered := []string{"http://127.0.0.1/callback", "http://localhost/cb?x=1", "http://[::1]/cb", "https://a.example/cb", "https://a.example:8443/cb?a=%2F&b", "cursor://anysphere.cursor-mcp/oauth/callback"}
	c := &client.Client{RedirectURIs: registered}
	for _, s := range append(registered, "http://127.0.0.1:1/callback", "http://localhost:2/cb?x=1", "http://[::1]:65535/cb", "http://127.0.0.1:80@evil/callback", `https://a.example\@evil/cb`, "https://a.example/cb/../cb", "HTTPS://a.example/cb") {
		f.Add(s)
	}
	browser := whatwg.NewParser()
	f.Fuzz(func(t *testing.T, s string) {
		if !c.MatchRedirect(s) {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q matches, but Go reads %v %v", s, u, err)
		}
		w, err := browser.Parse(s)
		if err != nil || w.Username() != "" || w.Password() != "" || w.Hash() != "" {
			t.Fatalf("%q matches, but a browser reads %v %v", s, w, err)
		}
		for _, r := range registered {
			ru, _ := url.Parse(r)
			rw, err := browser.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			samePort := ru.Port() == u.Port() || u.Scheme == "http"
			if u.Scheme == ru.Scheme && u.Hostname() == ru.Hostname() && samePort && u.EscapedPath() == ru.EscapedPath() && u.RawQuery == ru.RawQuery &&
				w.Protocol() == rw.Protocol() && w.Hostname() == rw.Hostname() && (w.Port() == rw.Port() || u.Scheme == "http") && w.Pathname() == rw.Pathname() && w.Search() == rw.Search() {
				return
			}
		}
		t.Errorf("%q matches, but leads to %v for Go and %v for a browser", s, u, w)
	})
}
