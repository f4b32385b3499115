package registration

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// StaticMetadata is what an operator enters for a client. Redirect URIs are
// needed for authorization_code, scopes for client_credentials.
type StaticMetadata struct {
	Name         string
	RedirectURIs []string
	GrantTypes   []oauth.GrantType
	AuthMethod   oauth.AuthMethod
	JWKS         []byte // for private_key_jwt
	JWKSURI      string // or where they are
	Scope        string
}

// NewStatic makes a client of the operator's. The secret, if the method has one,
// is shown once: only its hash is kept. An error says what to correct.
func NewStatic(m StaticMetadata, customRedirects []string, now time.Time) (*client.Client, secret.Text, error) {
	none := secret.Text{}
	if m.Name == "" {
		return nil, none, errors.New("give the client a name")
	}
	machine, code := slices.Contains(m.GrantTypes, oauth.GrantClientCredentials), slices.Contains(m.GrantTypes, oauth.GrantAuthorizationCode)
	for _, g := range m.GrantTypes {
		if g != oauth.GrantClientCredentials && g != oauth.GrantAuthorizationCode && g != oauth.GrantRefreshToken {
			return nil, none, fmt.Errorf("grant type %q does not exist here", g)
		}
	}
	scopes, err := oauth.ParseScopes(m.Scope)
	switch {
	case err != nil:
		return nil, none, fmt.Errorf("scope: %w", err)
	case !machine && !code:
		return nil, none, errors.New("a client needs the grant authorization_code or client_credentials")
	case machine && m.AuthMethod == oauth.AuthNone: // OAuth 2.1 §4.2
		return nil, none, errors.New("client_credentials needs a client that authenticates")
	case machine && (scopes.Empty() || !scope.Names().ContainsAll(scopes)):
		return nil, none, fmt.Errorf("client_credentials needs scopes out of: %s", scope.Names())
	case !code && len(m.RedirectURIs) > 0:
		return nil, none, errors.New("redirect URIs are for authorization_code only")
	}
	c := &client.Client{ID: client.NewID(), Kind: client.Static, Name: m.Name, CreatedAt: now.UTC().Truncate(time.Second), ApplicationType: client.Web}
	parsed := metadata{RedirectURIs: m.RedirectURIs, AuthMethod: string(m.AuthMethod), ClientName: m.Name, Scope: m.Scope, JWKS: m.JWKS, JWKSURI: m.JWKSURI}
	if code {
		err = parsed.fill(c, customRedirects)
	} else {
		c.Scope, err = scopes.String(), parsed.fillAuth(c)
	}
	if err != nil {
		return nil, none, plain(err)
	}
	c.GrantTypes = slices.Clone(m.GrantTypes)
	var value secret.Text
	if c.AuthMethod == oauth.AuthSecretBasic || c.AuthMethod == oauth.AuthSecretPost {
		value, c.SecretHash = client.NewSecret()
	}
	return c, value, nil
}

// plain is an error without its protocol code.
func plain(err error) error {
	var e *oauth.Error
	if errors.As(err, &e) {
		return errors.New(e.Description)
	}
	return err
}
