package registration

import (
	"context"
	"fmt"
	"sync"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
)

const (
	cacheTTL  = time.Minute
	cacheSize = 10_000
	maxID     = 128
)

// Clients is the lookup of registered clients, cached in memory for a minute:
// a token request reads no client row. Unknown ids are not cached, so a client
// registered at another replica is found at once. Safe for concurrent use.
type Clients struct {
	store Store
	now   func() time.Time

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
}

// NewClients returns an empty cache over the store.
func NewClients(store Store, now func() time.Time) *Clients {
	return &Clients{store: store, now: now, cached: map[key]entry{}}
}

// Client returns a client. It returns client.ErrNotFound for an unknown id; any
// other error is doubt about the store.
func (c *Clients) Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error) {
	if id == "" || len(id) > maxID {
		return nil, client.ErrNotFound
	}
	k := key{t, id}
	c.mu.RLock()
	e, ok := c.cached[k]
	c.mu.RUnlock()
	if ok && c.now().Before(e.until) {
		return e.client, nil
	}
	found, err := c.store.Client(ctx, t, id)
	if err != nil {
		return nil, fmt.Errorf("finding client: %w", err)
	}
	c.keep(k, found)
	return found, nil
}

func (c *Clients) insert(ctx context.Context, t tenant.ID, new *client.Client) error {
	if err := c.store.InsertClient(ctx, t, new); err != nil {
		return fmt.Errorf("registering client: %w", err)
	}
	c.keep(key{t, new.ID}, new)
	return nil
}

func (c *Clients) keep(k key, v *client.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.cached[k]; !known && len(c.cached) >= cacheSize {
		for old := range c.cached { // any one: a miss costs one read
			delete(c.cached, old)
			break
		}
	}
	c.cached[k] = entry{v, c.now().Add(cacheTTL)}
}
