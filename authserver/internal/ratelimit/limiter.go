package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
	"latchkey/pkg/ratelimit"
)

const (
	maxEntries = 65_536
	maxFlight  = 500                    // buckets in one statement
	askTime    = 500 * time.Millisecond // by default
	askAgain   = time.Second            // while PostgreSQL does not answer
)

// Debit is what one bucket is asked about and told. Times are microseconds.
type Debit struct {
	Bucket   Bucket
	Interval int64 // that a unit costs
	Room     int64 // that the bucket may run ahead of the clock
	Spent    int64 // admitted already, whatever the bucket says
	Asked    int64 // units, admitted one by one while they fit
}

// Balance is the answer.
type Balance struct {
	Ahead   int64 // of the theoretical arrival time before PostgreSQL's clock, in microseconds; less than 0 at rest
	Granted int64 // of the units asked for
}

// Store keeps the buckets. Spend applies debits, one bucket at most once, in one
// statement, all or none, and answers in their order; concurrent calls are as if
// one after the other.
type Store interface {
	Spend(ctx context.Context, debits []Debit) ([]Balance, error)
}

// Config configures a Limiter. Every field but AskTime and Now is required.
type Config struct {
	Store   Store
	Limits  Of
	Proxies httpx.Proxies // that say where a request comes from
	Log     *slog.Logger
	AskTime time.Duration // that PostgreSQL has for an answer, then the sieve decides; default half a second
	Now     func() time.Time
}

// Limiter decides. Safe for concurrent use.
type Limiter struct {
	Config
	start time.Time

	mu      sync.Mutex
	entries map[Bucket]*entry // at most maxEntries, and those under way
	queue   []*entry
	flight  bool
	failing bool
	retryAt int64
	swept   int64

	// dry counts what tenants have only said, in this replica alone: nothing hangs
	// on it.
	dry ratelimit.Local[Bucket]
}

// New returns a limiter. It starts nothing.
func New(c Config) *Limiter {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.AskTime == 0 {
		c.AskTime = askTime
	}
	return &Limiter{Config: c, start: c.Now(), entries: map[Bucket]*entry{}}
}

// Ask is a unit of a bucket of the request's tenant, or of the deployment.
type Ask struct {
	Limit Name
	Key   Key
}

// Exceeded says that a limit refuses.
type Exceeded struct{ State ratelimit.State }

func (e *Exceeded) Error() string { return "rate limit " + e.State.Limit.Name + " exceeded" }

// ErrClosed says that PostgreSQL cannot be asked about a limit that needs it.
var ErrClosed = errors.New("rate limits cannot be asked")

// waiter is a request that waits for answers about several buckets.
type waiter struct {
	done    chan struct{}
	missing int // l.mu must be held
	refused *entry
	failed  bool
}

// Take takes a unit of every bucket asked for, or refuses: *Exceeded, ErrClosed or
// the context's error. What is refused by the sieve costs no bucket anything; what
// PostgreSQL refuses may have cost the others their unit. It returns the tightest
// state. t may be nil when every limit is the deployment's.
func (l *Limiter) Take(ctx context.Context, t *tenant.Tenant, asks ...Ask) (ratelimit.State, error) {
	l.rehearse(ctx, t, asks)
	l.mu.Lock()
	entries, closed := l.find(t, asks)
	now := l.micros()
	shared, err := refuse(entries, now)
	switch {
	case err != nil:
	case len(shared) == 0:
		l.admit(entries, now)
	case l.failing && !closed:
		if now >= l.retryAt {
			l.retryAt = now + askAgain.Microseconds()
			for _, e := range shared {
				l.tell(e)
			}
		}
		l.admitHere(entries, shared, now)
	default: // what needs PostgreSQL asks it each time, so that it opens with it
		w := &waiter{done: make(chan struct{}), missing: len(shared)}
		for _, e := range shared {
			e.waits = append(e.waits, w)
			l.tell(e)
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return ratelimit.State{}, ctx.Err()
		case <-w.done:
		}
		l.mu.Lock()
		now = l.micros()
		switch {
		case w.failed && closed:
			err = ErrClosed
		case w.failed:
			if _, err = refuse(entries, now); err == nil {
				l.admitHere(entries, shared, now)
			}
		case w.refused != nil:
			err = &Exceeded{refusal(w.refused, now)}
		default:
			l.admit(without(entries, shared), now)
		}
	}
	defer l.mu.Unlock()
	return tightest(entries, now), err
}

