package job

import (
	"cmp"
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
	// MaxAttempts is how often servers begin a job, one after the other. Then it has
	// failed for good: also one that kills who does it.
	MaxAttempts = 10
)

// Why nothing is begun or shown.
var (
	ErrNotFound = errors.New("there is no such job")
	// ErrOtherKEK says that a server is at the same work for another key-encryption
	// key.
	ErrOtherKEK = errors.New("a server is at this work for another key-encryption key")
)

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
	KEK      string          // of a rewrap: the key-encryption key that it moves to
	Attempts int             // how often a server has begun it
	Failure  Failure         // of the last attempt
}

// State says how a job is.
type State string

// The states of a job.
const (
	Open   State = "open"
	Done   State = "done"
	Failed State = "failed" // for good
)

// State is the job's.
func (j *Job) State() State {
	switch {
	case j.Finished.IsZero():
		return Open
	case j.Failure == "":
		return Done
	}
	return Failed
}

// Store keeps jobs. Errors are doubt.
type Store interface {
	// BeginJob stores a job with its audit event, or returns the one that is open
	// for the same. One for another key-encryption key that no server is at fails; of
	// one that a server is at it returns ErrOtherKEK.
	BeginJob(ctx context.Context, id uuid.UUID, kind Kind, t tenant.ID, kek string) (*Job, error)
	// OpenJob returns the job that is open for a tenant, or ErrNotFound.
	OpenJob(ctx context.Context, kind Kind, t tenant.ID) (*Job, error)
	// Job returns ErrNotFound.
	Job(ctx context.Context, kind Kind, id uuid.UUID) (*Job, error)
	// OpenJobs are those that are not done, oldest first.
	OpenJobs(ctx context.Context) ([]Job, error)
	// LeaseJob makes owner the one who runs an open job, which is an attempt more, or
	// extends that; false while another is.
	LeaseJob(ctx context.Context, id, owner uuid.UUID, life time.Duration) (bool, error)
	// NoteJob writes how far a job is that owner runs, and that it is done; false
	// when owner runs it no more.
	NoteJob(ctx context.Context, id, owner uuid.UUID, progress any, done bool) (bool, error)
	// FailJob writes why a job failed that owner runs; from so many attempts on it is
	// finished with that.
	FailJob(ctx context.Context, id, owner uuid.UUID, why Failure, most int) error
	// PassJob writes why a server leaves an open job that nobody runs, if nothing is
	// written yet.
	PassJob(ctx context.Context, id uuid.UUID, why Failure) error
}

// Work does a job of a kind and returns what came of it; report, which may be called
// at any time, says how far it is. Done again from the beginning it does no harm.
type Work func(ctx context.Context, t tenant.ID, report func(progress any)) (result any, err error)

// Runner begins jobs and does them. Store is required, and KEK for rewraps; the
// others for Step and Run.
type Runner struct {
	Store Store
	KEK   string // id of the key-encryption key by which this server wraps
	Works map[Kind]Work
	Why   func(error) Failure // classes the errors of Works; nil: all Internal
	Log   *slog.Logger
}

// Begin begins a job, or returns the one that is open for the same. A rewrap moves to
// the key-encryption key of the server that was asked, by servers that have it: while
// it is being changed, one with the old key would move everything back to that.
func (r *Runner) Begin(ctx context.Context, kind Kind, t tenant.ID) (*Job, error) {
	return r.Store.BeginJob(ctx, uuid.Must(uuid.NewV7()), kind, t, r.keyOf(kind))
}

// keyOf is the key-encryption key that a server of this one's must have for a kind of
// work; "": any.
func (r *Runner) keyOf(kind Kind) string {
	if kind == Rewrap {
		return r.KEK
	}
	return ""
}

// Running returns the job that is open for the same, or ErrNotFound.
func (r *Runner) Running(ctx context.Context, kind Kind, t tenant.ID) (*Job, error) {
	j, err := r.Store.OpenJob(ctx, kind, t)
	if err == nil && j.KEK != r.keyOf(kind) {
		return nil, ErrNotFound
	}
	return j, err
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
	if j.KEK != r.keyOf(j.Kind) {
		if j.Failure != "" {
			return nil
		}
		return r.Store.PassJob(ctx, j.ID, OtherKEK)
	}
	if mine, err := r.Store.LeaseJob(ctx, j.ID, owner, leaseLife); err != nil || !mine {
		return err
	}
	// On whose word it happens, whoever does it.
	ctx, stop := context.WithCancel(audit.WithRequest(ctx, audit.Request{ID: j.Request, Actor: j.Actor}))
	defer stop()
	if j.Attempts >= MaxAttempts { // the last one did not live to say so
		return r.Store.FailJob(ctx, j.ID, owner, cmp.Or(j.Failure, Abandoned), 0)
	}
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
		if ctx.Err() == nil { // neither stopped nor another's by now
			why := Internal
			if r.Why != nil {
				why = r.Why(err)
			}
			err = errors.Join(err, r.Store.FailJob(ctx, j.ID, owner, why, MaxAttempts))
		}
		return err
	}
	_, err = r.Store.NoteJob(ctx, j.ID, owner, result, true)
	return err
}

// hold extends the lease until ctx ends, and ends it when the lease is lost.
func (r *Runner) hold(ctx context.Context, lost func(), id, owner uuid.UUID) {
	every.Run(ctx, leaseAgain, func(ctx context.Context) {
		if mine, err := r.Store.LeaseJob(ctx, id, owner, leaseLife); err == nil && !mine {
			lost()
		}
	})
}
