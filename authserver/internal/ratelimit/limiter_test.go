package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	limits "latchkey/pkg/ratelimit"
)

// memory keeps the contract of ratelimit.Store: what postgres.TestSpend shows of the real one.
type memory struct {
	latency time.Duration
	away    atomic.Bool
	calls   atomic.Int64

	mu   sync.Mutex
	tats map[ratelimit.Bucket]int64
}

func (m *memory) Spend(ctx context.Context, debits []ratelimit.Debit) ([]ratelimit.Balance, error) {
	m.calls.Add(1)
	if m.away.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(m.latency)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().UnixMicro()
	var out []ratelimit.Balance
	seen := map[ratelimit.Bucket]bool{}
	for _, d := range debits {
		if seen[d.Bucket] {
			return nil, errors.New("a bucket twice in one statement")
		}
		seen[d.Bucket] = true
		tat := max(m.tats[d.Bucket], now) + d.Spent
		granted := max(0, min(d.Asked, (now+d.Room-tat)/d.Interval))
		m.tats[d.Bucket] = tat + granted*d.Interval
		out = append(out, ratelimit.Balance{Ahead: m.tats[d.Bucket] - now, Granted: granted})
	}
	return out, nil
}

func (m *memory) rows() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tats)
}

func newMemory() *memory {
	return &memory{latency: time.Millisecond, tats: map[ratelimit.Bucket]int64{}}
}

func limiter(t *testing.T, s ratelimit.Store, l *ratelimit.Limits) *ratelimit.Limiter {
	t.Cleanup(func() { time.Sleep(time.Second) }) // what is under way ends within the bubble
	return ratelimit.New(ratelimit.Config{Store: s, Limits: ratelimit.Everywhere(l), Log: slog.New(slog.DiscardHandler)})
}

func named(client string) ratelimit.Key { return ratelimit.AddressClient(netip.Addr{}, client) }

var acme = &tenant.Tenant{ID: tenant.DefaultID}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestReplicas: issue 5: three replicas that share nothing but the store admit what the limit says, within five per cent,
// whether they ask about each unit (a small burst) or not, and whatever their part of the demand.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		limit  limits.Limit
		demand [3]time.Duration // between two requests at each replica; 0: none
		for_   time.Duration
	}{
		"a small burst, even":        {limits.Limit{Quota: 60, Window: time.Minute, Burst: 20}, [3]time.Duration{50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond}, 2 * time.Minute},
		"a small burst, at one only": {limits.Limit{Quota: 60, Window: time.Minute, Burst: 20}, [3]time.Duration{100 * time.Millisecond, 0, 0}, 2 * time.Minute},
		"the seed's tool":            {limits.Limit{Quota: 100, Window: time.Minute}, [3]time.Duration{20 * time.Millisecond, 30 * time.Millisecond, 200 * time.Millisecond}, 2 * time.Minute},
		"the seed's person":          {limits.Limit{Quota: 1000, Window: time.Hour}, [3]time.Duration{700 * time.Millisecond, 600 * time.Millisecond, 500 * time.Millisecond}, 2 * time.Hour},
		"the seed's tenant":          {limits.Limit{Quota: 10_000, Window: time.Hour}, [3]time.Duration{90 * time.Millisecond, 70 * time.Millisecond, 80 * time.Millisecond}, 90 * time.Minute},
		"a large burst, uneven":      {limits.Limit{Quota: 3000, Window: time.Minute}, [3]time.Duration{2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}, 2 * time.Minute},
		"barely more than the rate":  {limits.Limit{Quota: 3000, Window: time.Minute}, [3]time.Duration{50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond}, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newMemory()
				row.limit.Name = "x"
				l := ratelimit.Default(1).With(ratelimit.TokenClient, row.limit)
				var admitted, asked atomic.Int64
				var all sync.WaitGroup
				for _, every := range row.demand {
					if every == 0 {
						continue
					}
					replica := limiter(t, store, l)
					all.Go(func() {
						for end := time.Now().Add(row.for_); time.Now().Before(end); time.Sleep(every) {
							asked.Add(1)
							_, err := replica.Take(t.Context(), acme, ratelimit.Ask{Limit: ratelimit.TokenClient, Key: named("c")})
							var exceeded *ratelimit.Exceeded
							if err == nil {
								admitted.Add(1)
							} else if !errors.As(err, &exceeded) || exceeded.State.Retry <= 0 || exceeded.State.Remaining != 0 {
								t.Errorf("%v", err)
							}
						}
					})
				}
				all.Wait()
				burst := row.limit.Burst
				if burst == 0 {
					burst = row.limit.Quota
				}
				want := float64(min(asked.Load(), burst+int64(row.for_)*row.limit.Quota/int64(row.limit.Window)))
				off := (float64(admitted.Load()) - want) / want
				t.Logf("%d of %d admitted, want %.0f: %+.2f %%; %d statements", admitted.Load(), asked.Load(), want, 100*off, store.calls.Load())
				if off > 0.05 || off < -0.05 {
					t.Error("beyond five per cent")
				}
				if beyond := asked.Load() - admitted.Load(); beyond > 1000 && store.calls.Load() > 3*admitted.Load()+10 { // a unit is asked about once by each
					t.Error("refusals cost statements")
				}
			})
		})
	}
}