// rehearse counts under the limits that the tenant's policy has said and does not
// enforce, and logs what they would refuse.
func (l *Limiter) rehearse(ctx context.Context, t *tenant.Tenant, asks []Ask) {
	if t == nil || len(t.Policy.Limits) == 0 || !t.Policy.Reports(tenant.ByLimits) {
		return
	}
	for _, a := range asks {
		if definitions[a.Limit].deployment {
			continue
		}
		_, limit := l.Limits(t, a.Limit)
		if _, ok := l.dry.Take(l.Now(), ratelimit.Ask[Bucket]{Key: Bucket{t.ID, a.Limit, a.Key}, Limit: limit}); !ok {
			httpx.Annotate(ctx, slog.String("limit", limit.Name))
			t.Refuses(ctx, tenant.ByLimits, "")
		}
	}
}

// find returns the entries of the limits that are on. l.mu must be held.
func (l *Limiter) find(t *tenant.Tenant, asks []Ask) (entries []*entry, closed bool) {
	now := l.micros()
	for _, a := range asks {
		d := definitions[a.Limit]
		b, of := Bucket{Tenant: tenant.DefaultID, Limit: a.Limit, Key: a.Key}, (*tenant.Tenant)(nil)
		if !d.deployment {
			b.Tenant, of = t.ID, t
		}
		limit, _ := l.Limits(of, a.Limit)
		if limit.Off() {
			continue
		}
		closed = closed || d.closed
		e := l.entries[b]
		if e == nil {
			if len(l.entries) >= maxEntries {
				l.makeRoom(now)
			}
			e = &entry{bucket: b, leaked: now}
			l.entries[b] = e
		}
		e.limit = limit // it may have changed
		e.settle(now)
		entries = append(entries, e)
	}
	return entries, closed
}

// refuse says by what is known here whether a request is beyond a limit, and if
// not, which buckets must be asked about.
func refuse(entries []*entry, now int64) (shared []*entry, err error) {
	for _, e := range entries {
		if !e.admits(now) {
			return nil, &Exceeded{refusal(e, now)}
		}
		if !e.free() {
			shared = append(shared, e)
		}
	}
	return shared, nil
}

// refusal is the state of a bucket that refuses: whoever asked late may find it a
// little later, when the unit would fit again.
func refusal(e *entry, now int64) ratelimit.State {
	s := e.state(now)
	s.Remaining, s.Retry = 0, max(s.Retry, time.Duration(e.limit.Interval())*time.Microsecond/2)
	return s
}

func (l *Limiter) admit(entries []*entry, now int64) {
	for _, e := range entries {
		e.settle(now)
		if e.admit() {
			l.tell(e)
		}
	}
}

// admitHere admits while PostgreSQL does not answer: the whole limit is this
// replica's meanwhile.
func (l *Limiter) admitHere(entries, shared []*entry, now int64) {
	l.admit(without(entries, shared), now)
	for _, e := range shared {
		e.admitHere(now)
	}
}

func without(all, some []*entry) []*entry {
	var out []*entry
	for _, e := range all {
		found := false
		for _, s := range some {
			found = found || s == e
		}
		if !found {
			out = append(out, e)
		}
	}
	return out
}

func tightest(entries []*entry, now int64) ratelimit.State {
	var out ratelimit.State
	for _, e := range entries {
		if s := e.state(now); out.Limit.Off() || s.Tighter(out) {
			out = s
		}
	}
	return out
}

// either says of two limits which one counts a network that has taken its unit: one
// that has asked for little of late, or the other. So a flood from some networks does
// not use up what newcomers elsewhere need.
func (l *Limiter) either(ofFresh, ofBusy Name, around Ask) Name {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries, _ := l.find(nil, []Ask{around})
	now := l.micros()
	for _, e := range entries {
		if e.tat(now)-now > fresh*e.limit.Interval() {
			return ofBusy
		}
	}
	return ofFresh
}

func (l *Limiter) micros() int64 { return l.Now().Sub(l.start).Microseconds() }
