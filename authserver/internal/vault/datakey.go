package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"latchkey/authserver/internal/tenant"
)

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

// dataKey is an unwrapped data key: 256 bits of chance, and what is made of
// them. Immutable.
type dataKey struct {
	raw    []byte
	direct *subtle.AESGCM // the key itself: format 1
	tenant *subtle.AESGCM // of tenant-wide values
}

func newDataKey(raw []byte, t tenant.ID) (*dataKey, error) {
	k := &dataKey{raw: raw}
	var err error
	if k.direct, err = subtle.NewAESGCM(raw); err != nil {
		return nil, err
	}
	of := t.UUID()
	k.tenant, err = derive(raw, "tenant", of[:])
	return k, err
}

// aead returns what seals and opens a binding's values of format 2. A person's
// key needs both halves: whoever has the data key and lost the person's secret
// has nothing.
func (k *dataKey) aead(b Binding) (*subtle.AESGCM, error) {
	if b.Subject == uuid.Nil {
		return k.tenant, nil
	}
	of := b.Tenant.UUID()
	both := append(append(make([]byte, 0, 2*personSize), k.raw...), b.Person.Reveal()...)
	return derive(both, "person", append(of[:], b.Subject[:]...))
}

// derive makes a key for one use (RFC 5869). The input is uniformly random, so
// it needs no salt (§3.1).
func derive(input []byte, use string, of []byte) (*subtle.AESGCM, error) {
	key, err := hkdf.Key(sha256.New, input, nil, "latchkey vault v2|"+use+"|"+string(of), 32)
	if err != nil {
		return nil, err
	}
	return subtle.NewAESGCM(key)
}

// NewDataKey makes an active data key of a tenant, wrapped.
func NewDataKey(ctx context.Context, kek *KEK, t tenant.ID) (DataKey, error) {
	id := uuid.Must(uuid.NewV7())
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	wrapped, err := kek.wrap(ctx, raw[:], wrapping(t, id))
	if err != nil {
		return DataKey{}, err
	}
	return DataKey{ID: id, KEK: kek.id, Wrapped: wrapped, Active: true}, nil
}

// Rewrap wraps a data key by the primary key of kek. The data key itself, and
// what is sealed under it, stays the same.
func Rewrap(ctx context.Context, kek *KEK, t tenant.ID, k DataKey) (DataKey, error) {
	raw, err := unwrap(ctx, kek, t, k)
	if err != nil {
		return DataKey{}, err
	}
	if k.Wrapped, err = kek.wrap(ctx, raw, wrapping(t, k.ID)); err != nil {
		return DataKey{}, err
	}
	k.KEK = kek.id
	return k, nil
}

func unwrap(ctx context.Context, kek *KEK, t tenant.ID, k DataKey) ([]byte, error) {
	raw, err := kek.unwrap(ctx, k.KEK, k.Wrapped, wrapping(t, k.ID))
	if err == nil && len(raw) != 32 {
		err = ErrKEKAway // authentic, and yet no key of ours: not to be believed
	}
	if err != nil {
		return nil, fmt.Errorf("unwrapping data key %s: %w", k.ID, err)
	}
	return raw, nil
}

// wrapping binds a wrapped data key to its tenant and id.
func wrapping(t tenant.ID, id uuid.UUID) []byte {
	return []byte("latchkey data key v1|" + t.String() + "|" + id.String())
}

// KeyID is the id of the data key under which a value is sealed, from its head,
// as sealed_key does in SQL. It proves nothing about the value.
func KeyID(sealed []byte) (uuid.UUID, bool) {
	if len(sealed) < headerSize || sealed[0] < 1 || sealed[0] > Format {
		return uuid.Nil, false
	}
	return uuid.UUID(sealed[1:headerSize]), true
}