// TestSieve: what is far below a limit asks nobody, and what is known to be beyond it neither.
func TestSieve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := limiter(t, store, ratelimit.Default(1))
		ask := ratelimit.Ask{Limit: ratelimit.TokenClient, Key: ratelimit.AddressClient(addr("192.0.2.1"), "c")}
		for range 1000 { // a client that refreshes for ten people
			if s, err := l.Take(t.Context(), acme, ask); err != nil || s.Remaining < 2900 {
				t.Fatal(s, err)
			}
			time.Sleep(6 * time.Second)
		}
		for i := range 10_000 { // everyone once
			if _, err := l.Take(t.Context(), acme, ratelimit.Ask{Limit: ratelimit.TokenClient, Key: named(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		if n := store.calls.Load(); n != 0 || store.rows() != 0 {
			t.Errorf("%d statements, %d rows", n, store.rows())
		}
		start := time.Now()
		for range 20 { // the burst of a busy hosted client: told, but never waited for
			if _, err := l.Take(t.Context(), acme, ask); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if time.Since(start) != 0 || store.calls.Load() == 0 {
			t.Errorf("%v, %d statements", time.Since(start), store.calls.Load())
		}
		time.Sleep(time.Second)
		for sieved := false; !sieved; {
			before := time.Now()
			_, err := l.Take(t.Context(), acme, ask)
			sieved = err != nil && time.Since(before) == 0
		}
		synctest.Wait()
		before := store.calls.Load()
		for range 10_000 {
			if _, err := l.Take(t.Context(), acme, ask); err == nil {
				t.Fatal("admitted beyond the limit")
			}
		}
		synctest.Wait()
		if n := store.calls.Load() - before; n > 0 {
			t.Errorf("%d statements for refusals", n)
		}
	})
}

// TestAllOrNone: what one limit refuses costs the others nothing; tenants do not share a tenant's limits, and do share the deployment's.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, newMemory(), ratelimit.Default(1))
		other := &tenant.Tenant{ID: tenant.FromUUID([16]byte{1})}
		consent := ratelimit.Ask{Limit: ratelimit.FormsAddress, Key: ratelimit.Address(addr("192.0.2.1"))}
		guess := ratelimit.Ask{Limit: ratelimit.GuessClient, Key: named("c")}
		for i := range 40 {
			if _, err := l.Take(t.Context(), acme, guess, consent); (err == nil) != (i < 20) {
				t.Fatal(i, err)
			}
		}
		if s, err := l.Take(t.Context(), acme, consent); err != nil || s.Remaining != 60-20-1 {
			t.Errorf("refused requests were counted: %+v %v", s, err)
		}
		if s, err := l.Take(t.Context(), other, consent, guess); err != nil || s.Remaining != 60-20-2 {
			t.Errorf("another tenant: %+v %v", s, err)
		}
		off := limiter(t, newMemory(), ratelimit.Default(0))
		for range 1000 {
			if s, err := off.Take(t.Context(), acme, consent, guess); err != nil || !s.Limit.Off() {
				t.Fatal(s, err)
			}
		}
	})
}

