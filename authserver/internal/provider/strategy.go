package provider

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"latchkey/pkg/accesstoken"
)

// strategy makes the three strings of a token response from the claimed grant:
// an RFC 9068 access token and, by arithmetic, the refresh token.
type strategy struct{ now func() time.Time }

var _ oauth2.CoreStrategy = strategy{}

// GenerateAccessToken signs a fresh token: iat, exp and jti are never carried
// over from an earlier one.
func (s strategy) GenerateAccessToken(ctx context.Context, _ fosite.Requester) (token, signature string, err error) {
	w, now := workOf(ctx), s.now()
	c := accesstoken.Claims{
		Issuer: w.tenant.Issuer.String(), ClientID: w.client.ID, Scope: w.scopes.String(), ID: rand.Text(), Tenant: w.tenant.ID.String(),
		IssuedAt: now.Unix(), Expiry: now.Add(w.tenant.Lifetimes.AccessToken).Unix(),
	}
	switch {
	case w.machine != nil: // no person: a subject of its own namespace, no grant (RFC 9068 §5, OAuth 2.1 §7.4)
		c.Subject, c.Audience = accesstoken.ClientSubject(w.client.ID), w.machine.resource.String()
	case w.grant != nil:
		c.Subject, c.Audience, c.Grant = w.grant.Subject.String(), w.grant.Resource.String(), w.grant.ID.String()
		c.Granted = w.grant.Created.UnixMicro()
	default:
		return "", "", badState("access token asked for")
	}
	token, err = w.keys.Sign(c)
	return token, "", err
}

// GenerateRefreshToken derives the token of the claimed generation: a repeated
// request gets the same one (DESIGN §4). fosite stores nothing of it, but wants
// a signature that is not empty.
func (strategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (token, signature string, err error) {
	w := workOf(ctx)
	if w.grant == nil {
		return "", "", badState("refresh token asked for")
	}
	return w.keys.Codec().RefreshToken(w.grant.ID, w.grant.Generation).Reveal(), "derived", nil
}

// The claim has verified codes and refresh tokens before fosite asks.
func (strategy) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error { return nil }
func (strategy) ValidateRefreshToken(context.Context, fosite.Requester, string) error  { return nil }
func (strategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errNotUsed
}
func (strategy) AuthorizeCodeSignature(context.Context, string) string { return "" }
func (strategy) RefreshTokenSignature(context.Context, string) string  { return "" }
func (strategy) AccessTokenSignature(context.Context, string) string   { return "" }
func (strategy) GenerateAuthorizeCode(context.Context, fosite.Requester) (token, signature string, err error) {
	return "", "", errNotUsed
}
