package flow

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

const (
	maxQueryBytes = 16 << 10
	maxStateBytes = 2 << 10
	maxHintBytes  = 320 // an e-mail address (RFC 5321 §4.5.3.1)
)

// authorization is a checked authorization request. It is sealed into the
// consent form and stored with the flow; it holds no secret.
type authorization struct {
	ClientID    string   `json:"client_id"`
	RedirectURI string   `json:"redirect_uri"`
	State       string   `json:"state,omitempty"`
	Resource    string   `json:"resource"`
	Scopes      []string `json:"scopes"`
	Challenge   string   `json:"code_challenge"`
	Offline     bool     `json:"offline,omitempty"`
	LoginHint   string   `json:"login_hint,omitempty"`
}

// Clients finds registered clients. It returns client.ErrNotFound for an
// unknown one; any other error is doubt.
type Clients interface {
	Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error)
}

var singleValued = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
	"response_mode", "nonce", "prompt", "login_hint", "max_age", "request", "request_uri", "display", "ui_locales",
}

// parse checks an authorization request in the order that RFC 6749 §4.1.2.1
// demands: while client and redirect URI are in doubt an error is a page, from
// then on a redirect.
func parse(ctx context.Context, clients Clients, t *tenant.Tenant, rawQuery string) (*authorization, *client.Client, error) {
	if len(rawQuery) > maxQueryBytes {
		return nil, nil, badLink("The link that brought you here is too long.", nil)
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, badLink("The link that brought you here is malformed.", err)
	}
	c, redirectURI, err := identify(ctx, clients, t, q)
	if err != nil {
		return nil, nil, err
	}
	a := &authorization{ClientID: c.ID, RedirectURI: redirectURI, State: q.Get("state")}
	if len(a.State) > maxStateBytes || len(q["state"]) > 1 {
		a.State = "" // not echoed: it is the fault
		return nil, nil, a.fail(t, oauth.NewError(oauth.InvalidRequest, "state must be given once and be at most 2048 bytes long."))
	}
	if err := a.fill(c, t, q); err != nil {
		return nil, nil, a.fail(t, err)
	}
	return a, c, nil
}

// identify finds the client and matches the redirect URI.
func identify(ctx context.Context, clients Clients, t *tenant.Tenant, q url.Values) (*client.Client, string, error) {
	id, uri := q["client_id"], q["redirect_uri"]
	if len(id) != 1 || id[0] == "" {
		return nil, "", badLink("The link that brought you here does not name one app (client_id).", nil)
	}
	c, err := clients.Client(ctx, t.ID, id[0])
	if errors.Is(err, client.ErrNotFound) {
		return nil, "", &web.PageError{Status: http.StatusBadRequest, Title: "This app is not known here",
			Advice: "Its registration may have expired. Remove the connection in the app and add it again.", Cause: err}
	}
	if err != nil {
		return nil, "", oauth.Unavailable(err)
	}
	switch {
	case len(uri) == 0 && len(c.RedirectURIs) == 1:
		return c, c.RedirectURIs[0], nil // RFC 6749 §3.1.2.3: one registered URI may be left out
	case len(uri) != 1 || len(uri[0]) > oauth.MaxURLBytes || !c.MatchRedirect(uri[0]):
		// RFC 6749 §4.1.2.1: MUST NOT redirect to an invalid redirect URI.
		return nil, "", &web.PageError{Status: http.StatusBadRequest, Title: "This app asked to return to an address it did not register",
			Advice: "For your safety nothing was sent there. Remove the connection in the app and add it again; if that does not help, tell the maker of the app."}
	}
	return c, uri[0], nil
}

