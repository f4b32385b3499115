package pgtest

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/tenant"
)

// Tenant adds a tenant to a cloned database. Row-level security binds the owner
// too, and no server role may write tenants, so the binding is lifted and put
// back in one transaction.
func Tenant(t testing.TB, dsn string) tenant.ID {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	id := uuid.Must(uuid.NewV7())
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY`)
		b.Queue(`INSERT INTO tenants (id, slug) VALUES ($1, $2)`, id, "t-"+id.String())
		b.Queue(`ALTER TABLE tenants FORCE ROW LEVEL SECURITY`)
		return tx.SendBatch(ctx, b).Close()
	}); err != nil {
		t.Fatalf("adding a tenant: %v", err)
	}
	return tenant.FromUUID(id)
}
