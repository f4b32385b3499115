package credential_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/credential"
)

// as is an exchange that takes a second and names its tokens by number.
type as struct {
	mu       sync.Mutex
	requests []exchange.Request
	version  int64
	ttl      int64
	life     int64
	err      error
}

func (a *as) Exchange(ctx context.Context, r exchange.Request) (*exchange.Response, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Second):
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	if a.err != nil {
		return nil, a.err
	}
	account := r.Account
	if account == "" {
		account = "acc_default"
	}
	return &exchange.Response{AccessToken: "google-" + string(rune('a'+len(a.requests))), TokenType: "Bearer", ExpiresIn: a.life, CacheTTL: a.ttl, Account: account, GrantVersion: a.version}, nil
}

func (a *as) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

func need(grant, jti, scope string) credential.Need {
	return credential.Need{
		Principal: &bearer.Principal{Principal: accesstoken.Principal{Tenant: "t", Subject: "s", Grant: grant, TokenID: jti}, Token: secret.NewText("token-" + jti)},
		Scopes:    oauth.NewScopes(scope),
	}
}

func get(t *testing.T, c *credential.Credentials, n credential.Need) *credential.Credential {
	t.Helper()
	out, err := c.Get(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSingleFlight: 20 equal needs, one exchange; the first caller's leaving does
// not fail the others.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600}
		c := credential.New(a, nil)
		leaving, leave := context.WithCancel(t.Context())
		go func() {
			if _, err := c.Get(leaving, need("g", "1", "x")); !errors.Is(err, context.Canceled) {
				t.Error("the leaving caller got", err)
			}
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := c.Get(t.Context(), need("g", "1", "x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if a.count() != 1 {
			t.Errorf("%d exchanges", a.count())
		}
	})
}

// TestCacheKey: what differs in grant, scope or account shares nothing; a new
// access token of the same grant uses what is there.
func TestCacheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600}
		c := credential.New(a, nil)
		first := get(t, c, need("g", "1", "x"))
		if get(t, c, need("g", "2", "x")) != first || a.count() != 1 {
			t.Error("a refreshed access token caused another exchange")
		}
		other := need("g", "1", "x")
		other.Account = "acc_2"
		stranger := need("g", "1", "x")
		stranger.Principal.Tenant = "t2"
		for name, n := range map[string]credential.Need{"grant": need("g2", "1", "x"), "scope": need("g", "1", "y"), "account": other, "tenant": stranger} {
			if get(t, c, n) == first {
				t.Errorf("%s is not part of the key", name)
			}
		}
	})
}

// TestExpiry: no longer than cache_ttl, and never to the end of the token's life.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ttl, life int64
		kept      time.Duration
	}{
		"cache_ttl":            {300, 3600, 300 * time.Second},
		"life less the margin": {300, 100, 40 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &as{ttl: c.ttl, life: c.life}
			credentials := credential.New(a, nil)
			get(t, credentials, need("g", "1", "x"))
			time.Sleep(c.kept - time.Millisecond) // the bubble's clock
			get(t, credentials, need("g", "1", "x"))
			if a.count() != 1 {
				t.Errorf("%s: not kept", name)
			}
			time.Sleep(time.Millisecond)
			get(t, credentials, need("g", "1", "x"))
			if a.count() != 2 {
				t.Errorf("%s: kept too long", name)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 30}
		credentials := credential.New(a, nil)
		get(t, credentials, need("g", "1", "x"))
		get(t, credentials, need("g", "1", "x"))
		if a.count() != 2 {
			t.Error("a token about to end was kept")
		}
	})
}

// TestRenew: one forced exchange for all who were refused the same token.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600}
		c := credential.New(a, nil)
		refused := get(t, c, need("g", "1", "x"))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				fresh, err := c.Renew(t.Context(), need("g", "1", "x"), refused)
				if err != nil || fresh.Token.Equal(refused.Token) {
					t.Error("not renewed", err)
				}
			})
		}
		wg.Wait()
		late, err := c.Renew(t.Context(), need("g", "1", "x"), refused)
		if err != nil || late.Token.Equal(refused.Token) || a.count() != 2 {
			t.Errorf("%d exchanges, %v", a.count(), err)
		}
		if a.requests[0].ForceRefresh || !a.requests[1].ForceRefresh {
			t.Error("force_refresh")
		}
	})
}

// TestVersion: a newer version of the connection outdates what other scopes left
// in the cache.
func TestVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600, version: 1}
		c := credential.New(a, nil)
		get(t, c, need("g", "1", "x"))
		a.version = 2
		get(t, c, need("g", "1", "y"))
		get(t, c, need("g", "1", "x"))
		if a.count() != 3 {
			t.Errorf("%d exchanges", a.count())
		}
	})
}

// TestErrorsAreNotKept: the next call asks again.
func TestErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600, err: &exchange.Error{Code: oauth.TemporarilyUnavailable}}
		c := credential.New(a, nil)
		if _, err := c.Get(t.Context(), need("g", "1", "x")); err == nil {
			t.Fatal("no error")
		}
		a.err = nil
		get(t, c, need("g", "1", "x"))
	})
}
