package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/revocation"
)

// Rows of one transaction. A grant and a session are written with their event, an
// account with its credential, its grants and a row of the queue.
const (
	grantBatch      = 500
	sessionBatch    = 500
	connectionBatch = 100
)

// pass is the work of one transaction on a part, as its tenant: row-level security
// keeps it there.
type pass struct {
	tx    pgx.Tx
	part  revocation.Part
	after []byte // key of the last row that is done
	limit int

	rows int64
	full bool // there may be more behind the last row
}

func (p *pass) args(more ...any) []any {
	s := p.part.Job.Selector
	s.Tenant = p.part.Tenant
	return append(affectedArgs(s, p.part.Job.Cutoff), more...)
}

// RevokeBatch does the next rows of a part. Rows that others hold are left for
// later: it waits for nobody while it has locks itself. The lock on the epoch makes
// it the only one at this part.
func (db *DB) RevokeBatch(ctx context.Context, part revocation.Part) (done revocation.Batch, err error) {
	err = db.slowly(ctx, part.Tenant, func(tx pgx.Tx) error {
		var stage revocation.Stage
		p := &pass{tx: tx, part: part}
		err := tx.QueryRow(ctx, `SELECT stage, after FROM revocation_epochs WHERE tenant_id = $1 AND job_id = $2 FOR UPDATE SKIP LOCKED`,
			part.Tenant.UUID(), part.Job.ID).Scan(&stage, &p.after)
		if errors.Is(err, pgx.ErrNoRows) {
			return p.missing(ctx, &done)
		}
		if err != nil || stage == revocation.Done {
			done.Finished = stage == revocation.Done
			return err
		}
		left, err := p.step(ctx, stage)
		if err != nil {
			return err
		}
		next := stage
		if !p.full {
			p.after = nil // what others held comes in another round
			if !left {
				next = part.Job.Selector.After(stage)
			}
		}
		done = revocation.Batch{Stage: stage, Rows: p.rows, Waiting: left && p.rows == 0, Finished: next == revocation.Done}
		return p.note(ctx, stage, next)
	})
	if err != nil {
		return revocation.Batch{}, fmt.Errorf("revoking: %w", err)
	}
	return done, nil
}

