package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// presented is a token that a client shows at the revocation or introspection
// endpoint, found authentic. Whether it still counts is the database's.
type presented struct {
	grant      uuid.UUID // zero for a client's own access token
	generation int32     // of a refresh token
	refresh    bool
	claims     *accesstoken.Claims // of an access token
}

// readToken reads the form of RFC 7009 §2.1 and RFC 7662 §2.1 and proves the
// client. The hint is not needed: our tokens tell what they are. A token that is
// not authentic is nil, which is no error.
func (p *Provider) readToken(w http.ResponseWriter, r *http.Request) (*clientauth.Proof, *presented, error) {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	f, err := readForm(w, r)
	if err != nil {
		return nil, nil, err
	}
	credentials, err := clientauth.Parse(r, f)
	if err != nil {
		return nil, nil, err
	}
	if f.Get("token") == "" {
		return nil, nil, oauth.NewError(oauth.InvalidRequest, "token is missing.")
	}
	proof, err := p.auth.Authenticate(ctx, t, credentials)
	if err != nil {
		return nil, nil, err
	}
	keys, err := p.keys(ctx, t.ID)
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	found, err := p.authentic(ctx, t, keys, f.Get("token"))
	return proof, found, err
}

func (p *Provider) authentic(ctx context.Context, t *tenant.Tenant, keys *keyset.Set, token string) (*presented, error) {
	if id, generation, err := keys.Codec().ParseRefreshToken(token); err == nil {
		return &presented{grant: id, generation: generation, refresh: true}, nil
	}
	for _, resource := range t.Resources {
		v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: t.Issuer, Audience: resource.Canonical, Keys: keys, Now: p.now})
		if err != nil {
			return nil, oauth.Unavailable(err)
		}
		who, err := v.Verify(ctx, token)
		if errors.Is(err, accesstoken.ErrInvalid) {
			continue
		}
		if err != nil {
			return nil, oauth.Unavailable(err)
		}
		if who.Tenant != t.ID.String() {
			continue
		}
		out := &presented{claims: &accesstoken.Claims{
			Subject: who.Subject, ClientID: who.ClientID, Scope: who.Scopes.String(), Expiry: who.Expires.Unix(), IssuedAt: who.Issued.Unix(), ID: who.TokenID, Audience: resource.Canonical.String(),
		}}
		if !who.Machine() {
			if out.grant, err = uuid.Parse(who.Grant); err != nil {
				return nil, nil
			}
		}
		return out, nil
	}
	return nil, nil
}

// Revoke serves POST /revoke (RFC 7009). Revoking any token of a grant ends the
// grant: its refresh tokens at once, its access tokens at the exchange at once
// and at the resource server when they expire. An unknown token is 200 (§2.2);
// doubt is 503, never a success that did not happen (PEERS A18).
func (p *Provider) Revoke(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	proof, token, err := p.readToken(w, r)
	if err != nil {
		return err
	}
	switch {
	case token == nil:
	case token.grant == uuid.Nil: // a client's own access token: nothing is stored of it
		return oauth.NewError(oauth.UnsupportedTokenType, "Access tokens of client_credentials cannot be revoked; they expire within minutes.")
	default:
		err := p.store.RevokeClientGrant(ctx, t.ID, token.grant, proof.Client().ID)
		switch {
		case errors.Is(err, grant.ErrMismatch): // RFC 7009 §2.1: refused, and the client is told
			return oauth.NewError(oauth.UnauthorizedClient, "This token was issued to another client.")
		case err != nil && !errors.Is(err, grant.ErrNotFound):
			return oauth.Unavailable(err)
		}
		httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("client", proof.Client().ID), slog.String("grant", token.grant.String()))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
