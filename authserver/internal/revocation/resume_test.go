package revocation_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
)

// TestKilledAndResumed: issue 5: runs that end at any batch, several at once and with rotations in between: each grant is ended once,
// with one event; no run waits for ever on the one that is gone.
func TestKilledAndResumed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	n := int64(*many)
	pgtest.Grants(t, f.dsn, tn, *many)
	job, _, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn, Google: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // each is killed after a few batches
		dying, kill := context.WithCancel(ctx)
		left := 1 + rand.IntN(2)
		got, err := f.r.Run(dying, job.ID, func(*revocation.Job) {
			if left--; left <= 0 {
				kill()
			}
		})
		kill()
		if err == nil {
			t.Fatalf("it was killed, and says %+v", got)
		}
	}
	if at, err := f.r.Status(ctx, job.ID); err != nil || at.Done.Grants == 0 || at.Left != 1 || !at.Finished.IsZero() {
		t.Fatalf("%+v %v", at, err)
	}
	// Another that is gone without a word, as after kill -9: its lease has to end.
	if mine, err := f.db.LeaseJob(ctx, job.ID, uuid.New(), 500*time.Millisecond); err != nil || !mine {
		t.Fatal(mine, err)
	}
	again, begun, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn, Google: true})
	if err != nil || begun || again.ID != job.ID || !again.Cutoff.Equal(job.Cutoff) {
		t.Fatalf("the same command: %+v %v %v", again, begun, err)
	}
	var runs sync.WaitGroup
	var busy atomic.Int64
	began := time.Now()
	for range 4 {
		db := f.open()
		runs.Go(func() {
			r := revocation.Revoker{Store: db}
			var batches int64
			done, err := r.Run(ctx, job.ID, func(*revocation.Job) { batches++ })
			if err != nil || done.Done.Grants != n || done.Done.Sessions != n || done.Done.Connections != n {
				t.Errorf("%+v %v", done, err)
			}
			busy.Add(batches)
		})
	}
	runs.Wait()
	t.Logf("%d grants, sessions and accounts each, resumed by 4 at once: %s", n, time.Since(began).Round(time.Millisecond))
	for what, c := range map[string]struct {
		sql  string
		want int64
	}{"living": {living, 0}, "marked": {marked, n}, "events": {events, n}, "sessions": {openTabs, 0}, "accounts": {linked, 0}, "begin and end": {recorded, 2},
		"accounts' events": {`SELECT count(DISTINCT connection_id) FROM audit_events WHERE kind = 'connection.disconnected' AND actor = 'operator'`, n}} {
		if got := f.count(tn, c.sql); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	if open, err := f.r.Open(ctx); err != nil || len(open) != 0 {
		t.Error(open, err)
	}
}

// TestBeginAtOnce: of the same command many times at once one begins the job, and one has its lease.
func TestBeginAtOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, 5)
	var all sync.WaitGroup
	var begun, leased atomic.Int64
	var ids sync.Map
	start := make(chan struct{})
	for range 8 {
		all.Go(func() {
			<-start
			job, first, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn})
			if err != nil {
				t.Error(err)
				return
			}
			if ids.Store(job.ID, true); first {
				begun.Add(1)
			}
			mine, err := f.db.LeaseJob(ctx, job.ID, uuid.New(), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if mine {
				leased.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	different := 0
	ids.Range(func(any, any) bool { different++; return true })
	if begun.Load() != 1 || leased.Load() != 1 || different != 1 || f.count(tn, unclosed) != 1 || f.count(tn, recorded) != 1 {
		t.Errorf("%d begun, %d leased, %d jobs, %d epochs", begun.Load(), leased.Load(), different, f.count(tn, unclosed))
	}
}

// TestMany times a revocation: with -grants 100000 it is what the README says.
func TestMany(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tn := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, tn, *many)
	began := time.Now()
	job, _, err := f.r.Begin(ctx, revocation.Selector{Google: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d people: refused after %s", *many, time.Since(began).Round(time.Millisecond))
	last := job.Done
	stage := func(now revocation.Affected) {
		for what, n := range map[string][2]int64{"grants": {last.Grants, now.Grants}, "sessions": {last.Sessions, now.Sessions}, "accounts": {last.Connections, now.Connections}} {
			if n[0] < int64(*many) && n[1] == int64(*many) {
				t.Logf("%s done after %s", what, time.Since(began).Round(time.Millisecond))
			}
		}
		last = now
	}
	if job, err = f.r.Run(ctx, job.ID, func(j *revocation.Job) { stage(j.Done) }); err != nil || job.Done.Sum() != 3*int64(*many) {
		t.Fatalf("%+v %v", job, err)
	}
	t.Logf("all after %s", time.Since(began).Round(time.Millisecond))
}

// failing is a store in which the rows of one tenant cannot be marked.
type failing struct {
	revocation.Store
	of tenant.ID
}

func (f failing) RevokeBatch(ctx context.Context, p revocation.Part) (revocation.Batch, error) {
	if p.Tenant == f.of {
		return revocation.Batch{}, errors.New("these rows cannot be marked")
	}
	return f.Store.RevokeBatch(ctx, p)
}

// TestFailingJob: a job that fails again and again holds up neither the others nor the closing of epochs.
func TestFailingJob(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	bad, good := pgtest.Tenant(t, f.dsn), pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, bad, 1)
	pgtest.Grants(t, f.dsn, good, 1)
	var jobs []uuid.UUID
	for _, tn := range []tenant.ID{bad, good} { // the oldest comes first
		job, _, err := f.r.Begin(ctx, revocation.Selector{Tenant: tn})
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job.ID)
	}
	r := revocation.Revoker{Store: failing{f.db, bad}}
	if err := r.Step(ctx); err == nil {
		t.Fatal("the failure is not told")
	}
	if job, err := r.Status(ctx, jobs[0]); err != nil || !job.Finished.IsZero() {
		t.Errorf("the one that fails: %+v %v", job, err)
	}
	if job, err := r.Status(ctx, jobs[1]); err != nil || job.Finished.IsZero() || job.Done.Grants != 1 {
		t.Errorf("the other: %+v %v", job, err)
	}
}
