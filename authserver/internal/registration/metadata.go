package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/text"
	"latchkey/pkg/oauth"
)

const (
	maxRedirects = 20
	maxName      = 200
)

// DefaultCustomRedirects are the private-use redirect URIs that real clients
// register beside web ones; each is compared to the letter (PROTOCOL AS-R7).
var DefaultCustomRedirects = []string{"cursor://anysphere.cursor-mcp/oauth/callback"}

// metadata are the members of RFC 7591 §2 that this server reads. Others are
// ignored, as the RFC demands; null counts as absent.
type metadata struct {
	RedirectURIs    []string        `json:"redirect_uris"`
	AuthMethod      string          `json:"token_endpoint_auth_method"`
	GrantTypes      []string        `json:"grant_types"`
	ResponseTypes   []string        `json:"response_types"`
	ClientName      string          `json:"client_name"`
	ClientURI       string          `json:"client_uri"`
	Scope           string          `json:"scope"`
	ApplicationType string          `json:"application_type"`
	JWKS            json.RawMessage `json:"jwks"`
	JWKSURI         string          `json:"jwks_uri"`
}

func decode(body []byte, into any) error {
	if member, found := text.BadMember(body); found {
		return errors.New("A member is no text (UTF-8 without NUL), or a number too large: " + member + ".") //nolint:staticcheck // shown to the client as it is
	}
	err := json.Unmarshal(body, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return errors.New("A member has the wrong type: " + text.Printable(wrongType.Field) + ".")
	}
	return errors.New("The body is not a JSON object.")
}

func badMetadata(format string, args ...any) error {
	return oauth.NewError(oauth.InvalidClientMetadata, fmt.Sprintf(format, args...))
}

// fill checks what a client says and writes it into c, whose id, kind and times
// are the caller's. What a client asks for and cannot have is replaced, which
// RFC 7591 §3.2.1 allows, and told in the response.
func (m *metadata) fill(c *client.Client, customRedirects []string) error {
	if err := checkRedirects(m.RedirectURIs, customRedirects); err != nil {
		return err
	}
	c.RedirectURIs = slices.Clone(m.RedirectURIs)
	c.GrantTypes = []oauth.GrantType{oauth.GrantAuthorizationCode}
	if len(m.GrantTypes) > 0 {
		if !slices.Contains(m.GrantTypes, string(oauth.GrantAuthorizationCode)) {
			return badMetadata("grant_types must contain authorization_code.")
		}
		if slices.Contains(m.GrantTypes, string(oauth.GrantRefreshToken)) {
			c.GrantTypes = append(c.GrantTypes, oauth.GrantRefreshToken)
		}
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, oauth.ResponseTypeCode) {
		return badMetadata("response_types must contain code.")
	}
	if len(m.ClientName) > maxName {
		return badMetadata("client_name is longer than %d bytes.", maxName)
	}
	scopes, err := oauth.ParseScopes(m.Scope)
	if err != nil {
		return badMetadata("scope is malformed or too long.")
	}
	c.Name, c.Scope = withoutControl(m.ClientName), scopes.String()
	if httpsURL(m.ClientURI) {
		c.ClientURI = m.ClientURI
	}
	if err := m.fillType(c); err != nil {
		return err
	}
	return m.fillAuth(c)
}

func checkRedirects(uris, custom []string) error {
	if len(uris) == 0 || len(uris) > maxRedirects {
		return oauth.NewError(oauth.InvalidRedirectURI, fmt.Sprintf("redirect_uris must have 1 to %d entries.", maxRedirects))
	}
	for i, uri := range uris {
		if problem := client.ErrorOfRedirect(uri, custom); problem != "" {
			return oauth.NewError(oauth.InvalidRedirectURI, fmt.Sprintf("redirect_uris[%d] %s.", i, problem))
		}
	}
	return nil
}

// fillType infers application_type from the redirect URIs when it is absent:
// OpenID's default, web, would break loopback clients (MCP 2026-07-28,
// SEP-837). A web client must not use localhost, https or not (OpenID
// Connect Registration §2).
func (m *metadata) fillType(c *client.Client) error {
	native := slices.ContainsFunc(c.RedirectURIs, func(uri string) bool {
		u, err := url.Parse(uri)
		return err != nil || u.Scheme != "https" || oauth.LoopbackHost(u.Hostname())
	})
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
			return oauth.NewError(oauth.InvalidRedirectURI, "A client of application_type web may have https redirect URIs only, not on localhost; use application_type native for loopback.")
		}
		c.ApplicationType = client.Web
	default:
		return badMetadata("application_type must be web or native.")
	}
	return nil
}

// fillAuth decides how the client authenticates. A method that this server does
// not have is refused: a client that believes in its own method would fail
// later, with less to go by.
func (m *metadata) fillAuth(c *client.Client) error {
	method := oauth.AuthMethod(m.AuthMethod)
	if method == "" {
		method = oauth.AuthSecretBasic // RFC 7591 §2
	}
	hasKeys := len(m.JWKS) > 0 && string(m.JWKS) != "null"
	if hasKeys && m.JWKSURI != "" {
		return badMetadata("jwks and jwks_uri exclude each other.") // RFC 7591 §2
	}
	switch method {
	case oauth.AuthNone, oauth.AuthSecretBasic, oauth.AuthSecretPost:
	case oauth.AuthPrivateKeyJWT:
		switch {
		case hasKeys:
			if _, err := clientauth.ParseKeySet(m.JWKS); err != nil {
				return badMetadata("jwks cannot be used: %s.", err)
			}
			c.JWKS = slices.Clone(m.JWKS)
		case httpsURL(m.JWKSURI):
			c.JWKSURI = m.JWKSURI
		default:
			return badMetadata("private_key_jwt needs jwks, or a jwks_uri with https.")
		}
	default:
		return badMetadata("token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt.")
	}
	c.AuthMethod = method
	return nil
}

func httpsURL(s string) bool {
	if len(s) > oauth.MaxURLBytes || withoutControl(s) != s {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// withoutControl drops what no name has and no database column takes.
func withoutControl(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r): // of a line end too: words stay apart
			return ' '
		case unicode.IsControl(r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
}
