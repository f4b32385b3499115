package keyset_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
)

// older lets a tenant's keys in a state be older, for the database's clock is
// its own.
func (f *fixture) older(t testing.TB, s keyset.State, by time.Duration) {
	t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`ALTER TABLE signing_keys NO FORCE ROW LEVEL SECURITY`)
		b.Queue(`UPDATE signing_keys SET created_at = created_at - $2::interval, activated_at = activated_at - $2::interval, retired_at = retired_at - $2::interval WHERE state = $1`, string(s), by)
		b.Queue(`ALTER TABLE signing_keys FORCE ROW LEVEL SECURITY`)
		return tx.SendBatch(ctx, b).Close()
	}); err != nil {
		t.Fatal(err)
	}
}

// states are the default tenant's keys of a purpose, key ids by state.
func (f *fixture) states(t testing.TB, p keyset.Purpose) map[keyset.State][]string {
	t.Helper()
	records, err := f.db.SigningKeys(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	out := map[keyset.State][]string{}
	for _, r := range records {
		if r.Purpose == p {
			out[r.State] = append(out[r.State], r.KID)
		}
	}
	return out
}

// round is one turn of a replica that has just started.
func (f *fixture) round(t testing.TB, c keyset.Config) *keyset.Set {
	t.Helper()
	k := f.configured(t, c)
	k.Round(ctx)
	return mustSet(t, k, tenant.DefaultID)
}

func claims(life time.Duration) accesstoken.Claims {
	now := time.Now()
	return accesstoken.Claims{
		Issuer: "https://as.example.com", Audience: "https://mcp.example.com/mcp", Subject: "s", ClientID: "c", ID: uuid.NewString(), Tenant: "t", Grant: "g",
		Scope: "gmail.read", IssuedAt: now.Unix(), Expiry: now.Add(life).Unix(),
	}
}

func sign(t testing.TB, s *keyset.Set, life time.Duration) string {
	t.Helper()
	token, err := s.Sign(claims(life))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// kid and algorithm that a token names.
func header(t testing.TB, token string) (kid, alg string) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Protected.KeyID, jws.Signatures[0].Protected.Algorithm
}

// verify is a verifier's answer that has seen nothing before.
func verify(t testing.TB, keys accesstoken.KeySource, token string) error {
	t.Helper()
	issuer, err := oauth.ParseIssuerURL("https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(ctx, token)
	return err
}

// published are the key ids of a JWKS.
func published(t testing.TB, s *keyset.Set) []string {
	t.Helper()
	body, _ := s.JWKS()
	var jwks jose.JSONWebKeySet
	if err := json.Unmarshal(body, &jwks); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range jwks.Keys {
		if !k.IsPublic() || !k.Valid() {
			t.Error("not a valid public key")
		}
		out = append(out, k.KeyID)
	}
	return out
}

// TestLifeOfAKey: AS-K6: over a rotation: published before it signs, published until its last token is dead, then gone.
func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	t.Run("AS-K6 a key is published before it signs and stays until its last token is dead", lifeOfAKey)
}

func lifeOfAKey(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing, c := keyset.DefaultTiming(), keyset.Config{}
	life := tenant.DefaultLifetimes().AccessToken
	first := sign(t, f.round(t, c), life)
	firstKID, _ := header(t, first)

	f.older(t, keyset.Active, timing.Period-timing.Lead-time.Minute)
	if f.round(t, c); len(f.states(t, keyset.ForAccessTokens)[keyset.Next]) != 0 {
		t.Fatal("published too early")
	}
	f.older(t, keyset.Active, time.Minute)
	set := f.round(t, c)
	next := f.states(t, keyset.ForAccessTokens)[keyset.Next]
	if len(next) != 1 || !slices.Equal(published(t, set), []string{firstKID, next[0]}) {
		t.Fatalf("next %v, published %v", next, published(t, set))
	}
	f.older(t, keyset.Next, timing.Lead-10*time.Second)
	if kid, _ := header(t, sign(t, f.round(t, c), life)); kid != firstKID {
		t.Fatal("a key signs before everybody can know it")
	}
	f.older(t, keyset.Next, 10*time.Second)
	set = f.round(t, c)
	second := sign(t, set, life)
	if kid, _ := header(t, second); kid != next[0] {
		t.Fatal("the next key does not sign")
	}
	if err := errors.Join(verify(t, set, first), verify(t, set, second)); err != nil {
		t.Fatal(err)
	}
	keep := life + timing.Lead + accesstoken.Leeway
	f.older(t, keyset.Retired, keep-10*time.Second)
	if set = f.round(t, c); verify(t, set, first) != nil || !slices.Equal(published(t, set), []string{next[0], firstKID}) {
		t.Fatal("a retired key went while its tokens could live")
	}
	f.older(t, keyset.Retired, 10*time.Second)
	set = f.round(t, c)
	if !slices.Equal(published(t, set), next) || !errors.Is(verify(t, set, first), accesstoken.ErrInvalid) || verify(t, set, second) != nil {
		t.Fatal("a retired key stayed")
	}
}

// TestLifeOfAMACKey: codes and refresh tokens are read before, over and after a rotation, and not for ever.
func TestLifeOfAMACKey(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing, c := keyset.DefaultTiming(), keyset.Config{}
	id := uuid.Must(uuid.NewV7())
	before := f.round(t, c)
	reads := func(s *keyset.Set, from *keyset.Set) error {
		_, err := s.Codec().ParseCode(from.Codec().Code(id).Reveal())
		got, generation, err2 := s.Codec().ParseRefreshToken(from.Codec().RefreshToken(id, 3).Reveal())
		if err2 == nil && (got != id || generation != 3) {
			t.Error("another token was read")
		}
		return errors.Join(err, err2)
	}
	f.older(t, keyset.Active, timing.Period)
	during := f.round(t, c)
	if during.Codec().Code(id).Reveal() != before.Codec().Code(id).Reveal() {
		t.Fatal("the next MAC key is in use")
	}
	f.older(t, keyset.Next, timing.Lead)
	after := f.round(t, c)
	if after.Codec().Code(id).Reveal() == before.Codec().Code(id).Reveal() {
		t.Fatal("the next MAC key is not in use")
	}
	// A replica that has not yet seen the change reads the tokens of one that has.
	if err := errors.Join(reads(during, after), reads(after, during)); err != nil {
		t.Fatal(err)
	}
	f.older(t, keyset.Retired, tenant.DefaultLifetimes().RefreshIdle+24*time.Hour)
	if err := reads(f.round(t, c), before); err != nil {
		t.Fatal("a MAC key went while refresh tokens of it could live: ", err)
	}
	f.older(t, keyset.Retired, timing.Lead)
	if err := reads(f.round(t, c), before); !errors.Is(err, grant.ErrForged) {
		t.Fatal("a MAC key stayed: ", err)
	}
}

// TestShortenedLifeTakesNoKeyAway: tokens made under the longer setting keep their key.
func TestShortenedLifeTakesNoKeyAway(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing, day := keyset.DefaultTiming(), 24*time.Hour
	long := keyset.Config{Tenants: directory(t, func(t *tenant.Tenant) { t.Lifetimes.AccessToken = day })}
	token := sign(t, f.round(t, long), day)
	short := keyset.Config{}
	f.older(t, keyset.Active, timing.Period)
	f.round(t, short)
	f.older(t, keyset.Next, timing.Lead)
	f.round(t, short)
	f.older(t, keyset.Retired, day)
	if err := verify(t, f.round(t, short), token); err != nil {
		t.Fatal(err)
	}
	f.older(t, keyset.Retired, timing.Lead+accesstoken.Leeway)
	if err := verify(t, f.round(t, short), token); !errors.Is(err, accesstoken.ErrInvalid) {
		t.Fatal(err)
	}
}

// TestAlgorithms: AS-K1: RS256 and EdDSA besides ES256; a changed setting is a rotation, never a signature with a key
// that nobody knows, and verifiers take the algorithm from the key.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	t.Run("AS-K1 a changed algorithm is a rotation, and all three verify", algorithms)
}

