package keyset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// Purpose of a key.
type Purpose string

const (
	ForAccessTokens Purpose = "access_token"
	ForGrants       Purpose = "grant"
)

// Purposes are all of them.
func Purposes() []Purpose { return []Purpose{ForAccessTokens, ForGrants} }

// State of a key: next is known but does not sign, active signs, retired only
// verifies.
type State string

const (
	Next    State = "next"
	Active  State = "active"
	Retired State = "retired"
)

// Record is a key as stored.
type Record struct {
	KID                         string
	Purpose                     Purpose
	Alg                         string
	Sealed                      []byte
	State                       State
	Created, Activated, Retired time.Time     // zero until it happens
	Age                         time.Duration // in its state, by the database's clock when it was read
	TokenLife                   time.Duration // the longest life of its tokens that a server has noted
}

// Demand says when a next key is wanted besides when the active one has
// another algorithm.
type Demand struct {
	ByHand bool          // an operator asks: always
	After  time.Duration // age of the active key; 0: no age
	Max    int           // keys of the purpose, the new one included
}

// Advance is what a server knows of a purpose's transitions.
type Advance struct {
	Purpose   Purpose
	Lead      time.Duration // a next key so old becomes active, the active one retired
	TokenLife time.Duration // longest life of a token made now; noted at every key
	Margin    time.Duration // a key retired for its token life and this is deleted
}

// Advanced is what was done: key ids.
type Advanced struct {
	Activated string // "" for none
	Deleted   []string
}

// Store keeps keys. Each method that changes something is one transaction and
// decides by the database's clock; of several processes at once one does it.
type Store interface {
	// SigningKeys returns a tenant's keys: active, next, retired ones newest first.
	SigningKeys(ctx context.Context, t tenant.ID) ([]Record, error)
	// InsertSigningKey stores a tenant's first active key of a purpose. When
	// another process was first it changes nothing and returns nil: read again.
	InsertSigningKey(ctx context.Context, t tenant.ID, r Record) error
	// PublishSigningKey stores a next key if there is an active one, none is next
	// and the demand holds. It reports whether it did.
	PublishSigningKey(ctx context.Context, t tenant.ID, r Record, d Demand) (bool, error)
	// AdvanceSigningKeys does the transitions that are due, unless another
	// process is at it.
	AdvanceSigningKeys(ctx context.Context, t tenant.ID, a Advance) (Advanced, error)
	// ReplaceSigningKeys deletes every key of a purpose and stores an active one.
	ReplaceSigningKeys(ctx context.Context, t tenant.ID, r Record) ([]string, error)
}

// Sealer seals private keys.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Config configures a Keyset. Store, Vault and Tenants are required.
type Config struct {
	Store   Store
	Vault   Sealer
	Tenants func() *tenant.Directory
	Timing  Timing           // default DefaultTiming
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default: none
}

// Keyset serves every tenant's set from memory. Safe for concurrent use.
type Keyset struct {
	store   Store
	vault   Sealer
	tenants func() *tenant.Directory
	timing  Timing
	now     func() time.Time
	log     *slog.Logger
	flight  singleflight.Group

	mu   sync.RWMutex
	sets map[tenant.ID]*Set
}

// New returns an empty cache; a tenant's set is read, or made, at its first use.
// It refuses times with which a key could sign before everybody knows it.
func New(c Config) (*Keyset, error) {
	if c.Store == nil || c.Vault == nil || c.Tenants == nil {
		return nil, errors.New("the key set needs a store, a vault and the tenants")
	}
	if c.Timing == (Timing{}) {
		c.Timing = DefaultTiming()
	}
	if err := c.Timing.check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Keyset{store: c.Store, vault: c.Vault, tenants: c.Tenants, timing: c.Timing, now: c.Now, log: c.Log, sets: map[tenant.ID]*Set{}}, nil
}

// For returns the tenant's set. One older than Refresh is read again in the
// background and served meanwhile, so a short outage of the database stops no
// signature check and adds no latency. One that may lack a key which signs by
// now is not served: the error is doubt (DESIGN §1.5).
func (k *Keyset) For(ctx context.Context, t tenant.ID) (*Set, error) {
	k.mu.RLock()
	set := k.sets[t]
	k.mu.RUnlock()
	load := func() (any, error) { return k.load(context.WithoutCancel(ctx), t) }
	if set != nil {
		age := k.wall().Sub(set.read)
		if age >= k.timing.Refresh {
			k.flight.DoChan(t.String(), load)
		}
		if age >= 0 && age < k.timing.complete() {
			return set, nil
		}
	}
	fresh, err, _ := k.flight.Do(t.String(), load)
	if err != nil {
		return nil, err
	}
	return fresh.(*Set), nil
}

// Retain forgets the sets of tenants that are not known any more. A read that was
// under way may bring one back, until the next call.
func (k *Keyset) Retain(known func(tenant.ID) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.sets, func(t tenant.ID, _ *Set) bool { return !known(t) })
}

// wall is the time without its monotonic part, which stands still while a
// machine is suspended: keys do not.
func (k *Keyset) wall() time.Time { return k.now().Round(0) }

const loadTimeout = 5 * time.Second

// load reads a tenant's keys, makes what is missing if the tenant is active,
// and keeps the set.
func (k *Keyset) load(ctx context.Context, id tenant.ID) (*Set, error) {
	t, ok := k.tenants().ByID(id)
	if !ok {
		return nil, errors.New("reading signing keys: unknown tenant")
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	for range 2 {
		read := k.wall() // before the query: what is stored from now on may be missing
		records, err := k.store.SigningKeys(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("reading signing keys: %w", err)
		}
		missing := map[Purpose]bool{ForAccessTokens: true, ForGrants: true}
		for _, r := range records {
			if r.State == Active {
				delete(missing, r.Purpose)
			}
		}
		if len(missing) == 0 {
			set, err := k.open(ctx, id, records, read)
			if err != nil {
				return nil, err
			}
			k.keep(id, set)
			return set, nil
		}
		// One that is suspended may be on its way to being erased, which destroys
		// its keys: no new ones, and doubt for who asks.
		if t.Status != tenant.Active {
			return nil, errors.New("the tenant has no active signing key and is not active")
		}
		for p := range missing { // the tenant's first use; the first writer wins
			r, err := generate(ctx, k.vault, id, p, algOf(t, p))
			if err != nil {
				return nil, err
			}
			if err := k.store.InsertSigningKey(ctx, id, r); err != nil {
				return nil, fmt.Errorf("storing signing key: %w", err)
			}
		}
	}
	return nil, errors.New("the tenant has no active signing key")
}

// keep puts a set into memory unless one that was read later is there.
func (k *Keyset) keep(t tenant.ID, set *Set) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.sets[t]; old == nil || !old.read.After(set.read) || old.read.After(k.wall()) {
		k.sets[t] = set
	}
}
