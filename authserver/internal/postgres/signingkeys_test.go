package postgres_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
)

func macKey(kid string) keyset.Record {
	return keyset.Record{KID: kid, Purpose: keyset.ForGrants, Alg: "HS256", Sealed: []byte("s")}
}

// byState lists the default tenant's keys: key ids by state.
func (f *fixture) byState(t testing.TB) map[keyset.State][]string {
	t.Helper()
	records, err := f.db.SigningKeys(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	out := map[keyset.State][]string{}
	for _, r := range records {
		out[r.State] = append(out[r.State], r.KID)
	}
	return out
}

// TestNextKeyConditions: a next key is stored only beside an active one, alone, when the demand holds by the database's
// clock, and within the limit.
func TestNextKeyConditions(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	byHand := keyset.Demand{ByHand: true, Max: 2}
	publish := func(name string, r keyset.Record, d keyset.Demand, want bool) {
		t.Helper()
		if got, err := f.db.PublishSigningKey(ctx, tenant.DefaultID, r, d); err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	publish("no active key", macKey("k2"), byHand, false)
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, macKey("k1")); err != nil {
		t.Fatal(err)
	}
	publish("young", macKey("k2"), keyset.Demand{After: time.Hour, Max: 2}, false)
	publish("no age asked for", macKey("k2"), keyset.Demand{Max: 2}, false)
	publish("too many", macKey("k2"), keyset.Demand{ByHand: true, Max: 1}, false)
	publish("id in use", macKey("k1"), byHand, false)
	other := macKey("k9")
	other.Purpose = keyset.ForAccessTokens
	publish("active for another purpose only", other, byHand, false)
	publish("old", macKey("k2"), keyset.Demand{After: time.Nanosecond, Max: 2}, false) // below the database's microsecond: 0, which is no age
	publish("old enough", macKey("k2"), keyset.Demand{After: time.Microsecond, Max: 2}, true)
	publish("one is next already", macKey("k3"), keyset.Demand{ByHand: true, Max: 9}, false)
	another := macKey("k3")
	another.Alg = "ES256"
	publish("one is next already, another algorithm", another, keyset.Demand{Max: 9}, false)
	if s := f.byState(t); len(s[keyset.Active]) != 1 || len(s[keyset.Next]) != 1 || s[keyset.Next][0] != "k2" {
		t.Error(s)
	}
}

// TestActivationIsOne: sixteen activations at once, 20 rounds: one key becomes active, one retires, in one transaction;
// before the lead nothing moves, and nothing is deleted before its time.
func TestActivationIsOne(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, macKey("k0")); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		next := "k" + strconv.Itoa(i+1)
		if ok, err := f.db.PublishSigningKey(ctx, tenant.DefaultID, macKey(next), keyset.Demand{ByHand: true, Max: 99}); err != nil || !ok {
			t.Fatal(ok, err)
		}
		early, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, keyset.Advance{Purpose: keyset.ForGrants, Lead: time.Hour, Margin: time.Hour})
		if err != nil || early.Activated != "" || len(early.Deleted) != 0 {
			t.Fatal(early, err)
		}
		var activated atomic.Int64
		for _, err := range parallel(16, func() error {
			done, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, keyset.Advance{Purpose: keyset.ForGrants, TokenLife: time.Hour})
			if done.Activated == next {
				activated.Add(1)
			}
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if s := f.byState(t); activated.Load() != 1 || len(s[keyset.Active]) != 1 || s[keyset.Active][0] != next || len(s[keyset.Next]) != 0 || len(s[keyset.Retired]) != i+1 {
			t.Fatalf("round %d: activated %d times, %v", i, activated.Load(), s)
		}
	}
	// The noted life only grows: a shorter one deletes nothing.
	if done, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, keyset.Advance{Purpose: keyset.ForGrants, TokenLife: time.Second}); err != nil || len(done.Deleted) != 0 {
		t.Error(done, err)
	}
	// Which keys go is the retired ones' matter alone.
	run(t, f.dsn, `ALTER TABLE signing_keys NO FORCE ROW LEVEL SECURITY`, `UPDATE signing_keys SET token_life = '0'`, `ALTER TABLE signing_keys FORCE ROW LEVEL SECURITY`)
	done, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, keyset.Advance{Purpose: keyset.ForGrants})
	if s := f.byState(t); err != nil || len(done.Deleted) != 20 || len(s[keyset.Active]) != 1 || len(s[keyset.Retired]) != 0 {
		t.Error(done, s, err)
	}
}

// TestOneNextAndOneActive: the schema itself refuses a second next or active key of a purpose.
func TestOneNextAndOneActive(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, macKey("k0")); err != nil {
		t.Fatal(err)
	}
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, macKey("k1")); err != nil { // the first writer wins
		t.Fatal(err)
	}
	if ok, err := f.db.PublishSigningKey(ctx, tenant.DefaultID, macKey("k2"), keyset.Demand{ByHand: true, Max: 9}); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if s := f.byState(t); len(s[keyset.Active]) != 1 || s[keyset.Active][0] != "k0" {
		t.Error(s)
	}
	run(t, f.dsn, `ALTER TABLE signing_keys NO FORCE ROW LEVEL SECURITY`, `DO $$ BEGIN
		FOR i IN 1..2 LOOP
			BEGIN
				INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state) SELECT tenant_id, 'x', purpose, alg, sealed_key, state FROM signing_keys WHERE state = (ARRAY['next', 'active'])[i];
				RAISE EXCEPTION 'a second one was stored';
			EXCEPTION WHEN unique_violation THEN NULL;
			END;
		END LOOP;
	END $$`)
}

// TestTenantIDs: the operator's commands find tenants by slug.
func TestTenantIDs(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	if ids, err := f.db.TenantIDs(ctx); err != nil || len(ids) != 1 || ids["default"] != tenant.DefaultID {
		t.Error(ids, err)
	}
}
