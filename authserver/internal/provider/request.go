package provider

import (
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"

	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
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
	client       clientauth.Credentials
	code         string
	redirectURI  string
	verifier     string
	refreshToken string
	resource     oauth.Resource // zero when absent
	scopes       oauth.Scopes   // known scopes asked for
	unknown      bool           // only scopes asked for that this server does not know
}

var singleValued = append([]string{
	"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "token", "token_type_hint",
}, clientauth.Params...)

// readForm reads the body of a machine endpoint: a form, at most 64 KiB, every
// parameter that we know at most once (OAuth 2.1 §3.2) and 4 KiB long. The
// query is never read: parameters in a URL end up in logs (RFC 6749 §2.3.1).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
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
	f := r.PostForm
	// A token that is no text is no token of ours, which is no error (RFC 7009 §2.2,
	// RFC 7662 §2.2).
	rest := maps.Clone(f)
	delete(rest, "token")
	if name, found := text.BadParameter(rest); found {
		return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is no text (UTF-8 without NUL): "+name+".")
	}
	for _, name := range singleValued {
		if len(f[name]) > 1 {
			return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is given more than once: "+name+".")
		}
		if len(f.Get(name)) > maxField {
			return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is too long: "+name+".")
		}
	}
	return f, nil
}

func parse(t *tenant.Tenant, w http.ResponseWriter, r *http.Request) (*tokenRequest, error) {
	f, err := readForm(w, r)
	if err != nil {
		return nil, err
	}
	q := &tokenRequest{
		grantType: oauth.GrantType(f.Get("grant_type")), code: f.Get("code"), redirectURI: f.Get("redirect_uri"),
		verifier: f.Get("code_verifier"), refreshToken: f.Get("refresh_token"),
	}
	if q.client, err = clientauth.Parse(r, f); err != nil {
		return nil, err
	}
	switch q.grantType {
	case "":
		return nil, oauth.NewError(oauth.InvalidRequest, "grant_type is missing.")
	case oauth.GrantAuthorizationCode:
		if q.code == "" {
			return nil, oauth.NewError(oauth.InvalidRequest, "code is missing.")
		}
	case oauth.GrantRefreshToken:
		if q.refreshToken == "" {
			return nil, oauth.NewError(oauth.InvalidRequest, "refresh_token is missing.")
		}
	case oauth.GrantClientCredentials:
	default:
		return nil, oauth.NewError(oauth.UnsupportedGrantType, "The grant types here are authorization_code, refresh_token and client_credentials.")
	}
	return q, q.parseTarget(t, f)
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
	if q.grantType == oauth.GrantAuthorizationCode {
		return nil // its scopes were decided at the authorization endpoint
	}
	scopes, err := oauth.ParseScopes(f.Get("scope"))
	if err != nil {
		return oauth.NewError(oauth.InvalidScope, "scope is malformed or too long.")
	}
	// Scopes of other servers and offline_access are ignored, as at the
	// authorization endpoint (PROTOCOL 3.6 nos. 13 and 23).
	q.scopes = scopes.Intersect(scope.Names())
	q.unknown = q.scopes.Empty() && !scopes.Empty()
	return nil
}
