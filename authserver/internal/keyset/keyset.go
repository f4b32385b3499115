package keyset

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/secret"
)

// Purpose of a key.
type Purpose string

const (
	ForAccessTokens Purpose = "access_token"
	ForGrants       Purpose = "grant"
)

// State of a key: next is published but does not sign, active signs, retired
// only verifies.
type State string

const (
	Next    State = "next"
	Active  State = "active"
	Retired State = "retired"
)

// Record is a key as stored.
type Record struct {
	KID     string
	Purpose Purpose
	Alg     string
	Sealed  []byte
	State   State
}

// Store keeps keys.
type Store interface {
	SigningKeys(ctx context.Context, t tenant.ID) ([]Record, error)
	// InsertSigningKey stores a tenant's first active key of a purpose. When
	// another process was first it changes nothing and returns nil: read again.
	InsertSigningKey(ctx context.Context, t tenant.ID, r Record) error
}

// Sealer seals private keys.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Refresh is the age at which a set is read again.
const Refresh = 30 * time.Second

// Config configures a Keyset. Store and Vault are required.
type Config struct {
	Store Store
	Vault Sealer
	Now   func() time.Time
}

// Keyset serves every tenant's set from memory. Safe for concurrent use.
type Keyset struct {
	store  Store
	vault  Sealer
	now    func() time.Time
	flight singleflight.Group

	mu   sync.RWMutex
	sets map[tenant.ID]*Set
}

// New returns an empty cache; a tenant's set is read, or made, at its first use.
func New(c Config) *Keyset {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Keyset{store: c.Store, vault: c.Vault, now: c.Now, sets: map[tenant.ID]*Set{}}
}

// For returns the tenant's set. A set older than Refresh is read again in the
// background and served meanwhile, so a database outage stops no signature
// check and adds no latency.
func (k *Keyset) For(ctx context.Context, t tenant.ID) (*Set, error) {
	k.mu.RLock()
	set := k.sets[t]
	k.mu.RUnlock()
	load := func() (any, error) { return k.load(context.WithoutCancel(ctx), t) }
	if set != nil {
		if k.now().Sub(set.read) >= Refresh {
			k.flight.DoChan(t.String(), load)
		}
		return set, nil
	}
	fresh, err, _ := k.flight.Do(t.String(), load)
	if err != nil {
		return nil, err
	}
	return fresh.(*Set), nil
}

func (k *Keyset) load(ctx context.Context, t tenant.ID) (*Set, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for range 2 {
		records, err := k.store.SigningKeys(ctx, t)
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
			set, err := k.open(ctx, t, records)
			if err != nil {
				return nil, err
			}
			k.mu.Lock()
			k.sets[t] = set
			k.mu.Unlock()
			return set, nil
		}
		for p := range missing { // the tenant's first use; the first writer wins
			if err := k.create(ctx, t, p); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("the tenant has no active signing key")
}

func binding(t tenant.ID, kid string) vault.Binding {
	return vault.Binding{Tenant: t, Purpose: vault.SigningKey, Context: kid}
}

func (k *Keyset) create(ctx context.Context, t tenant.ID, p Purpose) error {
	r := Record{Purpose: p, State: Active}
	var private []byte
	switch p {
	case ForAccessTokens:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("making signing key: %w", err)
		}
		if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return fmt.Errorf("encoding signing key: %w", err)
		}
		public, err := (&jose.JSONWebKey{Key: &key.PublicKey}).Thumbprint(cryptoSHA256) // RFC 7638
		if err != nil {
			return fmt.Errorf("naming signing key: %w", err)
		}
		r.Alg, r.KID = string(jose.ES256), hex.EncodeToString(public[:16])
	case ForGrants:
		private = make([]byte, 32)
		_, _ = rand.Read(private) // never fails (crypto/rand)
		var id [4]byte
		_, _ = rand.Read(id[:])
		r.Alg, r.KID = "HS256", hex.EncodeToString(id[:])
	}
	var err error
	if r.Sealed, err = k.vault.Seal(ctx, binding(t, r.KID), private); err != nil {
		return fmt.Errorf("sealing signing key: %w", err)
	}
	if err := k.store.InsertSigningKey(ctx, t, r); err != nil {
		return fmt.Errorf("storing signing key: %w", err)
	}
	return nil
}

func (k *Keyset) open(ctx context.Context, t tenant.ID, records []Record) (*Set, error) {
	set := &Set{public: map[string]jose.JSONWebKey{}, read: k.now()}
	var mac *grant.MACKey
	var others []grant.MACKey
	var jwks jose.JSONWebKeySet
	for _, r := range records {
		private, err := k.vault.Open(ctx, binding(t, r.KID), r.Sealed)
		if err != nil {
			return nil, fmt.Errorf("opening signing key %s: %w", r.KID, err)
		}
		if r.Purpose == ForGrants {
			key, err := macKey(r.KID, private)
			if err != nil {
				return nil, err
			}
			if r.State == Active {
				mac = &key
			} else {
				others = append(others, key)
			}
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(private)
		if err != nil {
			return nil, fmt.Errorf("decoding signing key %s", r.KID)
		}
		jwk := jose.JSONWebKey{Key: parsed, KeyID: r.KID, Algorithm: r.Alg, Use: "sig"}
		if r.State == Active {
			if set.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(r.Alg), Key: jwk}, (&jose.SignerOptions{}).WithType(accesstoken.Type)); err != nil {
				return nil, fmt.Errorf("using signing key %s: %w", r.KID, err)
			}
		}
		set.public[r.KID] = jwk.Public()
		jwks.Keys = append(jwks.Keys, jwk.Public())
	}
	if set.signer == nil || mac == nil {
		return nil, errors.New("the tenant lacks an active key")
	}
	var err error
	if set.codec, err = grant.NewCodec(t, *mac, others...); err != nil {
		return nil, err
	}
	if set.jwks, err = json.Marshal(jwks); err != nil {
		return nil, fmt.Errorf("encoding key set: %w", err)
	}
	sum := sha256.Sum256(set.jwks)
	set.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return set, nil
}

func macKey(kid string, raw []byte) (grant.MACKey, error) {
	id, err := hex.DecodeString(kid)
	if err != nil || len(id) != 4 {
		return grant.MACKey{}, fmt.Errorf("grant key %s has no valid id", kid)
	}
	return grant.MACKey{ID: [4]byte(id), Key: secret.NewBytes(raw)}, nil
}
