package revocation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
	"latchkey/pkg/secret"
)

var many = flag.Int("grants", 3000, "grants that are revoked at once")

var ctx = audit.WithRequest(context.Background(), audit.Request{ID: "cli", Actor: audit.Operator})

type fixture struct {
	t   testing.TB
	dsn string
	db  *postgres.DB
	r   *revocation.Revoker
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, dsn: pgtest.Clone(t)}
	f.db = f.open()
	f.r = &revocation.Revoker{Store: f.db}
	return f
}

func (f *fixture) open() *postgres.DB {
	f.t.Helper()
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(f.dsn)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(db.Close)
	return db
}

// count reads a number of a tenant's rows.
func (f *fixture) count(tn tenant.ID, sql string) (n int64) {
	f.t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('role', 'latchkey_runtime', true), set_config('app.tenant_id', $1, true)`, tn.String()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, sql).Scan(&n)
	}); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const (
	living = `SELECT count(*) FROM grants WHERE revoked_at IS NULL`
	marked = `SELECT count(*) FROM grants WHERE revoked_reason = 'mass_revocation'`
	events = `SELECT count(*) FROM audit_events e JOIN grants g ON g.tenant_id = e.tenant_id AND g.id = e.grant_id WHERE e.kind = 'grant.revoked' AND e.actor = 'operator' AND e.detail LIKE 'mass_revocation %' AND e.request_id = 'cli'`
	// A session's event names it, as a grant's names the grant.
	signedOut = `SELECT count(*) FROM audit_events e JOIN sessions s ON s.tenant_id = e.tenant_id AND s.subject_id = e.subject_id AND e.detail LIKE 'mass_revocation % session ' || s.id WHERE e.kind = 'session.ended' AND e.actor = 'operator' AND e.request_id = 'cli'`
	recorded  = `SELECT count(*) FROM audit_events WHERE kind = 'admin.act' AND detail LIKE 'revocation %'`
	openTabs  = `SELECT count(*) FROM sessions WHERE ended_at IS NULL`
	linked    = `SELECT count(*) FROM connections WHERE status = 'linked'`
	unclosed  = `SELECT count(*) FROM revocation_epochs WHERE closed_at IS NULL`
	anyPerson = `SELECT id::text FROM subjects ORDER BY id LIMIT 1`
)

func (f *fixture) person(tn tenant.ID) uuid.UUID {
	f.t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var id uuid.UUID
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('role', 'latchkey_runtime', true), set_config('app.tenant_id', $1, true)`, tn.String()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, anyPerson).Scan(&id)
	}); err != nil {
		f.t.Fatal(err)
	}
	return id
}

func (f *fixture) run(s revocation.Selector) *revocation.Job {
	f.t.Helper()
	job, begun, err := f.r.Begin(ctx, s)
	if err == nil && !begun {
		err = errors.New("another one is open")
	}
	if err == nil {
		job, err = f.r.Run(ctx, job.ID, nil)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return job
}

// TestSelectors: issue 5: only what was selected ends, with what it is counted for before; other tenants, people and clients keep
// everything, and a dry run changes nothing.
func TestSelectors(t *testing.T) {
	t.Parallel()
	const n = 40
	for _, row := range []struct {
		name     string
		of       func(tn tenant.ID, person uuid.UUID) revocation.Selector
		grants   int64 // of the tenant that end
		sessions int64
		accounts int64
		others   int64 // of the other tenant that stay
	}{
		{"all", func(tenant.ID, uuid.UUID) revocation.Selector { return revocation.Selector{} }, n, n, 0, 0},
		{"a tenant", func(tn tenant.ID, _ uuid.UUID) revocation.Selector { return revocation.Selector{Tenant: tn} }, n, n, 0, n},
		{"a tenant and its accounts", func(tn tenant.ID, _ uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Google: true}
		}, n, n, n, n},
		{"a person", func(tn tenant.ID, p uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Subject: p}
		}, 1, 1, 0, n},
		{"a person and their accounts", func(tn tenant.ID, p uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Subject: p, Google: true}
		}, 1, 1, 1, n},
		{"a client", func(tn tenant.ID, _ uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Client: "c-3"}
		}, n / 10, 0, 0, n},
		{"a client and the accounts it used", func(tn tenant.ID, _ uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Client: "c-3", Google: true}
		}, n / 10, 0, n / 10, n},
		{"a client that there is not", func(tn tenant.ID, _ uuid.UUID) revocation.Selector {
			return revocation.Selector{Tenant: tn, Client: "c-3' OR true --"}
		}, 0, 0, 0, n},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			mine, other := pgtest.Tenant(t, f.dsn), pgtest.Tenant(t, f.dsn)
			pgtest.Grants(t, f.dsn, mine, n)
			pgtest.Grants(t, f.dsn, other, n)
			s := row.of(mine, f.person(mine))
			counted, err := f.r.Count(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			var sum revocation.Affected
			for _, a := range counted {
				sum.Grants, sum.Sessions, sum.Connections = sum.Grants+a.Grants, sum.Sessions+a.Sessions, sum.Connections+a.Connections
			}
			everywhere := int64(1)
			if s.Tenant.IsZero() {
				everywhere = 2
			}
			if want := (revocation.Affected{Grants: everywhere * row.grants, Sessions: everywhere * row.sessions, Connections: row.accounts}); sum != want {
				t.Errorf("counted %+v, want %+v", sum, want)
			}
			if f.count(mine, living) != n || f.count(mine, openTabs) != n || f.count(mine, linked) != n || f.count(mine, unclosed)+f.count(mine, recorded) != 0 {
				t.Fatal("counting changed something")
			}
			job := f.run(s)
			if job.Done != sum || job.Total != sum.Sum() || job.Left != 0 {
				t.Errorf("%+v, counted %+v", job, sum)
			}
			for what, c := range map[string]struct {
				of   tenant.ID
				sql  string
				want int64
			}{
				"living": {mine, living, n - row.grants}, "marked": {mine, marked, row.grants}, "events": {mine, events, row.grants}, "events of sessions": {mine, signedOut, row.sessions}, "sessions": {mine, openTabs, n - row.sessions},
				"accounts": {mine, linked, n - row.accounts}, "begin and end": {mine, recorded, 2},
				"others' grants": {other, living, row.others}, "others' sessions": {other, openTabs, row.others}, "others' accounts": {other, linked, n},
			} {
				if got := f.count(c.of, c.sql); got != c.want {
					t.Errorf("%s: %d, want %d", what, got, c.want)
				}
			}
			if again := f.run(s); again.Done.Sum() != 0 || again.ID == job.ID {
				t.Errorf("a second one ended %+v", again.Done)
			}
		})
	}
	if _, _, err := setUp(t).r.Begin(ctx, revocation.Selector{Client: "c-3"}); !errors.Is(err, revocation.ErrSelector) {
		t.Errorf("a client of no tenant: %v", err)
	}
	if _, _, err := setUp(t).r.Begin(ctx, revocation.Selector{Tenant: tenant.FromUUID(uuid.New())}); err == nil {
		t.Error("a tenant that there is not")
	}
}

