package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/tenant"
)

// ErrRefused says that sealed bytes do not belong to the binding or were
// changed, or that the person's secret is destroyed.
var ErrRefused = errors.New("sealed value refused")

// TTL is how long a server seals under the data key that it knows as the active
// one without looking again. A key that was retired longer ago is used by no
// server that reaches the database.
const TTL = 10 * time.Minute

const (
	// retry is how soon a read that failed is tried again while the keys at hand
	// serve: an outage costs nobody more than one wait in this time.
	retry = 10 * time.Second
	// loadTimeout bounds a read with its calls to a key management service.
	loadTimeout = 8 * time.Second
)

// Config configures a Vault. KEK and Store are required.
type Config struct {
	KEK   *KEK
	Store DataKeyStore
	TTL   time.Duration // default TTL
	Now   func() time.Time
}

// Vault seals and opens. Safe for concurrent use.
type Vault struct {
	kek    *KEK
	store  DataKeyStore
	ttl    time.Duration
	now    func() time.Time
	flight singleflight.Group

	mu     sync.RWMutex
	keys   map[tenant.ID]*ring
	absent map[uuid.UUID]time.Time // ids that were looked up in vain, and when
}

// ring is a tenant's unwrapped keys, immutable.
type ring struct {
	active uuid.UUID
	byID   map[uuid.UUID]*dataKey
	read   time.Time
	failed time.Time // last read that failed since
}

// New refuses to exist without a key-encryption key (DESIGN §1.6).
func New(c Config) (*Vault, error) {
	if c.KEK == nil || c.Store == nil {
		return nil, errors.New("the vault needs a key-encryption key and a store")
	}
	if c.TTL == 0 {
		c.TTL = TTL
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Vault{kek: c.KEK, store: c.Store, ttl: c.TTL, now: c.Now, keys: map[tenant.ID]*ring{}, absent: map[uuid.UUID]time.Time{}}, nil
}

// Format is the version of what Seal makes. Values of format 1, sealed under the
// data key itself, are opened still.
const Format = 2

const (
	headerSize = 1 + 16 // format, data key id: readable in SQL
	maxPlain   = 64 << 10
)

// Seal encrypts for a binding: format | data key id | nonce | ciphertext. At
// most 64 KiB. A value of a person needs the person's secret.
func (v *Vault) Seal(ctx context.Context, b Binding, plaintext []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if len(plaintext) > maxPlain {
		return nil, errors.New("value is too large to seal")
	}
	if b.Subject != uuid.Nil && b.Person.Empty() {
		return nil, errors.New("sealing: the person's secret is missing or destroyed")
	}
	keys, err := v.ring(ctx, b.Tenant, uuid.Nil)
	if err != nil {
		return nil, err
	}
	a, err := keys.byID[keys.active].aead(b)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	sealed, err := a.Encrypt(plaintext, b.associated(Format, keys.active))
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return append(append([]byte{Format}, keys.active[:]...), sealed...), nil
}

// Open decrypts what was sealed for the same binding. It returns ErrRefused for
// any other bytes, and another error when the data key cannot be read.
func (v *Vault) Open(ctx context.Context, b Binding, sealed []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	id, ok := KeyID(sealed)
	if !ok || len(sealed) > maxPlain+headerSize+64 {
		return nil, ErrRefused
	}
	keys, err := v.ring(ctx, b.Tenant, id)
	if err != nil {
		return nil, err
	}
	key := keys.byID[id]
	if key == nil {
		return nil, ErrRefused
	}
	var a *subtle.AESGCM
	switch {
	case sealed[0] == 1:
		a = key.direct
	case b.Subject != uuid.Nil && b.Person.Empty():
		return nil, fmt.Errorf("%w: the person's secret is destroyed", ErrRefused)
	default:
		if a, err = key.aead(b); err != nil {
			return nil, fmt.Errorf("opening: %w", err)
		}
	}
	plain, err := a.Decrypt(sealed[headerSize:], b.associated(sealed[0], id))
	if err != nil {
		return nil, ErrRefused
	}
	return plain, nil
}

// Retain forgets the keys of tenants that are not known any more. A read that was
// under way may bring one back, until the next call.
func (v *Vault) Retain(known func(tenant.ID) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.keys, func(t tenant.ID, _ *ring) bool { return !known(t) })
}

