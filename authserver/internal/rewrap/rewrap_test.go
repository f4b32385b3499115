package rewrap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
	"latchkey/authserver/internal/vault"
)

// TestEverythingMoves: values of all tables and of format 1 move; a run that was cut off is taken up by the next one; a run with
// nothing to do does nothing; and versions stay, so a refresh under way is not disturbed.
func TestEverythingMoves(t *testing.T) {
	t.Parallel()
	f := setUp(t, 700)
	_, active := f.rotate(t)
	cut, cancel := context.WithCancel(ctx)
	first := f.run(t)
	first.Report = func(p rewrap.Progress) {
		if p.Done >= 400 {
			cancel() // killed in the middle
		}
	}
	p, err := first.Tenant(cut, tenant.DefaultID)
	if !errors.Is(err, context.Canceled) || p.Done < 400 || p.Done >= 1401 {
		t.Fatalf("%+v %v", p, err)
	}
	second := f.run(t)
	rest, err := second.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Done+rest.Done != 2*700+1 || rest.Refused != 0 || len(rest.Left) != 0 {
		t.Fatalf("%d and then %+v %v", p.Done, rest, err)
	}
	f.check(t, active)
	if r, err := f.db.Connection(ctx, f.persons[0].Ref); err != nil || r.Version != 1 {
		t.Errorf("version %d: %v", r.Version, err)
	}
	if again, err := second.Tenant(ctx, tenant.DefaultID); err != nil || again.Done != 0 {
		t.Errorf("%+v %v", again, err)
	}
}

// TestQueuedTokenMoves: a token that is still to be revoked at Google moves too, and opens with the person's secret.
func TestQueuedTokenMoves(t *testing.T) {
	t.Parallel()
	f := setUp(t, 2)
	if err := f.db.Disconnect(ctx, f.persons[0].Ref); err != nil {
		t.Fatal(err)
	}
	_, active := f.rotate(t)
	run := f.run(t)
	if p, err := run.Tenant(ctx, tenant.DefaultID); err != nil || p.Refused != 0 || len(p.Left) != 0 || p.Done != 1+2+2 { // the key, two addresses, a credential and the queue
		t.Fatalf("%+v %v", p, err)
	}
	due, err := f.db.ClaimRevocations(ctx, 10)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	sealed, person, err := f.db.RevocationToken(ctx, due[0])
	if err != nil {
		t.Fatal(err)
	}
	r := connection.Record{Ref: due[0].Ref, Person: person}
	plain, err := f.vault(t).Open(ctx, r.Binding(due[0].Purpose), sealed)
	if id, _ := vault.KeyID(sealed); err != nil || string(plain) != value(vault.RefreshToken, 0) || id != active {
		t.Errorf("%q under %s: %v", plain, id, err)
	}
}

// TestUpstreamSecretMoves: so does the secret of a tenant's own client at Google, bound to its generation and client id.
func TestUpstreamSecretMoves(t *testing.T) {
	t.Parallel()
	f := setUp(t, 0)
	place := upstream.Binding(tenant.DefaultID, 7, "client.apps.example")
	sealed, err := f.vault(t).Seal(ctx, place, []byte("GOCSPX-1"))
	if err != nil {
		t.Fatal(err)
	}
	f.as(t, "latchkey_jobs", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO upstream_clients (tenant_id, generation, client_id, secret, publishing, state) VALUES ($1, 7, 'client.apps.example', $2, 'production', 'active')`, tenant.DefaultID.UUID(), sealed)
		return err
	})
	_, active := f.rotate(t)
	run := f.run(t)
	if p, err := run.Tenant(ctx, tenant.DefaultID); err != nil || p.Refused != 0 || len(p.Left) != 0 || p.Done != 2 {
		t.Fatalf("%+v %v", p, err)
	}
	now, err := f.db.UpstreamSecret(ctx, tenant.DefaultID, 7)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.vault(t).Open(ctx, place, now)
	if id, _ := vault.KeyID(now); err != nil || string(plain) != "GOCSPX-1" || id != active {
		t.Errorf("%q under %s: %v", plain, id, err)
	}
}

// TestOldFormat: values that the version before format 2 sealed are opened, and move to it; one that opens under no key is counted,
// is left as it is, keeps its data key, and does not stop the rest.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	f := setUp(t, 3)
	active, err := f.vault(t).Active(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	f.runtime(t, func(tx pgx.Tx) error {
		for i, p := range f.persons {
			if _, err := tx.Exec(ctx, `UPDATE credentials SET refresh_token = $2, access_token = $3 WHERE connection_id = $1`, p.Connection,
				f.old(t, p.Binding(vault.RefreshToken), value(vault.RefreshToken, i)), f.old(t, p.Binding(vault.AccessToken), value(vault.AccessToken, i))); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE connections SET email = $2 WHERE id = $1`, p.Connection, f.old(t, p.Binding(vault.Email), value(vault.Email, i))); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM signing_keys`)
		return err
	})
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, keyset.Record{
		KID: "k1", Purpose: keyset.ForGrants, Alg: "HS256",
		Sealed: f.old(t, vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey, Context: "k1"}, "key"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.refresh(f.vault(t), 0, 1); err != nil { // a server opens them, and seals the new one in the new format
		t.Fatal(err)
	}
	run := f.run(t) // no rotation: the key stays, the format does not
	p, err := run.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Refused != 0 || len(p.Left) != 0 || p.Done != 2*3+1 {
		t.Fatalf("%+v %v", p, err)
	}
	f.check(t, active)

	f.runtime(t, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE credentials SET access_token = set_byte(access_token, 40, 255 - get_byte(access_token, 40)) WHERE connection_id = $1`, f.persons[1].Connection)
		return err
	})
	_, fresh := f.rotate(t)
	p, err = run.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Refused != 1 || len(p.Left) != 1 || p.Left[active.String()] != 1 || p.Done != 2*3+1 {
		t.Fatalf("%+v %v", p, err)
	}
	counts, err := f.db.CountValues(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		if c.Key != fresh && (c.Kind != "credentials.access_token" || c.Key != active || c.Rows != 1) {
			t.Errorf("%+v", c)
		}
	}
	if gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, active, 0); err != nil || gone {
		t.Errorf("a data key with a value left was deleted: %v", err)
	}
}

