package keyset

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/grant"
	"latchkey/pkg/accesstoken"
)

const cryptoSHA256 = crypto.SHA256

// Set is one tenant's keys at one time. Immutable.
type Set struct {
	signer jose.Signer
	public map[string]jose.JSONWebKey
	jwks   []byte
	etag   string
	codec  *grant.Codec
	read   time.Time
}

// Sign makes an access token (RFC 9068 §2) with the active key.
func (s *Set) Sign(c accesstoken.Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	jws, err := s.signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing access token: %w", err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("encoding access token: %w", err)
	}
	return token, nil
}

// JWKS is the public key set (RFC 7517 §5), serialised: next, active and
// retired keys, no private member.
func (s *Set) JWKS() (body []byte, etag string) { return s.jwks, s.etag }

// Key implements accesstoken.KeySource over the set.
func (s *Set) Key(_ context.Context, kid string) (jose.JSONWebKey, error) {
	if key, ok := s.public[kid]; ok {
		return key, nil
	}
	return jose.JSONWebKey{}, fmt.Errorf("%w: unknown key id", accesstoken.ErrInvalid)
}

// Codec makes and reads the tenant's codes and refresh tokens.
func (s *Set) Codec() *grant.Codec { return s.codec }
