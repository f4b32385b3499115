package registration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

const (
	maxBody      = 64 << 10
	maxRedirects = 20
	maxName      = 200
)

// DefaultCustomRedirects are the private-use redirect URIs that real clients
// register beside web ones; each is compared to the letter (PROTOCOL AS-R7).
var DefaultCustomRedirects = []string{"cursor://anysphere.cursor-mcp/oauth/callback"}

// Store keeps clients.
type Store interface {
	InsertClient(ctx context.Context, t tenant.ID, c *client.Client) error
	Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error)
}

// Handler serves dynamic registration. Every field is required.
type Handler struct {
	Clients         *Clients
	CustomRedirects []string // exact private-use URIs that may be registered
	Now             func() time.Time
}

// metadata are the members of RFC 7591 §2 that this server reads. Others are
// ignored, as the RFC demands. Pointers tell absent from empty.
type metadata struct {
	RedirectURIs    []string `json:"redirect_uris"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	ClientName      string   `json:"client_name"`
	ClientURI       string   `json:"client_uri"`
	Scope           string   `json:"scope"`
	ApplicationType string   `json:"application_type"`
}

// response is RFC 7591 §3.2.1: what was really registered. No null, no empty
// member: real clients fail on both (PROTOCOL 3.6 no. 12).
type response struct {
	ClientID        string            `json:"client_id"`
	IssuedAt        int64             `json:"client_id_issued_at"`
	RedirectURIs    []string          `json:"redirect_uris"`
	AuthMethod      oauth.AuthMethod  `json:"token_endpoint_auth_method"`
	GrantTypes      []oauth.GrantType `json:"grant_types"`
	ResponseTypes   []string          `json:"response_types"`
	ApplicationType string            `json:"application_type"`
	ClientName      string            `json:"client_name,omitempty"`
	ClientURI       string            `json:"client_uri,omitempty"`
	Scope           string            `json:"scope,omitempty"`
}

// Register serves POST /register.
func (h *Handler) Register(w http.ResponseWriter, r *http.Request) error {
	t := tenant.FromContext(r.Context())
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return oauth.NewError(oauth.InvalidClientMetadata, "The body must be application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err // too large, or the client went away
	}
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return oauth.NewError(oauth.InvalidClientMetadata, describeJSON(err))
	}
	c, err := h.check(m)
	if err != nil {
		return err
	}
	if err := h.Clients.insert(r.Context(), t.ID, c); err != nil {
		return oauth.Unavailable(err)
	}
	web.WriteJSON(w, http.StatusCreated, response{
		ClientID: c.ID, IssuedAt: c.CreatedAt.Unix(), RedirectURIs: c.RedirectURIs, AuthMethod: c.AuthMethod, GrantTypes: c.GrantTypes,
		ResponseTypes: []string{oauth.ResponseTypeCode}, ApplicationType: string(c.ApplicationType), ClientName: c.Name, ClientURI: c.ClientURI, Scope: c.Scope,
	})
	return nil
}

func describeJSON(err error) string {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return "A member has the wrong type: " + printable(wrongType.Field) + "."
	}
	return "The body is not a JSON object."
}

// check decides what is registered. What a client asks for and cannot have is
// replaced, which RFC 7591 §3.2.1 allows, and told in the response.
func (h *Handler) check(m metadata) (*client.Client, error) {
	c := &client.Client{
		ID: "c_" + strings.ToLower(rand.Text()), Kind: client.Dynamic, AuthMethod: oauth.AuthNone,
		GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode}, CreatedAt: h.Now().UTC().Truncate(time.Second),
	}
	if err := h.checkRedirects(m.RedirectURIs); err != nil {
		return nil, err
	}
	c.RedirectURIs = slices.Clone(m.RedirectURIs)
	if len(m.GrantTypes) > 0 {
		if !slices.Contains(m.GrantTypes, string(oauth.GrantAuthorizationCode)) {
			return nil, oauth.NewError(oauth.InvalidClientMetadata, "grant_types must contain authorization_code.")
		}
		if slices.Contains(m.GrantTypes, string(oauth.GrantRefreshToken)) {
			c.GrantTypes = append(c.GrantTypes, oauth.GrantRefreshToken)
		}
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, oauth.ResponseTypeCode) {
		return nil, oauth.NewError(oauth.InvalidClientMetadata, "response_types must contain code.")
	}
	if len(m.ClientName) > maxName {
		return nil, oauth.NewError(oauth.InvalidClientMetadata, fmt.Sprintf("client_name is longer than %d bytes.", maxName))
	}
	scopes, err := oauth.ParseScopes(m.Scope)
	if err != nil {
		return nil, oauth.NewError(oauth.InvalidClientMetadata, "scope is malformed or too long.")
	}
	c.Name, c.Scope = withoutControl(m.ClientName), scopes.String()
	if m.ClientURI != "" {
		if u, err := url.Parse(m.ClientURI); err == nil && u.Scheme == "https" && u.Host != "" && len(m.ClientURI) <= oauth.MaxURLBytes {
			c.ClientURI = m.ClientURI
		}
	}
	return c, h.checkType(m, c)
}

func (h *Handler) checkRedirects(uris []string) error {
	if len(uris) == 0 || len(uris) > maxRedirects {
		return oauth.NewError(oauth.InvalidRedirectURI, fmt.Sprintf("redirect_uris must have 1 to %d entries.", maxRedirects))
	}
	for i, uri := range uris {
		if problem := client.ErrorOfRedirect(uri, h.CustomRedirects); problem != "" {
			return oauth.NewError(oauth.InvalidRedirectURI, fmt.Sprintf("redirect_uris[%d] %s.", i, problem))
		}
	}
	return nil
}

// checkType infers application_type from the redirect URIs when it is absent:
// OpenID's default, web, would break loopback clients (MCP 2026-07-28,
// SEP-837).
func (h *Handler) checkType(m metadata, c *client.Client) error {
	native := false
	for _, uri := range c.RedirectURIs {
		native = native || !strings.HasPrefix(uri, "https://")
	}
	switch m.ApplicationType {
	case "":
		c.ApplicationType = client.Web
		if native {
			c.ApplicationType = client.Native
		}
	case string(client.Native):
		c.ApplicationType = client.Native
	case string(client.Web):
		if native {
			return oauth.NewError(oauth.InvalidRedirectURI, "A client of application_type web may have https redirect URIs only; use application_type native for loopback.")
		}
		c.ApplicationType = client.Web
	default:
		return oauth.NewError(oauth.InvalidClientMetadata, "application_type must be web or native.")
	}
	return nil
}

// withoutControl drops what no name has and no database column takes.
func withoutControl(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// printable keeps what may stand in an error description (RFC 6749 §5.2).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), 64)])
}
