package oauth_test

import (
	"strings"
	"testing"

	"latchkey/pkg/oauth"
)

func TestParseScopes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, want string
		bad      bool
	}{
		"empty is the empty set":              {"", "", false},
		"order and repeats do not matter":     {"b a b", "a b", false},
		"RFC 6749 3.3: no double quote":       {`a "b`, "", true},
		"RFC 6749 3.3: no backslash":          {`a\b`, "", true},
		"RFC 6749 3.3: no control characters": {"a\tb", "", true},
		"no text outside ASCII":               {"é", "", true},
		"too many":                            {strings.Repeat("a ", 1) + many(101), "", true},
		"too long":                            {strings.Repeat("a", oauth.MaxScopeBytes+1), "", true},
	} {
		got, err := oauth.ParseScopes(c.in)
		if (err != nil) != c.bad || got.String() != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" s" + strings.Repeat("x", i))
	}
	return b.String()
}

func TestScopeSetOperations(t *testing.T) {
	t.Parallel()
	a, b := oauth.NewScopes("x", "y"), oauth.NewScopes("y", "z")
	for _, c := range []struct{ got, want string }{
		{a.Union(b).String(), "x y z"}, {a.Intersect(b).String(), "y"}, {a.Minus(b).String(), "x"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if !a.Union(b).ContainsAll(a) || a.ContainsAll(b) || !(oauth.Scopes{}).Empty() {
		t.Error("containment")
	}
}

func TestIssuerURL(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		"https://auth.example.com":            true,
		"https://auth.example.com/t/acme":     true,
		"http://127.0.0.1:8080":               true,
		"http://localhost:8080":               true,
		"http://[::1]:8080":                   true,
		"http://auth.example.com":             false, // RFC 8414 §2: https
		"http://localhost.evil.example":       false,
		"http://127.0.0.1.evil.example":       false,
		"https://auth.example.com/":           false, // byte-identical everywhere, so no slash
		"https://auth.example.com?x=1":        false, // RFC 8414 §2: no query
		"https://auth.example.com#f":          false, // RFC 8414 §2: no fragment
		"https://u:p@auth.example.com":        false,
		"https://AUTH.example.com":            false,
		"https:auth.example.com":              false,
		"//auth.example.com":                  false,
		`https://auth.example.com\@evil.test`: false,
		"":                                    false,
	} {
		i, err := oauth.ParseIssuerURL(in)
		if (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
		if err == nil && i.String() != in {
			t.Errorf("%q became %q: RFC 8414 §3.3 wants identical strings", in, i)
		}
	}
	i, err := oauth.ParseIssuerURL("https://auth.example.com/t/acme")
	if err != nil {
		t.Fatal(err)
	}
	if got := i.WellKnown("oauth-authorization-server"); got != "/.well-known/oauth-authorization-server/t/acme" {
		t.Error(got)
	}
	if i.Origin() != "https://auth.example.com" || i.Path() != "/t/acme" {
		t.Error(i.Origin(), i.Path())
	}
}

func TestResourceMetadataURL(t *testing.T) {
	t.Parallel()
	r, err := oauth.ParseResource("https://mcp.example.com/t/acme/mcp")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.MetadataURL(); got != "https://mcp.example.com/.well-known/oauth-protected-resource/t/acme/mcp" {
		t.Error(got)
	}
}
