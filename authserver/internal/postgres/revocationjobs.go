package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
)

// selector is how a job keeps its selector: one form for each, so that equal ones
// are found.
type selector struct {
	Tenant  string `json:"tenant,omitempty"`
	Subject string `json:"subject,omitempty"`
	Client  string `json:"client,omitempty"`
	Google  bool   `json:"google,omitempty"`
}

func stored(s revocation.Selector) selector {
	out := selector{Client: s.Client, Google: s.Google}
	if !s.Tenant.IsZero() {
		out.Tenant = s.Tenant.String()
	}
	if s.Subject != uuid.Nil {
		out.Subject = s.Subject.String()
	}
	return out
}

func (s selector) selector() revocation.Selector {
	out := revocation.Selector{Client: s.Client, Google: s.Google}
	out.Tenant, _ = tenant.ParseID(s.Tenant) // what we wrote; "" is every tenant
	out.Subject, _ = uuid.Parse(s.Subject)
	return out
}

// What a selector is about, of the rows of a table: $1 tenant or NULL, $2 subject
// or NULL, $3 client or ”, $4 whether accounts are, $5 the cutoff. What is over
// anyway is not.
const (
	affectedGrants = `($1::uuid IS NULL OR g.tenant_id = $1) AND ($2::uuid IS NULL OR g.subject_id = $2) AND ($3 = '' OR g.client_id = $3)
		AND g.revoked_at IS NULL AND g.expires_at > now() AND g.created_at <= $5`
	affectedSessions = `$3 = '' AND ($1::uuid IS NULL OR s.tenant_id = $1) AND ($2::uuid IS NULL OR s.subject_id = $2) AND s.ended_at IS NULL AND s.created_at <= $5`
	// An account that was linked again since stays: its tokens are new ones.
	affectedConnections = `$4 AND ($1::uuid IS NULL OR c.tenant_id = $1) AND ($2::uuid IS NULL OR c.subject_id = $2) AND c.status = 'linked'
		AND EXISTS (SELECT FROM credentials k WHERE k.tenant_id = c.tenant_id AND k.connection_id = c.id AND coalesce(k.linked_at, '-infinity') <= $5)
		AND ($3 = '' OR EXISTS (SELECT FROM grants m WHERE m.tenant_id = c.tenant_id AND m.subject_id = c.subject_id AND m.connection_id = c.id AND m.client_id = $3 AND m.created_at <= $5))`

	affectedByTenant = `SELECT t.id, t.slug, coalesce(g.n, 0), coalesce(s.n, 0), coalesce(c.n, 0) FROM tenants t
		LEFT JOIN (SELECT g.tenant_id, count(*) AS n FROM grants g WHERE ` + affectedGrants + ` GROUP BY 1) g ON g.tenant_id = t.id
		LEFT JOIN (SELECT s.tenant_id, count(*) AS n FROM sessions s WHERE ` + affectedSessions + ` GROUP BY 1) s ON s.tenant_id = t.id
		LEFT JOIN (SELECT c.tenant_id, count(*) AS n FROM connections c WHERE ` + affectedConnections + ` GROUP BY 1) c ON c.tenant_id = t.id
		WHERE coalesce(g.n, 0) + coalesce(s.n, 0) + coalesce(c.n, 0) > 0 ORDER BY t.slug`
)

func affectedArgs(s revocation.Selector, cutoff time.Time) []any {
	return []any{idValue(s.Tenant.UUID()), idValue(s.Subject), s.Client, s.Google, cutoff}
}

// patiently runs f in a transaction of the jobs role that may take long.
func (db *DB) patiently(ctx context.Context, f func(pgx.Tx) error) error {
	return db.longJob(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, patient); err != nil {
			return err
		}
		return f(tx)
	})
}

// CountAffected counts what a selector would end now, by tenant.
func (db *DB) CountAffected(ctx context.Context, s revocation.Selector) (list []revocation.Affected, err error) {
	err = db.patiently(ctx, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, affectedByTenant, affectedArgs(s, now)...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a revocation.Affected, err error) {
			err = row.Scan(nil, &a.Tenant, &a.Grants, &a.Sessions, &a.Connections)
			return a, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting what is to be revoked: %w", err)
	}
	return list, nil
}

