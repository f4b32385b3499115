package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/pkce"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// Config configures a Provider; every field but Now is required.
type Config struct {
	Auth    *clientauth.Authenticator
	Clients Uses
	Store   Store
	Keys    func(ctx context.Context, t tenant.ID) (*keyset.Set, error)
	Now     func() time.Time
}

// Provider serves the token endpoint. Safe for concurrent use.
type Provider struct {
	auth    *clientauth.Authenticator
	clients Uses
	store   Store
	now     func() time.Time
	keys    func(ctx context.Context, t tenant.ID) (*keyset.Set, error)
	fosite  fosite.OAuth2Provider
}

// Uses notes that a client is in use.
type Uses interface {
	Used(ctx context.Context, t *tenant.Tenant, c *client.Client)
}

// New composes fosite from the four handlers this server has; there is no
// other grant type to be reached by mistake.
func New(c Config) *Provider {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := strategy{c.Now}
	config := &fosite.Config{
		EnforcePKCE:        true, // every client (RFC 9700 §2.1.1)
		ScopeStrategy:      func([]string, string) bool { return true },
		RefreshTokenScopes: []string{}, // the grant says whether there is a refresh token
		// Scopes and audience were decided at the authorization endpoint and stand
		// in the grant; fosite would compare them with the registration again.
		AudienceMatchingStrategy: func([]string, []string) error { return nil },
		ClientAuthenticationStrategy: func(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
			w := workOf(ctx)
			return &fositeClient{Client: w.client, refresh: true, machine: w.machine != nil}, nil
		},
	}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: s, RefreshTokenStrategy: s, AuthorizeCodeStrategy: s,
		CoreStorage: storage{}, TokenRevocationStorage: storage{}, Config: config,
	}
	config.TokenEndpointHandlers = fosite.TokenEndpointHandlers{
		code,
		&pkce.Handler{AuthorizeCodeStrategy: s, Storage: storage{}, Config: config},
		&oauth2.RefreshTokenGrantHandler{AccessTokenStrategy: s, RefreshTokenStrategy: s, TokenRevocationStorage: storage{}, Config: config},
		&oauth2.ClientCredentialsGrantHandler{
			HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: s, AccessTokenStorage: storage{}, Config: config}, Config: config,
		},
	}
	return &Provider{auth: c.Auth, clients: c.Clients, store: c.Store, keys: c.Keys, now: c.Now, fosite: fosite.NewOAuth2Provider(storage{}, config)}
}

// Token serves POST /token (OAuth 2.1 §3.2): parse, authenticate the client,
// claim, sign, answer.
func (p *Provider) Token(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	q, err := parse(t, w, r)
	if err != nil {
		return err
	}
	// The client is proven before anything is claimed: a wrong credential burns no code.
	proof, assertion, err := p.auth.AuthenticateForClaim(ctx, t, q.client)
	if err != nil {
		return err
	}
	keys, err := p.keys(ctx, t.ID)
	if err != nil {
		return oauth.Unavailable(err)
	}
	c := proof.Client()
	if err := t.AdmitsClient(ctx, c.ID); err != nil { // nothing is claimed: an approval may come back
		return err
	}
	unit := &work{store: p.store, tenant: t, keys: keys, client: c, request: q, assertion: assertion}
	if q.grantType == oauth.GrantClientCredentials {
		if err := unit.admitMachine(ctx, proof); err != nil {
			return err
		}
	}
	ctx = withWork(ctx, unit)
	access, err := p.fosite.NewAccessRequest(ctx, r, &session{})
	if errors.Is(err, grant.ErrForged) {
		return ratelimit.Guessed(ctx, t, ratelimit.GuessToken, c.ID, convert(err))
	}
	if err != nil {
		return convert(err)
	}
	response, err := p.fosite.NewAccessResponse(ctx, access)
	if err != nil {
		return convert(err)
	}
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("client", c.ID), slog.String("grant_type", string(q.grantType)))
	if unit.grant != nil {
		httpx.Annotate(ctx, slog.String("grant", unit.grant.ID.String()))
	}
	p.clients.Used(ctx, t, c)
	refresh, _ := response.GetExtra("refresh_token").(string)
	web.WriteJSON(w, http.StatusOK, oauth.TokenResponse{
		AccessToken: response.GetAccessToken(), TokenType: "Bearer", ExpiresIn: int64(t.Lifetimes.AccessToken / time.Second),
		RefreshToken: refresh, Scope: unit.scopes.String(),
	})
	return nil
}

// convert turns fosite's error into ours. Our own errors come back wrapped in
// fosite's server_error; what fosite found itself keeps its code and gets our
// words. Everything else is doubt.
func convert(err error) error {
	var ours *oauth.Error
	if errors.As(err, &ours) {
		return ours
	}
	var rfc *fosite.RFC6749Error
	if errors.As(err, &rfc) && rfc.CodeField < http.StatusInternalServerError {
		switch code := oauth.Code(rfc.ErrorField); code {
		case oauth.InvalidGrant, oauth.InvalidRequest, oauth.InvalidScope, oauth.UnauthorizedClient, oauth.UnsupportedGrantType:
			return oauth.NewError(code, "The token request was refused.").WithCause(err)
		}
	}
	return oauth.Unavailable(err)
}
