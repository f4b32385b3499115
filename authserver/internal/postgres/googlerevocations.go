package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

// ClaimRevocations takes due rows of the queue, of all tenants, each for one
// caller: the next try moves on in the same statement, from half a minute to an
// hour.
func (db *DB) ClaimRevocations(ctx context.Context, most int) ([]connection.Revocation, error) {
	return db.claimRevocations(ctx, `next_try_at <= now()`, most)
}

// ClaimSubjectRevocations takes a subject's rows, due or not.
func (db *DB) ClaimSubjectRevocations(ctx context.Context, t tenant.ID, subject uuid.UUID, most int) ([]connection.Revocation, error) {
	return db.claimRevocations(ctx, `tenant_id = $2 AND subject_id = $3`, most, t.UUID(), subject)
}

// claimRevocations looks whether another connection still holds a token of the
// grant: one that needs a sign-in and keeps none loses nothing, and the grant
// would stay at Google for nobody.
func (db *DB) claimRevocations(ctx context.Context, which string, most int, of ...any) ([]connection.Revocation, error) {
	rows, err := db.jobs.Query(ctx, `WITH due AS MATERIALIZED (SELECT tenant_id, id FROM google_revocations WHERE `+which+` ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		UPDATE google_revocations q
		SET tries = q.tries + 1, next_try_at = now() + least(interval '1 hour', interval '30 seconds' * power(2, least(q.tries, 10)))
		FROM due WHERE q.tenant_id = due.tenant_id AND q.id = due.id
		RETURNING q.tenant_id, q.id, q.subject_id, q.connection_id, q.purpose, q.tries, q.created_at,
			EXISTS (SELECT FROM connections mine JOIN connections other ON other.google_sub = mine.google_sub
				JOIN credentials k ON k.tenant_id = other.tenant_id AND k.connection_id = other.id
				WHERE mine.tenant_id = q.tenant_id AND mine.id = q.connection_id AND k.upstream_client = q.upstream_client
					AND (k.status = 'active' OR k.refresh_hash IS NOT NULL))`,
		append([]any{most}, of...)...)
	if err != nil {
		return nil, fmt.Errorf("claiming revocations: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r connection.Revocation, err error) {
		var t uuid.UUID
		err = row.Scan(&t, &r.ID, &r.Subject, &r.Connection, &r.Purpose, &r.Tries, &r.Since, &r.InUse)
		r.Tenant = tenant.FromUUID(t)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming revocations: %w", err)
	}
	return list, nil
}

// RevocationToken reads the sealed token of a row with the person's secret, nil
// when the row is gone: its account was linked again.
func (db *DB) RevocationToken(ctx context.Context, r connection.Revocation) ([]byte, secret.Bytes, error) {
	var token, person []byte
	err := db.row(ctx, r.Tenant, stmt(`SELECT q.token, p.secret FROM google_revocations q
		LEFT JOIN subject_secrets p ON p.tenant_id = q.tenant_id AND p.subject_id = q.subject_id
		WHERE q.tenant_id = $1 AND q.id = $2`, r.Tenant.UUID(), r.ID), &token, &person)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, secret.Bytes{}, fmt.Errorf("reading a revocation: %w", err)
	}
	return token, secret.NewBytes(person), nil
}

// DropRevocation takes a row out of the queue.
func (db *DB) DropRevocation(ctx context.Context, r connection.Revocation) error {
	if _, err := db.exec(ctx, r.Tenant, stmt(`DELETE FROM google_revocations WHERE tenant_id = $1 AND id = $2`, r.Tenant.UUID(), r.ID)); err != nil {
		return fmt.Errorf("finishing a revocation: %w", err)
	}
	return nil
}