// SizeRevocation notes how many rows a job has, of each tenant.
func (db *DB) SizeRevocation(ctx context.Context, j *revocation.Job) error {
	args := append(affectedArgs(j.Selector, j.Cutoff), j.ID)
	err := db.patiently(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE revocation_epochs e SET total = e.grants + e.sessions + e.connections + a.g + a.s + a.c
			FROM (`+affectedByTenant+`) AS a (id, slug, g, s, c) WHERE e.job_id = $6 AND e.tenant_id = a.id`, args...)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT coalesce(sum(total), 0)::bigint FROM revocation_epochs WHERE job_id = $1`, j.ID).Scan(&j.Total)
	})
	if err != nil {
		return fmt.Errorf("counting what is to be revoked: %w", err)
	}
	return nil
}

// BeginRevocation commits a job and its epochs, one for each tenant, with an event
// in each tenant's trail. Where the same selector has an open job, it returns that.
func (db *DB) BeginRevocation(ctx context.Context, id uuid.UUID, s revocation.Selector) (*revocation.Job, bool, error) {
	by := audit.FromContext(ctx)
	e := audit.Event{Kind: audit.AdminAct, Actor: by.ActorOr(audit.System), Detail: "revocation begun " + id.String(), Subject: s.Subject, Client: s.Client}
	of, begun := id, false
	begin := func(tx pgx.Tx) error {
		of, begun = id, false
		var cutoff time.Time
		err := tx.QueryRow(ctx, `INSERT INTO jobs (id, kind, selector, actor, request_id) VALUES ($1, 'revoke', $2, $3, $4)
			ON CONFLICT (kind, selector) WHERE finished_at IS NULL DO NOTHING RETURNING cutoff`, id, stored(s), string(e.Actor), by.ID).Scan(&cutoff)
		if errors.Is(err, pgx.ErrNoRows) {
			return tx.QueryRow(ctx, `SELECT id FROM jobs WHERE kind = 'revoke' AND selector = $1 AND finished_at IS NULL`, stored(s)).Scan(&of)
		}
		if err != nil {
			return err
		}
		begun = true
		acted := audited(ctx, stmt(`INSERT INTO revocation_epochs (tenant_id, job_id, revoked_before, subject_id, client_id, google)
			SELECT t.id, $1, $2, $4::uuid, $5, $6 FROM tenants t WHERE $3::uuid IS NULL OR t.id = $3 RETURNING tenant_id`,
			id, cutoff, idValue(s.Tenant.UUID()), idValue(s.Subject), s.Client, s.Google), e, fromRow{"tenant_id": `act.tenant_id`}, "", count)
		tag, err := tx.Exec(ctx, acted.sql, acted.args...)
		if err == nil && tag.RowsAffected() == 0 {
			return errors.New("there is no such tenant")
		}
		return err
	}
	err := pgx.ErrNoRows // the open one was finished between the two statements
	for try := 0; try < 3 && errors.Is(err, pgx.ErrNoRows); try++ {
		err = pgx.BeginFunc(ctx, db.jobs, begin)
	}
	if err != nil {
		return nil, false, fmt.Errorf("beginning a revocation: %w", err)
	}
	j, err := db.RevocationJob(ctx, of)
	return j, begun, err
}

// RevocationJob returns how far a job is, or revocation.ErrNotFound.
func (db *DB) RevocationJob(ctx context.Context, id uuid.UUID) (*revocation.Job, error) {
	j := revocation.Job{ID: id}
	var of selector
	var finished *time.Time
	err := db.jobs.QueryRow(ctx, `SELECT j.selector, j.cutoff, j.actor, j.request_id, j.finished_at, count(e.tenant_id), count(*) FILTER (WHERE e.stage <> 'done'),
			coalesce(sum(e.total), 0)::bigint, coalesce(sum(e.grants), 0)::bigint, coalesce(sum(e.sessions), 0)::bigint, coalesce(sum(e.connections), 0)::bigint
		FROM jobs j LEFT JOIN revocation_epochs e ON e.job_id = j.id WHERE j.id = $1 AND j.kind = 'revoke' GROUP BY j.id`, id).
		Scan(&of, &j.Cutoff, &j.Actor, &j.Request, &finished, &j.Tenants, &j.Left, &j.Total, &j.Done.Grants, &j.Done.Sessions, &j.Done.Connections)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, revocation.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading a revocation: %w", err)
	}
	j.Selector = of.selector()
	if finished != nil {
		j.Finished = *finished
	}
	return &j, nil
}