// Active reads the tenant's keys anew and returns the id of the one that Seal
// uses from now on.
func (v *Vault) Active(ctx context.Context, t tenant.ID) (uuid.UUID, error) {
	keys, err := v.load(ctx, t)
	if err != nil {
		return uuid.Nil, err
	}
	return keys.active, nil
}

// ring returns the tenant's keys: from memory while they are fresh and have the
// wanted key, else from the store.
func (v *Vault) ring(ctx context.Context, t tenant.ID, want uuid.UUID) (*ring, error) {
	now := v.now()
	v.mu.RLock()
	keys := v.keys[t]
	vain, forged := v.absent[want]
	v.mu.RUnlock()
	known := false
	if keys != nil {
		known = want == uuid.Nil || keys.byID[want] != nil
		// A forged id is not looked up more often than once a second; another one
		// always is, for it may be of the key that has just become active.
		if now.Sub(keys.read) < v.ttl && (known || forged && now.Sub(vain) < time.Second) || known && now.Sub(keys.failed) < retry {
			return keys, nil
		}
	}
	fresh, err := v.read(ctx, t)
	if err == nil && want != uuid.Nil && fresh.byID[want] == nil {
		if fresh.read.Before(now) { // another caller's read, begun before the key may have been there
			fresh, err = v.load(context.WithoutCancel(ctx), t)
		}
		if err == nil && fresh.byID[want] == nil {
			v.note(want)
		}
	}
	if err == nil {
		return fresh, nil
	}
	if !known {
		return nil, err // whether the key exists is in doubt: no ErrRefused
	}
	// The database or the key management service is away: keys do not expire, only
	// our copy is old. What it seals is safe all the same: the database takes no
	// value of a data key that is gone.
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys[t] == keys {
		old := *keys
		old.failed = v.now()
		v.keys[t] = &old
	}
	return keys, nil
}

// maxAbsent bounds the memory of ids that were looked up in vain.
const maxAbsent = 1000

func (v *Vault) note(id uuid.UUID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.absent) >= maxAbsent {
		clear(v.absent)
	}
	v.absent[id] = v.now()
}

func (v *Vault) read(ctx context.Context, t tenant.ID) (*ring, error) {
	fresh, err, _ := v.flight.Do(t.String(), func() (any, error) { return v.load(context.WithoutCancel(ctx), t) })
	if err != nil {
		return nil, err
	}
	return fresh.(*ring), nil
}

func (v *Vault) load(ctx context.Context, t tenant.ID) (*ring, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	for range 2 {
		read := v.now() // before the query: what is retired from now on may be active here
		list, err := v.store.DataKeys(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("reading data keys: %w", err)
		}
		keys, err := v.unwrap(ctx, t, list)
		if err != nil {
			return nil, err
		}
		if keys.active != uuid.Nil {
			keys.read = read
			v.mu.Lock()
			v.keys[t] = keys
			v.mu.Unlock()
			return keys, nil
		}
		first, err := NewDataKey(ctx, v.kek, t) // the tenant's first use; the first writer wins
		if err != nil {
			return nil, err
		}
		if err := v.store.InsertDataKey(ctx, t, first); err != nil {
			return nil, fmt.Errorf("storing data key: %w", err)
		}
	}
	return nil, errors.New("the tenant has no active data key")
}

// unwrap asks the key-encryption key about data keys that are new here only: a
// key management service that is away stops nothing that was at work before.
// Keys that are no longer listed are forgotten.
func (v *Vault) unwrap(ctx context.Context, t tenant.ID, list []DataKey) (*ring, error) {
	v.mu.RLock()
	old := v.keys[t]
	v.mu.RUnlock()
	keys := &ring{byID: map[uuid.UUID]*dataKey{}}
	for _, k := range list {
		if k.Active {
			keys.active = k.ID
		}
		if old != nil && old.byID[k.ID] != nil {
			keys.byID[k.ID] = old.byID[k.ID]
			continue
		}
		raw, err := unwrap(ctx, v.kek, t, k)
		if err != nil {
			return nil, err
		}
		if keys.byID[k.ID], err = newDataKey(raw, t); err != nil {
			return nil, fmt.Errorf("using data key %s: %w", k.ID, err)
		}
	}
	return keys, nil
}
