package provider

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

// introspection is RFC 7662 §2.2. An inactive token has no other member.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expires   int64  `json:"exp,omitempty"` // seconds since the epoch
	IssuedAt  int64  `json:"iat,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  string `json:"aud,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	ID        string `json:"jti,omitempty"`
}

// Introspect serves POST /introspect (RFC 7662): for confidential clients, about
// their own tokens only. Another client's token is as inactive as garbage
// (PEERS A19).
func (p *Provider) Introspect(w http.ResponseWriter, r *http.Request) error {
	proof, token, err := p.readToken(w, r)
	if err != nil {
		return err
	}
	if !proof.Confidential() { // RFC 7662 §2.1: MUST require authorization
		return oauth.NewError(oauth.InvalidClient, "Introspection is for clients that authenticate.")
	}
	out, err := p.describe(r, proof.Client().ID, token)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, out)
	return nil
}

func (p *Provider) describe(r *http.Request, clientID string, token *presented) (introspection, error) {
	inactive := introspection{}
	t := tenant.FromContext(r.Context())
	if token == nil || (token.claims != nil && token.claims.ClientID != clientID) {
		return inactive, nil
	}
	var state *grant.State
	if token.grant != uuid.Nil {
		var err error
		state, err = p.store.GrantState(r.Context(), t.ID, token.grant)
		if errors.Is(err, grant.ErrNotFound) {
			return inactive, nil
		}
		if err != nil {
			return inactive, oauth.Unavailable(err)
		}
		if state.ClientID != clientID {
			return inactive, nil
		}
	}
	if token.grant == uuid.Nil { // a client's own: nothing is stored of it but what ends it
		ended, err := p.store.OwnTokenEnded(r.Context(), t.ID, clientID, time.Unix(token.claims.IssuedAt, 0))
		if err != nil {
			return inactive, oauth.Unavailable(err)
		}
		if ended {
			return inactive, nil
		}
	}
	out := introspection{Active: true, ClientID: clientID, Issuer: t.Issuer.String()}
	if token.refresh {
		// Only the live generation counts: an older one would end the grant.
		if !state.Offline || state.Generation != token.generation || !state.RefreshExpires.After(p.now()) {
			return inactive, nil
		}
		out.Scope, out.Subject, out.Audience = state.Scopes.String(), state.Subject.String(), state.Resource.String()
		out.TokenType, out.Expires, out.IssuedAt = "refresh_token", state.RefreshExpires.Unix(), state.RotatedAt.Unix()
		return out, nil
	}
	c := token.claims
	out.Scope, out.Subject, out.Audience, out.ID = c.Scope, c.Subject, c.Audience, c.ID
	out.TokenType, out.Expires, out.IssuedAt = "Bearer", c.Expiry, c.IssuedAt
	return out, nil
}
