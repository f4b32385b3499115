package client

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Kind says where a client came from, which decides how far its name can be
// trusted on the consent page.
type Kind string

const (
	Static   Kind = "static"   // entered by the operator
	Dynamic  Kind = "dynamic"  // self-registered (RFC 7591): nothing is verified
	Document Kind = "document" // its id is the URL of its metadata: the host is verified, nothing else
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
	AlsoNone        bool // a document that lists none beside private_key_jwt (PROTOCOL 3.6 no. 8)
	ApplicationType ApplicationType
	Scope           string          // as registered, informative but for client_credentials
	SecretHash      []byte          // SHA-256 of the secret, nil without one
	JWKS            json.RawMessage // public keys for private_key_jwt; nil without
	JWKSURI         string          // where they are instead; "" without
	ManagementHash  []byte          // SHA-256 of the registration access token (RFC 7592), nil without one
	Publisher       string          // who publishes a document of the built-in catalogue; "" for strangers
	CreatedAt       time.Time
	LastUsedAt      time.Time // zero: never
	ExpiresAt       time.Time // zero: never
}

// ErrNotFound says that no such client is registered: invalid_client at the
// token endpoint, a page at the authorization endpoint.
var ErrNotFound = errors.New("no such client")

// Public reports whether the client may come without credentials (RFC 6749
// §2.1).
func (c *Client) Public() bool { return c.AuthMethod == oauth.AuthNone || c.AlsoNone }

// Trusted reports whether the operator or the built-in catalogue vouches for
// the client. Others never get a redirect that no person agreed to (RFC 9700
// §4.11.2).
func (c *Client) Trusted() bool { return c.Kind == Static || c.Publisher != "" }

// Host is the verified host of a document's URL, "" for other clients.
func (c *Client) Host() string {
	if c.Kind != Document {
		return ""
	}
	u, err := url.Parse(c.ID)
	if err != nil {
		return ""
	}
	return u.Host
}

// Allows reports whether the client registered the grant type.
func (c *Client) Allows(g oauth.GrantType) bool { return slices.Contains(c.GrantTypes, g) }

// Fingerprint changes with everything that a person's consent rests on: name,
// redirect URIs, keys and authentication (draft client ID metadata document
// §6.3).
func (c *Client) Fingerprint() string {
	b, err := json.Marshal([]any{c.ID, c.Name, c.ClientURI, c.RedirectURIs, c.AuthMethod, c.AlsoNone, string(c.JWKS), c.JWKSURI})
	if err != nil { // strings only: cannot happen
		panic(err)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// The prefixes by which secret scanners know our values.
const (
	secretPrefix     = "lks_"
	managementPrefix = "lkm_"
)

// NewSecret makes a client secret, 256 random bits, and the hash to keep. All
// its characters survive form encoding: clients differ in whether they encode
// it for Basic (PROTOCOL 3.6 no. 19).
func NewSecret() (secret.Text, []byte) { return newValue(secretPrefix) }

// NewManagementToken makes a registration access token (RFC 7592 §3) and the
// hash to keep.
func NewManagementToken() (secret.Text, []byte) { return newValue(managementPrefix) }

func newValue(prefix string) (secret.Text, []byte) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	v := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret.NewText(v), HashSecret(v)
}

// HashSecret is what is stored of a secret of 256 random bits: no slow hash is
// needed, there is nothing to guess.
func HashSecret(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// NewID makes a client id, 130 random bits. It never looks like a URL (draft
// client ID metadata document, "supporting both").
func NewID() string { return "c_" + strings.ToLower(rand.Text()) }

// AssertionID is a client assertion that was verified and must now be used up
// (RFC 7523 §3: jti). Its single use is the store's.
type AssertionID struct {
	ClientID string
	Hash     [sha256.Size]byte // of the jti
	Expires  time.Time         // the assertion's, with leeway
}

// ErrAssertionUsed says that the assertion was seen before: invalid_client.
var ErrAssertionUsed = errors.New("client assertion was used before")

func (a *AssertionID) String() string { return fmt.Sprintf("assertion of %s", a.ClientID) }