func algorithms(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing := keyset.DefaultTiming()
	config := func(alg string) keyset.Config {
		return keyset.Config{Tenants: directory(t, func(t *tenant.Tenant) { t.AccessTokenAlg = alg })}
	}
	was, tokens := "ES256", []string{sign(t, f.round(t, config("")), time.Minute)}
	for _, alg := range []string{"RS256", "EdDSA", "ES256"} {
		set := f.round(t, config(alg))
		if _, got := header(t, sign(t, set, time.Minute)); got != was {
			t.Fatalf("%s signs at once", got)
		}
		if len(f.states(t, keyset.ForGrants)[keyset.Next]) != 0 {
			t.Error("the MAC key is rotated too")
		}
		f.older(t, keyset.Next, timing.Lead)
		set = f.round(t, config(alg))
		tokens = append(tokens, sign(t, set, time.Minute))
		if _, got := header(t, tokens[len(tokens)-1]); got != alg {
			t.Fatalf("%s signs instead of %s", got, alg)
		}
		for _, token := range tokens {
			if err := verify(t, set, token); err != nil {
				t.Error(alg, err)
			}
		}
		was = alg
	}
	fresh := keyset.Config{Tenants: directory(t, func(t *tenant.Tenant) { t.AccessTokenAlg = "none" }, pgtest.Tenant(t, f.dsn))}
	k := f.configured(t, fresh)
	for _, tn := range fresh.Tenants().All() {
		if _, err := k.For(ctx, tn.ID); tn.ID != tenant.DefaultID && err == nil {
			t.Error("an unknown algorithm was accepted")
		}
	}
}

