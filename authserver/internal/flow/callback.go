package flow

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Returned is the continuation of an authorization's trip, the only place that
// decides what follows Google's answer: back to the client with an error, to
// Google once more, or back with a code.
func (h *Handler) Returned(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *signin.Outcome) error {
	var tr trip
	if err := o.Decode(&tr); err != nil {
		return err
	}
	ctx, a, tokens := r.Context(), &tr.Request, o.Tokens
	if o.Failure != nil {
		if err := h.failed(ctx, t, a, o.Failure); err != nil {
			return err
		}
		return a.fail(t, o.Failure)
	}
	// An unticked box at Google narrows the token; it does not fail the flow.
	want := oauth.NewScopes(a.Scopes...)
	scopes := scope.Usable(want, tokens.Scopes)
	if lost := scope.Missing(want, tokens.Scopes).Minus(oauth.NewScopes(tr.Asked...)); a.Chosen != nil && !tr.Again && !lost.Empty() {
		// Only what we took for missing was asked for, and Google has ended the rest
		// without a word to us: it must be asked for all of it.
		again := trip{Request: *a, Again: true}
		again.Request.LoginHint = o.Who.Email
		return h.toGoogle(w, r, t, again)
	}
	if scopes.Empty() {
		if err := h.denied(ctx, t, a, "at google"); err != nil {
			return err
		}
		return a.fail(t, oauth.NewError(oauth.AccessDenied, "The person allowed none of the requested access at Google."))
	}
	c, err := h.same(ctx, t, a)
	if err != nil {
		return err
	}
	record, err := h.signedIn(w, r, t, a, o.Who)
	if err != nil {
		return err
	}
	if tokens.Refresh.Empty() && !record.Covers(o.Upstream, tokens.Scopes, h.Now()) && !tr.Again {
		// Google sends a refresh token with the first consent only; we have none,
		// so it must ask once more (DESIGN §5).
		again := trip{Request: *a, Again: true}
		again.Request.LoginHint = o.Who.Email
		return h.toGoogle(w, r, t, again)
	}
	return h.issue(w, r, t, c, tr.Request, scopes, o, record)
}

// issue writes connection, consent and grant together and returns the code.
func (h *Handler) issue(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, c *client.Client, a authorization, scopes oauth.Scopes, o *signin.Outcome, record *connection.Record) error {
	ctx := r.Context()
	link, err := connection.NewLink(ctx, h.Vault, record, o.Upstream, o.Tokens, o.Who)
	if err != nil {
		return oauth.Unavailable(err)
	}
	approved := oauth.NewScopes(a.Scopes...)
	a.Scopes = scopes.Slice()
	request := a.consent(c, t)
	shown := consent.NewSnapshot(request)
	shown.LeftOut = approved.Minus(scopes).Slice()
	snapshot, err := json.Marshal(shown)
	if err != nil {
		return fmt.Errorf("encoding consent: %w", err)
	}
	codes, err := h.Codes(ctx, t.ID)
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("reading grant keys: %w", err))
	}
	g := grant.New{
		Tenant: t.ID, ID: uuid.Must(uuid.NewV7()), ClientID: c.ID, Subject: record.Subject, Connection: record.Connection,
		Resource: request.Resource, Scopes: scopes, Offline: a.Offline, RedirectURI: a.RedirectURI, CodeChallenge: a.Challenge, Lifetimes: t.Lifetimes,
	}
	if err := h.Store.CompleteSignIn(ctx, SignIn{Link: *link, Snapshot: snapshot, Grant: g, ClientLife: t.Lifetimes.ClientUsed}); err != nil {
		return oauth.Unavailable(fmt.Errorf("completing sign-in: %w", err))
	}
	// MCP security best practices, scope minimization: who got more, and what.
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("client", c.ID), slog.String("grant", g.ID.String()),
		slog.String("subject", record.Subject.String()), slog.String("approved", approved.String()), slog.String("granted", scopes.String()))
	web.Redirect(w, r, a.RedirectURI, a.State, t.Issuer, url.Values{"code": {codes.Code(g.ID).Reveal()}})
	return nil
}
