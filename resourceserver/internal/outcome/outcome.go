package outcome

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/bearer"
)

const (
	// Every is the longest time that an outcome waits while reports succeed.
	Every = 2 * time.Second
	// Capacity is how many outcomes wait at most.
	Capacity = 10_000

	sendTimeout = 5 * time.Second
)

// Sink takes reports; *exchange.Client is one.
type Sink interface {
	ReportOutcomes(ctx context.Context, list []exchange.Outcome) error
}

// Reporter collects outcomes and sends them in the background. Safe for
// concurrent use.
type Reporter struct {
	sink Sink
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	waiting []exchange.Outcome // oldest first
	dropped int                // since the last log line
}

// New returns a reporter; Run sends. log may be nil.
func New(sink Sink, log *slog.Logger) *Reporter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reporter{sink: sink, log: log, wake: make(chan struct{}, 1)}
}

// Record notes how a call ended. A client's own token has no grant, and no
// outcome.
func (r *Reporter) Record(ctx context.Context, tool, result string, took time.Duration) {
	p := bearer.From(ctx)
	if p == nil || p.Grant == "" {
		return
	}
	one := exchange.Outcome{
		Tenant: p.Tenant, Grant: p.Grant, Tool: tool, Outcome: result, RequestID: httpx.RequestID(ctx),
		DurationMS: int32(min(max(took.Milliseconds(), 0), math.MaxInt32)), //nolint:gosec // bounded here
	}
	r.mu.Lock()
	r.push(one)
	full := len(r.waiting) >= exchange.MaxOutcomes
	r.mu.Unlock()
	if full {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// push needs mu.
func (r *Reporter) push(one exchange.Outcome) {
	if len(r.waiting) == Capacity {
		r.waiting = r.waiting[1:]
		r.dropped++
	}
	r.waiting = append(r.waiting, one)
}

// Run sends until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	failing := false
	for {
		least := 1
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
			if failing { // no faster than the clock while nobody takes them
				continue
			}
			least = exchange.MaxOutcomes // the rest waits for the clock, or under load each report would hold a few
		}
		err := r.send(ctx, least)
		if err != nil && !failing && ctx.Err() == nil {
			r.log.Warn("reporting tool outcomes: they wait", "error", err)
		}
		failing = err != nil
	}
}

// Flush sends what waits now. After an error the rest still waits; what was in
// the failed report is sent again, so the trail may have it twice.
func (r *Reporter) Flush(ctx context.Context) error { return r.send(ctx, 1) }

// send sends reports as long as so many outcomes wait.
func (r *Reporter) send(ctx context.Context, least int) error {
	for {
		batch := r.take(least)
		if len(batch) == 0 {
			return nil
		}
		bounded, cancel := context.WithTimeout(ctx, sendTimeout)
		err := r.sink.ReportOutcomes(bounded, batch)
		cancel()
		switch {
		case errors.Is(err, exchange.ErrOutcomesRefused): // sent again it would stand in the way of all others
			r.log.Error("tool outcomes are lost", "count", len(batch), "error", err)
		case err != nil:
			r.restore(batch)
			return err
		}
	}
}

// take returns nothing if less than least wait.
func (r *Reporter) take(least int) []exchange.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) < least {
		return nil
	}
	if r.dropped > 0 {
		r.log.Warn("tool outcomes were dropped: the authorization server took none for too long", "count", r.dropped)
		r.dropped = 0
	}
	n := min(len(r.waiting), exchange.MaxOutcomes)
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

// restore puts a batch back in front, as far as there is room.
func (r *Reporter) restore(batch []exchange.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := Capacity - len(r.waiting)
	if lost := len(batch) - room; lost > 0 {
		r.dropped += lost
		batch = batch[lost:]
	}
	r.waiting = append(batch, r.waiting...)
}