// fill checks everything that is answered by an error redirect.
func (a *authorization) fill(c *client.Client, t *tenant.Tenant, q url.Values) *oauth.Error {
	for _, name := range singleValued {
		if len(q[name]) > 1 { // OAuth 2.1 §3.1
			return oauth.NewError(oauth.InvalidRequest, "A parameter is given more than once: "+name+".")
		}
	}
	switch {
	case q.Has("request"):
		return oauth.NewError(oauth.RequestNotSupported, "Request objects are not supported.")
	case q.Has("request_uri"):
		return oauth.NewError(oauth.RequestURINotSupported, "Request URIs are not supported.")
	case q.Get("response_type") == "":
		return oauth.NewError(oauth.InvalidRequest, "response_type is missing.")
	case q.Get("response_type") != oauth.ResponseTypeCode: // RFC 9700 §2.1.2
		return oauth.NewError(oauth.UnsupportedResponseType, "The only response_type is code.")
	case q.Has("response_mode") && q.Get("response_mode") != "query":
		return oauth.NewError(oauth.InvalidRequest, "The only response_mode is query.")
	case !c.Allows(oauth.GrantAuthorizationCode):
		return oauth.NewError(oauth.UnauthorizedClient, "This client did not register the authorization_code grant.")
	}
	a.Challenge = q.Get("code_challenge")
	switch { // RFC 9700 §2.1.1: PKCE for every client, S256 only
	case a.Challenge == "":
		return oauth.NewError(oauth.InvalidRequest, "code_challenge is missing: PKCE with S256 is required.")
	case q.Get("code_challenge_method") != oauth.MethodS256:
		return oauth.NewError(oauth.InvalidRequest, "code_challenge_method must be S256.")
	case !validChallenge(a.Challenge):
		return oauth.NewError(oauth.InvalidRequest, "code_challenge must be 43 base64url characters.")
	}
	if err := a.fillResource(t, q["resource"]); err != nil {
		return err
	}
	if err := a.fillScopes(c, t, q.Get("scope")); err != nil {
		return err
	}
	if hint := q.Get("login_hint"); len(hint) <= maxHintBytes && consent.Clean(hint, maxHintBytes) == hint {
		a.LoginHint = hint
	}
	if prompts := strings.Fields(q.Get("prompt")); slices.Contains(prompts, "none") {
		// OpenID Connect Core §3.1.2.6: consent is always asked, so none cannot be honoured.
		return oauth.NewError(oauth.InteractionRequired, "This server always asks the person.")
	}
	return nil
}

// validChallenge: BASE64URL(SHA256(...)) has 43 characters (RFC 7636 §4.2).
func validChallenge(s string) bool {
	if len(s) != 43 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (a *authorization) fillResource(t *tenant.Tenant, requested []string) *oauth.Error {
	if len(requested) > 1 { // one audience per token (RFC 9068 §3, DESIGN §4)
		return oauth.NewError(oauth.InvalidTarget, "Ask for one resource at a time.")
	}
	var spelled string
	if len(requested) == 1 {
		if spelled = requested[0]; spelled == "" {
			return oauth.NewError(oauth.InvalidTarget, "resource is empty.")
		}
	}
	r, err := t.Resource(spelled)
	if err != nil {
		return oauth.NewError(oauth.InvalidTarget, "This server does not serve that resource.")
	}
	a.Resource = r.String()
	return nil
}

// fillScopes drops scopes this server does not know: clients ask for openid,
// claudeai and other servers' scopes (PROTOCOL 3.6 no. 13). What is really
// granted is in the token response (RFC 6749 §3.3).
func (a *authorization) fillScopes(c *client.Client, t *tenant.Tenant, requested string) *oauth.Error {
	asked, err := oauth.ParseScopes(requested)
	if err != nil {
		return oauth.NewError(oauth.InvalidScope, "scope is malformed or too long.")
	}
	// A refresh token for clients that registered the grant or ask for it (SEP-2207).
	a.Offline = c.Allows(oauth.GrantRefreshToken) || asked.Contains(scope.OfflineAccess)
	known := asked.Intersect(scope.Names())
	if known.Empty() {
		if known = t.DefaultScopes; known.Empty() {
			return oauth.NewError(oauth.InvalidScope, "None of the scopes is known here.")
		}
	}
	a.Scopes = known.Slice()
	return nil
}

// fail makes the error a redirect to the client.
func (a *authorization) fail(t *tenant.Tenant, err *oauth.Error) error {
	return &web.RedirectError{RedirectURI: a.RedirectURI, State: a.State, Issuer: t.Issuer, Err: err}
}

func badLink(advice string, cause error) error {
	return &web.PageError{Status: http.StatusBadRequest, Title: "This link does not work", Advice: advice + " Start again from the app.", Cause: cause}
}
