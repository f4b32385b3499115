package httpx_test

import (
	"net/http/httptest"
	"testing"

	"latchkey/pkg/httpx"
)

// TestClientAddress: PEERS A25: only a trusted proxy is believed about the client's address.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	t.Run("A25 only a trusted proxy is believed about the address", clientAddress)
}

func clientAddress(t *testing.T) {
	t.Parallel()
	proxies, err := httpx.ParseProxies("10.0.0.0/8, 2001:db8::1")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"no proxy":                        {"198.51.100.7:1", nil, "198.51.100.7"},
		"a stranger forges the header":    {"198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7"},
		"a proxy tells":                   {"10.1.2.3:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"the client forges before it":     {"10.1.2.3:1", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		"two proxies":                     {"10.1.2.3:1", []string{"203.0.113.9, 10.9.9.9"}, "203.0.113.9"},
		"two headers":                     {"10.1.2.3:1", []string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9"},
		"garbage from a proxy":            {"10.1.2.3:1", []string{"unknown"}, "10.1.2.3"},
		"a proxy without the header":      {"10.1.2.3:1", nil, "10.1.2.3"},
		"IPv6 proxy":                      {"[2001:db8::1]:1", []string{"2001:db8:1::7"}, "2001:db8:1::7"},
		"IPv4-mapped proxy":               {"[::ffff:10.1.2.3]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"no address at all (unix socket)": {"@", []string{"203.0.113.9"}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = row.remote
		r.Header["X-Forwarded-For"] = row.forwarded
		if got := proxies.Client(r); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
	if _, err := httpx.ParseProxies("10.0.0.0/8,everybody"); err == nil {
		t.Error("a word is no network")
	}
}
