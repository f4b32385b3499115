package connection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
)

// numbered answers each refresh with its number.
func numbered(n int, c *call) { c.ok(fmt.Sprintf("access-%d", n), "", granted) }

// TestMinTTL: the stored token is served while more than min_ttl is left of it, and Google is not asked.
func TestMinTTL(t *testing.T) {
	t.Parallel()
	f := setUp(t, 10*time.Minute, granted, numbered)
	c := f.replica()
	got, err := c.AccessToken(t.Context(), f.record(), granted, 9*time.Minute, false)
	want(t, "enough life", got, err, "stored", nil)
	if f.google.count() != 0 {
		t.Error("Google was asked")
	}
	got, err = c.AccessToken(t.Context(), f.record(), granted, 11*time.Minute, false)
	want(t, "not enough life", got, err, "access-1", nil)
	got, err = c.AccessToken(t.Context(), f.record(), granted, 30*time.Minute, true)
	want(t, "refused by Google", got, err, "access-2", nil)
	got, err = c.AccessToken(t.Context(), f.record(), granted, 2*time.Hour, false)
	want(t, "Google gives no longer life", got, err, "access-3", nil)
	if n := f.google.count(); n != 3 {
		t.Errorf("%d refreshes, not 3", n)
	}
}

// TestRefreshOnceWhileGoogleIsSlow: DESIGN §5: callers of three replicas wait for one slow refresh and all get its token.
func TestRefreshOnceWhileGoogleIsSlow(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	f := setUp(t, 0, granted, func(n int, c *call) {
		if n == 1 {
			close(begun)
			<-proceed
		}
		numbered(n, c)
	})
	r := f.record()
	replicas := []*connection.Credentials{f.replica(), f.replica(), f.replica()}
	var wg sync.WaitGroup
	ask := func(i int) {
		wg.Go(func() {
			got, err := replicas[i%3].AccessToken(context.Background(), r, granted, 0, i%5 == 0)
			want(t, "a caller", got, err, "access-1", nil)
		})
	}
	ask(0)
	<-begun
	for i := range 30 {
		ask(i)
	}
	close(proceed)
	wg.Wait()
	if n := f.google.count(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if f.stored(vault.RefreshToken) != "r1" || !f.free() {
		t.Error("an answer without a refresh token keeps the stored one, and the lease is given back")
	}
}

// TestCallerGoesAway: a refresh outlives the caller that began it; what Google gave is stored.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	f := setUp(t, 0, granted, func(n int, c *call) {
		close(begun)
		<-proceed
		c.ok("access-1", "r2", granted)
	})
	c, r := f.replica(), f.record()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := c.AccessToken(ctx, r, granted, 0, false)
	want(t, "gone", nil, err, "", connection.ErrTransient)
	close(proceed)
	got, err := c.AccessToken(t.Context(), r, granted, 0, false) // with the old record: joins or adopts
	want(t, "the next caller", got, err, "access-1", nil)
	if f.google.count() != 1 || f.stored(vault.RefreshToken) != "r2" {
		t.Error("what Google gave is lost")
	}
}

// TestDeadHolder: the lease of a process that died ends by itself, and a waiter takes over.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	f := setUp(t, 0, granted, numbered)
	r, dead := f.record(), uuid.New()
	if mine, err := f.db.TakeLease(t.Context(), r.Ref, r.Version, dead, 300*time.Millisecond); err != nil || !mine {
		t.Fatal(mine, err)
	}
	got, err := f.replica().AccessToken(t.Context(), r, granted, 0, false)
	want(t, "after the lease", got, err, "access-1", nil)
	late := connection.Refreshed{Ref: r.Ref, Version: r.Version, Owner: dead, SealedAccess: []byte("late"), AccessExpires: time.Now().Add(time.Hour)}
	if err := f.db.PublishRefresh(t.Context(), late); err == nil || f.stored(vault.AccessToken) != "access-1" {
		t.Errorf("the holder came back and overwrote the result: %v", err)
	}
}

