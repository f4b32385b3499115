package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

const (
	// TokenPath is the endpoint of the API's tokens, on the admin listener.
	TokenPath = "/admin/token"
	// TokenType is the JOSE header's typ of the API's tokens. No verifier of access
	// tokens takes it (RFC 8725 §3.11), and the API takes no other.
	TokenType = "admin+jwt"
	// TokenLife is how long a token lives.
	TokenLife = 5 * time.Minute

	maxForm = 16 << 10
	maxID   = 512 // the address of a client's metadata document
)

// tokenAnswer is RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope"`
}

// Token serves POST /admin/token: client_credentials (RFC 6749 §4.4) for
// administrators, and nothing else.
func (a *API) Token(w http.ResponseWriter, r *http.Request) error {
	f, err := readForm(w, r)
	if err != nil {
		return err
	}
	credentials, err := clientauth.Parse(r, f)
	if err != nil {
		return err
	}
	if !maybeID(credentials.ClientID) { // nobody's, and neither a text nor a length for the trail
		credentials.ClientID = ""
	}
	switch oauth.GrantType(f.Get("grant_type")) {
	case oauth.GrantClientCredentials:
	case "":
		return oauth.NewError(oauth.InvalidRequest, "grant_type is missing.")
	default:
		return oauth.NewError(oauth.UnsupportedGrantType, "Only client_credentials is served here.")
	}
	who, assertion, err := a.prove(r.Context(), credentials)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), slog.String("administrator", who.ID))
	scopes, err := oauth.ParseScopes(f.Get("scope"))
	switch {
	case err != nil || !who.Scopes.ContainsAll(scopes):
		return oauth.NewError(oauth.InvalidScope, "This administrator does not have these scopes.")
	case scopes.Empty():
		scopes = who.Scopes
	}
	if err := a.takesPart(who); err != nil {
		return err
	}
	token, err := a.issue(r.Context(), who, scopes)
	if err != nil {
		return err
	}
	// Last: what is answered stands in the trail, and an assertion that was not
	// answered can be sent again.
	err = a.Store.UseAdministrator(r.Context(), who, assertion, scopes)
	switch {
	case errors.Is(err, client.ErrAssertionUsed):
		return a.refused(r.Context(), who, credentials, clientauth.Replayed(err))
	case errors.Is(err, ErrNoAdministrator):
		return a.refused(r.Context(), nil, credentials, unknown(err))
	case err != nil:
		return oauth.Unavailable(err)
	}
	web.WriteJSON(w, http.StatusOK, tokenAnswer{token, "Bearer", int64(TokenLife / time.Second), scopes.String()})
	return nil
}

func (a *API) issue(ctx context.Context, who *Administrator, scopes oauth.Scopes) (string, error) {
	issuer := a.Tenants().Default()
	set, err := a.Keys(ctx, issuer.ID)
	if err != nil {
		return "", oauth.Unavailable(err)
	}
	now := a.Now()
	_, token, err := set.SignDocument(TokenType, accesstoken.Claims{
		Issuer: issuer.Issuer.String(), Subject: accesstoken.ClientSubject(who.ID), Audience: audience(issuer.Issuer), ClientID: who.ID,
		Scope: scopes.String(), IssuedAt: now.Unix(), Expiry: now.Add(TokenLife).Unix(), ID: rand.Text(), Tenant: who.Tenant.String(),
	})
	if err != nil {
		return "", oauth.Unavailable(err)
	}
	return token, nil
}

// audience names the API, below the deployment's issuer and at no resource.
func audience(issuer oauth.IssuerURL) string { return issuer.Endpoint(Base) }

// readForm reads a form in which everything is given once (OAuth 2.1 §3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, oauth.NewError(oauth.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, oauth.NewError(oauth.InvalidRequest, "The body is malformed.").WithCause(errors.New("form does not parse"))
	}
	if name, found := text.BadParameter(r.PostForm); found {
		return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is no text (UTF-8 without NUL): "+name+".")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is given more than once.").WithCause(errors.New(name))
		}
	}
	return r.PostForm, nil
}

// prove authenticates an administrator. The assertion is still to be used up.
func (a *API) prove(ctx context.Context, c clientauth.Credentials) (*Administrator, *client.AssertionID, error) {
	who, err := a.Store.Administrator(ctx, c.ClientID)
	if errors.Is(err, ErrNoAdministrator) {
		return nil, nil, a.refused(ctx, nil, c, unknown(err))
	}
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	switch {
	case who.JWKS != nil && !c.Assertion.Empty():
		keys, err := clientauth.ParseKeySet(who.JWKS)
		if err != nil {
			return nil, nil, oauth.Unavailable(err) // it was read before it was stored
		}
		issuer := a.Tenants().Default().Issuer
		id, err := clientauth.VerifyAssertion(c.Assertion.Reveal(), who.ID, keys, []string{issuer.String(), issuer.Endpoint(TokenPath)}, a.Now())
		if err != nil {
			return nil, nil, a.refused(ctx, who, c, unknown(err))
		}
		return who, id, nil
	case who.SecretHash != nil && !c.Secret.Empty() && subtle.ConstantTimeCompare(client.HashSecret(c.Secret.Reveal()), who.SecretHash) == 1:
		return who, nil, nil
	}
	return nil, nil, a.refused(ctx, who, c, unknown(errors.New("wrong credentials, or of another method")))
}

// maybeID reports whether an administrator or a client could have an id.
func maybeID(id string) bool { return len(id) <= maxID && text.Valid(id) }

// unknown is the answer to every failed proof alike (PEERS A30).
func unknown(cause error) error {
	return oauth.NewError(oauth.InvalidClient, "There is no such administrator, or the credentials do not match.").WithCause(cause)
}

// refused counts a refusal and records it, as far as it is not one of too many:
// the trail is no place to be flooded.
func (a *API) refused(ctx context.Context, who *Administrator, c clientauth.Credentials, cause error) error {
	home := a.Tenants().Default()
	answer := ratelimit.Guessed(ctx, home, ratelimit.GuessClient, c.ClientID, cause)
	var e *oauth.Error
	if errors.As(answer, &e) && e.Code != oauth.InvalidClient {
		return answer
	}
	event := audit.Event{Tenant: home.ID, Kind: audit.AdminToken, Actor: audit.Client, Client: c.ClientID, Outcome: string(oauth.InvalidClient)}
	if who != nil {
		event.Tenant = who.Tenant
	}
	if err := a.Audit.Record(ctx, event); err != nil {
		return oauth.Unavailable(errors.Join(err, cause))
	}
	return answer
}

// takesPart refuses the administrator of a tenant that is suspended: it is for the
// deployment to end that.
func (a *API) takesPart(who *Administrator) error {
	if who.Everywhere {
		return nil
	}
	t, ok := a.Tenants().ByID(who.Tenant)
	if !ok {
		return oauth.Unavailable(errors.New("the administrator's tenant is not known yet"))
	}
	return t.Serves()
}
