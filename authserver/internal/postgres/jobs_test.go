package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/tenant"
)

// TestJobHasOneServer: however many servers there are, one does a job; what is begun
// twice is one job; one that fails is left to the lease; a server that has lost its
// lease stops, and writes nothing more.
func TestJobHasOneServer(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	runner := func(w job.Work) *job.Runner {
		return &job.Runner{Store: f.db, Works: map[job.Kind]job.Work{job.Rewrap: w}, Log: slog.New(slog.DiscardHandler)}
	}
	begin := func() *job.Job {
		t.Helper()
		j, err := runner(nil).Begin(ctx, job.Rewrap, tenant.DefaultID)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	status := func(j *job.Job) *job.Job {
		t.Helper()
		now, err := runner(nil).Status(ctx, job.Rewrap, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	const servers = 8
	var wg sync.WaitGroup
	var ids sync.Map
	for range servers {
		wg.Go(func() { ids.Store(begin().ID, true) })
	}
	wg.Wait()
	jobs := 0
	ids.Range(func(any, any) bool { jobs++; return true })
	if jobs != 1 {
		t.Fatalf("%d jobs for the same work", jobs)
	}
	j := begin()

	var worked atomic.Int64
	ended, release := make(chan error, servers), make(chan struct{})
	canary := errors.New("canary")
	for range servers {
		go func() {
			ended <- runner(func(_ context.Context, _ tenant.ID, report func(any)) (any, error) {
				worked.Add(1)
				report(map[string]int{"rows": 1})
				<-release
				return nil, canary
			}).Step(ctx)
		}()
	}
	for range servers - 1 { // while one works, the others find nothing to do
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(release)
	if err := <-ended; !errors.Is(err, canary) {
		t.Error(err)
	}
	if now := status(j); worked.Load() != 1 || !now.Finished.IsZero() || string(now.Progress) != `{"rows": 1}` {
		t.Errorf("%d servers did it: %+v", worked.Load(), now)
	}
	// It failed: until its lease has ended nobody tries again.
	if err := runner(func(context.Context, tenant.ID, func(any)) (any, error) { worked.Add(1); return nil, nil }).Step(ctx); err != nil || worked.Load() != 1 {
		t.Errorf("%v, %d", err, worked.Load())
	}
	expire := func() { run(t, f.dsn, `UPDATE jobs SET lease_until = now() - interval '1 second'`) }
	expire()
	err := runner(func(work context.Context, _ tenant.ID, report func(any)) (any, error) {
		report(map[string]int{"rows": 2})
		run(t, f.dsn, `UPDATE jobs SET lease_owner = gen_random_uuid()`) // another server has taken it over
		report(map[string]int{"rows": 3})
		<-work.Done()
		return map[string]int{"rows": 4}, nil
	}).Step(ctx)
	if now := status(j); !errors.Is(err, context.Canceled) || !now.Finished.IsZero() || string(now.Progress) != `{"rows": 2}` {
		t.Errorf("%v: %+v", err, now)
	}
	expire()
	if err := runner(func(context.Context, tenant.ID, func(any)) (any, error) { return map[string]int{"rows": 5}, nil }).Step(ctx); err != nil {
		t.Error(err)
	}
	if now := status(j); now.Finished.IsZero() || json.Unmarshal(now.Progress, new(struct{ Rows int })) != nil || string(now.Progress) != `{"rows": 5}` {
		t.Errorf("%+v", now)
	}
	if again := begin(); again.ID == j.ID {
		t.Error("what is done is not begun again")
	}
}
