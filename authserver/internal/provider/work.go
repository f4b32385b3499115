package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/pkce"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Store claims codes and refresh tokens, each with one conditional statement.
// Refusals are errors of package grant; any other error is doubt.
type Store interface {
	RedeemCode(ctx context.Context, r grant.Redemption) (*grant.Grant, error)
	RotateRefresh(ctx context.Context, r grant.Rotation) (*grant.Grant, error)
	BurnAssertion(ctx context.Context, t tenant.ID, a *client.AssertionID) error
	RevokeClientGrant(ctx context.Context, t tenant.ID, id uuid.UUID, clientID string) error
	GrantState(ctx context.Context, t tenant.ID, id uuid.UUID) (*grant.State, error)
	// OwnTokenEnded reports whether a mass revocation ended what a client got for
	// itself at a time.
	OwnTokenEnded(ctx context.Context, t tenant.ID, clientID string, issued time.Time) (bool, error)
}

// work is one token request's unit of work, carried in its context. It is used
// by one goroutine.
type work struct {
	store   Store
	tenant  *tenant.Tenant
	keys    *keyset.Set
	client  *client.Client
	request *tokenRequest
	// assertion is the client's, to be used up with the claim; nil without one.
	assertion *client.AssertionID

	claimed *fosite.Request // what the first read returned
	grant   *grant.Grant    // set with claimed
	machine *machine        // set for client_credentials, which have no grant
	scopes  oauth.Scopes    // of the access token
}

type workKey struct{}

func withWork(ctx context.Context, w *work) context.Context {
	return context.WithValue(ctx, workKey{}, w)
}

func workOf(ctx context.Context) *work { return ctx.Value(workKey{}).(*work) }

// claim redeems the code or rotates the refresh token, the first time it is
// asked. Everything that fosite compares later stands in the statement's WHERE
// already, so nothing is spent on a request that fails.
func (w *work) claim(ctx context.Context) (*fosite.Request, error) {
	if w.claimed != nil {
		return w.claimed, nil
	}
	g, err := w.ask(ctx)
	if err != nil {
		return nil, refused(err)
	}
	if _, err := w.tenant.Resource(g.Resource.String()); err != nil {
		// The operator took the resource away since: nothing is issued for it (PEERS A4).
		return nil, refused(grant.ErrWrongResource)
	}
	w.grant, w.scopes = g, g.Scopes
	if !w.request.scopes.Empty() {
		w.scopes = w.request.scopes
	}
	// What the tenant's policy has forbidden since is in no new token.
	if w.scopes = w.tenant.Permitted(ctx, w.scopes, w.client.ID); w.scopes.Empty() {
		return nil, refused(grant.ErrForbidden)
	}
	form := url.Values{"code_challenge": {challengeOf(w.request.verifier)}, "code_challenge_method": {oauth.MethodS256}}
	if w.request.redirectURI != "" {
		form.Set("redirect_uri", w.request.redirectURI)
	}
	w.claimed = &fosite.Request{
		ID: g.ID.String(), Client: &fositeClient{Client: w.client, refresh: g.Offline}, Form: form, Session: &session{subject: g.Subject.String()},
		RequestedScope: g.Scopes.Slice(), GrantedScope: g.Scopes.Slice(),
		RequestedAudience: []string{g.Resource.String()}, GrantedAudience: []string{g.Resource.String()},
	}
	return w.claimed, nil
}