// TestChangedMeanwhile: what another writer did while Google was asked stands, whatever Google answered.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	good := func(c *call) { c.ok("from refresh", "r2", c.scopes()) }
	refused := func(c *call) { c.fail(400, `{"error":"invalid_grant"}`) }
	for name, row := range map[string]struct {
		answer  func(*call)
		happens func(*fixture)
		allowed oauth.Scopes
		token   string
		reason  error
	}{
		"revoked":                      {good, (*fixture).revoke, both, "", connection.ErrReauth},
		"revoked, token with less":     {good, (*fixture).revoke, granted, "", connection.ErrReauth},
		"revoked and refused":          {refused, (*fixture).revoke, both, "", connection.ErrReauth},
		"signed in again":              {good, func(f *fixture) { f.signIn("relinked", "r9", time.Hour, both) }, both, "relinked", nil},
		"signed in again, old refused": {refused, func(f *fixture) { f.signIn("relinked", "r9", time.Hour, both) }, both, "relinked", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f *fixture
			f = setUp(t, 0, both, func(_ int, c *call) {
				row.happens(f)
				row.answer(c)
			})
			got, err := f.replica().AccessToken(t.Context(), f.record(), row.allowed, 0, false)
			want(t, "the caller", got, err, row.token, row.reason)
			if n := f.google.count(); n != 1 {
				t.Errorf("%d calls to Google", n)
			}
			r := f.record()
			if row.token == "" && (r.Status != connection.Revoked || f.stored(vault.AccessToken) != "stored" || f.stored(vault.RefreshToken) != "r1") {
				t.Errorf("a revoked credential came back: %s", r.Status)
			}
			if row.token != "" && (r.Status != connection.Active || f.stored(vault.RefreshToken) != "r9") {
				t.Errorf("the new sign-in was overwritten: %s", r.Status)
			}
		})
	}
}

// TestDisconnectDuringRefresh: DESIGN §5: a disconnect during the refresh stands: what Google answers is stored nowhere and handed to nobody.
func TestDisconnectDuringRefresh(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*call){
		"fresh token": func(c *call) { c.ok("from refresh", "r2", c.scopes()) }, "refused": func(c *call) { c.fail(400, `{"error":"invalid_grant"}`) },
	} {
		for _, allowed := range []oauth.Scopes{both, granted} {
			t.Run(name+" "+allowed.String(), func(t *testing.T) {
				t.Parallel()
				var f *fixture
				f = setUp(t, 0, both, func(_ int, c *call) {
					if err := f.db.Disconnect(context.Background(), f.ref); err != nil {
						t.Error(err)
					}
					answer(c)
				})
				got, err := f.replica().AccessToken(t.Context(), f.record(), allowed, 0, false)
				want(t, "the caller", got, err, "", connection.ErrReauth)
				if r := f.record(); r.Status != connection.Revoked || r.Linked || r.SealedAccess != nil || r.SealedRefresh != nil {
					t.Errorf("it came back: %s, linked %v", r.Status, r.Linked)
				}
			})
		}
	}
}

// TestGrownMeanwhile: DESIGN §1.1 [law]: when a sign-in during the refresh grants more, a caller that may not have that gets a token with less.
func TestGrownMeanwhile(t *testing.T) {
	t.Parallel()
	var f *fixture
	f = setUp(t, 0, granted, func(n int, c *call) {
		if n == 1 {
			f.signIn("opens drive", "r2", time.Hour, both)
			c.ok("lost", "", granted)
			return
		}
		c.ok("less", "", c.scopes())
	})
	got, err := f.replica().AccessToken(t.Context(), f.record(), granted, 0, false)
	want(t, "mail only", got, err, "less", nil)
	if err == nil && got.Scopes.Contains(driveRead) {
		t.Error("a token for Drive was handed to a caller with mail only")
	}
	// The same when it is the refresh itself that brings more.
	f.google.set(func(_ int, c *call) {
		if c.scope == "" {
			c.ok("opens drive", "", both)
			return
		}
		c.ok("less again", "", c.scopes())
	})
	f.signIn("old", "", 0, granted)
	got, err = f.replica().AccessToken(t.Context(), f.record(), granted, 0, false)
	want(t, "refresh brings more", got, err, "less again", nil)
}

// TestLessWaitsForOthers: callers with different rights at one expiry all get their token: nobody is told to come back because another was faster.
func TestLessWaitsForOthers(t *testing.T) {
	t.Parallel()
	f := setUp(t, 0, both, func(_ int, c *call) { c.ok("for "+c.scope, "", c.scopes()) })
	r := f.record()
	replicas := []*connection.Credentials{f.replica(), f.replica()}
	kinds := map[string]oauth.Scopes{"for ": both, "for " + granted.String(): granted, "for openid " + driveRead: oauth.NewScopes(driveRead), "for openid": oauth.NewScopes()}
	var wg sync.WaitGroup
	for i := range 24 {
		for _, allowed := range kinds {
			wg.Go(func() {
				got, err := replicas[i%2].AccessToken(context.Background(), r, allowed, 0, false)
				if err != nil {
					t.Errorf("allowed %v: %v", allowed, err)
					return
				}
				opens := kinds[got.Token.Reveal()].Union(got.Scopes)
				if !allowed.Union(oauth.NewScopes("openid")).ContainsAll(opens) {
					t.Errorf("allowed %v: token for %v", allowed, opens)
				}
			})
		}
	}
	wg.Wait()
}

