package clientauth

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/client"
)

const (
	maxAssertion     = 4 << 10
	maxAssertionLife = 5 * time.Minute // beyond that it is not a fresh proof; bounds what must be remembered too
	assertionLeeway  = 30 * time.Second
	maxJTI           = 256
)

// Algorithms are those that a client assertion may be signed with; never none,
// never a symmetric one (RFC 8725 §3.1).
var Algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, ed25519Alg, jose.RS256, jose.PS256}

// ed25519Alg is the name of RFC 9864 for what RFC 8037 calls EdDSA with an
// Ed25519 key; newer clients send only this one.
const ed25519Alg jose.SignatureAlgorithm = "Ed25519"

// ed25519Verifier verifies under the newer name, which go-jose does not know.
type ed25519Verifier ed25519.PublicKey

// VerifyPayload verifies one signature (RFC 8032 §5.1.7).
func (k ed25519Verifier) VerifyPayload(payload, signature []byte, alg jose.SignatureAlgorithm) error {
	if alg != ed25519Alg || !ed25519.Verify(ed25519.PublicKey(k), payload, signature) {
		return jose.ErrCryptoFailure
	}
	return nil
}

// ErrNoKey says that none of the given keys fits the assertion: the client may
// have newer ones.
var ErrNoKey = errors.New("no key of the client fits the assertion")

// VerifyAssertion checks a client assertion (RFC 7523 §3): signed by one of the
// client's keys, issued by and about the client, for exactly one of our
// audiences, short-lived. It says nothing about single use: that is the
// store's, by the returned id. A refusal is an error whose text is for the log.
func VerifyAssertion(assertion, clientID string, keys jose.JSONWebKeySet, audiences []string, now time.Time) (*client.AssertionID, error) {
	if len(assertion) > maxAssertion {
		return nil, errors.New("assertion is too long")
	}
	// One text for one assertion (RFC 4648 §3.5): the library checks the signature
	// over what it decoded, so unused bits at a part's end would go unnoticed.
	for part := range strings.SplitSeq(assertion, ".") {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, errors.New("assertion is not base64url")
		}
	}
	token, err := jwt.ParseSigned(assertion, Algorithms)
	if err != nil {
		return nil, fmt.Errorf("parsing assertion: %w", err)
	}
	if len(token.Headers) != 1 {
		return nil, errors.New("assertion has not exactly one signature")
	}
	// A JOSE header must not bring its own key: jwk and x5c are not read, crit is
	// refused by the library (RFC 8725 §3.10).
	key, ok := choose(keys, token.Headers[0])
	if !ok {
		return nil, ErrNoKey
	}
	var verify any = key
	if public, ok := key.Key.(ed25519.PublicKey); ok && token.Headers[0].Algorithm == string(ed25519Alg) {
		verify = ed25519Verifier(public)
	}
	var claims jwt.Claims
	if err := token.Claims(verify, &claims); err != nil {
		return nil, fmt.Errorf("verifying assertion: %w", err)
	}
	switch {
	case claims.Issuer != clientID || claims.Subject != clientID:
		return nil, errors.New("assertion's iss and sub are not the client")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return nil, errors.New("assertion has no usable jti")
	case claims.Expiry == nil:
		return nil, errors.New("assertion has no exp")
	case len(claims.Audience) != 1 || !slices.Contains(audiences, claims.Audience[0]):
		// One audience (RFC 7523bis): an assertion for several servers could be
		// replayed by one of them at another.
		return nil, errors.New("assertion is for another audience")
	}
	expires := claims.Expiry.Time()
	if err := claims.ValidateWithLeeway(jwt.Expected{Time: now}, assertionLeeway); err != nil {
		return nil, fmt.Errorf("checking assertion's times: %w", err)
	}
	if expires.Sub(now) > maxAssertionLife+assertionLeeway {
		return nil, errors.New("assertion lives too long")
	}
	return &client.AssertionID{ClientID: clientID, Hash: sha256.Sum256([]byte(claims.ID)), Expires: expires.Add(assertionLeeway)}, nil
}

// choose finds the key: by id, or, when the assertion names none, the only one
// that fits the algorithm (RFC 7515 §4.1.4: kid is optional).
func choose(keys jose.JSONWebKeySet, h jose.Header) (jose.JSONWebKey, bool) {
	var fit []jose.JSONWebKey
	for _, k := range keys.Keys {
		if (h.KeyID == "" || k.KeyID == h.KeyID) && fits(k, h.Algorithm) {
			fit = append(fit, k)
		}
	}
	if len(fit) != 1 {
		return jose.JSONWebKey{}, false
	}
	return fit[0], true
}

// unverifiedSubject reads whom an assertion claims to be from. It only says
// which client to look up; "" for whatever is no assertion.
func unverifiedSubject(assertion string) string {
	if len(assertion) > maxAssertion {
		return ""
	}
	token, err := jwt.ParseSigned(assertion, Algorithms)
	if err != nil {
		return ""
	}
	var claims jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&claims) != nil {
		return ""
	}
	return claims.Subject
}
