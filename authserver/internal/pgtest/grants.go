package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/tenant"
)

// Grants makes n people of a tenant, each with a Google account without tokens, a
// browser session, and a living grant of client "c-0" to "c-9", an hour old.
func Grants(t testing.TB, dsn string, tn tenant.ID, n int) {
	t.Helper()
	As(t, dsn, "latchkey_runtime", tn,
		fmt.Sprintf(`INSERT INTO subjects (tenant_id, id, google_sub) SELECT '%s', gen_random_uuid(), 'many-' || i FROM generate_series(1, %d) AS i`, tn, n),
		`INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default) SELECT tenant_id, id, id, google_sub, '', true FROM subjects WHERE google_sub LIKE 'many-%'`,
		`INSERT INTO credentials (tenant_id, connection_id, upstream_client, google_scopes, status, linked_at)
			SELECT tenant_id, id, 'up', '{}', 'active', now() - interval '1 hour' FROM subjects WHERE google_sub LIKE 'many-%'`,
		`INSERT INTO sessions (tenant_id, secret_hash, id, subject_id, browser, created_at)
			SELECT tenant_id, sha256(id::text::bytea), id, id, '', now() - interval '1 hour' FROM subjects WHERE google_sub LIKE 'many-%'`,
		`INSERT INTO grants (tenant_id, id, client_id, subject_id, connection_id, resource, scopes, offline, redirect_uri, code_challenge, code_expires_at, redeemed_at, generation, rotated_at,
				idle_expires_at, expires_at, created_at)
			SELECT tenant_id, gen_random_uuid(), 'c-' || right(google_sub, 1), id, id, 'https://mcp.example.com/mcp', '{gmail.read}', true, '', repeat('x', 43), now(), now(), 1, now(),
				now() + interval '1 day', now() + interval '30 days', now() - interval '1 hour'
			FROM subjects WHERE google_sub LIKE 'many-%'`)
	As(t, dsn, "none", tn, `ANALYZE subjects, connections, credentials, sessions, grants`) // as autovacuum does, after a while
}

// As runs statements in one transaction as a role ("none": the owner), which sees
// a tenant's rows.
func As(t testing.TB, dsn, role string, tn tenant.ID, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true)`, role, tn.String())
		for _, s := range statements {
			b.Queue(s)
		}
		return tx.SendBatch(ctx, b).Close()
	}); err != nil {
		t.Fatal(err)
	}
}
