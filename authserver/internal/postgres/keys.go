package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// DataKeys returns all data keys of a tenant, wrapped.
func (db *DB) DataKeys(ctx context.Context, t tenant.ID) ([]vault.DataKey, error) {
	return list(ctx, db, t, stmt(`SELECT id, kek_id, wrapped, state = 'active' FROM data_keys WHERE tenant_id = $1`, t.UUID()),
		func(row pgx.CollectableRow) (k vault.DataKey, err error) {
			err = row.Scan(&k.ID, &k.KEK, &k.Wrapped, &k.Active)
			return k, err
		})
}

// InsertDataKey stores a tenant's first active data key; the first writer wins.
func (db *DB) InsertDataKey(ctx context.Context, t tenant.ID, k vault.DataKey) error {
	_, err := db.exec(ctx, t, stmt(`INSERT INTO data_keys (tenant_id, id, kek_id, wrapped, state) VALUES ($1, $2, $3, $4, 'active')
		ON CONFLICT DO NOTHING`, t.UUID(), k.ID, k.KEK, k.Wrapped))
	if err != nil {
		return fmt.Errorf("storing data key: %w", err)
	}
	return nil
}

func list[T any](ctx context.Context, db *DB, t tenant.ID, s statement, scan pgx.RowToFunc[T]) ([]T, error) {
	var out []T
	err := db.batch(ctx, t, func(r pgx.BatchResults) error {
		rows, err := r.Query()
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, scan)
		return err
	}, s)
	if err != nil {
		return nil, fmt.Errorf("listing: %w", err)
	}
	return out, nil
}