// TestLessWithNewRefreshToken: a refresh token that comes with a narrowed token is kept, and a waiter for the shared one does not take the expired token that stayed.
func TestLessWithNewRefreshToken(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	f := setUp(t, 0, both, func(n int, c *call) {
		if n == 1 {
			close(begun)
			<-proceed
			c.ok("less", "r2", c.scopes())
			return
		}
		c.ok("all with "+c.refresh, "", both)
	})
	r := f.record()
	var wg sync.WaitGroup
	wg.Go(func() {
		got, err := f.replica().AccessToken(context.Background(), r, granted, 0, false)
		want(t, "less", got, err, "less", nil)
	})
	<-begun
	wg.Go(func() {
		got, err := f.replica().AccessToken(context.Background(), r, both, 0, false)
		want(t, "all", got, err, "all with r2", nil)
	})
	close(proceed)
	wg.Wait()
}

// TestLessUndoesNoRewrap: a new refresh token that comes with a narrowed token leaves the shared access token as a rewrap has sealed it meanwhile,
// not as it was read before: the data key of then may be deleted.
func TestLessUndoesNoRewrap(t *testing.T) {
	t.Parallel()
	var f *fixture
	var resealed []byte
	f = setUp(t, time.Hour, both, func(_ int, c *call) {
		r := f.record()
		resealed = f.seal(vault.AccessToken, "stored")
		row := rewrap.Row{ID: r.Connection.String(), Values: []rewrap.Value{{Old: r.SealedRefresh}, {Old: r.SealedAccess, New: resealed}}}
		if n, err := f.db.ReplaceValues(context.Background(), tenant.DefaultID, rewrap.Credentials, []rewrap.Row{row}); err != nil || n != 1 {
			t.Errorf("rewrapped %d: %v", n, err)
		}
		c.ok("less", "r2", c.scopes())
	})
	before := f.record()
	got, err := f.replica().AccessToken(t.Context(), before, granted, 0, false)
	want(t, "less", got, err, "less", nil)
	after := f.record()
	if !bytes.Equal(after.SealedAccess, resealed) || !after.AccessExpires.Equal(before.AccessExpires) || f.stored(vault.RefreshToken) != "r2" {
		t.Errorf("access token as it was: %v, expires %v, refresh token %s", bytes.Equal(after.SealedAccess, before.SealedAccess), after.AccessExpires, f.stored(vault.RefreshToken))
	}
}

// TestLessIsKept: Google is asked once for each set of scopes, and again after force; it gets no thanks for more than was asked.
func TestLessIsKept(t *testing.T) {
	t.Parallel()
	f := setUp(t, time.Hour, both, func(n int, c *call) { c.ok(fmt.Sprintf("less-%d", n), "", c.scopes()) })
	c := f.replica()
	for range 3 {
		got, err := c.AccessToken(t.Context(), f.record(), granted, time.Minute, false)
		want(t, "kept", got, err, "less-1", nil)
	}
	got, err := c.AccessToken(t.Context(), f.record(), granted, 0, true)
	want(t, "refused by Google", got, err, "less-2", nil)
	f.google.set(func(_ int, c *call) { c.fail(503, "") })
	got, err = c.AccessToken(t.Context(), f.record(), granted, 2*time.Hour, false)
	want(t, "Google away", got, err, "less-2", nil)
	f.google.set(func(_ int, c *call) { c.ok("more", "", both) })
	got, err = c.AccessToken(t.Context(), f.record(), granted, 2*time.Hour, false)
	want(t, "Google does not narrow", got, err, "", connection.ErrConfiguration)
	if !f.free() || f.stored(vault.AccessToken) != "stored" {
		t.Error("the shared token or the lease was touched")
	}
}

// TestRefreshTokenCoversLess: scopes grew at a sign-in that brought no refresh token; the stored one cannot be narrowed to them, and the row learns what it covers.
func TestRefreshTokenCoversLess(t *testing.T) {
	t.Parallel()
	f := setUp(t, time.Hour, both, func(_ int, c *call) {
		if !granted.ContainsAll(oauth.NewScopes(strings.Fields(c.scope)...)) {
			c.fail(400, `{"error":"invalid_scope"}`)
			return
		}
		c.ok("for "+c.scope, "", granted.Intersect(c.scopes()))
	})
	got, err := f.replica().AccessToken(t.Context(), f.record(), oauth.NewScopes(driveRead), 0, false)
	want(t, "drive only", got, err, "for openid", nil)
	if !f.record().GoogleScopes.Equal(granted) || !f.free() {
		t.Errorf("the row says %v", f.record().GoogleScopes)
	}
	f = setUp(t, time.Hour, both, func(_ int, c *call) {
		if c.scope != "" {
			c.fail(400, `{"error":"invalid_scope"}`)
			return
		}
		c.ok("all", "", both)
	})
	got, err = f.replica().AccessToken(t.Context(), f.record(), granted, 0, false)
	want(t, "Google knows no narrowing", got, err, "", connection.ErrConfiguration)
	if n := f.google.count(); n != 2 || !f.free() {
		t.Errorf("%d calls to Google", n)
	}
}

