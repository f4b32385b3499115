package tenancy

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/authserver/internal/tenant"
)

const (
	// DefaultTTL bounds how old the tenants in memory get while the database
	// answers, when a notification is lost.
	DefaultTTL = 30 * time.Second

	readTimeout = 5 * time.Second
	// quiet gathers the notifications of one change into one read.
	quiet          = 50 * time.Millisecond
	reconnectFirst = 500 * time.Millisecond
	reconnectMost  = 15 * time.Second
)

// Source is where the tenants are stored.
type Source interface {
	// Tenants returns every tenant, with host, resources and active client.
	Tenants(ctx context.Context) ([]Record, error)
	// ListenTenants calls changed after each change, from when it is connected
	// (which counts as a change: what came before may have been missed). It
	// returns when the connection has ended.
	ListenTenants(ctx context.Context, changed func()) error
}

// Config configures a Follower. Source and Deployment are required.
type Config struct {
	Source     Source
	Deployment Deployment
	TTL        time.Duration // default DefaultTTL
	Log        *slog.Logger  // default: none
	// Replaced is called after each read with the directory that it made; nil: nobody.
	Replaced func(*tenant.Directory)
}

// Follower keeps the directory of tenants. A request reads an atomic pointer and
// waits for nobody; while the database is away the last good copy serves. Safe
// for concurrent use.
type Follower struct {
	source     Source
	deployment Deployment
	ttl        time.Duration
	log        *slog.Logger
	replaced   func(*tenant.Directory)
	wake       chan struct{} // holds one notification that nobody has acted on

	current atomic.Pointer[tenant.Directory]

	mu       sync.Mutex // one read at a time
	problems map[string]bool
}

// NewFollower returns a follower that knows the default tenant's name only, so
// that every request is answered with doubt until Reload has read the tenants.
func NewFollower(c Config) (*Follower, error) {
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Replaced == nil {
		c.Replaced = func(*tenant.Directory) {}
	}
	f := &Follower{source: c.Source, deployment: c.Deployment, ttl: c.TTL, log: c.Log, replaced: c.Replaced, wake: make(chan struct{}, 1), problems: map[string]bool{}}
	d, err := tenant.NewDirectory(c.Deployment.unread())
	if err != nil {
		return nil, err
	}
	f.current.Store(d)
	return f, nil
}

// Directory is the directory as it is now.
func (f *Follower) Directory() *tenant.Directory { return f.current.Load() }

// Reload reads the tenants. After an error the directory is as it was.
func (f *Follower) Reload(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	records, err := f.source.Tenants(ctx)
	if err != nil {
		return fmt.Errorf("reading tenants: %w", err)
	}
	d, problems, err := f.deployment.Directory(records)
	if err != nil {
		return fmt.Errorf("reading tenants: %w", err)
	}
	f.current.Store(d)
	f.replaced(d)
	now := map[string]bool{}
	for _, p := range problems {
		now[p.Error()] = true
		if !f.problems[p.Error()] { // once, not at every read
			f.log.Error("a tenant cannot be served: correct it with authserver tenants update", "error", p)
		}
	}
	f.problems = now
	return nil
}

// Run follows the changes until ctx ends: at each notification, and at the
// latest after the TTL.
func (f *Follower) Run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { f.listen(ctx) })
	defer listening.Wait()
	lost := false
	for {
		wait := time.NewTimer(f.ttl - f.ttl/8 + rand.N(f.ttl/8+1)) // replicas spread out
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-f.wake:
			wait.Stop()
			select {
			case <-ctx.Done():
				return
			case <-time.After(quiet):
			}
		case <-wait.C:
		}
		err := f.Reload(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !lost:
			f.log.Warn("the tenants cannot be read: the last good copy serves", "error", err)
		case err == nil && lost:
			f.log.Info("the tenants are read again")
		}
		lost = err != nil
	}
}

// listen keeps a connection that notifications come on. Without one the TTL
// does its work.
func (f *Follower) listen(ctx context.Context) {
	pause := reconnectFirst
	for {
		began := time.Now()
		err := f.source.ListenTenants(ctx, func() {
			select {
			case f.wake <- struct{}{}:
			default:
			}
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > reconnectMost {
			pause = reconnectFirst
		}
		f.log.Warn("changes of tenants are not announced: they are noticed at the next read", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, reconnectMost)
	}
}
