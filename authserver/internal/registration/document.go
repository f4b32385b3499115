package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"latchkey/authserver/internal/client"
	"latchkey/pkg/oauth"
)

// MaxDocument is the most that a client ID metadata document may have, in bytes
// (draft §6.6).
const MaxDocument = 5 << 10

// MaxDocumentURL bounds a client id that is a URL, in bytes.
const MaxDocumentURL = 512

// DocumentError says why a client's metadata document is not accepted, in words
// for the person at the browser. Nothing was kept.
type DocumentError struct {
	Advice string
	Cause  error // for the log
}

func (e *DocumentError) Error() string {
	if e.Cause != nil {
		return "client metadata document: " + e.Advice + " " + e.Cause.Error()
	}
	return "client metadata document: " + e.Advice
}

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Cause }

// PersonAdvice is the advice, for the page.
func (e *DocumentError) PersonAdvice() string { return e.Advice }

func badDocument(format string, args ...any) error {
	return &DocumentError{Advice: fmt.Sprintf(format, args...)}
}

// checkDocumentURL checks a client id that is a URL (draft §3): https, a path,
// no dot segments, no fragment, no user information, and nothing that parsers
// read differently. It is compared as text everywhere.
func checkDocumentURL(id string) error {
	bad := badDocument("The app's address (client_id) is not a valid https address of a document.")
	if len(id) > MaxDocumentURL || !strings.HasPrefix(id, "https://") {
		return bad
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`\#"<>^`+"`"+`{|}`, c) >= 0 {
			return bad
		}
	}
	rest := strings.TrimPrefix(id, "https://")
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 {
		return bad
	}
	authority, path := rest[:slash], rest[slash:]
	path, _, _ = strings.Cut(path, "?")                                      // a query is allowed though not wise (SHOULD NOT)
	if strings.ContainsAny(authority, "@%?!$&'()*+,;=_~[]") || path == "/" { // what is left is letters, digits and . - :
		return bad
	}
	host, _, _ := strings.Cut(authority, ":")
	for label := range strings.SplitSeq(host, ".") {
		if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") { // RFC 1123 §2.1; some parsers read "-0" as a number
			return bad
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\") {
			return bad
		}
	}
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" || u.Host != authority || u.User != nil || u.Fragment != "" {
		return bad
	}
	return nil
}

// Known returns what is known of a client by its id alone: of the address of a
// document that it is one, and what lookup finds of every other id.
func Known(id string, lookup func(id string) (*client.Client, error)) (*client.Client, error) {
	if !isDocument(id) {
		return lookup(id)
	}
	if err := checkDocumentURL(id); err != nil {
		return nil, errors.Join(err, client.ErrNotFound)
	}
	return &client.Client{ID: id, Kind: client.Document, Publisher: publisherOf(id)}, nil
}

// documentMembers are metadata with the members that only matter in a document.
type documentMembers struct {
	metadata
	ClientID     string          `json:"client_id"`
	AuthMethods  []string        `json:"token_endpoint_auth_methods_supported"`
	Secret       json.RawMessage `json:"client_secret"`
	SecretExpiry json.RawMessage `json:"client_secret_expires_at"`
}

// parseDocument reads a document fetched from url into a client (draft §4.1).
func parseDocument(documentURL string, body []byte, customRedirects []string) (*client.Client, error) {
	var m documentMembers
	if err := decode(body, &m); err != nil {
		return nil, &DocumentError{Advice: "The app's description is not valid JSON of the right form.", Cause: err}
	}
	switch {
	case m.ClientID != documentURL: // simple string comparison (RFC 3986 §6.2.1)
		return nil, badDocument("The app's description belongs to another address than its own.")
	case strings.TrimSpace(m.ClientName) == "": // MCP 2025-11-25, client registration
		return nil, badDocument("The app's description has no client_name.")
	case m.Secret != nil || m.SecretExpiry != nil: // draft §4.1: a public document holds no secret
		return nil, badDocument("The app's description must not hold a secret.")
	}
	// A public document cannot hold a shared secret, so RFC 7591's default method
	// cannot be meant.
	switch oauth.AuthMethod(m.AuthMethod) {
	case "":
		m.AuthMethod = string(oauth.AuthNone)
	case oauth.AuthNone, oauth.AuthPrivateKeyJWT:
	default:
		return nil, badDocument("The app's description asks for a way to authenticate that a public document cannot have.")
	}
	// Redirect URIs that this server would never follow are left out, so that one
	// exotic entry does not lock a published client out.
	usable := make([]string, 0, len(m.RedirectURIs))
	for _, uri := range m.RedirectURIs {
		if client.ErrorOfRedirect(uri, customRedirects) == "" {
			usable = append(usable, uri)
		}
	}
	if len(usable) == 0 || len(m.RedirectURIs) > maxRedirects {
		return nil, badDocument("The app's description has no usable redirect_uris, or more than %d.", maxRedirects)
	}
	m.RedirectURIs, m.ApplicationType = usable, ""
	if len(m.ClientName) > maxName {
		return nil, badDocument("The app's name is too long.")
	}
	if m.JWKSURI != "" && checkDocumentURL(m.JWKSURI) != nil {
		return nil, badDocument("The app's description has a jwks_uri that cannot be fetched.")
	}
	c := &client.Client{ID: documentURL, Kind: client.Document}
	if err := m.fill(c, customRedirects); err != nil {
		return nil, &DocumentError{Advice: "The app's description is not accepted.", Cause: err}
	}
	c.AlsoNone = c.AuthMethod == oauth.AuthPrivateKeyJWT && slices.Contains(m.AuthMethods, string(oauth.AuthNone))
	if c.AuthMethod == oauth.AuthNone && slices.Contains(m.AuthMethods, string(oauth.AuthPrivateKeyJWT)) {
		// The same two methods, told the other way round: keys are used if there are any.
		m.AuthMethod = string(oauth.AuthPrivateKeyJWT)
		if m.fillAuth(c) == nil {
			c.AlsoNone = true
		}
	}
	c.Publisher = publisherOf(documentURL)
	return c, nil
}
