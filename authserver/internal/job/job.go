package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/every"
	"latchkey/authserver/internal/tenant"
)

// Kind is what is done.
type Kind string

const (
	Rewrap Kind = "rewrap" // package rewrap
	Verify Kind = "verify" // the audit trail
)

const (
	// leaseLife is how long work that was killed or has failed waits for the next
	// server.
	leaseLife  = time.Minute
	leaseAgain = 15 * time.Second
	stepEvery  = 5 * time.Second
)

// ErrNotFound says that there is no such job.
var ErrNotFound = errors.New("there is no such job")

// Job is work on one tenant.
type Job struct {
	ID       uuid.UUID
	Kind     Kind
	Tenant   tenant.ID
	Actor    audit.Actor // on whose word
	Request  string
	Begun    time.Time
	Finished time.Time       // zero: not yet
	Progress json.RawMessage // nil: none yet
}

// Store keeps jobs. Errors are doubt.
type Store interface {
	// BeginJob stores a job with its audit event, or returns the one that is open
	// for the same.
	BeginJob(ctx context.Context, id uuid.UUID, kind Kind, t tenant.ID) (*Job, error)
	// Job returns ErrNotFound.
	Job(ctx context.Context, kind Kind, id uuid.UUID) (*Job, error)
	// OpenJobs are those that are not done, oldest first.
	OpenJobs(ctx context.Context) ([]Job, error)
	// LeaseJob makes owner the one who runs an open job, or extends that; false while
	// another is.
	LeaseJob(ctx context.Context, id, owner uuid.UUID, life time.Duration) (bool, error)
	// NoteJob writes how far a job is that owner runs, and that it is done; false
	// when owner runs it no more.
	NoteJob(ctx context.Context, id, owner uuid.UUID, progress any, done bool) (bool, error)
}

// Work does a job of a kind and returns what came of it; report, which may be called
// at any time, says how far it is. Done again from the beginning it does no harm.
type Work func(ctx context.Context, t tenant.ID, report func(progress any)) (result any, err error)

// Runner begins jobs and does them. Store is required; the others for Step and Run.
type Runner struct {
	Store Store
	Works map[Kind]Work
	Log   *slog.Logger
}

// Begin begins a job, or returns the one that is open for the same.
func (r *Runner) Begin(ctx context.Context, kind Kind, t tenant.ID) (*Job, error) {
	return r.Store.BeginJob(ctx, uuid.Must(uuid.NewV7()), kind, t)
}

// Status returns how far a job is, or ErrNotFound.
func (r *Runner) Status(ctx context.Context, kind Kind, id uuid.UUID) (*Job, error) {
	return r.Store.Job(ctx, kind, id)
}

// Run does what is open, until ctx ends. Every server does; the lease says whose turn
// it is.
func (r *Runner) Run(ctx context.Context) {
	every.Run(ctx, stepEvery, func(ctx context.Context) {
		if err := r.Step(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("long work has failed; it is tried again in a minute", "error", err)
		}
	})
}

// Step does each open job that nobody else does, one after the other. One that fails
// holds up no other.
func (r *Runner) Step(ctx context.Context) error {
	open, err := r.Store.OpenJobs(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, j := range open {
		if err := r.do(ctx, j); err != nil {
			failed = append(failed, fmt.Errorf("%s %s of tenant %s: %w", j.Kind, j.ID, j.Tenant, err))
		}
	}
	return errors.Join(failed...)
}

func (r *Runner) do(ctx context.Context, j Job) error {
	work, owner := r.Works[j.Kind], uuid.New()
	if work == nil {
		return nil // of a newer program
	}
	if mine, err := r.Store.LeaseJob(ctx, j.ID, owner, leaseLife); err != nil || !mine {
		return err
	}
	// On whose word it happens, whoever does it.
	ctx, stop := context.WithCancel(audit.WithRequest(ctx, audit.Request{ID: j.Request, Actor: j.Actor}))
	defer stop()
	var beside sync.WaitGroup
	beside.Go(func() { r.hold(ctx, stop, j.ID, owner) })
	defer beside.Wait()
	defer stop()
	result, err := work(ctx, j.Tenant, func(progress any) {
		if mine, err := r.Store.NoteJob(ctx, j.ID, owner, progress, false); err == nil && !mine {
			stop()
		}
	})
	if err != nil {
		return err
	}
	_, err = r.Store.NoteJob(ctx, j.ID, owner, result, true)
	return err
}

// hold extends the lease until ctx ends, and stops the work when it is lost.
func (r *Runner) hold(ctx context.Context, lost func(), id, owner uuid.UUID) {
	tick := time.NewTicker(leaseAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if mine, err := r.Store.LeaseJob(ctx, id, owner, leaseLife); err == nil && !mine {
			lost()
			return
		}
	}
}
