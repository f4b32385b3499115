package clientauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/outbound"
	"latchkey/authserver/internal/ratelimit"
)

// MaxKeySet bounds a client's key set in bytes, whether inline or fetched.
const MaxKeySet = 64 << 10

const (
	maxKeys      = 32
	minRSABits   = 2048
	maxRSABits   = 8192 // bounds the work of a verification
	maxCachedURI = 1000
	// refetchPause is the least time between fetches caused by key ids that are
	// not in the set: forged ids cannot make us hammer a client's server.
	refetchPause = 30 * time.Second
	// staleLimit is how long keys serve on while their server does not answer.
	staleLimit = 24 * time.Hour
)

// ParseKeySet reads a client's public keys. Keys of unknown types or other uses
// are left out (RFC 7517 §5); a private key, none left or more than 32 refuse
// the set.
func ParseKeySet(body []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if len(body) > MaxKeySet {
		return set, errors.New("the key set is too large")
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return set, errors.New("the key set is not a JSON object with keys")
	}
	if len(raw.Keys) > maxKeys {
		return set, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	for _, b := range raw.Keys {
		var private struct {
			D json.RawMessage `json:"d"`
			K json.RawMessage `json:"k"`
		}
		if json.Unmarshal(b, &private) == nil && (private.D != nil || private.K != nil) {
			return set, errors.New("the key set holds a private or secret key")
		}
		var k jose.JSONWebKey
		if json.Unmarshal(b, &k) != nil || !k.Valid() || !k.IsPublic() || (k.Use != "" && k.Use != "sig") {
			continue
		}
		for _, alg := range Algorithms {
			if fits(k, string(alg)) {
				set.Keys = append(set.Keys, k)
				break
			}
		}
	}
	if len(set.Keys) == 0 {
		return set, errors.New("the key set has no key for ES256, EdDSA (Ed25519), RS256 or PS256")
	}
	return set, nil
}

// fits reports whether a key may verify an algorithm: its type, its size, and
// its own alg if it names one (RFC 8725 §3.1).
func fits(k jose.JSONWebKey, alg string) bool {
	if key, ok := k.Key.(ed25519.PublicKey); ok { // two names for one algorithm (RFC 9864 §2.2)
		one := func(name string) bool { return name == string(jose.EdDSA) || name == string(ed25519Alg) }
		return len(key) == ed25519.PublicKeySize && one(alg) && (k.Algorithm == "" || one(k.Algorithm))
	}
	if k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && key.Curve == elliptic.P256()
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return (alg == string(jose.RS256) || alg == string(jose.PS256)) && bits >= minRSABits && bits <= maxRSABits
	}
	return false
}

// Fetcher fetches a document from a stranger's server.
type Fetcher interface {
	Get(ctx context.Context, r outbound.Request) (*outbound.Document, error)
}

// Keys are the key sets that clients publish at their jwks_uri, in memory, at
// most 1000. Safe for concurrent use.
type Keys struct {
	fetch Fetcher
	now   func() time.Time

	mu     sync.Mutex
	cached map[string]*cachedKeys
}

type cachedKeys struct {
	set     jose.JSONWebKeySet
	fetched time.Time
	until   time.Time
}

// NewKeys returns an empty cache.
func NewKeys(fetch Fetcher, now func() time.Time) *Keys {
	return &Keys{fetch: fetch, now: now, cached: map[string]*cachedKeys{}}
}

// At returns the keys at a URI. With newer the set is fetched again even if it
// is fresh, but not more often than every 30 s. A failed fetch leaves the last
// set in use for a day; without one it is doubt. trusted says that somebody vouches
// for the client: anybody registers one, with keys at any host.
func (k *Keys) At(ctx context.Context, uri string, trusted, newer bool) (jose.JSONWebKeySet, error) {
	now := k.now()
	k.mu.Lock()
	c := k.cached[uri]
	k.mu.Unlock()
	if c != nil && now.Before(c.until) && (!newer || now.Sub(c.fetched) < refetchPause) {
		return c.set, nil
	}
	// Keys that were had before are no stranger's errand. The first time they are
	// fetched on the account of the address that asks.
	doc, err := k.fetch.Get(ctx, outbound.Request{URL: uri, Limit: MaxKeySet, Known: trusted, Kept: c != nil, Source: ratelimit.Source(ctx)})
	if err == nil {
		set, parseErr := ParseKeySet(doc.Body)
		if parseErr == nil {
			k.keep(uri, &cachedKeys{set, doc.Fetched, doc.FreshUntil})
			return set, nil
		}
		err = parseErr
	}
	if c != nil && now.Sub(c.fetched) < staleLimit {
		return c.set, nil
	}
	return jose.JSONWebKeySet{}, fmt.Errorf("fetching the client's keys: %w", err)
}

func (k *Keys) keep(uri string, c *cachedKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.cached[uri]; !known && len(k.cached) >= maxCachedURI {
		for old := range k.cached { // any one: a miss costs one fetch
			delete(k.cached, old)
			break
		}
	}
	k.cached[uri] = c
}