// TestReplicasRotateOnce: eight replicas at once publish one next key and activate it once, each time.
func TestReplicasRotateOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing := keyset.DefaultTiming()
	replicas := make([]*keyset.Keyset, 8)
	for i := range replicas {
		replicas[i] = f.replica(t, f.db, nil)
	}
	all := func() {
		var wg sync.WaitGroup
		for _, k := range replicas {
			wg.Go(func() { k.Round(ctx) })
		}
		wg.Wait()
		replicas[0].Round(ctx) // of several one does it; that one may have held the lock for another purpose
	}
	seen := map[string]bool{}
	for i := range 5 {
		all()
		f.older(t, keyset.Active, timing.Period)
		all()
		for _, p := range keyset.Purposes() {
			if s := f.states(t, p); len(s[keyset.Active]) != 1 || len(s[keyset.Next]) != 1 || len(s[keyset.Retired]) != i {
				t.Fatalf("rotation %d, %s: %v", i, p, s)
			}
		}
		next := f.states(t, keyset.ForAccessTokens)[keyset.Next][0]
		f.older(t, keyset.Next, timing.Lead)
		all()
		for _, p := range keyset.Purposes() {
			if s := f.states(t, p); len(s[keyset.Active]) != 1 || len(s[keyset.Next]) != 0 || len(s[keyset.Retired]) != i+1 {
				t.Fatalf("rotation %d, %s: %v", i, p, s)
			}
		}
		active := f.states(t, keyset.ForAccessTokens)[keyset.Active][0]
		if active != next || seen[active] {
			t.Fatalf("rotation %d: %s is active after %s was next", i, active, next)
		}
		seen[active] = true
	}
}

