package job_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

func open(t *testing.T, dsn string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// TestReplicas: of servers that find the same work each at once, one does it; begun a hundred times it is one.
func TestReplicas(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	var mu sync.Mutex
	ids, times := map[uuid.UUID]bool{}, 0
	servers := make([]job.Runner, 4)
	for i := range servers {
		servers[i] = job.Runner{Store: open(t, dsn), Works: map[job.Kind]job.Work{job.Verify: func(_ context.Context, of tenant.ID, _ func(any)) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			times++
			return map[string]string{"tenant": of.String()}, nil
		}}}
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			j, err := servers[i%4].Begin(t.Context(), job.Verify, tenant.DefaultID)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[j.ID] = true
		})
	}
	wg.Wait()
	for i := range servers {
		wg.Go(func() {
			if err := servers[i].Step(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || times != 1 {
		t.Errorf("%d jobs, done %d times", len(ids), times)
	}
	for id := range ids {
		if j, err := servers[0].Status(t.Context(), job.Verify, id); err != nil || j.Finished.IsZero() || string(j.Progress) != `{"tenant": "`+tenant.DefaultID.String()+`"}` {
			t.Errorf("%+v %v", j, err)
		}
	}
}

// TestLostLease: a server whose lease another has taken stops, and what it found does not count; the other's does.
func TestLostLease(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db, other := open(t, dsn), uuid.New()
	var id uuid.UUID
	r := job.Runner{Store: db, Works: map[job.Kind]job.Work{job.Rewrap: func(ctx context.Context, _ tenant.ID, report func(any)) (any, error) {
		if err := pgtest.QueryRow(t, dsn, `UPDATE jobs SET lease_until = now() WHERE lease_owner IS NOT NULL RETURNING id`, &id); err != nil {
			return nil, err
		}
		if mine, err := db.LeaseJob(ctx, id, other, time.Minute); err != nil || !mine {
			t.Errorf("%v %v", mine, err)
		}
		report("of who lost it")
		<-ctx.Done()
		return nil, ctx.Err()
	}}}
	begun, err := r.Begin(t.Context(), job.Rewrap, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Step(t.Context()); !errors.Is(err, context.Canceled) || id != begun.ID {
		t.Errorf("%v", err)
	}
	if j, err := r.Status(t.Context(), job.Rewrap, id); err != nil || j.Progress != nil || !j.Finished.IsZero() {
		t.Errorf("%+v %v", j, err)
	}
	if noted, err := db.NoteJob(t.Context(), id, other, "of who has it", true); err != nil || !noted {
		t.Errorf("%v %v", noted, err)
	}
	if err := r.Step(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFailedWork: what fails stays open and holds up no other tenant's, and is tried again when its lease has ended, not before.
func TestFailedWork(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	broken, times := pgtest.Tenant(t, dsn), 0
	r := job.Runner{Store: open(t, dsn), Works: map[job.Kind]job.Work{job.Rewrap: func(_ context.Context, of tenant.ID, _ func(any)) (any, error) {
		if times++; of == broken && times < 3 {
			return nil, errors.New("no key")
		}
		return true, nil
	}}}
	finished := func(j *job.Job) bool {
		t.Helper()
		at, err := r.Status(t.Context(), job.Rewrap, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		return !at.Finished.IsZero()
	}
	bad, err := r.Begin(t.Context(), job.Rewrap, broken)
	if err != nil {
		t.Fatal(err)
	}
	good, err := r.Begin(t.Context(), job.Rewrap, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Step(t.Context()); err == nil || finished(bad) || !finished(good) {
		t.Errorf("%v: %v %v", err, finished(bad), finished(good))
	}
	if err := r.Step(t.Context()); err != nil || times != 2 {
		t.Errorf("tried again at once: %v, %d times", err, times)
	}
	if err := pgtest.QueryRow(t, dsn, `UPDATE jobs SET lease_until = now() WHERE finished_at IS NULL RETURNING id`, new(uuid.UUID)); err != nil {
		t.Fatal(err)
	}
	if err := r.Step(t.Context()); err != nil || !finished(bad) {
		t.Errorf("%v", err)
	}
}

// TestOtherKEK: while the key-encryption key is being changed, a server that still has the old one takes no rewrap that is to move to
// the new one, nor the other way round, and the job says why it waits; one that nobody is at gives way to one for the key of the server
// that is asked, one that a server is at does not; a job of a program that named no key is taken by nobody.
func TestOtherKEK(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	did := map[string]int{}
	server := func(kek string, during func()) *job.Runner {
		return &job.Runner{Store: open(t, dsn), KEK: kek, Works: map[job.Kind]job.Work{job.Rewrap: func(context.Context, tenant.ID, func(any)) (any, error) {
			if did[kek]++; during != nil {
				during()
			}
			return true, nil
		}}}
	}
	step := func(r *job.Runner) {
		t.Helper()
		if err := r.Step(t.Context()); err != nil {
			t.Error(err)
		}
	}
	begin := func(r *job.Runner) *job.Job {
		t.Helper()
		j, err := r.Begin(t.Context(), job.Rewrap, tenant.DefaultID)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	is := func(j *job.Job, state job.State, why job.Failure) {
		t.Helper()
		if now, err := server("", nil).Status(t.Context(), job.Rewrap, j.ID); err != nil || now.State() != state || now.Failure != why {
			t.Errorf("%s %q, not %s %q: %v", now.State(), now.Failure, state, why, err)
		}
	}
	old, fresh := server("old", nil), server("new", nil)
	to := begin(fresh)
	if to.KEK != "new" {
		t.Errorf("%q", to.KEK)
	}
	step(old)
	is(to, job.Open, job.OtherKEK)
	step(fresh)
	is(to, job.Done, "")
	back := begin(old)
	step(fresh)
	is(back, job.Open, job.OtherKEK)
	if _, err := fresh.Running(t.Context(), job.Rewrap, tenant.DefaultID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("%v", err)
	}
	again := begin(fresh)
	is(back, job.Failed, job.Superseded)
	step(old)
	step(fresh)
	is(again, job.Done, "")
	if did["old"] != 0 || did["new"] != 2 {
		t.Errorf("%v", did)
	}
	busy := begin(old)
	step(server("old", func() {
		if _, err := fresh.Begin(t.Context(), job.Rewrap, tenant.DefaultID); !errors.Is(err, job.ErrOtherKEK) {
			t.Errorf("while a server moves to another key: %v", err)
		}
	}))
	is(busy, job.Done, "")
	unnamed := begin(server("", nil))
	step(fresh)
	step(old)
	is(unnamed, job.Open, job.OtherKEK)
}

// TestFailsForGood: what fails again and again, or kills who does it, ends; what is shown is a word of a closed set and never the error.
func TestFailsForGood(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	const secretive = "postgres://user:hunter2@db: no"
	r := job.Runner{Store: open(t, dsn), Works: map[job.Kind]job.Work{job.Verify: func(context.Context, tenant.ID, func(any)) (any, error) {
		return nil, errors.New(secretive)
	}}, Why: func(err error) job.Failure {
		if err.Error() != secretive {
			t.Errorf("%v", err)
		}
		return job.KEKAway
	}}
	now := func(j *job.Job) *job.Job {
		t.Helper()
		out, err := r.Status(t.Context(), job.Verify, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	expire := func() {
		t.Helper()
		if err := pgtest.QueryRow(t, dsn, `UPDATE jobs SET lease_until = now() WHERE finished_at IS NULL RETURNING id`, new(uuid.UUID)); err != nil {
			t.Fatal(err)
		}
	}
	failing, err := r.Begin(t.Context(), job.Verify, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= job.MaxAttempts; n++ {
		if n > 1 {
			expire()
		}
		if err := r.Step(t.Context()); err == nil {
			t.Fatalf("attempt %d", n)
		}
		if j := now(failing); j.Attempts != n || j.Failure != job.KEKAway || (j.State() == job.Failed) != (n == job.MaxAttempts) {
			t.Fatalf("after attempt %d: %+v", n, j)
		}
	}
	if err := r.Step(t.Context()); err != nil {
		t.Error(err)
	}
	killing, err := r.Begin(t.Context(), job.Verify, tenant.DefaultID)
	if err != nil || killing.ID == failing.ID {
		t.Fatal(killing, err)
	}
	for range job.MaxAttempts {
		if mine, err := r.Store.LeaseJob(t.Context(), killing.ID, uuid.New(), time.Minute); err != nil || !mine {
			t.Fatal(mine, err)
		}
		expire()
	}
	if err := r.Step(t.Context()); err != nil {
		t.Errorf("begun once more: %v", err)
	}
	if j := now(killing); j.State() != job.Failed || j.Failure != job.Abandoned {
		t.Errorf("%+v", j)
	}
	for _, f := range job.Failures() {
		if f.Text() == "" {
			t.Errorf("%s says nothing", f)
		}
	}
}
