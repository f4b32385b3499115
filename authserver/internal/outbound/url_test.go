package outbound_test

import (
	"net/url"
	"strings"
	"testing"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"latchkey/authserver/internal/outbound"
)

// FuzzURL: where an accepted URL leads is the same for the check, for Go and for a browser (PEERS A6, A12).
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://a.example.com/x", "https://a.example.com:443/x", "https://a.example.com:8443/x", "https://127.0.0.1/", "https://0x7f.1/", "https://1.2.3/", "https://a@b.example.com/", `https://a.example.com\@b/`, "https://a.example.com?x", "https://a..b/", "https://%61.example.com/", "https://ex\u00e4mple.com/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := outbound.CheckURL(s)
		if err != nil {
			return
		}
		host := strings.TrimSuffix(at, ":443")
		u, err := url.Parse(s)
		if err != nil || u.Hostname() != host || (u.Port() != "" && u.Port() != "443") || u.User != nil {
			t.Fatalf("%q leads to %q, for Go to %v %v", s, at, u, err)
		}
		w, err := whatwg.NewParser().Parse(s)
		if err != nil {
			return
		}
		if !strings.EqualFold(w.Hostname(), host) || w.Port() != "" || w.Username() != "" {
			t.Errorf("%q leads to %q, for a browser to %q", s, at, w.Host())
		}
	})
}
