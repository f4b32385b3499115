package flow

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
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
	Again       bool     `json:"sign_in_again,omitempty"` // the person shall choose an account at Google
	// Chosen is the account of a known person, chosen on the consent page.
	Chosen *chosen `json:"chosen,omitempty"`
	// Fingerprint is the client's at the time of the request: one that changed
	// meanwhile is asked about again.
	Fingerprint string `json:"client"`
}

// Clients finds clients. Both methods return client.ErrNotFound for an unknown
// one; an error that is neither that nor an advice is doubt.
type Clients interface {
	// Introduce finds a client at the beginning of an authorization, its metadata
	// document fetched again if it is not fresh. source is the address that asks.
	Introduce(ctx context.Context, t *tenant.Tenant, id, source string) (*client.Client, error)
	// Client finds a client later on.
	Client(ctx context.Context, t *tenant.Tenant, id string) (*client.Client, error)
}

// adviser is an error about a client with words for the person.
type adviser interface {
	error
	PersonAdvice() string
}

var singleValued = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
	"response_mode", "nonce", "prompt", "login_hint", "max_age", "request", "request_uri", "display", "ui_locales",
}

// maxAgeSeconds bounds max_age; beyond it nothing is older.
const maxAgeSeconds = 1 << 31

// parse checks an authorization request in the order that RFC 6749 §4.1.2.1
// demands: while client and redirect URI are in doubt an error is a page, from
// then on a redirect.
func parse(ctx context.Context, clients Clients, t *tenant.Tenant, q url.Values, source string) (*authorization, *client.Client, error) {
	c, redirectURI, err := identify(ctx, clients, t, q, source)
	if err != nil {
		return nil, nil, err
	}
	a := &authorization{ClientID: c.ID, RedirectURI: redirectURI, State: q.Get("state"), Fingerprint: c.Fingerprint()}
	if len(a.State) > maxStateBytes || len(q["state"]) > 1 {
		a.State = "" // not echoed: it is the fault
		return nil, nil, a.early(t, c, oauth.NewError(oauth.InvalidRequest, "state must be given once and be at most 2048 bytes long."))
	}
	if err := t.AdmitsClient(ctx, c.ID); err != nil {
		return nil, nil, a.notApproved(t, err)
	}
	if err := a.fill(ctx, c, t, q); err != nil {
		return nil, nil, a.early(t, c, err)
	}
	return a, c, nil
}

func query(raw string) (url.Values, error) {
	if len(raw) > maxQueryBytes {
		return nil, badLink("The link that brought you here is too long.", nil)
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badLink("The link that brought you here is malformed.", err)
	}
	if name, found := text.BadParameter(q); found {
		return nil, badLink("The link that brought you here is malformed.", errors.New("a parameter is no text: "+name))
	}
	return q, nil
}

