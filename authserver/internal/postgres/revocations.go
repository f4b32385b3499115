package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/exchange"
)

// Revocations returns the grants of all tenants that were revoked since a time,
// oldest first and at most limit, and the database's time.
func (db *DB) Revocations(ctx context.Context, since time.Time, limit int) ([]exchange.Revocation, time.Time, error) {
	b := &pgx.Batch{}
	b.Queue(`SELECT now()`)
	b.Queue(`SELECT id::text, revoked_at FROM grants WHERE revoked_at >= $1 ORDER BY revoked_at, id LIMIT $2`, since, limit)
	results := db.jobs.SendBatch(ctx, b)
	defer func() { _ = results.Close() }()
	var now time.Time
	if err := results.QueryRow().Scan(&now); err != nil {
		return nil, now, fmt.Errorf("reading revocations: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return nil, now, fmt.Errorf("reading revocations: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r exchange.Revocation, err error) {
		err = row.Scan(&r.Grant, &r.At)
		return r, err
	})
	if err != nil {
		return nil, now, fmt.Errorf("reading revocations: %w", err)
	}
	return list, now, nil
}