// TestPublishByHand: one next key however often it is asked for, with the active one's algorithm, and never more keys than
// verifiers hold.
func TestPublishByHand(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	o := &keyset.Operator{Store: f.db, Vault: f.vault(t)}
	if _, err := o.Publish(ctx, tenant.DefaultID, keyset.ForGrants); !errors.Is(err, keyset.ErrNoKeys) {
		t.Fatal(err)
	}
	c := keyset.Config{Tenants: directory(t, func(t *tenant.Tenant) { t.AccessTokenAlg = "EdDSA" })}
	f.round(t, c)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		wg.Go(func() {
			_, err := o.Publish(ctx, tenant.DefaultID, keyset.ForAccessTokens)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, keyset.ErrNextExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Fatalf("%d next keys", made)
	}
	for range keyset.Limit(keyset.ForAccessTokens) {
		f.older(t, keyset.Next, keyset.DefaultTiming().Lead)
		set := f.round(t, c)
		if _, alg := header(t, sign(t, set, time.Minute)); alg != "EdDSA" {
			t.Fatal("the algorithm changed to ", alg)
		}
		if _, err := o.Publish(ctx, tenant.DefaultID, keyset.ForAccessTokens); errors.Is(err, keyset.ErrTooManyKeys) {
			if n := len(published(t, set)); n != keyset.Limit(keyset.ForAccessTokens) {
				t.Errorf("%d keys are too many", n)
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("there is no limit")
}

// TestReplaceALeakedKey: every key of the purpose is gone at once, published ones too; servers refuse its tokens when they
// have read again, and the other purpose is untouched.
func TestReplaceALeakedKey(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing, c, id := keyset.DefaultTiming(), keyset.Config{}, uuid.Must(uuid.NewV7())
	k := f.configured(t, c)
	k.Round(ctx)
	retired := sign(t, mustSet(t, k, tenant.DefaultID), time.Minute)
	o := &keyset.Operator{Store: f.db, Vault: f.vault(t)}
	for range 2 {
		if _, err := o.Publish(ctx, tenant.DefaultID, keyset.ForAccessTokens); err != nil {
			t.Fatal(err)
		}
		f.older(t, keyset.Next, timing.Lead)
		k.Round(ctx)
	}
	if _, err := o.Publish(ctx, tenant.DefaultID, keyset.ForAccessTokens); err != nil {
		t.Fatal(err)
	}
	k.Round(ctx)
	old := mustSet(t, k, tenant.DefaultID)
	active, code := sign(t, old, time.Minute), old.Codec().Code(id)
	kid, deleted, err := o.Replace(ctx, tenant.DefaultID, keyset.ForAccessTokens)
	if err != nil || len(deleted) != 4 || slices.Contains(deleted, kid) {
		t.Fatal(kid, deleted, err)
	}
	k.Round(ctx)
	set := mustSet(t, k, tenant.DefaultID)
	for name, token := range map[string]string{"retired": retired, "active": active} {
		if err := verify(t, set, token); !errors.Is(err, accesstoken.ErrInvalid) {
			t.Errorf("a token of the %s key: %v", name, err)
		}
	}
	if !slices.Equal(published(t, set), []string{kid}) || verify(t, set, sign(t, set, time.Minute)) != nil {
		t.Error(published(t, set))
	}
	if _, err := set.Codec().ParseCode(code.Reveal()); err != nil {
		t.Error("codes are dead too: ", err)
	}
	if _, _, err := o.Replace(ctx, tenant.DefaultID, keyset.ForGrants); err != nil {
		t.Fatal(err)
	}
	k.Round(ctx)
	if _, err := mustSet(t, k, tenant.DefaultID).Codec().ParseCode(code.Reveal()); !errors.Is(err, grant.ErrForged) {
		t.Error("a code of the deleted key: ", err)
	}
}

// TestReplaceAmidRotation: a replacement and the servers' turns at once leave one active key and never none.
func TestReplaceAmidRotation(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	timing := keyset.DefaultTiming()
	a, b := f.replica(t, f.db, nil), f.replica(t, f.db, nil)
	a.Round(ctx)
	o := &keyset.Operator{Store: f.db, Vault: f.vault(t)}
	for i := range 20 {
		if _, err := o.Publish(ctx, tenant.DefaultID, keyset.ForAccessTokens); err != nil && !errors.Is(err, keyset.ErrNextExists) {
			t.Fatal(err)
		}
		f.older(t, keyset.Next, timing.Lead)
		var wg sync.WaitGroup
		for _, k := range []*keyset.Keyset{a, b} {
			wg.Go(func() { k.Round(ctx) })
		}
		wg.Go(func() {
			if _, _, err := o.Replace(context.WithoutCancel(ctx), tenant.DefaultID, keyset.ForAccessTokens); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := f.replica(t, f.db, nil).For(ctx, tenant.DefaultID); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if s := f.states(t, keyset.ForAccessTokens); len(s[keyset.Active]) != 1 || len(s[keyset.Next]) > 1 {
			t.Fatalf("turn %d: %v", i, s)
		}
	}
}

// TestUnknownTenantGetsNoKeys: a tenant that is not in the directory has no keys made for it.
func TestUnknownTenantGetsNoKeys(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	other := pgtest.Tenant(t, f.dsn)
	if _, err := f.replica(t, f.db, nil).For(ctx, other); err == nil || !strings.Contains(err.Error(), "unknown tenant") {
		t.Error(err)
	}
	if records, err := f.db.SigningKeys(ctx, other); err != nil || len(records) != 0 {
		t.Error(len(records), err)
	}
}