func (w *work) ask(ctx context.Context) (*grant.Grant, error) {
	life, q := w.tenant.Lifetimes, w.request
	if q.grantType == oauth.GrantAuthorizationCode {
		id, err := w.keys.Codec().ParseCode(q.code)
		if err != nil {
			return nil, err
		}
		if len(q.verifier) < 43 || len(q.verifier) > 128 { // RFC 7636 §4.1
			return nil, grant.ErrMismatch
		}
		return w.store.RedeemCode(ctx, grant.Redemption{
			Tenant: w.tenant.ID, ID: id, ClientID: w.client.ID, RedirectURI: q.redirectURI, CodeChallenge: challengeOf(q.verifier),
			Resource: q.resource, RefreshIdle: life.RefreshIdle, Assertion: w.assertion,
		})
	}
	id, generation, err := w.keys.Codec().ParseRefreshToken(q.refreshToken)
	if err != nil {
		return nil, err
	}
	limit, limited := w.tenant.ClientScopeLimit(w.client.ID)
	if limited && !q.scopes.Empty() && q.scopes.Intersect(limit).Empty() {
		return nil, grant.ErrForbidden
	}
	return w.store.RotateRefresh(ctx, grant.Rotation{
		Tenant: w.tenant.ID, ID: id, Generation: generation, ClientID: w.client.ID, Resource: q.resource, Scopes: q.scopes, Limited: limited, Limit: limit,
		Grace: life.RefreshGrace, Replays: life.RefreshReplays, RefreshIdle: life.RefreshIdle,
		Assertion: w.assertion,
	})
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// refused maps a refusal to the protocol. The descriptions do not tell a
// stranger whether a grant exists.
func refused(err error) *oauth.Error {
	switch {
	case errors.Is(err, client.ErrAssertionUsed):
		var e *oauth.Error
		_ = errors.As(clientauth.Replayed(err), &e)
		return e
	case errors.Is(err, grant.ErrWrongResource):
		return oauth.NewError(oauth.InvalidTarget, "This grant is for another resource.").WithCause(err)
	case errors.Is(err, grant.ErrWrongScope):
		return oauth.NewError(oauth.InvalidScope, "A refresh cannot widen the granted scopes.").WithCause(err)
	case errors.Is(err, grant.ErrForbidden):
		return oauth.NewError(oauth.InvalidScope, "The organisation allows none of the granted scopes any more.").WithCause(err)
	case errors.Is(err, grant.ErrExpired), errors.Is(err, grant.ErrRevoked), errors.Is(err, grant.ErrReused), errors.Is(err, grant.ErrRedeemed),
		errors.Is(err, grant.ErrNotFound), errors.Is(err, grant.ErrMismatch), errors.Is(err, grant.ErrForged):
		return oauth.NewError(oauth.InvalidGrant, "The code or refresh token is invalid, expired, revoked or was issued to another client or redirect URI.").WithCause(err)
	}
	return oauth.Unavailable(err)
}

// storage is fosite's view of the unit of work. It has no transaction on
// purpose: the claim is one statement, and what fosite would store besides is
// in the grant already.
type storage struct{}

// fosite finds capabilities by type assertion at run time; here a missing
// method does not compile.
var (
	_ fosite.Storage                = storage{}
	_ oauth2.CoreStorage            = storage{}
	_ oauth2.TokenRevocationStorage = storage{}
	_ pkce.PKCERequestStorage       = storage{}
)

var errNotUsed = errors.New("fosite called storage that this server does not use")

func (storage) GetClient(context.Context, string) (fosite.Client, error) { return nil, errNotUsed }
func (storage) ClientAssertionJWTValid(context.Context, string) error    { return errNotUsed }
func (storage) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return errNotUsed
}

func (storage) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error {
	return errNotUsed
}

func (storage) GetAuthorizeCodeSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	r, err := workOf(ctx).claim(ctx)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (storage) GetPKCERequestSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	r, err := workOf(ctx).claim(ctx)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (storage) GetRefreshTokenSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	r, err := workOf(ctx).claim(ctx)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// The claim has done what these would do.
func (storage) InvalidateAuthorizeCodeSession(context.Context, string) error { return nil }
func (storage) DeletePKCERequestSession(context.Context, string) error       { return nil }
func (storage) RotateRefreshToken(context.Context, string, string) error     { return nil }
func (storage) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}
func (storage) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return nil
}

func (storage) CreatePKCERequestSession(context.Context, string, fosite.Requester) error {
	return errNotUsed
}

func (storage) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotUsed
}
func (storage) DeleteAccessTokenSession(context.Context, string) error  { return errNotUsed }
func (storage) DeleteRefreshTokenSession(context.Context, string) error { return errNotUsed }
func (storage) RevokeRefreshToken(context.Context, string) error        { return errNotUsed }
func (storage) RevokeAccessToken(context.Context, string) error         { return errNotUsed }

// session is a fosite.Session without mutable claims: nothing of one token can
// leak into the next.
type session struct {
	subject string
	expires map[fosite.TokenType]time.Time
}

func (s *session) SetExpiresAt(k fosite.TokenType, t time.Time) {
	if s.expires == nil {
		s.expires = map[fosite.TokenType]time.Time{}
	}
	s.expires[k] = t
}
func (s *session) GetExpiresAt(k fosite.TokenType) time.Time { return s.expires[k] }
func (s *session) GetUsername() string                       { return "" }
func (s *session) GetSubject() string                        { return s.subject }
func (s *session) Clone() fosite.Session                     { return &session{subject: s.subject} }

// fositeClient shows a client to fosite. refresh is what the grant allows,
// which the flow decided; the client was authenticated before.
type fositeClient struct {
	*client.Client
	refresh bool
	machine bool // client_credentials
}

func (c *fositeClient) GetID() string                      { return c.ID }
func (c *fositeClient) GetHashedSecret() []byte            { return nil }
func (c *fositeClient) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c *fositeClient) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (c *fositeClient) GetScopes() fosite.Arguments        { return nil }
func (c *fositeClient) IsPublic() bool                     { return !c.machine && c.Public() }
func (c *fositeClient) GetAudience() fosite.Arguments      { return nil }
func (c *fositeClient) GetGrantTypes() fosite.Arguments {
	if c.machine {
		return fosite.Arguments{string(oauth.GrantClientCredentials)}
	}
	if c.refresh {
		return fosite.Arguments{string(oauth.GrantAuthorizationCode), string(oauth.GrantRefreshToken)}
	}
	return fosite.Arguments{string(oauth.GrantAuthorizationCode)}
}

var _ fosite.Client = (*fositeClient)(nil)

func badState(what string) error { return fmt.Errorf("token request: %s before the claim", what) }
