package clientauth

import (
	"net/http"
	"net/url"

	"latchkey/authserver/internal/text"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const (
	maxIDBytes     = 512 // a metadata document's URL is the longest
	maxSecretBytes = 512
)

// Params are the form parameters that Parse reads; each may be given once.
var Params = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}

// Credentials are what a request says about its client, not yet believed.
type Credentials struct {
	ClientID  string
	Secret    secret.Text // empty without one
	Assertion secret.Text // a JWT, empty without one
}

// Parse reads the client's credentials from the Authorization header and the
// form (never the query, RFC 6749 §2.3.1). It returns invalid_client for more
// than one way at once (RFC 6749 §2.3), and for none at all.
//
// A public client may send its id by Basic with an empty secret: x/oauth2 does
// when it probes (PROTOCOL 3.6 no. 20).
func Parse(r *http.Request, f url.Values) (Credentials, error) {
	c := Credentials{ClientID: f.Get("client_id"), Secret: secret.NewText(f.Get("client_secret"))}
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		user, password, ok := r.BasicAuth()
		if !ok || len(headers) > 1 {
			return c, refuse("The Authorization header is not valid Basic authentication.")
		}
		// RFC 6749 §2.3.1: both parts are form-encoded.
		id, err := url.QueryUnescape(user)
		if err != nil || id == "" || (c.ClientID != "" && c.ClientID != id) || (password != "" && !c.Secret.Empty()) {
			return c, refuse("Authenticate the client in one way only.")
		}
		c.ClientID = id
		if password != "" {
			if password, err = url.QueryUnescape(password); err != nil {
				return c, refuse("The Authorization header is not valid Basic authentication.")
			}
			c.Secret = secret.NewText(password)
		}
	}
	if f.Has("client_assertion") || f.Has("client_assertion_type") {
		if f.Get("client_assertion_type") != oauth.ClientAssertionJWTBearer || f.Get("client_assertion") == "" {
			return c, refuse("client_assertion_type must be " + oauth.ClientAssertionJWTBearer + ", with a client_assertion.")
		}
		if !c.Secret.Empty() {
			return c, refuse("Authenticate the client in one way only.")
		}
		c.Assertion = secret.NewText(f.Get("client_assertion"))
		if c.ClientID == "" { // RFC 7521 §4.2: client_id is optional beside an assertion
			c.ClientID = unverifiedSubject(f.Get("client_assertion"))
		}
	}
	switch {
	case c.ClientID == "":
		return c, refuse("client_id is missing.")
	case len(c.ClientID) > maxIDBytes || len(c.Secret.Reveal()) > maxSecretBytes || !text.Valid(c.ClientID):
		return c, refuse(notKnown)
	}
	return c, nil
}

// notKnown is the answer to every failed proof alike: whether a client exists,
// and what was wrong, is not told (PEERS A30). Registering again is the cure in
// either case, which is what clients do on invalid_client.
const notKnown = "This client is not known here or its credentials do not match. Register again."

func refuse(description string) *oauth.Error {
	return oauth.NewError(oauth.InvalidClient, description)
}