// TestStoreAway: while PostgreSQL does not answer the sieve decides, with the whole limit in this process, and nobody waits
// but those who found out; registration is closed, and opens with the database; afterwards all is shared again.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := limiter(t, store, ratelimit.Default(1))
		consent := ratelimit.Ask{Limit: ratelimit.FormsAddress, Key: ratelimit.Address(addr("192.0.2.1"))}
		register := ratelimit.Ask{Limit: ratelimit.RegisterAddress, Key: ratelimit.Address(addr("192.0.2.1"))}
		store.away.Store(true)
		admitted := 0
		start := time.Now()
		for range 200 {
			if _, err := l.Take(t.Context(), acme, consent); err == nil {
				admitted++
			}
		}
		if admitted != 60 || time.Since(start) != ratelimit.AskTime { // one of 200 waited
			t.Errorf("%d admitted in %v", admitted, time.Since(start))
		}
		if n := store.calls.Load(); n != 1 {
			t.Errorf("%d statements to a database that is away", n)
		}
		var many sync.WaitGroup // who needs the database asks it, all with the same statement
		for range 100 {
			many.Go(func() {
				if _, err := l.Take(t.Context(), acme, register); !errors.Is(err, ratelimit.ErrClosed) {
					t.Errorf("registration: %v", err)
				}
			})
		}
		many.Wait()
		if n := store.calls.Load(); n > 3 {
			t.Errorf("%d statements about registrations", n)
		}
		time.Sleep(30 * time.Second)
		start = time.Now()
		for range 100 {
			_, _ = l.Take(t.Context(), acme, consent)
		}
		if time.Since(start) != 0 {
			t.Errorf("somebody waited %v for a database that is known to be away", time.Since(start))
		}
		synctest.Wait() // the statement that asks again has been sent
		store.away.Store(false)
		if _, err := l.Take(t.Context(), acme, register); err != nil {
			t.Errorf("registration afterwards: %v", err)
		}
	})
}

// TestLeaving: who leaves while an answer is under way is let go at once, and costs nobody the answer.
func TestLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.latency = 100 * time.Millisecond
		l := limiter(t, store, ratelimit.Default(1))
		consent := ratelimit.Ask{Limit: ratelimit.FormsAddress, Key: ratelimit.Address(addr("192.0.2.1"))}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := l.Take(t.Context(), acme, consent); err != nil {
				t.Errorf("who stayed: %v", err)
			}
		})
		if _, err := l.Take(ctx, acme, consent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who left: %v", err)
		}
		all.Wait()
	})
}

// TestFloodOfNames: a flood of addresses that are seen once costs bounded memory and not a row; who is beyond a limit stays so.
func TestFloodOfNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := limiter(t, store, ratelimit.Default(1))
		bad := ratelimit.Ask{Limit: ratelimit.TokenAddress, Key: ratelimit.Address(addr("192.0.2.1"))}
		for range 2 * 6000 {
			_, _ = l.Take(t.Context(), acme, bad)
		}
		if _, err := l.Take(t.Context(), acme, bad); err == nil {
			t.Fatal("not beyond the limit")
		}
		rows := store.rows()
		var a [16]byte
		for i := range ratelimit.MaxEntries + 20_000 {
			a[0], a[5], a[6], a[7] = 0x20, byte(i>>16), byte(i>>8), byte(i)
			if _, err := l.Take(t.Context(), acme, ratelimit.Ask{Limit: ratelimit.TokenAddress, Key: ratelimit.Address(netip.AddrFrom16(a))}); err != nil {
				t.Fatal(i, err)
			}
		}
		if n := l.Entries(); n > ratelimit.MaxEntries {
			t.Errorf("%d entries", n)
		}
		if store.rows() != rows {
			t.Errorf("%d rows of addresses that were seen once", store.rows()-rows)
		}
		if _, err := l.Take(t.Context(), acme, bad); err == nil {
			t.Error("the flood gave somebody the limit back")
		}
	})
}

