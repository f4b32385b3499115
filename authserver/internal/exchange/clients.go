package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/pkg/oauth"
)

const maxJWKSFile = 64 << 10

// Clients are the resource servers that may use the exchange.
type Clients struct {
	id     string
	keys   jose.JSONWebKeySet
	base   string          // of the internal listener
	issuer oauth.IssuerURL // of the deployment
}

// LoadClients reads the resource server's public keys. base is the internal
// listener's URL as the resource server knows it: an assertion is for one of its
// endpoints, or for the issuer (RFC 7523bis).
func LoadClients(clientID, jwksFile, base string, issuer oauth.IssuerURL) (*Clients, error) {
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
	c := &Clients{id: clientID, base: base, issuer: issuer}
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

// Authenticate checks a client assertion (RFC 7523 §3): private_key_jwt, signed
// by a registered key, for the endpoint of a path, short-lived. The jti's single
// use is the store's.
func (c *Clients) Authenticate(path string, form url.Values, now time.Time) (*client.AssertionID, error) {
	err := errors.New("no private_key_jwt assertion")
	if form.Get("client_assertion_type") == oauth.ClientAssertionJWTBearer {
		var id *client.AssertionID
		if id, err = clientauth.VerifyAssertion(form.Get("client_assertion"), c.id, c.keys, c.audiences(path), now); err == nil {
			return id, nil
		}
	}
	return nil, notAuthenticated(err)
}

// AuthenticateFeed checks an assertion that a request of a path carries as bearer
// token, in the same way.
func (c *Clients) AuthenticateFeed(path, authorization string, now time.Time) (*client.AssertionID, error) {
	assertion, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return nil, notAuthenticated(errors.New("no assertion"))
	}
	id, err := clientauth.VerifyAssertion(assertion, c.id, c.keys, c.audiences(path), now)
	if err != nil {
		return nil, notAuthenticated(err)
	}
	return id, nil
}

// audiences are those that an assertion at a path may have.
func (c *Clients) audiences(path string) []string {
	return []string{c.base + path, c.issuer.String()}
}

func notAuthenticated(cause error) error {
	e := fail(oauth.InvalidClient, "The resource server could not be authenticated.")
	e.Cause = cause
	return e
}
