package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenant"
)

// ShredSubject deletes a person's secret, which makes every copy of what was
// sealed for the person unreadable that has no copy of the secret, and
// overwrites the values. The versions move on, so a refresh under way publishes
// nothing. What is still to be revoked at Google for the person is forgotten
// too: revoke before. Credentials are locked before anything else of theirs, as
// a sign-in does.
func (db *DB) ShredSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) (erasure.Shredded, error) {
	if t.IsZero() {
		return erasure.Shredded{}, errors.New("no tenant given")
	}
	done := erasure.Shredded{Keys: []string{}, Rows: map[string]int64{}}
	err := pgx.BeginFunc(ctx, db.runtime, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setTenant, t.String()); err != nil {
			return err
		}
		const of = ` WHERE tenant_id = $1 AND connection_id IN (SELECT id FROM connections WHERE tenant_id = $1 AND subject_id = $2)`
		if err := shred(ctx, tx, &done, []any{t.UUID(), subject}, []destruction{
			{"", `SELECT id::text FROM subjects WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE`}, // as lockSubject
			{"", `SELECT connection_id::text FROM credentials` + of + ` ORDER BY connection_id FOR UPDATE`},
			{"credentials", forgetCredentials + of},
			{"connections", `UPDATE connections SET email = '' WHERE tenant_id = $1 AND subject_id = $2`},
			{"google_revocations", `DELETE FROM google_revocations WHERE tenant_id = $1 AND subject_id = $2`},
			{"subject_secrets", `DELETE FROM subject_secrets WHERE tenant_id = $1 AND subject_id = $2 RETURNING id::text`},
		}); err != nil || len(done.Keys) == 0 {
			return err
		}
		// The tombstone, once: a repetition finds no secret.
		tombstone := event(ctx, audit.Event{Tenant: t, Kind: audit.SubjectErased, Actor: audit.FromContext(ctx).ActorOr(audit.System), Subject: subject})
		_, err := tx.Exec(ctx, tombstone.sql, tombstone.args...)
		return err
	})
	if err != nil {
		return erasure.Shredded{}, fmt.Errorf("shredding a subject: %w", err)
	}
	return done, nil
}

// ShredTenant deletes a suspended tenant's keys and overwrites everything sealed
// under them. The foreign keys on data keys make it all or nothing: a value that
// was missed would keep its key. It returns tenancy.ErrNotSuspended.
func (db *DB) ShredTenant(ctx context.Context, t tenant.ID) (erasure.Shredded, error) {
	if t.IsZero() {
		return erasure.Shredded{}, errors.New("no tenant given")
	}
	done := erasure.Shredded{Keys: []string{}, Rows: map[string]int64{}}
	err := db.longJob(ctx, func(tx pgx.Tx) error {
		if err := suspended(ctx, tx, t); err != nil {
			return err
		}
		const of = ` WHERE tenant_id = $1`
		statements := []destruction{{"", `SELECT count(*)::text FROM (SELECT FROM credentials` + of + ` ORDER BY connection_id FOR UPDATE) AS locked`}, // a tenant can have millions
			{"credentials", forgetCredentials + of}, {"connections", `UPDATE connections SET email = ''` + of}}
		for _, table := range deletedByShred { // data keys last, when nothing refers to them
			sql := `DELETE FROM ` + table + of
			if table == "data_keys" {
				sql += ` RETURNING id::text`
			}
			statements = append(statements, destruction{table, sql})
		}
		if err := shred(ctx, tx, &done, []any{t.UUID()}, statements); err != nil || len(done.Keys) == 0 {
			return err
		}
		return adminAct(ctx, tx, t, "tenant shredded")
	})
	if err != nil {
		return erasure.Shredded{}, fmt.Errorf("shredding a tenant: %w", err)
	}
	return done, nil
}

// deletedByShred are the tables whose rows ShredTenant deletes, not overwrites.
var deletedByShred = []string{"google_revocations", "upstream_clients", "flows", "pushed_requests", "approvals", "signing_keys", "subject_secrets", "data_keys"}

const forgetCredentials = `UPDATE credentials SET refresh_token = NULL, refresh_hash = NULL, refresh_prefix = NULL, refresh_expires_at = NULL, access_token = NULL, access_expires_at = NULL,
	status = 'revoked', last_error = 'erased', version = version + 1, lease_owner = NULL, lease_until = NULL, updated_at = now()`

// destruction is a statement about one table, which RETURNING names the keys
// that it destroys. One without a table only locks.
type destruction struct{ table, sql string }

func shred(ctx context.Context, tx pgx.Tx, done *erasure.Shredded, args []any, statements []destruction) error {
	for _, s := range statements {
		rows, err := tx.Query(ctx, s.sql, args...)
		if err != nil {
			return err
		}
		returned, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("%s: %w", s.table, err)
		}
		if s.table != "" {
			done.Keys = append(done.Keys, returned...)
			done.Rows[s.table] = rows.CommandTag().RowsAffected()
		}
	}
	return nil
}