func rotation(tn tenant.ID, id uuid.UUID, client string) grant.Rotation {
	return grant.Rotation{Tenant: tn, ID: id, Generation: 1, ClientID: client, Grace: time.Minute, Replays: 3, RefreshIdle: time.Hour}
}

// plant makes a living grant for a person, as old as said, and returns its id.
func (f *fixture) plant(tn tenant.ID, person uuid.UUID, client, created string) uuid.UUID {
	f.t.Helper()
	id := uuid.Must(uuid.NewV7())
	pgtest.As(f.t, f.dsn, "latchkey_runtime", tn, fmt.Sprintf(plant, tn, id, client, person, created))
	return id
}

const plant = `INSERT INTO grants (tenant_id, id, client_id, subject_id, connection_id, resource, scopes, offline, redirect_uri, code_challenge, code_expires_at, redeemed_at, generation, rotated_at,
		idle_expires_at, expires_at, created_at)
	VALUES ('%s', '%s', '%s', '%[4]s', '%[4]s', 'https://mcp.example.com/mcp', '{gmail.read}', true, '', repeat('x', 43), now(), now(), 1, now(), now() + interval '1 day', now() + interval '30 days', %[5]s)`

// TestEpoch: issue 5, DESIGN §4: from the commit of the epoch on nothing older is served, before any row is marked, whatever the
// selector; what is granted a microsecond later works, before and after the rows are marked, and so does everybody else's.
func TestEpoch(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn, other := pgtest.Tenant(t, f.dsn), pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, 3)
	pgtest.Grants(t, f.dsn, other, 1)
	person := f.person(tn)
	for name, s := range map[string]revocation.Selector{
		"all": {}, "a tenant": {Tenant: tn}, "a person": {Tenant: tn, Subject: person}, "a client": {Tenant: tn, Client: "c-1"}, "both": {Tenant: tn, Subject: person, Client: "c-1"},
	} {
		job, _, err := f.r.Begin(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		at := func(microseconds int) string {
			return fmt.Sprintf(`'%s'::timestamptz + %d * interval '1 microsecond'`, job.Cutoff.UTC().Format("2006-01-02 15:04:05.999999Z07:00"), microseconds)
		}
		before, same, after := f.plant(tn, person, "c-1", at(-1)), f.plant(tn, person, "c-1", at(0)), f.plant(tn, person, "c-1", at(1))
		try := func(stage string) {
			t.Helper()
			for id, want := range map[uuid.UUID]error{before: grant.ErrRevoked, same: grant.ErrRevoked, after: nil} {
				if _, err := f.db.RotateRefresh(ctx, rotation(tn, id, "c-1")); !errors.Is(err, want) {
					t.Errorf("%s, %s: %v, want %v", name, stage, err, want)
				}
				state, err := f.db.GrantState(ctx, tn, id)
				if want == nil && (err != nil || state.Created.UnixMicro() != job.Cutoff.UnixMicro()+1) || want != nil && !errors.Is(err, grant.ErrNotFound) {
					t.Errorf("%s, %s: introspection: %v %v", name, stage, state, err)
				}
			}
		}
		try("before a row is marked")
		if _, err := f.r.Run(ctx, job.ID, nil); err != nil {
			t.Fatal(err)
		}
		try("after")
		if err := f.r.Close(ctx, 0); err != nil {
			t.Fatal(err)
		}
		try("after the epoch is closed")
		if n := f.count(tn, unclosed); n != 0 {
			t.Errorf("%s: %d epochs are open", name, n)
		}
		pgtest.As(t, f.dsn, "latchkey_runtime", tn, `UPDATE grants SET revoked_at = now(), revoked_reason = 'test' WHERE id = '`+after.String()+`'`)
	}
	// Somebody else's, under an epoch that is about neither.
	if _, _, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn, Subject: person, Client: "c-2"}); err != nil {
		t.Fatal(err)
	}
	id := f.plant(tn, person, "c-1", `now() - interval '1 minute'`)
	if _, err := f.db.RotateRefresh(ctx, rotation(tn, id, "c-1")); err != nil {
		t.Errorf("another client's grant: %v", err)
	}
}