// TestOwnLimits: a tenant's own numbers, lower or higher, are its own alone; those of the deployment are nobody's to change; the factor is on
// all; a dry run refuses by the deployment's numbers, and a changed policy counts with the next request.
func TestOwnLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(ratelimit.Config{Store: newMemory(), Limits: ratelimit.ByPolicy(0.5), Log: slog.New(slog.DiscardHandler)})
		defer time.Sleep(time.Second) // what is under way ends within the bubble
		admitted := func(tn *tenant.Tenant, n ratelimit.Name, key ratelimit.Key, times int) (n2 int) {
			t.Helper()
			for range times {
				_, err := l.Take(t.Context(), tn, ratelimit.Ask{Limit: n, Key: key})
				var exceeded *ratelimit.Exceeded
				if err != nil && !errors.As(err, &exceeded) {
					t.Fatal(err)
				}
				if err == nil {
					n2++
				}
			}
			return n2
		}
		of := func(id byte, q tenant.LimitQuotas, report ...tenant.PolicyName) *tenant.Tenant {
			return &tenant.Tenant{ID: tenant.FromUUID([16]byte{15: id}), Policy: tenant.Policy{Limits: q, ReportOnly: report}}
		}
		for name, row := range map[string]struct {
			of   *tenant.Tenant
			want int
		}{
			"nothing said": {of(1, nil), 50}, "lower": {of(2, tenant.LimitQuotas{"tool": 10}), 5}, "higher": {of(3, tenant.LimitQuotas{"tool": 400}), 200},
			"another": {of(4, tenant.LimitQuotas{"person": 1}), 50}, "a dry run": {of(5, tenant.LimitQuotas{"tool": 10}, tenant.ByLimits), 50},
			"a dry run of more": {of(6, tenant.LimitQuotas{"tool": 400}, tenant.ByLimits), 50},
		} {
			if n := admitted(row.of, ratelimit.ExchangeTool, named(name), 300); n < row.want || n > row.want+row.want/100+1 {
				t.Errorf("%s: %d admitted, want %d", name, n, row.want)
			}
		}
		if n := admitted(of(7, tenant.LimitQuotas{"token": 1}), ratelimit.TokenAddress, named("x"), 50); n != 50 { // no policy says so; nor would it count
			t.Errorf("a limit of the deployment: %d", n)
		}
		if n := admitted(of(2, tenant.LimitQuotas{"tool": 400}), ratelimit.ExchangeTool, named("else"), 100); n < 100 {
			t.Errorf("a policy that has changed: %d", n)
		}
	})
	for _, d := range ratelimit.Definitions() {
		if l, ok := limits.OfTenant(d.Limit.Name); ok && (l != d.Limit || d.Deployment) {
			t.Errorf("%s: %+v is not %+v", d.Limit.Name, l, d.Limit)
		}
	}
}

// BenchmarkTake is a decision of the sieve alone: admitted, and refused.
func BenchmarkTake(b *testing.B) {
	for name, limit := range map[string]limits.Limit{"admitted": {Name: "x", Quota: 1_000_000_000, Window: time.Second}, "refused": {Name: "x", Quota: 1, Window: time.Hour}} {
		b.Run(name, func(b *testing.B) {
			l := ratelimit.New(ratelimit.Config{Store: newMemory(), Limits: ratelimit.Everywhere(ratelimit.Default(1).With(ratelimit.TokenClient, limit)), Log: slog.New(slog.DiscardHandler)})
			key := ratelimit.AddressClient(addr("192.0.2.1"), "c")
			_, _ = l.Take(b.Context(), acme, ratelimit.Ask{Limit: ratelimit.TokenClient, Key: key})
			b.ReportAllocs()
			for b.Loop() {
				_, _ = l.Take(b.Context(), acme, ratelimit.Ask{Limit: ratelimit.TokenClient, Key: key})
			}
		})
	}
}
