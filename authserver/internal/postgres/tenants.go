package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/tenant"
)

// TenantIDs returns every tenant's id by its slug. It is for the operator's
// commands; requests find their tenant in the directory.
func (db *DB) TenantIDs(ctx context.Context) (map[string]tenant.ID, error) {
	rows, err := db.jobs.Query(ctx, `SELECT slug, id FROM tenants`)
	if err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	found := map[string]tenant.ID{}
	var slug string
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&slug, &id}, func() error {
		found[slug] = tenant.FromUUID(id)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	return found, nil
}