// TestLateTransaction: a grant of a transaction that began before the epoch and ended after the job is refused all the time: by the
// epoch, which stays until the row itself is marked.
func TestLateTransaction(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, 3)
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	for _, sql := range []string{`SELECT set_config('role', 'latchkey_runtime', true), set_config('app.tenant_id', '` + tn.String() + `', true)`, fmt.Sprintf(plant, tn, id, "late", f.person(tn), `now()`)} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if job := f.run(revocation.Selector{Tenant: tn}); job.Done.Grants != 3 {
		t.Fatalf("%+v", job)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := f.db.RotateRefresh(ctx, rotation(tn, id, "late")); !errors.Is(err, grant.ErrRevoked) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("before the epoch is closed")
	if err := f.r.Close(ctx, time.Minute); err != nil || f.count(tn, unclosed) != 1 {
		t.Errorf("closed a young epoch: %v", err)
	}
	if err := f.r.Close(ctx, 0); err != nil || f.count(tn, unclosed) != 0 {
		t.Fatal("not closed", err)
	}
	refused("afterwards")
	if f.count(tn, living) != 0 || f.count(tn, events) != 4 {
		t.Error("the late grant is not marked, or nothing says why")
	}
}

// TestHeldRows: a row that somebody else holds is passed over and done later; nobody waits for it with locks, and the job does not
// say that it is done before.
func TestHeldRows(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, 20)
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`SELECT set_config('role', 'latchkey_runtime', true), set_config('app.tenant_id', '` + tn.String() + `', true)`, `SELECT FROM grants WHERE id = (SELECT min(id::text)::uuid FROM grants) FOR UPDATE`} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	job, _, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.r.Run(ctx, job.ID, nil)
		done <- err
	}()
	for deadline := time.Now().Add(time.Minute); f.count(tn, marked) != 19; time.Sleep(10 * time.Millisecond) { // another process's work: there is no event to wait on
		if time.Now().After(deadline) {
			t.Fatal("the other rows are not done")
		}
	}
	select {
	case err := <-done:
		t.Fatalf("done without the last one: %v", err)
	default:
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || f.count(tn, marked) != 20 || f.count(tn, events) != 20 {
		t.Errorf("%v, %d marked", err, f.count(tn, marked))
	}
}

// TestFeedIsBounded: issue 5: however many grants a revocation ends, resource servers hear one entry of it; other grants that ended
// are listed as before. A server that comes later hears the same.
func TestFeedIsBounded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, 700)
	person := f.person(tn)
	single := f.plant(tn, person, "c-1", `now()`)
	if err := f.db.RevokeGrant(ctx, tn, single, "test"); err != nil {
		t.Fatal(err)
	}
	all := f.run(revocation.Selector{})
	one := f.run(revocation.Selector{Tenant: tn, Subject: person, Client: "c-1"})
	feed, err := f.db.Revocations(ctx, time.Now().Add(-time.Hour), exchange.MaxRevocations, exchange.MaxEpochs)
	if err != nil || len(feed.Grants) != 1 || feed.Grants[0].Grant != single.String() || len(feed.Epochs) != 2 {
		t.Fatalf("%+v %v", feed, err)
	}
	if e := feed.Epochs[0]; !e.Tenant.IsZero() || e.Subject != uuid.Nil || e.Client != "" || !e.Before.Equal(all.Cutoff) {
		t.Errorf("%+v", e)
	}
	if e := feed.Epochs[1]; e.Tenant != tn || e.Subject != person || e.Client != "c-1" || !e.Before.Equal(one.Cutoff) {
		t.Errorf("%+v", e)
	}
	if late, err := f.db.Revocations(ctx, one.Cutoff.Add(time.Microsecond), 10, 10); err != nil || len(late.Epochs) != 0 {
		t.Errorf("%+v %v", late, err)
	}
}
