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