// missing tells an epoch that somebody else works on from one that is gone with
// its person or tenant.
func (p *pass) missing(ctx context.Context, done *revocation.Batch) error {
	return p.tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM revocation_epochs WHERE tenant_id = $1 AND job_id = $2), true`,
		p.part.Tenant.UUID(), p.part.Job.ID).Scan(&done.Finished, &done.Waiting)
}

// step does a batch of a stage and reports whether anything of it is left, which
// is looked up only behind its last row.
func (p *pass) step(ctx context.Context, stage revocation.Stage) (left bool, err error) {
	var of string
	switch stage {
	case revocation.Grants:
		of, err = `grants g WHERE `+affectedGrants, p.grants(ctx)
	case revocation.Sessions:
		of, err = `sessions s WHERE `+affectedSessions, p.sessions(ctx)
	case revocation.Connections:
		of, err = `connections c WHERE `+affectedConnections, p.connections(ctx)
	default:
		return false, fmt.Errorf("stage %q is unknown", stage)
	}
	if err != nil || p.full {
		return true, err
	}
	// Each parameter has a type, whichever of them the condition reads.
	err = p.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+of+`) FROM (SELECT $1::uuid, $2::uuid, $3::text, $4::boolean, $5::timestamptz) AS typed`, p.args()...).Scan(&left)
	return left, err
}

// note writes how far the part is.
func (p *pass) note(ctx context.Context, stage, next revocation.Stage) error {
	counted := fmt.Sprintf(`UPDATE revocation_epochs SET stage = $3, after = $4, %[1]s = %[1]s + $5, finished_at = CASE WHEN $3 = 'done' THEN now() END
		WHERE tenant_id = $1 AND job_id = $2 RETURNING grants`, string(stage))
	if next != stage {
		p.after = nil
	}
	s := stmt(counted, p.part.Tenant.UUID(), p.part.Job.ID, string(next), p.after, p.rows)
	if next == revocation.Done {
		s = audited(ctx, s, audit.Event{Tenant: p.part.Tenant, Kind: audit.AdminAct, Actor: audit.FromContext(ctx).ActorOr(audit.System), Detail: "revocation done " + p.part.Job.ID.String(),
			Subject: p.part.Job.Selector.Subject, Client: p.part.Job.Selector.Client}, nil, "", count)
	}
	_, err := p.tx.Exec(ctx, s.sql, s.args...)
	return err
}

// ended is the event of a grant that the job ends.
func (p *pass) ended(ctx context.Context) audit.Event {
	return audit.Event{Tenant: p.part.Tenant, Kind: audit.GrantRevoked, Actor: audit.FromContext(ctx).ActorOr(audit.System), Detail: revocation.Reason + " " + p.part.Job.ID.String()}
}

func (p *pass) grants(ctx context.Context) error {
	var after uuid.UUID
	copy(after[:], p.after)
	s := audited(ctx, stmt(`UPDATE grants SET revoked_at = now(), revoked_reason = '`+revocation.Reason+`'
		WHERE tenant_id = $1 AND id = ANY(ARRAY(SELECT g.id FROM grants g WHERE `+affectedGrants+` AND $4::boolean IS NOT NULL AND g.id > $6 ORDER BY g.id LIMIT $7 FOR UPDATE SKIP LOCKED))
		RETURNING `+grantColumns, p.args(after, grantBatch)...), p.ended(ctx), grantRow, "",
		`SELECT (SELECT count(*) FROM act), coalesce((SELECT id FROM act ORDER BY id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000')`)
	if err := p.tx.QueryRow(ctx, s.sql, s.args...).Scan(&p.rows, &after); err != nil {
		return fmt.Errorf("marking grants: %w", err)
	}
	p.full, p.after = p.rows == grantBatch, after[:]
	return nil
}

func (p *pass) sessions(ctx context.Context) error {
	if p.after == nil {
		p.after = []byte{}
	}
	e := p.ended(ctx)
	e.Kind = audit.SessionEnded
	s := audited(ctx, stmt(`UPDATE sessions SET ended_at = now()
			WHERE tenant_id = $1 AND secret_hash = ANY(ARRAY(SELECT s.secret_hash FROM sessions s WHERE `+affectedSessions+` AND $4::boolean IS NOT NULL AND s.secret_hash > $6
				ORDER BY s.secret_hash LIMIT $7 FOR UPDATE SKIP LOCKED)) RETURNING secret_hash, subject_id, id`, p.args(p.after, sessionBatch, e.Detail)...), e,
		fromRow{"subject_id": "act.subject_id", "detail": `$8::text || ' session ' || act.id`}, "",
		`SELECT (SELECT count(*) FROM act), coalesce((SELECT secret_hash FROM act ORDER BY secret_hash DESC LIMIT 1), '')`)
	err := p.tx.QueryRow(ctx, s.sql, s.args...).Scan(&p.rows, &p.after)
	if err != nil {
		return fmt.Errorf("ending sessions: %w", err)
	}
	p.full = p.rows == sessionBatch
	return nil
}

// connections disconnects accounts. The locks are taken as everywhere: subjects,
// credentials, grants.
func (p *pass) connections(ctx context.Context) error {
	var after uuid.UUID
	copy(after[:], p.after)
	t, cutoff := p.part.Tenant, p.part.Job.Cutoff
	// A page of accounts first, and then which of them it is about: the planner may
	// not join whole tables for a hundred rows.
	rows, err := p.tx.Query(ctx, `WITH page AS MATERIALIZED (
			SELECT p.tenant_id, p.id, p.subject_id, p.status FROM connections p WHERE p.tenant_id = $1 AND ($2::uuid IS NULL OR p.subject_id = $2) AND p.status = 'linked' AND p.id > $6 ORDER BY p.id LIMIT $7)
		SELECT c.id, c.subject_id, `+affectedConnections+` FROM page c ORDER BY c.id`, p.args(after, connectionBatch)...)
	if err != nil {
		return fmt.Errorf("finding accounts: %w", err)
	}
	var ids, subjects []uuid.UUID
	var id, subject uuid.UUID
	var affected bool
	seen := 0
	if _, err := pgx.ForEachRow(rows, []any{&id, &subject, &affected}, func() error {
		if seen++; affected {
			ids, subjects = append(ids, id), append(subjects, subject)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("finding accounts: %w", err)
	}
	p.full, p.after = seen == connectionBatch, id[:]
	if len(ids) == 0 {
		return nil
	}
	locked := func(sql string, args ...any) ([]uuid.UUID, error) {
		rows, err := p.tx.Query(ctx, sql, args...)
		if err != nil {
			return nil, fmt.Errorf("locking accounts: %w", err)
		}
		return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	if subjects, err = locked(`SELECT id FROM subjects WHERE tenant_id = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED`, t.UUID(), subjects); err != nil {
		return err
	}
	ids, err = locked(`SELECT k.connection_id FROM credentials k JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id
		WHERE k.tenant_id = $1 AND k.connection_id = ANY($2) AND c.subject_id = ANY($3) AND coalesce(k.linked_at, '-infinity') <= $4 ORDER BY 1 FOR UPDATE OF k SKIP LOCKED`,
		t.UUID(), ids, subjects, cutoff)
	if err != nil || len(ids) == 0 {
		return err
	}
	gone := audit.Event{Tenant: t, Kind: audit.Disconnected, Actor: audit.FromContext(ctx).ActorOr(audit.System), Detail: p.ended(ctx).Detail}
	b := &pgx.Batch{}
	for _, s := range disconnected(ctx, disconnection{tenant: t, connections: ids, reason: "account_disconnected", ended: p.ended(ctx), gone: gone}) {
		b.Queue(s.sql, s.args...)
	}
	p.rows = int64(len(ids))
	return p.tx.SendBatch(ctx, b).Close()
}

// ClosePart does what came late of a part that is done, and closes its epoch when
// nothing is left: from then on the rows say it all.
func (db *DB) ClosePart(ctx context.Context, part revocation.Part) (done revocation.Batch, err error) {
	err = db.slowly(ctx, part.Tenant, func(tx pgx.Tx) error {
		p := &pass{tx: tx, part: part}
		var open bool
		err := tx.QueryRow(ctx, `SELECT closed_at IS NULL FROM revocation_epochs WHERE tenant_id = $1 AND job_id = $2 AND stage = 'done' FOR UPDATE SKIP LOCKED`,
			part.Tenant.UUID(), part.Job.ID).Scan(&open)
		if errors.Is(err, pgx.ErrNoRows) {
			return p.missing(ctx, &done)
		}
		if err != nil || !open {
			done.Finished = !open
			return err
		}
		for stage := revocation.Grants; stage != revocation.Done; stage = part.Job.Selector.After(stage) {
			p.after, p.rows, p.full = nil, 0, false
			left, err := p.step(ctx, stage)
			if err != nil {
				return err
			}
			done.Rows += p.rows
			if left {
				done.Waiting = p.rows == 0
				return nil
			}
		}
		done.Finished = true
		_, err = tx.Exec(ctx, `UPDATE revocation_epochs SET closed_at = now() WHERE tenant_id = $1 AND job_id = $2`, part.Tenant.UUID(), part.Job.ID)
		return err
	})
	if err != nil {
		return revocation.Batch{}, fmt.Errorf("closing an epoch: %w", err)
	}
	return done, nil
}
