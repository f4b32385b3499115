package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
)

const (
	// leaseLife is how long the work of a run that was killed waits for the next.
	// Each batch extends the lease; a batch takes milliseconds.
	leaseLife = 10 * time.Second

	stepEvery = 5 * time.Second
	watchEach = 250 * time.Millisecond // progress of a job that somebody else runs
	waitRows  = 100 * time.Millisecond
	partsPage = 100

	// settled is how long after its epoch a job is looked at for the last time: no
	// transaction that began before it is under way then. The longest have a dozen
	// statements of at most 5 s each; until then the epoch goes on refusing.
	settled = 20 * time.Minute
	// closeBatch bounds how many parts are closed in one step.
	closeBatch = 50
)

// Store keeps jobs and does their steps. Errors are doubt.
type Store interface {
	// CountAffected counts what a selector would end now, by tenant, and changes
	// nothing.
	CountAffected(ctx context.Context, s Selector) ([]Affected, error)
	// BeginRevocation commits the epochs of a new job, or returns the one that is
	// open for the same selector.
	BeginRevocation(ctx context.Context, id uuid.UUID, s Selector) (job *Job, begun bool, err error)
	// SizeRevocation counts the job's rows, to show how far it is.
	SizeRevocation(ctx context.Context, j *Job) error
	// RevocationJob returns how far a job is, or ErrNotFound.
	RevocationJob(ctx context.Context, id uuid.UUID) (*Job, error)
	// OpenRevocations are the jobs that are not done, oldest first.
	OpenRevocations(ctx context.Context) ([]uuid.UUID, error)
	// LeaseJob makes owner the one who runs an open job, or extends that;
	// false while another is. Exactly one of several at once succeeds.
	LeaseJob(ctx context.Context, id, owner uuid.UUID, life time.Duration) (bool, error)
	// ReleaseJob gives the job back.
	ReleaseJob(ctx context.Context, id, owner uuid.UUID) error
	// OpenParts are tenants that the job is not done with.
	OpenParts(ctx context.Context, j *Job, most int) ([]Part, error)
	// RevokeBatch does the next few rows of a part, in one transaction with their
	// events. Two at once wait for each other and do no row twice.
	RevokeBatch(ctx context.Context, p Part) (Batch, error)
	// FinishRevocation ends a job of which no part is open; false if one is.
	FinishRevocation(ctx context.Context, id uuid.UUID) (bool, error)
	// SettledParts are parts that are done, not closed, and whose epoch is older
	// than a time.
	SettledParts(ctx context.Context, older time.Duration, most int) ([]Part, error)
	// ClosePart marks what came late, and ends the epoch at the authorization
	// server when nothing is left; Finished then.
	ClosePart(ctx context.Context, p Part) (Batch, error)
}

// ErrNotFound says that there is no such job.
var ErrNotFound = errors.New("there is no such revocation")

// Revoker begins and runs revocations. Store is required; Log only for Work.
type Revoker struct {
	Store Store
	Log   *slog.Logger
}

// Count tells what a selector would end now, by tenant: those of which there is
// nothing are left out. Nothing changes.
func (r *Revoker) Count(ctx context.Context, s Selector) ([]Affected, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return r.Store.CountAffected(ctx, s)
}

// Begin revokes: when it returns, nothing that was granted up to Job.Cutoff is
// served by the authorization server, and resource servers refuse it when they
// have read their feed. The rows are still to be marked, by Run or by any server.
// Where the same revocation is under way already, that one is returned, with its
// cutoff, and begun is false.
func (r *Revoker) Begin(ctx context.Context, s Selector) (job *Job, begun bool, err error) {
	if err := s.Check(); err != nil {
		return nil, false, err
	}
	return r.Store.BeginRevocation(ctx, uuid.Must(uuid.NewV7()), s)
}

// Status returns how far a job is, or ErrNotFound.
func (r *Revoker) Status(ctx context.Context, id uuid.UUID) (*Job, error) {
	return r.Store.RevocationJob(ctx, id)
}

// Open returns the jobs that are not done, oldest first.
func (r *Revoker) Open(ctx context.Context) ([]uuid.UUID, error) { return r.Store.OpenRevocations(ctx) }

