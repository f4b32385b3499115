package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/tenant"
)

// Purpose says what a sealed value is; it is part of the associated data.
type Purpose string

const (
	RefreshToken         Purpose = "refresh_token"
	AccessToken          Purpose = "access_token"
	Email                Purpose = "email"
	SigningKey           Purpose = "signing_key"
	AuthorizationRequest Purpose = "authorization_request"
	UpstreamSecret       Purpose = "upstream_client_secret"
)

// Binding is the place of a sealed value. What was sealed for one place opens
// at no other.
type Binding struct {
	Tenant     tenant.ID
	Subject    uuid.UUID // zero for tenant-wide values
	Connection uuid.UUID // zero for tenant-wide values
	Purpose    Purpose
	Context    string // e.g. a key id; at most 255 bytes
}

// associated is the binding in bytes. Every variable part has its length
// before it, so no two bindings are alike.
func (b Binding) associated(key uuid.UUID) []byte {
	t := b.Tenant.UUID()
	var out bytes.Buffer
	out.WriteString("latchkey vault v1")
	for _, part := range [][]byte{t[:], b.Subject[:], b.Connection[:], key[:], []byte(b.Purpose), []byte(b.Context)} {
		out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(part)))) //nolint:gosec // bounded by check
		out.Write(part)
	}
	return out.Bytes()
}

// ErrRefused says that sealed bytes do not belong to the binding or were
// changed.
var ErrRefused = errors.New("sealed value refused")

// ErrWrongKEK says that the database was sealed under another key-encryption
// key than the one given: a server with it must not start (DESIGN §1.6).
var ErrWrongKEK = errors.New("wrong key-encryption key")

// DataKey is a tenant's data key, wrapped.
type DataKey struct {
	ID      uuid.UUID
	KEK     string // id of the key-encryption key that wraps it
	Wrapped []byte
	Active  bool
}

// DataKeyStore keeps data keys.
type DataKeyStore interface {
	// DataKeys returns all keys of a tenant.
	DataKeys(ctx context.Context, t tenant.ID) ([]DataKey, error)
	// InsertDataKey stores a tenant's first active key. When another process was
	// first it changes nothing and returns nil: read again.
	InsertDataKey(ctx context.Context, t tenant.ID, k DataKey) error
}

// Config configures a Vault. KEK and Store are required.
type Config struct {
	KEK   *KEK
	Store DataKeyStore
	TTL   time.Duration // how long unwrapped data keys are kept; default 10 min
	Now   func() time.Time
}

// Vault seals and opens. Safe for concurrent use.
type Vault struct {
	kek    *KEK
	store  DataKeyStore
	ttl    time.Duration
	now    func() time.Time
	flight singleflight.Group

	mu   sync.RWMutex
	keys map[tenant.ID]*ring
}

// ring is a tenant's unwrapped keys, immutable.
type ring struct {
	active uuid.UUID
	byID   map[uuid.UUID]*subtle.AESGCM
	read   time.Time
}

