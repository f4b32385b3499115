package keyset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
)

// Set is one tenant's keys at one time. Immutable.
type Set struct {
	signer  jose.Signer
	active  jose.JSONWebKey // private; of access tokens
	public  map[string]jose.JSONWebKey
	jwks    []byte
	etag    string
	codec   *grant.Codec
	records []Record // without the keys
	read    time.Time
	maxAge  func() time.Duration
}

// open makes a set of a tenant's keys. One key that is not what it says it is
// spoils the set: nothing is signed or verified in doubt.
func (k *Keyset) open(ctx context.Context, t tenant.ID, records []Record, read time.Time) (*Set, error) {
	set := &Set{public: map[string]jose.JSONWebKey{}, read: read}
	set.maxAge = func() time.Duration {
		left := read.Add(k.timing.complete()).Sub(k.wall())
		return max(0, min(left, k.timing.MaxAge))
	}
	var mac *grant.MACKey
	var others []grant.MACKey
	var jwks jose.JSONWebKeySet
	for _, r := range records {
		if r.Purpose == ForGrants {
			key, err := openMAC(ctx, k.vault, t, r)
			if err != nil {
				return nil, err
			}
			if r.State == Active {
				mac = &key
			} else {
				others = append(others, key)
			}
		} else {
			key, err := openKey(ctx, k.vault, t, r)
			if err != nil {
				return nil, err
			}
			if r.State == Active {
				set.active = key
				options := (&jose.SignerOptions{}).WithType(accesstoken.Type)
				if set.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(r.Alg), Key: key}, options); err != nil {
					return nil, fmt.Errorf("using signing key %s: %w", r.KID, err)
				}
			}
			set.public[r.KID] = key.Public()
			jwks.Keys = append(jwks.Keys, key.Public())
		}
		r.Sealed = nil
		set.records = append(set.records, r)
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

// Sign makes an access token (RFC 9068 §2) with the active key.
func (s *Set) Sign(c accesstoken.Claims) (string, error) { return sign(s.signer, c) }

// SignDocument signs a statement of another kind than an access token, with the
// active key of access tokens, and returns the key's id with it. Its typ tells it
// from one (RFC 8725 §3.11).
func (s *Set) SignDocument(typ string, claims any) (kid, jws string, err error) {
	if typ == accesstoken.Type || typ == "application/"+accesstoken.Type || typ == "" {
		return "", "", errors.New("an access token is not signed as a document")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.active.Algorithm), Key: s.active}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", "", fmt.Errorf("making signer: %w", err)
	}
	jws, err = sign(signer, claims)
	return s.active.KeyID, jws, err
}

func sign(signer jose.Signer, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("encoding what was signed: %w", err)
	}
	return token, nil
}

// JWKS is the public key set (RFC 7517 §5), serialised: active, next and
// retired keys, no private member.
func (s *Set) JWKS() (body []byte, etag string) { return s.jwks, s.etag }

// MaxAge is how long a copy of the JWKS that is made now has every key that may
// sign: at most the configured age, less when the set itself is old.
func (s *Set) MaxAge() time.Duration { return s.maxAge() }

// Key implements accesstoken.KeySource over the set.
func (s *Set) Key(_ context.Context, kid string) (jose.JSONWebKey, error) {
	if key, ok := s.public[kid]; ok {
		return key, nil
	}
	return jose.JSONWebKey{}, fmt.Errorf("%w: unknown key id", accesstoken.ErrInvalid)
}

// Codec makes and reads the tenant's codes and refresh tokens.
func (s *Set) Codec() *grant.Codec { return s.codec }
