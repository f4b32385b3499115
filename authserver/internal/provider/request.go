package provider

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

const (
	maxBody  = 64 << 10
	maxField = 4 << 10
)

// tokenRequest is a parsed token request (OAuth 2.1 §3.2). After parse no code
// of ours looks at the form.
type tokenRequest struct {
	grantType    oauth.GrantType
	clientID     string
	secret       bool // the client sent a secret
	assertion    bool // the client sent an assertion
	code         string
	redirectURI  string
	verifier     string
	refreshToken string
	resource     oauth.Resource // zero when absent
	scopes       oauth.Scopes   // known scopes asked for at refresh
}

var singleValued = []string{
	"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "code", "redirect_uri",
	"code_verifier", "refresh_token", "scope",
}

func parse(t *tenant.Tenant, w http.ResponseWriter, r *http.Request) (*tokenRequest, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, oauth.NewError(oauth.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, oauth.NewError(oauth.InvalidRequest, "The body is malformed.").WithCause(errors.New("form does not parse"))
	}
	f := r.PostForm // never the query: parameters in a URL end up in logs (RFC 6749 §2.3.1)
	for _, name := range singleValued {
		if len(f[name]) > 1 {
			return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is given more than once: "+name+".")
		}
		if len(f.Get(name)) > maxField {
			return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is too long: "+name+".")
		}
	}
	q := &tokenRequest{
		grantType: oauth.GrantType(f.Get("grant_type")), code: f.Get("code"), redirectURI: f.Get("redirect_uri"),
		verifier: f.Get("code_verifier"), refreshToken: f.Get("refresh_token"),
		secret: f.Get("client_secret") != "", assertion: f.Has("client_assertion") || f.Has("client_assertion_type"),
	}
	if err := q.parseClient(r, f); err != nil {
		return nil, err
	}
	switch {
	case q.grantType == "":
		return nil, oauth.NewError(oauth.InvalidRequest, "grant_type is missing.")
	case q.grantType == oauth.GrantAuthorizationCode && q.code == "":
		return nil, oauth.NewError(oauth.InvalidRequest, "code is missing.")
	case q.grantType == oauth.GrantRefreshToken && q.refreshToken == "":
		return nil, oauth.NewError(oauth.InvalidRequest, "refresh_token is missing.")
	case q.grantType != oauth.GrantAuthorizationCode && q.grantType != oauth.GrantRefreshToken:
		return nil, oauth.NewError(oauth.UnsupportedGrantType, "The grant types here are authorization_code and refresh_token.")
	}
	return q, q.parseTarget(t, f)
}

// parseClient reads who the client says it is. A public client may send its id
// by Basic with an empty secret: x/oauth2 does when it probes (PROTOCOL 3.6
// no. 20).
func (q *tokenRequest) parseClient(r *http.Request, f url.Values) error {
	q.clientID = f.Get("client_id")
	if r.Header.Get("Authorization") == "" {
		if q.clientID == "" {
			return oauth.NewError(oauth.InvalidClient, "client_id is missing.")
		}
		return nil
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return oauth.NewError(oauth.InvalidClient, "The Authorization header is not valid Basic authentication.")
	}
	// RFC 6749 §2.3.1: both parts are form-encoded.
	id, err := url.QueryUnescape(user)
	if err != nil || id == "" || (q.clientID != "" && q.clientID != id) || (password != "" && q.secret) {
		return oauth.NewError(oauth.InvalidClient, "Authenticate the client in one way only.")
	}
	q.clientID, q.secret = id, q.secret || password != ""
	return nil
}

// parseTarget reads resource and scope: both may only narrow (RFC 8707 §2.2,
// RFC 6749 §6).
func (q *tokenRequest) parseTarget(t *tenant.Tenant, f url.Values) error {
	switch values := f["resource"]; {
	case len(values) > 1:
		return oauth.NewError(oauth.InvalidTarget, "Ask for one resource at a time.")
	case len(values) == 1:
		var err error
		if values[0] == "" {
			return oauth.NewError(oauth.InvalidTarget, "resource is empty.")
		}
		if q.resource, err = t.Resource(values[0]); err != nil {
			return oauth.NewError(oauth.InvalidTarget, "This server does not serve that resource.")
		}
	}
	if q.grantType != oauth.GrantRefreshToken {
		return nil
	}
	scopes, err := oauth.ParseScopes(f.Get("scope"))
	if err != nil {
		return oauth.NewError(oauth.InvalidScope, "scope is malformed or too long.")
	}
	// Scopes of other servers and offline_access are ignored, as at the
	// authorization endpoint (PROTOCOL 3.6 nos. 13 and 23).
	q.scopes = scopes.Intersect(scope.Names())
	return nil
}

// Clients finds registered clients. It returns client.ErrNotFound for an
// unknown one; any other error is doubt.
type Clients interface {
	Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error)
}

// authenticate proves the client (RFC 6749 §3.2.1). All clients of today are
// public: they prove nothing but name themselves, and a credential that cannot
// be checked is refused rather than ignored.
func authenticate(ctx context.Context, clients Clients, t *tenant.Tenant, q *tokenRequest) (*client.Client, error) {
	c, err := clients.Client(ctx, t.ID, q.clientID)
	if errors.Is(err, client.ErrNotFound) {
		// invalid_client makes clients register again, which is the cure.
		return nil, oauth.NewError(oauth.InvalidClient, "This client is not registered here. Register again.").WithCause(err)
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	if !c.Public() || q.secret || q.assertion {
		return nil, oauth.NewError(oauth.InvalidClient, "Client authentication failed.")
	}
	return c, nil
}