// introduce finds the client of a request, with a page for what goes wrong.
func introduce(ctx context.Context, clients Clients, t *tenant.Tenant, id, source string) (*client.Client, error) {
	c, err := clients.Introduce(ctx, t, id, source)
	if errors.Is(err, client.ErrNotFound) {
		page := &web.PageError{Status: http.StatusBadRequest, Title: "This app is not known here",
			Advice: "Its registration may have expired. Remove the connection in the app and add it again.", Cause: err}
		var words adviser
		if errors.As(err, &words) { // draft client ID metadata document §4.3: the request ends here
			page.Title, page.Advice = "This app cannot be identified", words.PersonAdvice()+" Nothing was allowed. Tell the maker of the app."
		}
		return nil, page
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return c, nil
}

// identify finds the client and matches the redirect URI.
func identify(ctx context.Context, clients Clients, t *tenant.Tenant, q url.Values, source string) (*client.Client, string, error) {
	id := q["client_id"]
	if len(id) != 1 || id[0] == "" {
		return nil, "", badLink("The link that brought you here does not name one app (client_id).", nil)
	}
	c, err := introduce(ctx, clients, t, id[0], source)
	if err != nil {
		return nil, "", err
	}
	uri, ok := redirectOf(c, q["redirect_uri"])
	if !ok { // RFC 6749 §4.1.2.1: MUST NOT redirect to an invalid redirect URI.
		return nil, "", &web.PageError{Status: http.StatusBadRequest, Title: "This app asked to return to an address it did not register",
			Advice: "For your safety nothing was sent there. Remove the connection in the app and add it again; if that does not help, tell the maker of the app."}
	}
	return c, uri, nil
}

// redirectOf is the redirect URI of a request: the given one if the client
// registered it, or the only registered one (RFC 6749 §3.1.2.3).
func redirectOf(c *client.Client, given []string) (string, bool) {
	if len(given) == 0 && len(c.RedirectURIs) == 1 {
		return c.RedirectURIs[0], true
	}
	if len(given) != 1 || len(given[0]) > oauth.MaxURLBytes || !c.MatchRedirect(given[0]) {
		return "", false
	}
	return given[0], true
}

// fill checks everything that is answered by an error redirect.
func (a *authorization) fill(ctx context.Context, c *client.Client, t *tenant.Tenant, q url.Values) *oauth.Error {
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
	if err := a.fillScopes(ctx, c, t, q.Get("scope")); err != nil {
		return err
	}
	if hint := q.Get("login_hint"); len(hint) <= maxHintBytes && consent.Clean(hint, maxHintBytes) == hint {
		a.LoginHint = hint
	}
	return a.fillPrompt(q)
}

// fillPrompt reads prompt and max_age (OpenID Connect Core §3.1.2.1). Every
// authorization asks for consent and signs in at Google; what a client can add
// is that the person chooses the account there again.
func (a *authorization) fillPrompt(q url.Values) *oauth.Error {
	prompts := strings.Fields(q.Get("prompt"))
	switch {
	case slices.Contains(prompts, "none") && len(prompts) > 1:
		return oauth.NewError(oauth.InvalidRequest, "prompt none cannot be combined with another value.")
	case slices.Contains(prompts, "none"):
		return oauth.NewError(oauth.InteractionRequired, "This server always asks the person.")
	case slices.Contains(prompts, "login"), slices.Contains(prompts, "select_account"):
		a.Again = true
	}
	if q.Has("max_age") {
		age, err := strconv.ParseInt(q.Get("max_age"), 10, 64)
		if err != nil || age < 0 || age > maxAgeSeconds {
			return oauth.NewError(oauth.InvalidRequest, "max_age must be a number of seconds.")
		}
		a.Again = true // how old Google's session is cannot be known: as if it were too old
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

// fillScopes drops scopes that this server does not know or the tenant's consent
// profile has not: clients ask for openid, claudeai and other servers' scopes
// (PROTOCOL 3.6 no. 13). What is really granted is in the token response
// (RFC 6749 §3.3). Those that the tenant does not allow are dropped as well;
// where that leaves none, the client is told.
func (a *authorization) fillScopes(ctx context.Context, c *client.Client, t *tenant.Tenant, requested string) *oauth.Error {
	asked, err := oauth.ParseScopes(requested)
	if err != nil {
		return oauth.NewError(oauth.InvalidScope, "scope is malformed or too long.")
	}
	// A refresh token for clients that registered the grant or ask for it (SEP-2207).
	a.Offline = c.Allows(oauth.GrantRefreshToken) || asked.Contains(scope.OfflineAccess)
	known := asked.Intersect(t.Profile.Allowed())
	if known.Empty() {
		if known = t.DefaultScopes; known.Empty() {
			return oauth.NewError(oauth.InvalidScope, "None of the scopes is known here.")
		}
	}
	if known = t.Permitted(ctx, known, c.ID); known.Empty() {
		return oauth.NewError(oauth.InvalidScope, "The organisation allows none of these scopes.")
	}
	a.Scopes = known.Slice()
	return nil
}

// early is fail for an error that no person has seen anything of yet: a client
// that nobody vouches for must not use us to bounce browsers to any site it
// likes, so the person is asked first (RFC 9700 §4.11.2). On loopback and in
// apps there is nothing to phish with.
func (a *authorization) early(t *tenant.Tenant, c *client.Client, err *oauth.Error) error {
	return &web.RedirectError{RedirectURI: a.RedirectURI, State: a.State, Issuer: t.Issuer, Err: err,
		Ask: !c.Trusted() && strings.HasPrefix(a.RedirectURI, "https://")}
}

// notApproved is the answer to a client that the tenant's administrator has not
// approved: a page, for the person and not the client is to know whom to ask; the
// client learns it by the page's link. An app with a scheme of its own has no such
// link, and learns it at once.
func (a *authorization) notApproved(t *tenant.Tenant, err *oauth.Error) error {
	return &web.RedirectError{RedirectURI: a.RedirectURI, State: a.State, Issuer: t.Issuer, Err: err,
		Ask: strings.HasPrefix(a.RedirectURI, "https://") || strings.HasPrefix(a.RedirectURI, "http://"), Title: consent.Organisation(t) + " has not approved this app"}
}

// fail makes the error a redirect to the client.
func (a *authorization) fail(t *tenant.Tenant, err *oauth.Error) error {
	return &web.RedirectError{RedirectURI: a.RedirectURI, State: a.State, Issuer: t.Issuer, Err: err}
}

func badLink(advice string, cause error) error {
	return &web.PageError{Status: http.StatusBadRequest, Title: "This link does not work", Advice: advice + " Start again from the app.", Cause: cause}
}
