package web_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

// FuzzCookies: whatever the browser sends as cookies, what is read of one name is
// a value that was sent under exactly that name, and a browser secret is 32 bytes
// or a new one (RFC 6265bis: a cookie header is not to be trusted for anything).
func FuzzCookies(f *testing.F) {
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("__Host-latchkey-csrf=" + strings.Repeat("A", 43))
	f.Add("latchkey-csrf=x; __Host-latchkey-csrf=y; __Host-latchkey-csrf=z")
	f.Add("__Host-latchkey-csrf=\"quoted\"; a")
	f.Add("__HOST-latchkey-csrf=x;;=;\x00")
	f.Fuzz(func(t *testing.T, header string) {
		if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return // net/http answers such a header with 400 (RFC 9110 §5.5)
		}
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		value := web.Cookie(r, issuer, "latchkey-csrf")
		// Spaces around a name are nobody's: browsers trim them before they apply the
		// prefix's rules (RFC 6265bis §5.6), so such a cookie cannot be planted.
		trimmed := strings.NewReplacer(" ", "", "\t", "").Replace(header)
		if value != "" && !strings.Contains(trimmed, "__Host-latchkey-csrf=") {
			t.Errorf("%q gives %q", header, value)
		}
		if secret := web.BrowserSecret(r, issuer); len(secret) != 43 {
			t.Errorf("%q gives a secret of %d characters", header, len(secret))
		}
	})
}
