package keyset_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

var ctx = context.Background()

// fixture is a database and what a replica needs to use it.
type fixture struct {
	dsn string
	db  *postgres.DB
	kek *vault.KEK
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{dsn: pgtest.Clone(t)}
	var err error
	if f.db, err = postgres.Open(ctx, postgres.Config{URL: secret.NewText(f.dsn)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.db.Close)
	if f.kek, err = vault.CreateKEK(filepath.Join(t.TempDir(), "kek.json")); err != nil {
		t.Fatal(err)
	}
	return f
}

// replica is a key set with a vault of its own, as another process has. It
// knows the default tenant and others.
func (f *fixture) replica(t testing.TB, s keyset.Store, now func() time.Time, others ...tenant.ID) *keyset.Keyset {
	t.Helper()
	return f.configured(t, keyset.Config{Store: s, Now: now, Tenants: directory(t, nil, others...)})
}

func (f *fixture) configured(t testing.TB, c keyset.Config) *keyset.Keyset {
	t.Helper()
	c.Vault = f.vault(t)
	if c.Store == nil {
		c.Store = f.db
	}
	if c.Tenants == nil {
		c.Tenants = directory(t, nil)
	}
	k, err := keyset.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *fixture) vault(t testing.TB) *vault.Vault {
	t.Helper()
	v, err := vault.New(vault.Config{KEK: f.kek, Store: f.db})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// directory has the default tenant and others, each changed if change is given.
func directory(t testing.TB, change func(*tenant.Tenant), others ...tenant.ID) func() *tenant.Directory {
	t.Helper()
	var all []*tenant.Tenant
	for _, id := range append([]tenant.ID{tenant.DefaultID}, others...) {
		issuer, err := oauth.ParseIssuerURL("https://as.example.com/t/" + id.String())
		if err != nil {
			t.Fatal(err)
		}
		one := &tenant.Tenant{ID: id, Slug: id.String(), Status: tenant.Active, Issuer: issuer, Lifetimes: tenant.DefaultLifetimes()}
		if change != nil {
			change(one)
		}
		all = append(all, one)
	}
	d, err := tenant.NewDirectory(all...)
	if err != nil {
		t.Fatal(err)
	}
	return func() *tenant.Directory { return d }
}

func mustSet(t testing.TB, k *keyset.Keyset, tn tenant.ID) *keyset.Set {
	t.Helper()
	set, err := k.For(ctx, tn)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestReplicasAgreeOnTheFirstKeys: concurrent first uses make one key per purpose; every replica verifies every other's tokens.
func TestReplicasAgreeOnTheFirstKeys(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	sets := make([]*keyset.Set, 6)
	var wg sync.WaitGroup
	for i := range sets {
		k := f.replica(t, f.db, nil)
		wg.Go(func() {
			var err error
			if sets[i], err = k.For(ctx, tenant.DefaultID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	first, etag := sets[0].JWKS()
	grantID := uuid.Must(uuid.NewV7())
	for i, s := range sets {
		if jwks, tag := s.JWKS(); !bytes.Equal(jwks, first) || tag != etag {
			t.Errorf("replica %d publishes another key set", i)
		}
		if !s.Codec().Code(grantID).Equal(sets[0].Codec().Code(grantID)) {
			t.Errorf("replica %d makes other codes", i)
		}
	}
	if records, err := f.db.SigningKeys(ctx, tenant.DefaultID); err != nil || len(records) != 2 {
		t.Errorf("%d keys stored: %v", len(records), err)
	}
}

// TestNoKeysForWhoIsNotActive: a tenant that is suspended, or whose settings could not be read, gets no new keys: it may be on its way to being
// erased. The keys that it has are served.
func TestNoKeysForWhoIsNotActive(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	of := func(s tenant.Status) *keyset.Keyset {
		return f.configured(t, keyset.Config{Tenants: directory(t, func(one *tenant.Tenant) { one.Status = s })})
	}
	for _, s := range []tenant.Status{tenant.Suspended, ""} {
		if _, err := of(s).For(ctx, tenant.DefaultID); err == nil {
			t.Errorf("status %q: keys", s)
		}
	}
	if records, err := f.db.SigningKeys(ctx, tenant.DefaultID); err != nil || len(records) != 0 {
		t.Errorf("%d keys stored: %v", len(records), err)
	}
	mustSet(t, of(tenant.Active), tenant.DefaultID)
	mustSet(t, of(tenant.Suspended), tenant.DefaultID)
}

// TestSignedTokensVerify: RFC 9068: typ, kid and algorithm as the verifier demands; a key of another tenant verifies nothing.
func TestSignedTokensVerify(t *testing.T) {
	t.Parallel()
	t.Run("AS-K1 A5 a key of another tenant verifies nothing", signedTokensVerify)
}

func signedTokensVerify(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	another := pgtest.Tenant(t, f.dsn)
	k := f.replica(t, f.db, nil, another)
	set, other := mustSet(t, k, tenant.DefaultID), mustSet(t, k, another)
	issuer, err := oauth.ParseIssuerURL("https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := set.Sign(accesstoken.Claims{Issuer: issuer.String(), Audience: resource.String(), Subject: "s", ClientID: "c", ID: "j", Tenant: "t", Grant: "g",
		Scope: "gmail.read", IssuedAt: now.Unix(), Expiry: now.Add(time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys accesstoken.KeySource
		want error
	}{"own": {set, nil}, "other tenant": {other, accesstoken.ErrInvalid}} {
		v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Keys: c.keys})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(ctx, token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJWKSHoldsNothingPrivate: RFC 7517 §9.2, and the MAC key of codes is not in it at all.
func TestJWKSHoldsNothingPrivate(t *testing.T) {
	t.Parallel()
	t.Run("AS-K6 nothing private is published", jWKSHoldsNothingPrivate)
}

func jWKSHoldsNothingPrivate(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	set := mustSet(t, f.replica(t, f.db, nil), tenant.DefaultID)
	body, _ := set.JWKS()
	var doc struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Keys) != 1 {
		t.Fatalf("%d keys: %v", len(doc.Keys), err)
	}
	allowed := map[string]bool{"kty": true, "crv": true, "x": true, "y": true, "kid": true, "alg": true, "use": true}
	for member := range doc.Keys[0] {
		if !allowed[member] {
			t.Errorf("member %q is published", member)
		}
	}
	if doc.Keys[0]["alg"] != "ES256" || doc.Keys[0]["use"] != "sig" {
		t.Error(doc.Keys[0])
	}
	var jwks jose.JSONWebKeySet
	if err := json.Unmarshal(body, &jwks); err != nil || !jwks.Keys[0].IsPublic() || !jwks.Keys[0].Valid() {
		t.Error("not a valid public key", err)
	}
	records, err := f.db.SigningKeys(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Purpose == keyset.ForGrants && strings.Contains(string(body), r.KID) {
			t.Error("the key of codes is published")
		}
	}
}

// flaky is a store whose database can be taken away.
type flaky struct {
	keyset.Store
	away  atomic.Bool
	reads atomic.Int64
	read  chan struct{}
}

func (f *flaky) SigningKeys(ctx context.Context, t tenant.ID) ([]keyset.Record, error) {
	f.reads.Add(1)
	defer func() { f.read <- struct{}{} }()
	if f.away.Load() {
		return nil, errors.New("connection refused")
	}
	return f.Store.SigningKeys(ctx, t)
}

// TestServesStaleWhileTheDatabaseIsAway: an old set is read again in the background and served meanwhile.
func TestServesStaleWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := &flaky{Store: f.db, read: make(chan struct{}, 100)}
	var seconds atomic.Int64
	start := time.Now()
	k := f.replica(t, s, func() time.Time { return start.Add(time.Duration(seconds.Load()) * time.Second) })
	s.away.Store(true)
	if _, err := k.For(ctx, tenant.DefaultID); err == nil {
		t.Fatal("a set without a database")
	}
	s.away.Store(false)
	set := mustSet(t, k, tenant.DefaultID)
	reads := s.reads.Load()
	if mustSet(t, k, tenant.DefaultID) != set || s.reads.Load() != reads {
		t.Error("a fresh set was read again")
	}
	for len(s.read) > 0 {
		<-s.read
	}
	s.away.Store(true)
	seconds.Store(int64(keyset.DefaultTiming().Refresh/time.Second) + 1)
	if mustSet(t, k, tenant.DefaultID) != set {
		t.Error("the stale set is not served")
	}
	<-s.read // the background read has failed; the set still serves
	if mustSet(t, k, tenant.DefaultID) != set {
		t.Error("the stale set is gone after a failed read")
	}
}

// TestMovedKeyIsRefused: a sealed private key put under another tenant is refused by the database, which knows no such data key
// of that tenant, and with a head that names one of its own by the vault.
func TestMovedKeyIsRefused(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	other := pgtest.Tenant(t, f.dsn)
	mustSet(t, f.replica(t, f.db, nil), tenant.DefaultID)
	records, err := f.db.SigningKeys(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	own, err := f.vault(t).Active(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := f.db.InsertSigningKey(ctx, other, r); err == nil || !strings.Contains(err.Error(), "foreign key") {
			t.Errorf("the database took another tenant's key: %v", err)
		}
		copy(r.Sealed[1:], own[:])
		if err := f.db.InsertSigningKey(ctx, other, r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.replica(t, f.db, nil, other).For(ctx, other); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("another tenant's keys are used: %v", err)
	}
}

// TestRetain: the sets of tenants that are gone are forgotten, those of the others serve on from memory.
func TestRetain(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	gone := pgtest.Tenant(t, f.dsn)
	s := &flaky{Store: f.db, read: make(chan struct{}, 100)}
	k := f.replica(t, s, nil, gone)
	mustSet(t, k, gone)
	mustSet(t, k, tenant.DefaultID)
	s.away.Store(true) // what is not in memory is nowhere
	k.Retain(func(of tenant.ID) bool { return of != gone })
	for of, want := range map[tenant.ID]bool{gone: false, tenant.DefaultID: true} {
		if _, err := k.For(ctx, of); (err == nil) != want {
			t.Errorf("%s: %v", of, err)
		}
	}
}
