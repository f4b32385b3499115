package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/operator"
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
	_, err := db.exec(ctx, t, audited(ctx, stmt(`INSERT INTO data_keys (tenant_id, id, kek_id, wrapped, state) VALUES ($1, $2, $3, $4, 'active')
		ON CONFLICT DO NOTHING RETURNING id`, t.UUID(), k.ID, k.KEK, k.Wrapped), keyEvent(ctx, t, audit.KeyCreated, "data_key "+k.ID.String()), nil, "", count))
	if err != nil {
		return fmt.Errorf("storing data key: %w", err)
	}
	return nil
}

// RotateDataKey makes k the active data key and retires the one with the id
// old. It reports false, and does nothing, when that is not the active one any
// more.
func (db *DB) RotateDataKey(ctx context.Context, t tenant.ID, old uuid.UUID, k vault.DataKey) (bool, error) {
	rotated := false
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE data_keys SET state = 'retired', retired_at = now() WHERE tenant_id = $1 AND id = $2 AND state = 'active'`, t.UUID(), old)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO data_keys (tenant_id, id, kek_id, wrapped, state) VALUES ($1, $2, $3, $4, 'active')`, t.UUID(), k.ID, k.KEK, k.Wrapped)
		if err != nil {
			return err
		}
		if err := adminAct(ctx, tx, t, "data key rotated to "+k.ID.String()); err != nil {
			return err
		}
		rotated = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("rotating data key: %w", err)
	}
	return rotated, nil
}

// StoreWrapped replaces a data key's wrapped form unless another run was first.
func (db *DB) StoreWrapped(ctx context.Context, t tenant.ID, old string, k vault.DataKey) (bool, error) {
	tag, err := db.jobs.Exec(ctx, `UPDATE data_keys SET kek_id = $4, wrapped = $5 WHERE tenant_id = $1 AND id = $2 AND kek_id = $3`,
		t.UUID(), k.ID, old, k.KEK, k.Wrapped)
	if err != nil {
		return false, fmt.Errorf("storing wrapped data key: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// DataKeyStates returns a tenant's data keys, the oldest first.
func (db *DB) DataKeyStates(ctx context.Context, t tenant.ID) ([]operator.DataKey, error) {
	rows, err := db.jobs.Query(ctx, `SELECT id, kek_id, state, created_at, retired_at, now() - coalesce(retired_at, created_at)
		FROM data_keys WHERE tenant_id = $1 ORDER BY created_at, id`, t.UUID())
	if err != nil {
		return nil, fmt.Errorf("listing data keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k operator.DataKey, err error) {
		var retired *time.Time
		if err = row.Scan(&k.ID, &k.KEK, &k.State, &k.Created, &retired, &k.Age); err == nil && retired != nil {
			k.Retired = *retired
		}
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing data keys: %w", err)
	}
	return keys, nil
}

// DeleteDataKey deletes a data key that was retired at least so long ago and
// under which nothing is left. Whether something is, the database decides at
// the moment of deletion, by foreign keys (migration 0013): a value that comes
// later is refused.
func (db *DB) DeleteDataKey(ctx context.Context, t tenant.ID, id uuid.UUID, retired time.Duration) (bool, error) {
	var n int64
	err := db.longJob(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, patient); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM data_keys WHERE tenant_id = $1 AND id = $2 AND state = 'retired'
			AND coalesce(retired_at, created_at) <= now() - $3::interval`, t.UUID(), id, retired)
		n = tag.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		return adminAct(ctx, tx, t, "data key deleted "+id.String())
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "23503" { // foreign_key_violation
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("deleting data key: %w", err)
	}
	return n == 1, nil
}

// patient gives the statements of an operator's command, which go through whole
// tables, more time than a request has.
const patient = `SET LOCAL statement_timeout = '10min'`

// keyEvent is something that happens to a key, which the detail names.
func keyEvent(ctx context.Context, t tenant.ID, kind audit.Kind, detail string) audit.Event {
	return audit.Event{Tenant: t, Kind: kind, Actor: audit.FromContext(ctx).ActorOr(audit.System), Detail: detail}
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
