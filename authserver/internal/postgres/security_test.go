package postgres_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/pgtest"
)

// unprotected lists tables with a tenant that lack row-level security or a
// policy for one of the roles, read from the catalogue.
func unprotected(t *testing.T, tx pgx.Tx) []string {
	t.Helper()
	rows, err := tx.Query(ctx, `SELECT c.relname::text FROM pg_class c
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
		  AND (c.relname = 'tenants' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
		  AND NOT (c.relrowsecurity AND c.relforcerowsecurity
		    AND (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polwithcheck IS NOT NULL
		         AND p.polroles <@ ARRAY['latchkey_runtime'::regrole::oid, 'latchkey_jobs'::regrole::oid]) = 2)
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestEveryTenantTableIsProtected: DESIGN §1.3, read from the catalogue; a planted table without policy is found.
func TestEveryTenantTableIsProtected(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	if bad := unprotected(t, tx); len(bad) != 0 {
		t.Errorf("tables without row-level security: %v", bad)
	}
	if _, err := tx.Exec(ctx, `CREATE TABLE planted (tenant_id uuid)`); err != nil {
		t.Fatal(err)
	}
	if bad := unprotected(t, tx); len(bad) != 1 || bad[0] != "planted" {
		t.Errorf("the planted table was not found: %v", bad)
	}
}

// TestRuntimeRoleSeesOneTenant: without a tenant nothing, with another tenant nothing, and no row can be moved there.
func TestRuntimeRoleSeesOneTenant(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SET ROLE latchkey_runtime`); err != nil {
		t.Fatal(err)
	}
	count := func(table string) (n int) {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		return n
	}
	tables := []string{"tenants", "subjects", "subject_secrets", "connections", "credentials", "consents", "grants", "audit_events"}
	for _, other := range []string{"", "00000000-0000-7000-8000-000000000002"} {
		if _, err := conn.Exec(ctx, `SELECT set_config('app.tenant_id', $1, false)`, other); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			if n := count(table); n != 0 {
				t.Errorf("tenant %q sees %d rows of %s", other, n, table)
			}
		}
	}
	if _, err := conn.Exec(ctx, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if count(table) == 0 {
			t.Errorf("the tenant does not see its own %s", table)
		}
	}
	if _, err := conn.Exec(ctx, `UPDATE grants SET tenant_id = '00000000-0000-7000-8000-000000000002'`); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("a row was moved to another tenant: %v", err)
	}
	for _, sql := range []string{`DROP TABLE grants`, `SELECT 1 FROM pg_authid`, `UPDATE signing_keys SET sealed_key = 'x'`, `UPDATE signing_keys SET alg = 'HS256'`, `UPDATE signing_keys SET created_at = now()`,
		`DELETE FROM data_keys`, `UPDATE data_keys SET wrapped = 'x'`, `UPDATE subject_secrets SET secret = secret`, `INSERT INTO subject_secrets (tenant_id, subject_id, secret) SELECT tenant_id, subject_id, secret FROM subject_secrets`} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("the runtime role may %s", sql)
		}
	}
	for _, table := range []string{"grants", "credentials", "consents", "connections", "sessions", "subjects"} { // only of who is being erased
		if tag, err := conn.Exec(ctx, `DELETE FROM `+table); err != nil || tag.RowsAffected() != 0 {
			t.Errorf("the runtime role deletes %d rows of %s: %v", tag.RowsAffected(), table, err)
		}
	}
}

// counter counts statements and round trips of calls made with a counted
// context: a batch is one trip. What the pools do by themselves in the
// background, connecting and pinging an idle connection, is not the claim's.
type counter struct{ statements, trips atomic.Int64 }

type countedKey struct{}

var counted = context.WithValue(ctx, countedKey{}, true)

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if ctx.Value(countedKey{}) != nil && d.SQL != "-- ping" {
		c.statements.Add(1)
		c.trips.Add(1)
	}
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	if ctx.Value(countedKey{}) != nil {
		c.trips.Add(1)
	}
	return ctx
}
func (c *counter) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	if ctx.Value(countedKey{}) != nil && !strings.Contains(d.SQL, "set_config") { // rides along in the same batch: decision 0004
		c.statements.Add(1)
	}
}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestOneStatementPerClaim: DESIGN §4: a successful claim is one statement, one round trip.
func TestOneStatementPerClaim(t *testing.T) {
	t.Parallel()
	var c counter
	f := setUp(t, &c)
	r := f.grant(t)
	measure := func(name string, call func() error) {
		statements, trips := c.statements.Load(), c.trips.Load()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if s, n := c.statements.Load()-statements, c.trips.Load()-trips; s != 1 || n != 1 {
			t.Errorf("%s: %d statements in %d round trips", name, s, n)
		}
	}
	measure("code", func() error { _, err := f.db.RedeemCode(counted, r); return err })
	measure("refresh", func() error { _, err := f.db.RotateRefresh(counted, rotation(r, 1)); return err })
	measure("repeated refresh", func() error { _, err := f.db.RotateRefresh(counted, rotation(r, 1)); return err })
}
