package app_test

import (
	"net/http"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/fakegoogle"
)

// twoTenants is a deployment with a tenant by path and one by host, each with an
// OAuth client of its own at Google.
func twoTenants(t *testing.T) (s, acme, globex *authtest.Server) {
	t.Helper()
	s = authtest.Start(t)
	acme = s.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "acme-secret"}})
	globex = s.AddTenant(t, "globex", authtest.TenantOptions{Host: true, Google: fakegoogle.Client{ID: "globex-google", Secret: "globex-secret"}})
	return s, acme, globex
}

// TestTwoTenants: DESIGN §3: the whole flow at an issuer by path and at one by host, each with its own Google client.
func TestTwoTenants(t *testing.T) {
	t.Parallel()
	s, acme, globex := twoTenants(t)
	for _, of := range []*authtest.Server{s, acme, globex} {
		v := of.NewVisit(t)
		q, p := of.Walk(t, v)
		if q == nil || q.Get("iss") != of.URL {
			t.Fatalf("%s: %v %s", of.URL, q, p.Body)
		}
		status, out := of.Token(t, v.Redeem(q.Get("code")))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", of.URL, status, out)
		}
		if status, out = of.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusOK {
			t.Fatalf("%s: %d %v", of.URL, status, out)
		}
	}
}
