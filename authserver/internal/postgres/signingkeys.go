package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
)

// SigningKeys returns all signing keys of a tenant, sealed: active, next, then
// retired ones, the newest first. Ages are the database's.
func (db *DB) SigningKeys(ctx context.Context, t tenant.ID) ([]keyset.Record, error) {
	return list(ctx, db, t, stmt(`SELECT kid, purpose, alg, sealed_key, state, created_at, activated_at, retired_at, token_life,
			now() - CASE state WHEN 'next' THEN created_at WHEN 'active' THEN activated_at ELSE retired_at END
		FROM signing_keys WHERE tenant_id = $1
		ORDER BY array_position(ARRAY['active', 'next', 'retired'], state), created_at DESC, kid`, t.UUID()),
		func(row pgx.CollectableRow) (r keyset.Record, err error) {
			var activated, retired *time.Time
			if err = row.Scan(&r.KID, &r.Purpose, &r.Alg, &r.Sealed, &r.State, &r.Created, &activated, &retired, &r.TokenLife, &r.Age); err != nil {
				return r, err
			}
			if activated != nil {
				r.Activated = *activated
			}
			if retired != nil {
				r.Retired = *retired
			}
			return r, nil
		})
}

// InsertSigningKey stores a tenant's first active key of a purpose; the first
// writer wins.
func (db *DB) InsertSigningKey(ctx context.Context, t tenant.ID, r keyset.Record) error {
	_, err := db.exec(ctx, t, audited(ctx, stmt(`INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state, activated_at)
		VALUES ($1, $2, $3, $4, $5, 'active', now()) ON CONFLICT DO NOTHING RETURNING kid`, t.UUID(), r.KID, string(r.Purpose), r.Alg, r.Sealed),
		keyEvent(ctx, t, audit.KeyCreated, string(r.Purpose)+" "+r.KID), nil, "", count))
	if err != nil {
		return fmt.Errorf("storing signing key: %w", err)
	}
	return nil
}

// changeKeys runs f in a transaction while no other process changes the
// tenant's signing keys. One that does not wait leaves at once when another
// process is at it: held is false and nothing has happened. A process that
// stalls in f is cut off by the session's timeouts and loses everything.
func (db *DB) changeKeys(ctx context.Context, t tenant.ID, wait bool, f func(pgx.Tx) error) (held bool, err error) {
	if t.IsZero() {
		return false, errors.New("no tenant given")
	}
	lock := `SELECT pg_try_advisory_xact_lock(hashtextextended('latchkey signing keys ' || $1, 0))`
	if wait {
		lock = `SELECT true FROM pg_advisory_xact_lock(hashtextextended('latchkey signing keys ' || $1, 0))`
	}
	err = pgx.BeginFunc(ctx, db.runtime, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(setTenant, t.String())
		b.Queue(lock, t.String()).QueryRow(func(row pgx.Row) error { return row.Scan(&held) })
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("locking signing keys: %w", err)
		}
		if !held {
			return nil
		}
		return f(tx)
	})
	return held && err == nil, err
}

