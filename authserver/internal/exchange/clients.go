package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/oauth"
)

const (
	maxAssertion     = 4 << 10
	maxAssertionLife = 5 * time.Minute
	assertionLeeway  = 30 * time.Second
	maxJWKSFile      = 64 << 10
)

// Clients are the resource servers that may use the exchange.
type Clients struct {
	id        string
	keys      jose.JSONWebKeySet
	audiences []string
}

// LoadClients reads the resource server's public keys. endpoint is the
// exchange's URL as the resource server knows it, issuer the other audience
// that an assertion may have (RFC 7523bis).
func LoadClients(clientID, jwksFile, endpoint string, issuer oauth.IssuerURL) (*Clients, error) {
	info, err := os.Stat(jwksFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the resource server's keys (RS_JWKS_FILE): %w: make them with: resourceserver keys init", err)
	}
	if info.Size() > maxJWKSFile {
		return nil, fmt.Errorf("RS_JWKS_FILE %s is too large for a key set", jwksFile)
	}
	b, err := os.ReadFile(jwksFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the resource server's keys (RS_JWKS_FILE): %w", err)
	}
	c := &Clients{id: clientID, audiences: []string{endpoint, issuer.String()}}
	if err := json.Unmarshal(b, &c.keys); err != nil || len(c.keys.Keys) == 0 {
		return nil, fmt.Errorf("RS_JWKS_FILE %s holds no key set: make one with: resourceserver keys init", jwksFile)
	}
	for _, k := range c.keys.Keys {
		if !k.IsPublic() || k.KeyID == "" || (k.Algorithm != string(jose.ES256) && k.Algorithm != string(jose.EdDSA)) {
			return nil, fmt.Errorf("RS_JWKS_FILE %s must hold public ES256 or EdDSA keys with key ids only", jwksFile)
		}
	}
	return c, nil
}

// caller is an authenticated resource server. Only Authenticate makes one.
type caller struct {
	clientID    string
	assertionID string
	expires     time.Time
}

// Authenticate checks a client assertion (RFC 7523 §3): private_key_jwt, signed
// by a registered key, for this endpoint, short-lived. The jti's single use is
// the store's.
func (c *Clients) Authenticate(form url.Values, now time.Time) (*caller, error) {
	out, err := c.check(form.Get("client_assertion_type"), form.Get("client_assertion"), now)
	if err != nil {
		e := fail(oauth.InvalidClient, "The resource server could not be authenticated.")
		e.Cause = err
		return nil, e
	}
	return out, nil
}

func (c *Clients) check(kind, assertion string, now time.Time) (*caller, error) {
	if kind != oauth.ClientAssertionJWTBearer || assertion == "" || len(assertion) > maxAssertion {
		return nil, errors.New("no private_key_jwt assertion")
	}
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil {
		return nil, fmt.Errorf("parsing assertion: %w", err)
	}
	keys := c.keys.Key(token.Headers[0].KeyID)
	if len(keys) != 1 || keys[0].Algorithm != token.Headers[0].Algorithm {
		return nil, errors.New("assertion's key is not registered")
	}
	var claims jwt.Claims
	if err := token.Claims(keys[0], &claims); err != nil {
		return nil, fmt.Errorf("verifying assertion: %w", err)
	}
	if claims.Issuer != c.id || claims.Subject != c.id || len(claims.ID) == 0 || len(claims.ID) > 128 || claims.Expiry == nil || len(claims.Audience) != 1 {
		return nil, errors.New("assertion lacks iss, sub, aud, exp or jti")
	}
	if !slices.Contains(c.audiences, claims.Audience[0]) {
		return nil, errors.New("assertion is for another audience")
	}
	expires := claims.Expiry.Time()
	if err := claims.ValidateWithLeeway(jwt.Expected{Time: now}, assertionLeeway); err != nil {
		return nil, fmt.Errorf("checking assertion's times: %w", err)
	}
	if expires.Sub(now) > maxAssertionLife {
		return nil, errors.New("assertion lives too long")
	}
	return &caller{clientID: c.id, assertionID: claims.ID, expires: expires.Add(assertionLeeway)}, nil
}
