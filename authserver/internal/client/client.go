package client

import (
	"errors"
	"slices"
	"time"

	"latchkey/pkg/oauth"
)

// Kind says where a client came from, which decides how far its name can be
// trusted on the consent page.
type Kind string

const (
	Static  Kind = "static"  // entered by the operator
	Dynamic Kind = "dynamic" // self-registered (RFC 7591): nothing is verified
)

// ApplicationType is OpenID Connect Registration §2's application_type.
type ApplicationType string

const (
	Web    ApplicationType = "web"
	Native ApplicationType = "native"
)

// Client is a registered client. It is shared between requests and must not
// be changed.
type Client struct {
	ID              string
	Kind            Kind
	Name            string // self-asserted, escape it
	ClientURI       string // self-asserted
	RedirectURIs    []string
	GrantTypes      []oauth.GrantType
	AuthMethod      oauth.AuthMethod
	ApplicationType ApplicationType
	Scope           string // as registered, informative
	SecretHash      []byte // SHA-256 of the secret, nil for public clients
	CreatedAt       time.Time
}

// ErrNotFound says that no such client is registered: invalid_client at the
// token endpoint, a page at the authorization endpoint.
var ErrNotFound = errors.New("no such client")

// Public reports whether the client has no credentials (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.AuthMethod == oauth.AuthNone }

// Allows reports whether the client registered the grant type.
func (c *Client) Allows(g oauth.GrantType) bool { return slices.Contains(c.GrantTypes, g) }
