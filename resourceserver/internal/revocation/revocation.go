package revocation

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"latchkey/pkg/accesstoken"
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
	Feed Feed
	// Revoked is called after something new was revoked, to drop what is cached of
	// it: the function says of which grants. It may say so of a few that live.
	Revoked func(revoked func(tenant, subject, grant string) bool)
	Log     *slog.Logger
}

// Follower knows which grants were revoked: some by their ids, and all those of a
// tenant, a person or a client that were made before a time. Safe for concurrent
// use.
type Follower struct {
	feed    Feed
	dropped func(func(tenant, subject, grant string) bool)
	log     *slog.Logger

	mu      sync.RWMutex
	revoked map[string]time.Time // until when it matters
	epochs  map[scope]epoch
	fresh   time.Time // when the feed answered last
}

// scope is whose grants an epoch is about; an empty member is every one.
type scope struct{ tenant, subject, client string }

type epoch struct {
	before time.Time // grants made up to and including it
	until  time.Time // when it matters no more
}

// New returns a follower that knows nothing yet. Run follows.
func New(c Config) *Follower {
	f := &Follower{feed: c.Feed, dropped: c.Revoked, log: c.Log, revoked: map[string]time.Time{}, epochs: map[scope]epoch{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// Revoked reports whether the grant of a token is known to be revoked, or, of a
// client's own token, which has none, the token itself.
func (f *Follower) Revoked(p *accesstoken.Principal) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if _, revoked := f.revoked[p.Grant]; revoked && p.Grant != "" {
		return true
	}
	for _, s := range [...]scope{{}, {p.Tenant, "", ""}, {p.Tenant, p.Subject, ""}, {p.Tenant, "", p.ClientID}, {p.Tenant, p.Subject, p.ClientID}} {
		if e, known := f.epochs[s]; known && !p.Granted.After(e.before) {
			return true
		}
	}
	return false
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
	added, owners := map[string]bool{}, map[scope]bool{}
	f.mu.Lock()
	for _, grant := range got.Grants {
		if _, known := f.revoked[grant]; !known {
			added[grant] = true
			f.revoked[grant] = asked.Add(memory)
		}
	}
	for _, e := range got.Epochs {
		s, before := scope{e.Tenant, e.Subject, e.Client}, time.UnixMicro(e.Before)
		if known, ok := f.epochs[s]; !ok || before.After(known.before) {
			f.epochs[s] = epoch{before: before, until: asked.Add(memory)}
			owners[scope{tenant: e.Tenant, subject: e.Subject}] = true
		}
	}
	for s, e := range f.epochs {
		if asked.After(e.until) {
			delete(f.epochs, s)
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
	if len(added)+len(owners) > 0 && f.dropped != nil {
		// What is cached does not say when its grant was made, nor for which client:
		// asking again is cheap.
		f.dropped(func(tenant, subject, grant string) bool {
			return added[grant] || owners[scope{}] || owners[scope{tenant: tenant}] || owners[scope{tenant: tenant, subject: subject}]
		})
	}
	return time.UnixMilli(got.Next), got.More, nil
}
