package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
)

// TestEpochRoles: the exact grants: who serves a tenant makes no epoch, changes none but its progress, deletes none that stands, and
// sees no job; nobody moves one to another time, tenant, person or client.
func TestEpochRoles(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	other := pgtest.Tenant(t, f.dsn)
	if _, _, err := f.db.BeginRevocation(ctx, uuid.Must(uuid.NewV7()), revocation.Selector{}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for role, statements := range map[string][]string{
		"latchkey_runtime": {
			`INSERT INTO revocation_epochs (tenant_id, job_id, revoked_before, google) SELECT tenant_id, gen_random_uuid(), now(), false FROM revocation_epochs`,
			`UPDATE revocation_epochs SET revoked_before = '-infinity'`, `UPDATE revocation_epochs SET subject_id = NULL`, `UPDATE revocation_epochs SET client_id = 'x'`,
			`UPDATE revocation_epochs SET google = true`, `UPDATE revocation_epochs SET total = 0`,
			`SELECT FROM jobs`, `DELETE FROM jobs`, `UPDATE jobs SET finished_at = now()`,
		},
		"latchkey_jobs": {
			`UPDATE revocation_epochs SET revoked_before = '-infinity'`, `UPDATE revocation_epochs SET closed_at = now()`, `UPDATE revocation_epochs SET tenant_id = gen_random_uuid()`,
			`UPDATE jobs SET cutoff = now()`, `UPDATE jobs SET selector = '{}'`, `UPDATE jobs SET actor = 'x'`,
		},
	} {
		for _, s := range []string{`RESET ROLE`, `SET ROLE ` + role, `SELECT set_config('app.tenant_id', '` + other.String() + `', false)`} {
			if _, err := conn.Exec(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range statements {
			var refused *pgconn.PgError
			if _, err := conn.Exec(ctx, s); !errors.As(err, &refused) || refused.Code != "42501" {
				t.Errorf("%s: %s: %v", role, s, err)
			}
		}
		// It may delete rows in principle: of the erased, and what is closed.
		if tag, err := conn.Exec(ctx, `DELETE FROM revocation_epochs`); err != nil || tag.RowsAffected() != 0 {
			t.Errorf("%s deletes epochs that stand: %v %v", role, tag, err)
		}
	}
	if _, err := conn.Exec(ctx, `SET ROLE latchkey_runtime`); err != nil {
		t.Fatal(err)
	}
	var seen, theirs int
	if err := conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE tenant_id <> $1) FROM revocation_epochs`, other.UUID()).Scan(&seen, &theirs); err != nil || seen != 1 || theirs != 0 {
		t.Errorf("%d epochs are seen, %d of others: %v", seen, theirs, err)
	}
	if other == tenant.DefaultID {
		t.Fatal("no other tenant")
	}
}