// TestConcurrentRuns: two runs and servers that refresh at the same time: all end, no value is lost, every refresh stands.
func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	f := setUp(t, 400)
	_, active := f.rotate(t)
	var done atomic.Int64
	var runs, writers sync.WaitGroup
	stop := make(chan struct{})
	published := make([]atomic.Int64, len(f.persons))
	server := f.vault(t)
	for w := range 4 {
		writers.Go(func() {
			for i := w; ; i = (i + 4) % len(f.persons) {
				select {
				case <-stop:
					return
				default:
				}
				if err := f.refresh(server, i, published[i].Add(1)); err != nil {
					t.Errorf("refresh of %d: %v", i, err)
					return
				}
			}
		})
	}
	for range 2 {
		run := f.run(t)
		runs.Go(func() {
			p, err := run.Tenant(ctx, tenant.DefaultID)
			if err != nil || p.Refused != 0 {
				t.Errorf("%+v %v", p, err)
			}
			done.Add(p.Done)
		})
	}
	runs.Wait()
	close(stop)
	writers.Wait()
	// What a server sealed meanwhile under the old key, which it took for the
	// active one, is moved by the next run.
	last := f.run(t)
	p, err := last.Tenant(ctx, tenant.DefaultID)
	if err != nil || len(p.Left) != 0 {
		t.Fatalf("%+v %v", p, err)
	}
	f.check(t, active)
	v := f.vault(t)
	for i, person := range f.persons {
		r, err := f.db.Connection(ctx, person.Ref)
		if err != nil {
			t.Fatal(err)
		}
		n := published[i].Load()
		plain, err := v.Open(ctx, r.Binding(vault.AccessToken), r.SealedAccess)
		want := value(vault.AccessToken, i)
		if n > 0 {
			want += fmt.Sprintf(" refresh %d", n)
		}
		if err != nil || string(plain) != want || r.Version != 1+n {
			t.Fatalf("%d: %q, version %d after %d refreshes: %v", i, plain, r.Version, n, err)
		}
	}
}

// TestDeletedKeyIsUsedByNobody: the invariant of decision 0008: a data key goes only when nothing is left under it, and a server
// that still takes it for the active one is refused by the database: nothing is stored that does not open.
func TestDeletedKeyIsUsedByNobody(t *testing.T) {
	t.Parallel()
	f := setUp(t, 2)
	stale := f.vault(t) // a server that read its keys before the rotation
	if _, err := stale.Active(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	old, active := f.rotate(t)
	remove := func(retired time.Duration) bool {
		t.Helper()
		gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, old, retired)
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	if remove(0) {
		t.Fatal("deleted with values left")
	}
	run := f.run(t)
	if _, err := run.Tenant(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	record := func(i int) *connection.Record {
		t.Helper()
		r, err := f.db.Connection(ctx, f.persons[i].Ref)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := f.publish(stale, record(0), value(vault.AccessToken, 0)); err != nil {
		t.Fatal(err)
	}
	if id, _ := vault.KeyID(record(0).SealedAccess); id != old {
		t.Fatalf("the stale server seals under %s: the test shows nothing", id)
	}
	if remove(0) {
		t.Fatal("deleted although a server has just sealed under it")
	}
	if _, err := run.Tenant(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	f.check(t, active)
	if remove(time.Hour) {
		t.Error("deleted before every server can know")
	}
	if gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, active, 0); err != nil || gone {
		t.Errorf("the active key was deleted: %v", err)
	}
	if !remove(0) {
		t.Fatal("kept although nothing is left under it")
	}
	before := record(1).SealedAccess
	if err := f.publish(stale, record(1), "lost"); err == nil || errors.Is(err, connection.ErrLost) {
		t.Errorf("the database took a value of a key that is gone: %v", err)
	}
	if !bytes.Equal(record(1).SealedAccess, before) {
		t.Error("what was stored is gone")
	}
	f.check(t, active)
}