// PublishSigningKey stores a next key if there is none and the demand holds by
// the database's clock. It reports whether it did.
func (db *DB) PublishSigningKey(ctx context.Context, t tenant.ID, r keyset.Record, d keyset.Demand) (bool, error) {
	published := false
	_, err := db.changeKeys(ctx, t, d.ByHand, func(tx pgx.Tx) error {
		// clock_timestamp: the time at which it is published, not at which this
		// transaction began to wait for its turn.
		insert := audited(ctx, stmt(`INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state, created_at)
			SELECT $1, $2, $3, $4, $5, 'next', clock_timestamp()
			WHERE EXISTS (SELECT FROM signing_keys WHERE tenant_id = $1 AND purpose = $3 AND state = 'active'
			    AND ($6 OR alg <> $4 OR ($7::interval > '0' AND activated_at <= now() - $7::interval)))
			  AND (SELECT count(*) FROM signing_keys WHERE tenant_id = $1 AND purpose = $3) < $8
			ON CONFLICT DO NOTHING RETURNING kid`,
			t.UUID(), r.KID, string(r.Purpose), r.Alg, r.Sealed, d.ByHand, d.After, d.Max),
			keyEvent(ctx, t, audit.KeyPublished, string(r.Purpose)+" "+r.KID), nil, "", count)
		tag, err := tx.Exec(ctx, insert.sql, insert.args...)
		published = err == nil && tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("publishing signing key: %w", err)
	}
	return published, nil
}

// AdvanceSigningKeys does every transition of a purpose's keys that is due by
// the database's clock, in one transaction.
func (db *DB) AdvanceSigningKeys(ctx context.Context, t tenant.ID, a keyset.Advance) (keyset.Advanced, error) {
	var done keyset.Advanced
	_, err := db.changeKeys(ctx, t, false, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE signing_keys SET token_life = $3 WHERE tenant_id = $1 AND purpose = $2 AND token_life < $3`,
			t.UUID(), string(a.Purpose), a.TokenLife); err != nil {
			return err
		}
		retired, err := kids(ctx, tx, keyEvent(ctx, t, audit.KeyRetired, ""), `UPDATE signing_keys SET state = 'retired', retired_at = now()
			WHERE tenant_id = $1 AND purpose = $2 AND state = 'active' AND EXISTS (SELECT FROM signing_keys
				WHERE tenant_id = $1 AND purpose = $2 AND state = 'next' AND created_at <= now() - $3::interval)
			RETURNING kid, purpose`, t.UUID(), string(a.Purpose), a.Lead)
		if err != nil {
			return err
		}
		activated, err := kids(ctx, tx, keyEvent(ctx, t, audit.KeyActivated, ""), `UPDATE signing_keys SET state = 'active', activated_at = now()
			WHERE tenant_id = $1 AND purpose = $2 AND state = 'next' AND created_at <= now() - $3::interval
			RETURNING kid, purpose`, t.UUID(), string(a.Purpose), a.Lead)
		if err != nil {
			return err
		}
		if len(retired) > len(activated) {
			return errors.New("the next key is gone") // never without an active one
		}
		if done.Deleted, err = kids(ctx, tx, keyEvent(ctx, t, audit.KeyDeleted, ""), `DELETE FROM signing_keys
			WHERE tenant_id = $1 AND purpose = $2 AND state = 'retired' AND retired_at <= now() - (token_life + $3::interval)
			RETURNING kid, purpose`, t.UUID(), string(a.Purpose), a.Margin); err != nil {
			return err
		}
		if len(activated) == 1 {
			done.Activated = activated[0]
		}
		return nil
	})
	if err != nil {
		return keyset.Advanced{}, fmt.Errorf("advancing signing keys: %w", err)
	}
	return done, nil
}

// ReplaceSigningKeys deletes every key of the record's purpose and makes the
// record the active one, at once. It returns the ids of those that are gone.
func (db *DB) ReplaceSigningKeys(ctx context.Context, t tenant.ID, r keyset.Record) ([]string, error) {
	var deleted []string
	_, err := db.changeKeys(ctx, t, true, func(tx pgx.Tx) (err error) {
		if deleted, err = kids(ctx, tx, keyEvent(ctx, t, audit.KeyDeleted, ""), `DELETE FROM signing_keys WHERE tenant_id = $1 AND purpose = $2 RETURNING kid, purpose`, t.UUID(), string(r.Purpose)); err != nil {
			return err
		}
		_, err = kids(ctx, tx, keyEvent(ctx, t, audit.KeyActivated, ""), `INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state, activated_at)
			VALUES ($1, $2, $3, $4, $5, 'active', now()) RETURNING kid, purpose`, t.UUID(), r.KID, string(r.Purpose), r.Alg, r.Sealed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("replacing signing keys: %w", err)
	}
	return deleted, nil
}

// kids runs a statement that returns kid and purpose of each key it changes,
// records that, and returns the key ids.
func kids(ctx context.Context, tx pgx.Tx, e audit.Event, sql string, args ...any) ([]string, error) {
	s := audited(ctx, stmt(sql, args...), e, fromRow{"detail": `act.purpose || ' ' || act.kid`}, "", `SELECT kid FROM act`)
	rows, err := tx.Query(ctx, s.sql, s.args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
