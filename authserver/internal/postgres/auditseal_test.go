package postgres_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/pgcluster"
	"latchkey/migrations"
)

// TestRestoredTrail: a trail that was copied into another cluster verifies there, and goes on.
func TestRestoredTrail(t *testing.T) {
	t.Parallel()
	f, key := setUp(t, nil), newAuditKey(t, "k1")
	for i := range 5 {
		if err := f.db.Record(ctx, someEvent(tenant.DefaultID, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sealer(f.db, key).Round(ctx, 0); err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.Cluster(t).DSN(pgcluster.Database)
	if err := migrations.Up(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	there := open(t, dsn, nil)
	conn := unbound(t, dsn)
	whole := read(t, f.db, tenant.DefaultID)
	whole.write(t, conn, tenant.DefaultID)
	for _, sql := range []string{ // as pg_restore leaves it, with one event that was not sealed yet
		`SELECT setval(pg_get_serial_sequence('audit_events', 'id'), 1000)`,
		`INSERT INTO audit_events (tenant_id, id, kind, actor, outcome) OVERRIDING SYSTEM VALUE VALUES ('` + tenant.DefaultID.String() + `', 900, 'login', 'person', 'ok')`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := there.Record(ctx, someEvent(tenant.DefaultID, 9)); err != nil {
		t.Fatal(err)
	}
	if err := sealer(there, key).Round(ctx, 0); err != nil {
		t.Fatal(err)
	}
	n := int64(len(whole.events))
	if r := verify(t, there, tenant.DefaultID, key, audit.Anchor{Tenant: tenant.DefaultID, Seq: n, Hash: whole.events[n-1].Hash}); !r.OK() || r.Attested != n+2 {
		t.Errorf("%+v", r)
	}
}

// TestConcurrentSealing: writers that commit late, with ids below those already sealed, and two sealers at once: one chain,
// no gap, nothing lost.
func TestConcurrentSealing(t *testing.T) {
	t.Parallel()
	f, key := setUp(t, nil), newAuditKey(t, "k1")
	tn := pgtest.Tenant(t, f.dsn)
	late, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Close(ctx) }()
	if _, err := late.Exec(ctx, `SET ROLE latchkey_runtime`); err != nil {
		t.Fatal(err)
	}
	tx, err := late.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var lateID int64
	if _, err := tx.Exec(ctx, `SELECT set_config('app.tenant_id', $1, true)`, tn.String()); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, `INSERT INTO audit_events (tenant_id, kind, actor, outcome) VALUES ($1, 'login', 'person', 'late') RETURNING id`, tn.UUID()).Scan(&lateID); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 50
	done := make(chan struct{})
	var writing, sealing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if err := f.db.Record(ctx, someEvent(tn, w*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		replica := sealer(open(t, f.dsn, nil), key)
		sealing.Go(func() {
			for {
				if err := replica.Round(ctx, 0); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	for !t.Failed() && len(read(t, f.db, tn).events) < writers*each { // all of it is sealed before the late one, by whichever replica comes first
		if err := sealer(f.db, key).Round(ctx, 0); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	close(done)
	sealing.Wait()
	if err := sealer(f.db, key).Round(ctx, 0); err != nil {
		t.Fatal(err)
	}
	r := verify(t, f.db, tn, key)
	if !r.OK() || r.Events != writers*each+1 || r.Head != r.Events || r.Attested != r.Events {
		t.Errorf("%+v", r)
	}
	all := read(t, f.db, tn).events
	at := slices.IndexFunc(all, func(e audit.Sealed) bool { return e.ID == lateID })
	if at != len(all)-1 || all[0].ID <= lateID {
		t.Errorf("the late event is at %d of %d", at, len(all))
	}
}

// TestCheckpointFollowsTheKey: when the key of the newest checkpoint is published no more, the next round signs with the one
// that is; older checkpoints are still compared.
func TestCheckpointFollowsTheKey(t *testing.T) {
	t.Parallel()
	f, first, second := setUp(t, nil), newAuditKey(t, "k1"), newAuditKey(t, "k2")
	tn := pgtest.Tenant(t, f.dsn)
	if err := f.db.Record(ctx, someEvent(tn, 1)); err != nil {
		t.Fatal(err)
	}
	for _, k := range []auditKey{first, second} { // no signing_keys row has either id: every round finds the key gone
		if err := sealer(f.db, k).Round(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, f.db, tn, second); !r.OK() || r.Attested != 1 || r.Checkpoints != 2 || r.Unverified != 1 {
		t.Errorf("%+v", r)
	}
	if r := verify(t, f.db, tn, first); r.OK() {
		t.Errorf("the newest checkpoint's key is not known, and nothing is said: %+v", r)
	}
}
