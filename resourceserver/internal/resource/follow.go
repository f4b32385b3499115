package resource

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"latchkey/pkg/exchange"
)

const (
	// Every is the time between two questions: what the operator changes holds
	// here within 10 s.
	Every = 8 * time.Second
	// Staleness is when a list that does not answer is reported.
	Staleness = 30 * time.Second

	requestTimeout = 5 * time.Second
	retryFirst     = time.Second // before the first answer
)

// Feed asks for the tenants; *exchange.Client is one. It returns nil when they
// are still of the version known.
type Feed interface {
	Resources(ctx context.Context, known string) (*exchange.Resources, error)
}

// Config configures a Follower. Feed, Base and Changed are required.
type Config struct {
	Feed    Feed
	Base    string           // URL of the authorization server's internal listener, without trailing slash
	Changed func([]Resource) // called with the whole list when it has changed, and by one goroutine
	Log     *slog.Logger
}

// Follower follows the list. Safe for concurrent use.
type Follower struct {
	c       Config
	version string // used by Run alone
	refused map[string]bool

	mu    sync.RWMutex
	fresh time.Time
}

// New returns a follower that knows nothing yet. Run follows.
func New(c Config) *Follower {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{c: c, refused: map[string]bool{}}
}

// Age is how long ago the list answered last; before its first answer for ever.
func (f *Follower) Age() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fresh.IsZero() {
		return 1<<63 - 1
	}
	return time.Since(f.fresh)
}

// Run follows the list until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	lost := false
	for {
		err := f.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && lost:
			f.c.Log.Info("the list of tenants answers again")
			lost = false
		case err != nil && !lost && f.Age() > Staleness:
			lost = true
			f.c.Log.Warn("the list of tenants does not answer: the last one holds", "error", err)
		}
		every := Every
		if f.version == "" {
			every = retryFirst
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every - every/8 + rand.N(every/4)): // replicas spread out
		}
	}
}

func (f *Follower) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := time.Now()
	got, err := f.c.Feed.Resources(ctx, f.version)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.fresh = asked
	f.mu.Unlock()
	if got == nil {
		return nil
	}
	list, refused := parse(got, f.c.Base)
	now := map[string]bool{}
	for _, e := range refused {
		now[e.Error()] = true
		if !f.refused[e.Error()] { // once, not with every answer
			f.c.Log.Error("a tenant's resource cannot be served", "error", e)
		}
	}
	f.version, f.refused = got.Version, now
	f.c.Changed(list)
	return nil
}
