package blackbox_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestKill: DESIGN §1.5: what was acknowledged survives kill -9 of any process,
// between authorize and redemption and between redemption and refresh.
func TestKill(t *testing.T) {
	t.Parallel()
	s := own(t)
	for name, kill := range map[string]func(t *testing.T){
		"authorization server": func(t *testing.T) {
			s.AS.Kill()
			must(t, s.AS.Start())
		},
		"resource server": func(t *testing.T) {
			s.RS.Kill()
			must(t, s.RS.Start())
		},
		"PostgreSQL": func(t *testing.T) {
			must(t, s.EndDatabase(syscall.SIGKILL))
			must(t, s.StartDatabase(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they share the system
			c := client(t, s)
			must(t, c.Discover(t.Context()))
			must(t, c.Register(t.Context()))
			must(t, c.Authorize(t.Context()))
			// The code lives for a minute, in which a busy machine may not be done with the restart.
			_, err := ofDefault(t, s).Exec(t.Context(), `UPDATE grants SET code_expires_at = code_expires_at + interval '1 hour' WHERE redeemed_at IS NULL`)
			must(t, err)
			kill(t)
			must(t, s.Ready(t.Context()))
			must(t, c.Redeem(t.Context()))
			works(t, c)
			kill(t)
			must(t, s.Ready(t.Context()))
			must(t, c.Refresh(t.Context()))
			works(t, c)
		})
	}
}

// TestDatabaseOutage: doubt about infrastructure is 503, never invalid_grant: a
// client that hears invalid_grant throws its session away. When the database is
// back, so is everything, without a restart.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	s := own(t)
	c, other := signedIn(t, s), client(t, s)
	must(t, other.Discover(t.Context()))
	must(t, other.Register(t.Context()))
	must(t, other.Authorize(t.Context()))
	as, rs := s.AS.PID(), s.RS.PID()

	must(t, s.EndDatabase(syscall.SIGINT))
	for range 5 { // broken pooled connections must not come out as another answer
		for what, answer := range map[string]func() (int, string, http.Header){
			"refresh": func() (int, string, http.Header) {
				a, err := c.Token(t.Context(), "refresh", c.RefreshForm())
				must(t, err)
				return a.Status, a.Error, a.Header
			},
			"redemption": func() (int, string, http.Header) {
				a, err := other.Token(t.Context(), "redemption", other.RedeemForm())
				must(t, err)
				return a.Status, a.Error, a.Header
			},
		} {
			status, code, header := answer()
			if status != http.StatusServiceUnavailable || code != "temporarily_unavailable" || header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", what, status, code)
			}
		}
	}
	for _, probe := range []struct {
		url  string
		want int
	}{{s.AdminURL + "/livez", http.StatusOK}, {s.AdminURL + "/readyz", http.StatusServiceUnavailable}, {s.Issuer + "/.well-known/oauth-authorization-server", http.StatusOK}, {s.Issuer + "/jwks", http.StatusOK}} {
		resp, err := http.Get(probe.url)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != probe.want {
			t.Errorf("%s: %d", probe.url, resp.StatusCode)
		}
	}
	if _, err := c.CallTool(t.Context(), "drive_search", nil); err != nil && strings.Contains(err.Error(), "status 401") {
		t.Errorf("an outage told the client to sign in again: %v", err)
	}

	must(t, s.StartDatabase(t.Context()))
	must(t, s.Ready(t.Context()))
	must(t, c.Refresh(t.Context()))
	works(t, c)
	if s.AS.PID() != as || s.RS.PID() != rs {
		t.Error("a server was restarted")
	}
}