// TestGoogleRefuses: DESIGN §6: what each answer does to the caller and to the row.
func TestGoogleRefuses(t *testing.T) {
	t.Parallel()
	const long = 20 * time.Minute // more than the token has left
	for name, row := range map[string]struct {
		status    int
		body      string
		reason    error // with a dead token
		alive     error // with a living one; nil: it is served
		lastError string
	}{
		"outage":            {503, `{"error":"internal_failure"}`, connection.ErrTransient, nil, ""},
		"revoked at Google": {400, `{"error":"invalid_grant"}`, connection.ErrReauth, connection.ErrReauth, "invalid_grant"},
		"session policy":    {400, `{"error":"invalid_grant","error_subtype":"invalid_rapt"}`, connection.ErrPolicy, connection.ErrPolicy, "invalid_rapt"},
		"administrator":     {400, `{"error":"admin_policy_enforced"}`, connection.ErrPolicy, connection.ErrPolicy, "admin_policy"},
		"another domain's":  {400, `{"error":"org_internal"}`, connection.ErrPolicy, connection.ErrPolicy, "admin_policy"},
		"wrong secret":      {401, `{"error":"invalid_client"}`, connection.ErrConfiguration, connection.ErrConfiguration, ""},
		"client disabled":   {401, `{"error":"disabled_client"}`, connection.ErrConfiguration, connection.ErrConfiguration, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, life := range map[string]time.Duration{"dead": 0, "alive": 10 * time.Minute} {
				f := setUp(t, life, granted, func(_ int, c *call) { c.fail(row.status, row.body) })
				c, before := f.replica(), f.record()
				reason := row.reason
				if life > 0 {
					reason = row.alive
				}
				for range 2 {
					got, err := c.AccessToken(t.Context(), f.record(), granted, long, false)
					want(t, what, got, err, "stored", reason)
				}
				after := f.record()
				marked := row.lastError != ""
				if after.LastError != row.lastError || (after.Status == connection.NeedsReauth) != marked || (after.Version == before.Version) == marked {
					t.Errorf("%s: the row says %s %q", what, after.Status, after.LastError)
				}
				if f.stored(vault.RefreshToken) != "r1" {
					t.Error("the refresh token is gone")
				}
				wantCalls := 2
				switch {
				case marked:
					wantCalls = 1
				case errors.Is(row.reason, connection.ErrTransient):
					wantCalls = 2 * connection.Attempts
				}
				if f.google.count() != wantCalls {
					t.Errorf("%s: %d calls to Google, not %d", what, f.google.count(), wantCalls)
				}
				if !marked && !f.free() {
					t.Errorf("%s: the lease was not given back", what)
				}
				f.google.set(numbered)
				f.signIn("again", "r5", time.Hour, granted)
				got, err := c.AccessToken(t.Context(), f.record(), granted, long, false)
				want(t, "after signing in again", got, err, "again", nil)
			}
		})
	}
}

// TestForcedWhileGoogleIsAway: a token that Google refused is not served again.
func TestForcedWhileGoogleIsAway(t *testing.T) {
	t.Parallel()
	f := setUp(t, time.Hour, granted, func(_ int, c *call) { c.fail(503, "") })
	got, err := f.replica().AccessToken(t.Context(), f.record(), granted, 0, true)
	want(t, "forced", got, err, "", connection.ErrTransient)
}

// TestOtherGoogleClient: DESIGN §4: a token of another Google client is not tried, and a wrong setting signs nobody out: with the old client it works again.
func TestOtherGoogleClient(t *testing.T) {
	t.Parallel()
	f := setUp(t, 0, granted, numbered)
	before := f.record()
	got, err := f.replicaOf("another-id").AccessToken(t.Context(), before, granted, 0, false)
	want(t, "another client", got, err, "", connection.ErrReauth)
	if after := f.record(); after.Status != connection.Active || after.Version != before.Version || f.google.count() != 0 {
		t.Error("the credential was touched")
	}
	got, err = f.replica().AccessToken(t.Context(), f.record(), granted, 0, false)
	want(t, "the client is back", got, err, "access-1", nil)
}
