package registration

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
)

const (
	cacheTTL  = time.Minute
	cacheSize = 10_000
	maxID     = 128
	// touchEvery is how often a client's use is written down.
	touchEvery = 24 * time.Hour
)

// Store reads what Clients needs.
type Store interface {
	// Client returns client.ErrNotFound for a client that is not registered (any
	// more); any other error is doubt.
	Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error)
	TouchClient(ctx context.Context, t tenant.ID, id string, life time.Duration) error
	// Document returns client.ErrNotFound when no good copy is kept.
	Document(ctx context.Context, t tenant.ID, id string) (*Document, error)
	KeepDocument(ctx context.Context, t tenant.ID, d *Document) error
}

// Config configures Clients. Every field but CustomRedirects is required.
type Config struct {
	Store           Store
	Fetch           clientauth.Fetcher
	CustomRedirects []string // exact private-use URIs that a document may list
	Now             func() time.Time
	Log             *slog.Logger
}

// Clients is the lookup of clients, registered ones and documents, cached in
// memory for a minute: a token request reads no client row. Unknown ids are not
// cached, so a client registered at another replica is found at once. Safe for
// concurrent use.
type Clients struct {
	Config
	flight singleflight.Group

	mu     sync.RWMutex
	cached map[key]entry // at most cacheSize
}

type key struct {
	tenant tenant.ID
	id     string
}

type entry struct {
	client *client.Client
	until  time.Time
	used   time.Time // when its use was last written down
}

// NewClients returns an empty cache.
func NewClients(c Config) *Clients {
	return &Clients{Config: c, cached: map[key]entry{}}
}

func isDocument(id string) bool { return strings.HasPrefix(id, "https://") }

// Client returns a client for a request that is not a person's first sight of
// it: a document's last good copy serves while its host does not answer, so
// that an outage there signs nobody out. One that nobody has seen yet, which a
// client may push a request as, is fetched on the account of the address that asks.
// It returns client.ErrNotFound for an unknown client; any other error is doubt.
func (c *Clients) Client(ctx context.Context, t *tenant.Tenant, id string) (*client.Client, error) {
	if found, ok := c.fromMemory(t, id); ok {
		return found, nil
	}
	if isDocument(id) {
		return c.document(ctx, t, id, ratelimit.Source(ctx), false)
	}
	return c.registered(ctx, t, id)
}

// Introduce returns a client for an authorization request: a document is
// fetched again when it is no longer fresh. source is the address that asks,
// for the limits on fetching. It returns client.ErrNotFound, a *DocumentError
// with words for the person, or doubt.
func (c *Clients) Introduce(ctx context.Context, t *tenant.Tenant, id, source string) (*client.Client, error) {
	if isDocument(id) {
		return c.document(ctx, t, id, source, true)
	}
	return c.Client(ctx, t, id)
}

// Used notes that a client is in use, at most once a day each and replica: that
// moves the end of its registration on. Failing to is no failure of the request.
func (c *Clients) Used(ctx context.Context, t *tenant.Tenant, found *client.Client) {
	k, now := key{t.ID, found.ID}, c.Now()
	c.mu.Lock()
	e, ok := c.cached[k]
	last := found.LastUsedAt
	if ok && e.used.After(last) {
		last = e.used
	}
	due := now.Sub(last) >= touchEvery
	if due && ok {
		e.used = now
		c.cached[k] = e
	}
	c.mu.Unlock()
	if !due {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := c.Store.TouchClient(bounded, t.ID, found.ID, t.Lifetimes.ClientUsed); err != nil {
		c.Log.Warn("noting a client's use", "client", found.ID, "error", err)
	}
}

// fromMemory serves a client from the cache while the tenant admits it: a
// document that is no longer admitted is not served on for the rest of a minute.
func (c *Clients) fromMemory(t *tenant.Tenant, id string) (*client.Client, bool) {
	if isDocument(id) && !admits(t.Documents, id) {
		return nil, false
	}
	c.mu.RLock()
	e, ok := c.cached[key{t.ID, id}]
	c.mu.RUnlock()
	now := c.Now()
	if !ok || !now.Before(e.until) || (!e.client.ExpiresAt.IsZero() && !now.Before(e.client.ExpiresAt)) {
		return nil, false
	}
	return e.client, true
}

// registered reads a registered client from the store.
func (c *Clients) registered(ctx context.Context, t *tenant.Tenant, id string) (*client.Client, error) {
	if id == "" || len(id) > maxID {
		return nil, client.ErrNotFound
	}
	found, err := c.Store.Client(ctx, t.ID, id)
	if err != nil {
		return nil, fmt.Errorf("finding client: %w", err)
	}
	c.keep(key{t.ID, id}, found, found.LastUsedAt)
	return found, nil
}

func (c *Clients) keep(k key, v *client.Client, used time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.cached[k]
	if known && old.used.After(used) {
		used = old.used
	}
	if !known && len(c.cached) >= cacheSize {
		for any := range c.cached { // a miss costs one read
			delete(c.cached, any)
			break
		}
	}
	c.cached[k] = entry{v, c.Now().Add(cacheTTL), used}
}

func (c *Clients) forget(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cached, k)
}
