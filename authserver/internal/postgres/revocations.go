package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/revocation"
)

// Revocations returns what was revoked of all tenants since a time, oldest first
// and at most so many epochs, and the database's time; of grants so many, and those
// besides that were revoked in the same millisecond as the last of them. A grant that
// an epoch ended is not listed: its job is.
func (db *DB) Revocations(ctx context.Context, since time.Time, grants, epochs int) (*exchange.Feed, error) {
	b := &pgx.Batch{}
	b.Queue(`SELECT now()`)
	const listed = ` FROM grants WHERE revoked_at >= $1 AND revoked_at IS NOT NULL AND revoked_reason <> '` + revocation.Reason + `' `
	b.Queue(`SELECT id::text, revoked_at`+listed+`AND revoked_at < coalesce((
			SELECT date_trunc('milliseconds', revoked_at) + interval '1 millisecond'`+listed+`ORDER BY revoked_at, id OFFSET $2 - 1 LIMIT 1), 'infinity')
		ORDER BY revoked_at, id`, since, grants)
	b.Queue(`SELECT selector, cutoff FROM jobs WHERE cutoff >= $1 AND kind = 'revoke' ORDER BY cutoff, id LIMIT $2`, since, epochs)
	results := db.jobs.SendBatch(ctx, b)
	defer func() { _ = results.Close() }()
	var feed exchange.Feed
	if err := results.QueryRow().Scan(&feed.Now); err != nil {
		return nil, fmt.Errorf("reading revocations: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("reading revocations: %w", err)
	}
	feed.Grants, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r exchange.Revocation, err error) {
		err = row.Scan(&r.Grant, &r.At)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading revocations: %w", err)
	}
	if rows, err = results.Query(); err != nil {
		return nil, fmt.Errorf("reading epochs: %w", err)
	}
	feed.Epochs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e exchange.Epoch, err error) {
		var of selector
		err = row.Scan(&of, &e.Before)
		s := of.selector()
		e.Tenant, e.Subject, e.Client = s.Tenant, s.Subject, s.Client
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading epochs: %w", err)
	}
	return &feed, nil
}
