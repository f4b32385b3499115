package revocation

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"latchkey/pkg/exchange"
)

const (
	// Every is the time between two questions; with the request itself it keeps
	// the promise of 10 s.
	Every = 3 * time.Second
	// Staleness is when a feed that does not answer is reported.
	Staleness = 10 * time.Second

	requestTimeout = 5 * time.Second
	betweenPages   = 50 * time.Millisecond
	// memory is the longest life of an access token: after it the token has
	// expired by itself.
	memory = 24 * time.Hour
)

// Feed asks for the grants revoked since a time; *exchange.Client is one.
type Feed interface {
	Revocations(ctx context.Context, since time.Time) (*exchange.Revocations, error)
}

// Config configures a Follower. Feed is required.
type Config struct {
	Feed    Feed
	Revoked func(grants map[string]bool) // called with the newly revoked ones, to drop what is cached of them
	Log     *slog.Logger
}

// Follower knows which grants were revoked. Safe for concurrent use.
type Follower struct {
	feed    Feed
	dropped func(map[string]bool)
	log     *slog.Logger

	mu      sync.RWMutex
	revoked map[string]time.Time // until when it matters
	fresh   time.Time            // when the feed answered last
}

// New returns a follower that knows nothing yet. Run follows.
func New(c Config) *Follower {
	f := &Follower{feed: c.Feed, dropped: c.Revoked, log: c.Log, revoked: map[string]time.Time{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// Revoked reports whether a grant is known to be revoked.
func (f *Follower) Revoked(grant string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, revoked := f.revoked[grant]
	return revoked
}

// Age is how long ago the feed answered last; the zero time of a follower that
// never heard of it counts as for ever.
func (f *Follower) Age() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fresh.IsZero() {
		return 1<<63 - 1
	}
	return time.Since(f.fresh)
}

// Run follows the feed until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	since, lost := time.Now().Add(-memory), false
	for {
		next, more, err := f.ask(ctx, since)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			since = next
			if lost {
				f.log.Info("the feed of revocations answers again")
			}
			lost = false
		case !lost && f.Age() > Staleness:
			lost = true
			f.log.Warn("the feed of revocations does not answer: revoked access ends when its tokens expire", "error", err)
		}
		wait := Every - Every/8 + rand.N(Every/4) // replicas spread out
		if more {
			wait = betweenPages
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (f *Follower) ask(ctx context.Context, since time.Time) (next time.Time, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := time.Now()
	got, err := f.feed.Revocations(ctx, since)
	if err != nil {
		return since, false, err
	}
	added := map[string]bool{}
	f.mu.Lock()
	for _, grant := range got.Grants {
		if _, known := f.revoked[grant]; !known {
			added[grant] = true
			f.revoked[grant] = asked.Add(memory)
		}
	}
	for grant, until := range f.revoked {
		if asked.After(until) {
			delete(f.revoked, grant)
		}
	}
	if !got.More {
		f.fresh = asked
	}
	f.mu.Unlock()
	if len(added) > 0 && f.dropped != nil {
		f.dropped(added)
	}
	return time.UnixMilli(got.Next), got.More, nil
}
