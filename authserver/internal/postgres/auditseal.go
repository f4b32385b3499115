package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
)

// AuditDue lists tenants with something to seal or to sign. A checkpoint is due
// where the chain has grown past the last one, or where that one's key is
// published no more: the newest must be one that anybody can check.
func (db *DB) AuditDue(ctx context.Context, interval time.Duration) ([]audit.Due, error) {
	rows, err := db.jobs.Query(ctx, `WITH state AS (
			SELECT t.id, EXISTS (SELECT FROM audit_events e WHERE e.tenant_id = t.id AND e.seq IS NULL) AS unsealed,
			       (SELECT max(e.seq) FROM audit_events e WHERE e.tenant_id = t.id AND e.seq IS NOT NULL) AS head,
			       c.seq, c.at, c.kid IS NOT NULL AND NOT EXISTS (SELECT FROM signing_keys k WHERE k.tenant_id = t.id AND k.kid = c.kid) AS orphan
			FROM tenants t LEFT JOIN LATERAL (SELECT seq, at, kid FROM audit_checkpoints c WHERE c.tenant_id = t.id ORDER BY seq DESC, at DESC LIMIT 1) c ON true),
		due AS (SELECT id, unsealed, (unsealed OR head > coalesce(seq, 0) OR orphan) AND (at IS NULL OR at <= now() - $1::interval) AS checkpoint FROM state)
		SELECT id, unsealed, checkpoint FROM due WHERE unsealed OR checkpoint ORDER BY id`, interval)
	if err != nil {
		return nil, fmt.Errorf("finding what to seal: %w", err)
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d audit.Due, err error) {
		var id uuid.UUID
		err = row.Scan(&id, &d.Unsealed, &d.Checkpoint)
		d.Tenant = tenant.FromUUID(id)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("finding what to seal: %w", err)
	}
	return due, nil
}

// SealAudit chains committed events that are not sealed yet, in the order of
// their ids among those it finds. What is committed later, whatever its id,
// comes later in the chain: a row is found by not being sealed, so none can be
// missed, also after a restore into a cluster with other transaction ids.
func (db *DB) SealAudit(ctx context.Context, t tenant.ID, limit int) (audit.Head, int, error) {
	var head audit.Head
	sealed := 0
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		var held bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended('latchkey audit ' || $1, 0))`, t.String()).Scan(&held); err != nil || !held {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(`SELECT coalesce(max(seq), 0), (SELECT hash FROM audit_events WHERE tenant_id = $1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1)
			FROM audit_events WHERE tenant_id = $1 AND seq IS NOT NULL`, t.UUID())
		b.Queue(`SELECT coalesce(max(c.seq), 0), coalesce(bool_and(e.hash IS NOT DISTINCT FROM c.hash), true)
			FROM (SELECT seq, hash FROM audit_checkpoints WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1) c
			LEFT JOIN audit_events e ON e.tenant_id = $1 AND e.seq = c.seq`, t.UUID())
		b.Queue(`SELECT `+sealedColumns+` FROM audit_events WHERE tenant_id = $1 AND seq IS NULL ORDER BY id LIMIT $2`, t.UUID(), limit)
		found, events, err := readUnsealed(t, tx.SendBatch(ctx, b))
		if err != nil {
			return err
		}
		if head = found; head.Seq == 0 {
			head.Hash = audit.Genesis(t)
		}
		ids, seqs, hashes := make([]int64, len(events)), make([]int64, len(events)), make([][]byte, len(events))
		for i, e := range events {
			head.Seq++
			head.Hash = audit.Chain(head.Hash, head.Seq, e.Event)
			ids[i], seqs[i], hashes[i] = e.ID, head.Seq, append([]byte(nil), head.Hash[:]...)
		}
		if len(events) == 0 {
			return nil
		}
		tag, err := tx.Exec(ctx, `UPDATE audit_events e SET seq = v.seq, hash = v.hash
			FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS v (id, seq, hash)
			WHERE e.tenant_id = $1 AND e.id = v.id AND e.seq IS NULL`, t.UUID(), ids, seqs, hashes)
		if err == nil && tag.RowsAffected() != int64(len(events)) {
			err = fmt.Errorf("%d of %d events could be sealed", tag.RowsAffected(), len(events))
		}
		sealed = len(events)
		return err
	})
	if err != nil {
		return audit.Head{}, 0, fmt.Errorf("sealing audit events: %w", err)
	}
	return head, sealed, nil
}

func readUnsealed(t tenant.ID, results pgx.BatchResults) (head audit.Head, events []audit.Sealed, err error) {
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	var hash []byte
	if err := results.QueryRow().Scan(&head.Seq, &hash); err != nil {
		return head, nil, err
	}
	copy(head.Hash[:], hash)
	var checkpoint int64
	var agrees bool
	if err := results.QueryRow().Scan(&checkpoint, &agrees); err != nil {
		return head, nil, err
	}
	if checkpoint > head.Seq || !agrees {
		return head, nil, audit.ErrBroken
	}
	rows, err := results.Query()
	if err != nil {
		return head, nil, err
	}
	events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.Sealed, error) { return scanSealed(t, row) })
	return head, events, err
}

// AddCheckpoint stores a checkpoint, unless its place has one of the same key.
func (db *DB) AddCheckpoint(ctx context.Context, c audit.Checkpoint) (bool, error) {
	tag, err := db.jobs.Exec(ctx, `INSERT INTO audit_checkpoints (tenant_id, seq, kid, hash, jws) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		c.Tenant.UUID(), c.Seq, c.KID, c.Hash[:], c.JWS)
	if err != nil {
		return false, fmt.Errorf("storing audit checkpoint: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