// Run works on a job until it is done, and watches while somebody else does. When
// ctx ends the job stays as it is for the next run. report, which may be nil, is
// called after each batch.
func (r *Revoker) Run(ctx context.Context, id uuid.UUID, report func(*Job)) (*Job, error) {
	owner := uuid.New()
	for {
		job, err := r.run(ctx, id, owner, report)
		if err != nil {
			return job, err
		}
		if report != nil {
			report(job)
		}
		if !job.Finished.IsZero() {
			return job, nil
		}
		if err := pause(ctx, watchEach); err != nil {
			return job, err
		}
	}
}

// run works on a job as long as it has the lease, and returns how far it is then.
func (r *Revoker) run(ctx context.Context, id, owner uuid.UUID, report func(*Job)) (*Job, error) {
	mine, err := r.Store.LeaseJob(ctx, id, owner, leaseLife)
	if err != nil {
		return nil, err
	}
	job, err := r.Store.RevocationJob(ctx, id)
	if err != nil || !mine || !job.Finished.IsZero() {
		return job, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = r.Store.ReleaseJob(end, id, owner) // or it ends by itself
	}()
	if job.Total == 0 {
		// Only shown: where it cannot be counted, it is revoked all the same.
		if err := r.Store.SizeRevocation(ctx, job); err != nil && r.Log != nil {
			r.Log.Warn("the rows of a revocation could not be counted", "job", id.String(), "error", err)
		}
	}
	for {
		parts, err := r.Store.OpenParts(ctx, job, partsPage)
		if err != nil {
			return job, err
		}
		for _, p := range parts {
			if mine, err = r.part(ctx, p, owner, report); err != nil || !mine {
				return job, err
			}
		}
		if len(parts) == 0 {
			break
		}
	}
	if _, err := r.Store.FinishRevocation(ctx, id); err != nil {
		return job, err
	}
	return r.Store.RevocationJob(ctx, id)
}

// part does one tenant. It reports false when the lease was lost.
func (r *Revoker) part(ctx context.Context, p Part, owner uuid.UUID, report func(*Job)) (mine bool, err error) {
	// On whose word it happens, whoever does it.
	acting := audit.WithRequest(ctx, audit.Request{ID: p.Job.Request, Actor: p.Job.Actor})
	for {
		mine, err := r.Store.LeaseJob(ctx, p.Job.ID, owner, leaseLife)
		if err != nil || !mine {
			return false, err
		}
		done, err := r.Store.RevokeBatch(acting, p)
		if err != nil {
			return true, err
		}
		// Nobody else moves it: it needs no query to know how far it is.
		p.Job.Done = p.Job.Done.plus(done)
		if report != nil && done.Rows > 0 {
			report(p.Job)
		}
		if done.Finished {
			return true, nil
		}
		if done.Waiting {
			if err := pause(ctx, waitRows); err != nil {
				return true, err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// Work runs what others have begun and left, until ctx ends. Every server does;
// the lease says whose turn it is.
func (r *Revoker) Work(ctx context.Context) {
	for pause(ctx, stepEvery) == nil {
		if err := r.Step(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("going on with a revocation", "error", err)
		}
	}
}

// Step takes up each open job that nobody runs, and closes what is settled. A job
// that fails holds up no other.
func (r *Revoker) Step(ctx context.Context) error {
	open, err := r.Store.OpenRevocations(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range open {
		job, err := r.run(ctx, id, uuid.New(), nil)
		if err != nil {
			failed = append(failed, fmt.Errorf("revocation %s: %w", id, err))
			continue
		}
		if !job.Finished.IsZero() && r.Log != nil {
			r.Log.Info("a revocation is done", "job", id.String(), "grants", job.Done.Grants, "sessions", job.Done.Sessions, "connections", job.Done.Connections)
		}
	}
	return errors.Join(append(failed, r.Close(ctx, settled))...)
}

// Close ends epochs older than a time of which every row is marked.
func (r *Revoker) Close(ctx context.Context, older time.Duration) error {
	parts, err := r.Store.SettledParts(ctx, older, closeBatch)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range parts {
		acting := audit.WithRequest(ctx, audit.Request{ID: p.Job.Request, Actor: p.Job.Actor})
		for {
			done, err := r.Store.ClosePart(acting, p)
			if err != nil {
				failed = append(failed, err)
				break
			}
			if done.Finished || done.Waiting { // those that wait: the next time
				break
			}
		}
	}
	return errors.Join(failed...)
}
