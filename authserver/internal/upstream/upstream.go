package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

const loadTimeout = 5 * time.Second

// Store reads sealed secrets.
type Store interface {
	// UpstreamSecret returns the sealed secret of the tenant's active client, and
	// ErrChanged when that is not the generation asked for.
	UpstreamSecret(ctx context.Context, t tenant.ID, generation int64) ([]byte, error)
}

// ErrChanged says that the tenant has another client by now: its directory entry
// is old, or newer than what was read.
var ErrChanged = errors.New("the tenant's google client has changed")

// Sealer opens and seals for a binding.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Binding is the place of a client's secret. It names generation and client id,
// so a secret stored for one client is never sent as another's.
func Binding(t tenant.ID, generation int64, clientID string) vault.Binding {
	return vault.Binding{Tenant: t, Purpose: vault.UpstreamSecret, Context: strconv.FormatInt(generation, 10) + " " + clientID}
}

// Config configures Clients; every field is required.
type Config struct {
	Store        Store
	Vault        Sealer
	Tenants      func() *tenant.Directory
	Google       google.Config // Google's endpoints, and the deployment's client
	CallbackPath string        // below the origin of a tenant's issuer
}

// Clients keeps one client per tenant. Safe for concurrent use.
type Clients struct {
	config Config
	flight singleflight.Group

	mu   sync.RWMutex
	kept map[tenant.ID]kept
}

type kept struct {
	of     tenant.Upstream
	origin string
	client *google.Client
}

// New returns an empty cache. All clients share one transport.
func New(c Config) *Clients {
	if c.Google.HTTP == nil {
		c.Google.HTTP = google.NewHTTP()
	}
	return &Clients{config: c, kept: map[tenant.ID]kept{}}
}

// For returns the tenant's client. Every error is doubt.
func (c *Clients) For(ctx context.Context, id tenant.ID) (*google.Client, error) {
	t, ok := c.config.Tenants().ByID(id)
	if !ok {
		return nil, errors.New("finding the google client: unknown tenant")
	}
	origin := t.Issuer.Origin()
	c.mu.RLock()
	have, ok := c.kept[id]
	c.mu.RUnlock()
	if ok && have.of == t.Upstream && have.origin == origin {
		return have.client, nil
	}
	if !t.Upstream.Own {
		return c.keep(t, c.config.Google.ClientSecret), nil
	}
	if t.Upstream.ClientID == "" {
		return nil, errors.New("the tenant is to use a google client of its own and has none: authserver tenants google-client set")
	}
	key := fmt.Sprintf("%s %d %s", id, t.Upstream.Generation, origin)
	made, err, _ := c.flight.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		sealed, err := c.config.Store.UpstreamSecret(ctx, id, t.Upstream.Generation)
		if err != nil {
			return nil, err
		}
		plain, err := c.config.Vault.Open(ctx, Binding(id, t.Upstream.Generation, t.Upstream.ClientID), sealed)
		if err != nil {
			return nil, fmt.Errorf("opening the google client's secret: %w", err)
		}
		return c.keep(t, secret.NewText(string(plain))), nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*google.Client), nil
}

// Retain forgets the clients, and with them the secrets, of tenants that are not
// known any more.
func (c *Clients) Retain(known func(tenant.ID) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.kept, func(t tenant.ID, _ kept) bool { return !known(t) })
}

// keep makes a client.
func (c *Clients) keep(t *tenant.Tenant, s secret.Text) *google.Client {
	g := c.config.Google
	g.ClientID, g.ClientSecret, g.RedirectURL = t.Upstream.ClientID, s, t.Issuer.Origin()+c.config.CallbackPath
	made := kept{of: t.Upstream, origin: t.Issuer.Origin(), client: google.New(g)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[t.ID] = made
	return made.client
}

// IDs are the client ids of all tenants, sorted: those that Google's events may
// be about.
func (c *Clients) IDs() []string {
	ids := []string{c.config.Google.ClientID}
	for _, t := range c.config.Tenants().All() {
		if t.Upstream.ClientID != "" {
			ids = append(ids, t.Upstream.ClientID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