// New refuses to exist without a key-encryption key (DESIGN §1.6).
func New(c Config) (*Vault, error) {
	if c.KEK == nil || c.Store == nil {
		return nil, errors.New("the vault needs a key-encryption key and a store")
	}
	if c.TTL == 0 {
		c.TTL = 10 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Vault{kek: c.KEK, store: c.Store, ttl: c.TTL, now: c.Now, keys: map[tenant.ID]*ring{}}, nil
}

const (
	formatVersion = 1
	headerSize    = 1 + 16 // version, data key id
	maxPlain      = 64 << 10
)

func (b Binding) check() error {
	if b.Tenant.IsZero() || b.Purpose == "" || len(b.Context) > 255 {
		return errors.New("binding needs a tenant and a purpose, and a context of at most 255 bytes")
	}
	return nil
}

// Seal encrypts for a binding: version | data key id | nonce | ciphertext. At
// most 64 KiB.
func (v *Vault) Seal(ctx context.Context, b Binding, plaintext []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if len(plaintext) > maxPlain {
		return nil, errors.New("value is too large to seal")
	}
	keys, err := v.ring(ctx, b.Tenant, uuid.Nil)
	if err != nil {
		return nil, err
	}
	sealed, err := keys.byID[keys.active].Encrypt(plaintext, b.associated(keys.active))
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return append(append([]byte{formatVersion}, keys.active[:]...), sealed...), nil
}

// Open decrypts what was sealed for the same binding. It returns ErrRefused for
// any other bytes, and another error when the data key cannot be read.
func (v *Vault) Open(ctx context.Context, b Binding, sealed []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if len(sealed) < headerSize || len(sealed) > maxPlain+headerSize+64 || sealed[0] != formatVersion {
		return nil, ErrRefused
	}
	id := uuid.UUID(sealed[1:headerSize])
	keys, err := v.ring(ctx, b.Tenant, id)
	if err != nil {
		return nil, err
	}
	key := keys.byID[id]
	if key == nil {
		return nil, ErrRefused
	}
	plain, err := key.Decrypt(sealed[headerSize:], b.associated(id))
	if err != nil {
		return nil, ErrRefused
	}
	return plain, nil
}

// ring returns the tenant's keys: from memory while they are fresh and have the
// wanted key, else from the store.
func (v *Vault) ring(ctx context.Context, t tenant.ID, want uuid.UUID) (*ring, error) {
	v.mu.RLock()
	keys := v.keys[t]
	v.mu.RUnlock()
	known := false
	if keys != nil {
		age := v.now().Sub(keys.read)
		known = want == uuid.Nil || keys.byID[want] != nil
		// An unknown key id is looked up, but forged ones not more often than once a second.
		if (known || age < time.Second) && age < v.ttl {
			return keys, nil
		}
	}
	fresh, err, _ := v.flight.Do(t.String(), func() (any, error) { return v.load(context.WithoutCancel(ctx), t) })
	if err != nil {
		if known {
			return keys, nil // the database is away: keys do not expire, only our copy is old
		}
		return nil, err // whether the key exists is in doubt: no ErrRefused
	}
	return fresh.(*ring), nil
}

func (v *Vault) load(ctx context.Context, t tenant.ID) (*ring, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for range 2 {
		list, err := v.store.DataKeys(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("reading data keys: %w", err)
		}
		keys, err := v.unwrap(t, list)
		if err != nil {
			return nil, err
		}
		if keys.active != uuid.Nil {
			v.mu.Lock()
			v.keys[t] = keys
			v.mu.Unlock()
			return keys, nil
		}
		if err := v.create(ctx, t); err != nil { // the tenant's first use; the first writer wins
			return nil, err
		}
	}
	return nil, errors.New("the tenant has no active data key")
}

func (v *Vault) unwrap(t tenant.ID, list []DataKey) (*ring, error) {
	keys := &ring{byID: map[uuid.UUID]*subtle.AESGCM{}, read: v.now()}
	for _, k := range list {
		if !v.kek.ids[k.KEK] {
			return nil, fmt.Errorf("%w: data key %s is wrapped by key-encryption key %s, but KEK_FILE holds %s: set KEK_FILE to the file that was in use", ErrWrongKEK, k.ID, k.KEK, v.kek.id)
		}
		raw, err := v.kek.aead.Decrypt(k.Wrapped, wrapping(t, k.ID))
		if err != nil {
			return nil, fmt.Errorf("%w: data key %s cannot be unwrapped", ErrWrongKEK, k.ID)
		}
		if keys.byID[k.ID], err = subtle.NewAESGCM(raw); err != nil {
			return nil, fmt.Errorf("using data key %s: %w", k.ID, err)
		}
		if k.Active {
			keys.active = k.ID
		}
	}
	return keys, nil
}

func (v *Vault) create(ctx context.Context, t tenant.ID) error {
	id := uuid.Must(uuid.NewV7())
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	wrapped, err := v.kek.aead.Encrypt(raw[:], wrapping(t, id))
	if err != nil {
		return fmt.Errorf("wrapping data key: %w", err)
	}
	if err := v.store.InsertDataKey(ctx, t, DataKey{ID: id, KEK: v.kek.id, Wrapped: wrapped, Active: true}); err != nil {
		return fmt.Errorf("storing data key: %w", err)
	}
	return nil
}

// wrapping binds a wrapped data key to its tenant and id.
func wrapping(t tenant.ID, id uuid.UUID) []byte {
	return []byte("latchkey data key v1|" + t.String() + "|" + id.String())
}
