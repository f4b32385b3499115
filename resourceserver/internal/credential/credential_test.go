package credential_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	delay    time.Duration // 0: a second
	warning  *exchange.Warning
}

func (a *as) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *as) Exchange(ctx context.Context, r exchange.Request) (*exchange.Response, error) {
	a.mu.Lock()
	delay := cmp.Or(a.delay, time.Second)
	a.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, &exchange.Error{Code: oauth.TemporarilyUnavailable, Cause: ctx.Err()} // as the client answers
	case <-time.After(delay):
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
	return &exchange.Response{AccessToken: fmt.Sprintf("google-%d", len(a.requests)), TokenType: "Bearer", ExpiresIn: a.life, CacheTTL: a.ttl, Account: account, GrantVersion: a.version, Warning: a.warning}, nil
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
	for name, a := range map[string]*as{"a token about to end": {ttl: 300, life: 30}, "a token not to be kept": {ttl: 0, life: 3600}} {
		synctest.Test(t, func(t *testing.T) {
			credentials := credential.New(a, nil)
			get(t, credentials, need("g", "1", "x"))
			get(t, credentials, need("g", "1", "x"))
			if a.count() != 2 {
				t.Errorf("%s was kept", name)
			}
		})
	}
}

// TestRenew: one forced exchange for all who were refused the same token.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600, version: 7}
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
		if a.requests[0].ForceRefresh || !a.requests[1].ForceRefresh || a.requests[1].GrantVersion != 7 {
			t.Error("force_refresh")
		}
		if _, err := c.Verify(t.Context(), need("g", "1", "x")); err != nil || !a.requests[2].ForceRefresh || a.requests[2].GrantVersion != 7 {
			t.Error("a check does not say what it checks", err)
		}
	})
}

// TestExchangeAway: an authorization server that is down or hangs ends nobody's work while the token lives, is not waited for again and
// again, and what it refused before is not served.
func TestExchangeAway(t *testing.T) {
	t.Parallel()
	away := &exchange.Error{Code: oauth.TemporarilyUnavailable}
	for name, delay := range map[string]time.Duration{"down": 0, "hanging": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			a := &as{ttl: 300, life: 3600}
			c := credential.New(a, nil)
			first := get(t, c, need("g", "1", "x"))
			a.set(func() { a.err, a.delay = away, delay })
			end := time.Now().Add(3600*time.Second - 60*time.Second)
			calls, waits := 0, 0
			for range 1000 {
				begun := time.Now()
				if begun.Add(5 * time.Second).After(end) {
					break
				}
				if got := get(t, c, need("g", "2", "x")); got != first {
					t.Fatalf("%s: another token", name)
				}
				took := time.Since(begun)
				if took > 2*time.Second {
					t.Fatalf("%s: a call waited %v", name, took)
				}
				if calls++; took > 0 {
					waits++
				}
				time.Sleep(time.Second)
			}
			if calls < 900 || waits < calls/10 || waits > calls/4 {
				t.Errorf("%s: %d of %d calls waited", name, waits, calls)
			}
			time.Sleep(time.Until(end))
			if _, err := c.Get(t.Context(), need("g", "1", "x")); err == nil {
				t.Errorf("%s: served beyond the token's life", name)
			}
			a.set(func() { a.err, a.delay = nil, 0 })
			time.Sleep(time.Hour) // the questions under way end
			if get(t, c, need("g", "1", "x")) == first {
				t.Errorf("%s: still the old one", name)
			}
		})
	}
	for name, refusal := range map[string]*exchange.Error{
		"connection ended": {Code: oauth.InteractionRequired, Reason: exchange.ReauthRequired}, "access revoked": {Code: oauth.InvalidGrant},
		"scope": {Code: oauth.InsufficientScope}, "account": {Code: exchange.AccountSelectionRequired},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &as{ttl: 300, life: 3600}
			c := credential.New(a, nil)
			get(t, c, need("g", "1", "x"))
			time.Sleep(301 * time.Second)
			for _, err := range []*exchange.Error{refusal, away} {
				a.set(func() { a.err = err })
				if _, got := c.Get(t.Context(), need("g", "1", "x")); !errors.Is(got, err) {
					t.Errorf("%s: %v, want %v", name, got, err)
				}
			}
		})
	}
}

// TestRevocationEndsIt: a revoked grant leaves nothing behind, not even of an exchange that was under way, nor while the exchange is away.
func TestRevocationEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600}
		c := credential.New(a, nil)
		kept, underWay := get(t, c, need("other", "1", "x")), make(chan struct{})
		get(t, c, need("g", "1", "x"))
		go func() {
			defer close(underWay)
			get(t, c, need("g", "1", "y"))
		}()
		synctest.Wait()
		c.Drop(func(tenant, subject, grant string) bool { return tenant == "t" && subject == "s" && grant == "g" })
		<-underWay
		a.set(func() { a.err = &exchange.Error{Code: oauth.TemporarilyUnavailable} })
		for _, scope := range []string{"x", "y"} {
			if _, err := c.Get(t.Context(), need("g", "1", scope)); err == nil {
				t.Errorf("%s: served after the revocation", scope)
			}
		}
		if get(t, c, need("other", "1", "x")) != kept {
			t.Error("another grant's was dropped")
		}
	})
}

// TestBounded: however many people come, what is kept is bounded.
func TestBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600}
		c := credential.New(a, nil)
		var wg sync.WaitGroup
		for i := range 12_000 {
			wg.Go(func() { get(t, c, need(fmt.Sprint(i), "1", "x")) })
		}
		wg.Wait()
		if n := c.Cached(); n > 10_000 || n < 8_000 {
			t.Errorf("%d are kept", n)
		}
	})
}

// TestEnding: the warning of the exchange becomes a time, and none is made up from one that is not known.
func TestEnding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &as{ttl: 300, life: 3600, warning: &exchange.Warning{Code: exchange.TestingEnds, EndsIn: 7200}}
		c := credential.New(a, nil)
		got := get(t, c, need("g", "1", "x"))
		if left := time.Until(got.Ends); left != 2*time.Hour {
			t.Errorf("%v left", left)
		}
		a.set(func() { a.warning = &exchange.Warning{Code: "something", EndsIn: 7200} })
		if got := get(t, c, need("g", "1", "y")); !got.Ends.IsZero() {
			t.Error("an unknown warning is shown")
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
