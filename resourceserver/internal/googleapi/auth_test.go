package googleapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// google accepts some tokens and counts what it saw.
type google struct {
	mu       sync.Mutex
	accepted map[string]bool
	seen     []*http.Request
}

func (g *google) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, r)
	status := http.StatusUnauthorized
	if g.accepted[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// exchanger hands out "old", and "new" when a refresh is forced.
type exchanger struct {
	mu     sync.Mutex
	forced int
}

func (e *exchanger) Exchange(_ context.Context, r exchange.Request) (*exchange.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	token := "old"
	if r.ForceRefresh {
		e.forced++
		token = "new"
	}
	return &exchange.Response{AccessToken: token, TokenType: "Bearer", ExpiresIn: 3600, CacheTTL: 300}, nil
}

// TestRenewOnce: parallel requests that are refused share one forced refresh; a
// session that is refused for good does not force another.
func TestRenewOnce(t *testing.T) {
	t.Parallel()
	need := credential.Need{Principal: &bearer.Principal{Principal: accesstoken.Principal{Tenant: "t", Subject: "s", Grant: "g"}, Token: secret.NewText("ours")}, Scopes: oauth.NewScopes("x")}
	for name, c := range map[string]struct {
		accepted string
		want     int
	}{"fresh token works": {"new", http.StatusOK}, "refused for good": {"none", http.StatusUnauthorized}} {
		e, g := &exchanger{}, &google{accepted: map[string]bool{c.accepted: true}}
		credentials := credential.New(e, nil)
		first, err := credentials.Get(t.Context(), need)
		if err != nil {
			t.Fatal(err)
		}
		session := googleapi.Authorizer(g, credentials, need, first, "q")
		send := func() {
			resp, err := session.RoundTrip(request(t.Context(), t, http.MethodGet))
			if err != nil || resp.StatusCode != c.want {
				t.Errorf("%s: %v %v", name, resp, err)
			}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(send)
		}
		wg.Wait()
		send()
		send()
		if e.forced != 1 {
			t.Errorf("%s: %d forced refreshes", name, e.forced)
		}
		for _, r := range g.seen {
			if r.Header.Get("Authorization") == "Bearer ours" || r.URL.Query().Get("quotaUser") != "q" {
				t.Errorf("%s: our token or no quota user went to Google", name)
			}
		}
	}
}

// moved answers a forced refresh with the credential of another account, as for a name
// that the person gave to another one while a call was under way.
type moved struct{}

func (moved) Exchange(_ context.Context, r exchange.Request) (*exchange.Response, error) {
	out := &exchange.Response{AccessToken: "old", TokenType: "Bearer", ExpiresIn: 3600, CacheTTL: 300, Account: "acc_1"}
	if r.ForceRefresh {
		out.AccessToken, out.Account = "new", "acc_2"
	}
	return out, nil
}

// TestRenewKeepsAccount: decision 0022: the person's word names an account; a call never
// goes on with the credential of another one.
func TestRenewKeepsAccount(t *testing.T) {
	t.Parallel()
	need := credential.Need{Principal: &bearer.Principal{Principal: accesstoken.Principal{Tenant: "t", Subject: "s", Grant: "g"}, Token: secret.NewText("ours")}, Scopes: oauth.NewScopes("x"), Account: "work"}
	g := &google{accepted: map[string]bool{"new": true}}
	credentials := credential.New(moved{}, nil)
	first, err := credentials.Get(t.Context(), need)
	if err != nil {
		t.Fatal(err)
	}
	session := googleapi.Authorizer(g, credentials, need, first, "q")
	var e *tool.Error
	if resp, err := session.RoundTrip(request(t.Context(), t, http.MethodGet)); !errors.As(err, &e) || e.Code != tool.CodeConflict {
		t.Errorf("%v %v", resp, err)
	}
	if len(g.seen) != 1 {
		t.Errorf("Google saw %d requests", len(g.seen))
	}
}

// TestUnconfirmed: what changes something at Google does not leave this server
// before the person was asked, whatever the product forgot.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	need := credential.Need{Principal: &bearer.Principal{Principal: accesstoken.Principal{Tenant: "t", Subject: "s", Grant: "g"}, Token: secret.NewText("ours")}, Scopes: oauth.NewScopes("x")}
	g := &google{accepted: map[string]bool{"old": true}}
	credentials := credential.New(&exchanger{}, nil)
	first, err := credentials.Get(t.Context(), need)
	if err != nil {
		t.Fatal(err)
	}
	session := googleapi.Authorizer(g, credentials, need, first, "q")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		resp, err := session.RoundTrip(request(t.Context(), t, method)) // no call, so nobody was asked
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s went out", method)
		}
	}
	if len(g.seen) != 0 {
		t.Errorf("Google saw %d requests", len(g.seen))
	}
}
