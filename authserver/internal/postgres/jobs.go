package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/tenant"
)

const jobColumns = `id, kind, selector->>'tenant', actor, request_id, cutoff, finished_at, progress, kek_id, attempts, failure`

func scanJob(row pgx.CollectableRow) (j job.Job, err error) {
	var of string
	var finished *time.Time
	if err := row.Scan(&j.ID, &j.Kind, &of, &j.Actor, &j.Request, &j.Begun, &finished, &j.Progress, &j.KEK, &j.Attempts, &j.Failure); err != nil {
		return j, err
	}
	j.Begun, j.Finished = j.Begun.UTC(), orZero(finished)
	j.Tenant, err = tenant.ParseID(of)
	return j, err
}

func (db *DB) jobsWhere(ctx context.Context, which string, args ...any) ([]job.Job, error) {
	rows, err := db.jobs.Query(ctx, `SELECT `+jobColumns+` FROM jobs WHERE kind <> 'revoke' AND `+which, args...)
	if err == nil {
		var list []job.Job
		if list, err = pgx.CollectRows(rows, scanJob); err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("reading jobs: %w", err)
}

// BeginJob stores a job on a tenant with its audit event. Where the same is open, it
// returns that; one for another key-encryption key ends, unless a server is at it.
func (db *DB) BeginJob(ctx context.Context, id uuid.UUID, kind job.Kind, t tenant.ID, kek string) (*job.Job, error) {
	by := audit.FromContext(ctx)
	of, whose := id, selector{Tenant: t.String()}
	begin := func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE jobs SET finished_at = now(), failure = $4
			WHERE kind = $1 AND selector = $2 AND finished_at IS NULL AND kek_id <> $3 AND (lease_until IS NULL OR lease_until <= now())`, kind, whose, kek, job.Superseded); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO jobs (id, kind, selector, actor, request_id, kek_id) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (kind, selector) WHERE finished_at IS NULL DO NOTHING`, id, kind, whose, string(by.ActorOr(audit.Operator)), by.ID, kek)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return tx.QueryRow(ctx, `SELECT id FROM jobs WHERE kind = $1 AND selector = $2 AND finished_at IS NULL`, kind, whose).Scan(&of)
		}
		return adminAct(ctx, tx, t, string(kind)+" begun "+id.String())
	}
	err := pgx.ErrNoRows // the open one was finished between the two statements
	for try := 0; try < 3 && errors.Is(err, pgx.ErrNoRows); try++ {
		of = id
		err = pgx.BeginFunc(ctx, db.jobs, begin)
	}
	if err != nil {
		return nil, fmt.Errorf("beginning a job: %w", err)
	}
	j, err := db.Job(ctx, kind, of)
	if err == nil && j.KEK != kek {
		return nil, job.ErrOtherKEK
	}
	return j, err
}

// OpenJob returns the job that is open for a tenant, or job.ErrNotFound.
func (db *DB) OpenJob(ctx context.Context, kind job.Kind, t tenant.ID) (*job.Job, error) {
	return theJob(db.jobsWhere(ctx, `kind = $1 AND selector = $2 AND finished_at IS NULL`, kind, selector{Tenant: t.String()}))
}

// RecentJobs are a tenant's newest jobs.
func (db *DB) RecentJobs(ctx context.Context, t tenant.ID, most int) ([]job.Job, error) {
	return db.jobsWhere(ctx, `selector->>'tenant' = $1 ORDER BY cutoff DESC, id DESC LIMIT $2`, t.String(), most)
}

func theJob(found []job.Job, err error) (*job.Job, error) {
	if err == nil && len(found) == 0 {
		err = job.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// Job returns how far a job is, or job.ErrNotFound.
func (db *DB) Job(ctx context.Context, kind job.Kind, id uuid.UUID) (*job.Job, error) {
	return theJob(db.jobsWhere(ctx, `kind = $1 AND id = $2`, kind, id))
}

// OpenJobs are the jobs that are not done, oldest first.
func (db *DB) OpenJobs(ctx context.Context) ([]job.Job, error) {
	return db.jobsWhere(ctx, `finished_at IS NULL ORDER BY cutoff, id LIMIT 100`)
}

// NoteJob writes how far a job is that owner runs, and whether it is done. It reports
// false, and does nothing, when owner runs it no more.
func (db *DB) NoteJob(ctx context.Context, id, owner uuid.UUID, progress any, done bool) (bool, error) {
	b, err := json.Marshal(progress)
	if err != nil {
		return false, fmt.Errorf("encoding progress: %w", err)
	}
	tag, err := db.jobs.Exec(ctx, `UPDATE jobs SET progress = $3::jsonb, failure = '', finished_at = CASE WHEN $4 THEN now() END WHERE id = $1 AND lease_owner = $2 AND finished_at IS NULL`,
		id, owner, string(b), done)
	if err != nil {
		return false, fmt.Errorf("noting a job: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// FailJob writes why a job failed that owner runs. From so many attempts on it is
// finished with that.
func (db *DB) FailJob(ctx context.Context, id, owner uuid.UUID, why job.Failure, most int) error {
	_, err := db.jobs.Exec(ctx, `UPDATE jobs SET failure = $3, finished_at = CASE WHEN attempts >= $4 THEN now() END WHERE id = $1 AND lease_owner = $2 AND finished_at IS NULL`, id, owner, why, most)
	if err != nil {
		return fmt.Errorf("noting why a job failed: %w", err)
	}
	return nil
}

// PassJob writes why a server leaves an open job that nobody runs, if nothing is
// written yet.
func (db *DB) PassJob(ctx context.Context, id uuid.UUID, why job.Failure) error {
	_, err := db.jobs.Exec(ctx, `UPDATE jobs SET failure = $2 WHERE id = $1 AND failure = '' AND finished_at IS NULL AND (lease_until IS NULL OR lease_until <= now())`, id, why)
	if err != nil {
		return fmt.Errorf("noting why a job waits: %w", err)
	}
	return nil
}