// OpenRevocations are the jobs that are not done, oldest first.
func (db *DB) OpenRevocations(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := db.jobs.Query(ctx, `SELECT id FROM jobs WHERE kind = 'revoke' AND finished_at IS NULL ORDER BY cutoff, id`)
	if err != nil {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	return list, nil
}

// LeaseJob makes owner the one who runs an open job for the given time, or
// extends that: one conditional statement decides.
func (db *DB) LeaseJob(ctx context.Context, id, owner uuid.UUID, life time.Duration) (bool, error) {
	tag, err := db.jobs.Exec(ctx, `UPDATE jobs SET lease_owner = $2, lease_until = now() + $3::interval, attempts = attempts + CASE WHEN lease_owner IS DISTINCT FROM $2 THEN 1 ELSE 0 END
		WHERE id = $1 AND finished_at IS NULL AND (lease_owner = $2 OR lease_until IS NULL OR lease_until <= now())`, id, owner, life)
	if err != nil {
		return false, fmt.Errorf("leasing a job: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ReleaseJob gives a job back.
func (db *DB) ReleaseJob(ctx context.Context, id, owner uuid.UUID) error {
	if _, err := db.jobs.Exec(ctx, `UPDATE jobs SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2`, id, owner); err != nil {
		return fmt.Errorf("releasing a job: %w", err)
	}
	return nil
}

// OpenParts are tenants that a job is not done with.
func (db *DB) OpenParts(ctx context.Context, j *revocation.Job, most int) ([]revocation.Part, error) {
	rows, err := db.jobs.Query(ctx, `SELECT tenant_id FROM revocation_epochs WHERE job_id = $1 AND stage <> 'done' ORDER BY tenant_id LIMIT $2`, j.ID, most)
	if err != nil {
		return nil, fmt.Errorf("listing the parts of a revocation: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (revocation.Part, error) {
		var t uuid.UUID
		err := row.Scan(&t)
		return revocation.Part{Job: j, Tenant: tenant.FromUUID(t)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the parts of a revocation: %w", err)
	}
	return list, nil
}

// FinishRevocation ends a job of which no part is open.
func (db *DB) FinishRevocation(ctx context.Context, id uuid.UUID) (bool, error) {
	tag, err := db.jobs.Exec(ctx, `UPDATE jobs SET finished_at = now(), lease_owner = NULL, lease_until = NULL
		WHERE id = $1 AND finished_at IS NULL AND NOT EXISTS (SELECT FROM revocation_epochs WHERE job_id = $1 AND stage <> 'done')`, id)
	if err != nil {
		return false, fmt.Errorf("finishing a revocation: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// SettledParts are parts that are done and not closed, of epochs older than a time.
func (db *DB) SettledParts(ctx context.Context, older time.Duration, most int) ([]revocation.Part, error) {
	rows, err := db.jobs.Query(ctx, `SELECT e.tenant_id, j.id, j.selector, j.cutoff, j.actor, j.request_id FROM revocation_epochs e JOIN jobs j ON j.id = e.job_id
		WHERE e.closed_at IS NULL AND e.stage = 'done' AND e.revoked_before <= now() - $1::interval ORDER BY e.revoked_before, e.tenant_id LIMIT $2`, older, most)
	if err != nil {
		return nil, fmt.Errorf("listing epochs: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (revocation.Part, error) {
		var t uuid.UUID
		var of selector
		var j revocation.Job
		err := row.Scan(&t, &j.ID, &of, &j.Cutoff, &j.Actor, &j.Request)
		j.Selector = of.selector()
		return revocation.Part{Job: &j, Tenant: tenant.FromUUID(t)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing epochs: %w", err)
	}
	return list, nil
}
