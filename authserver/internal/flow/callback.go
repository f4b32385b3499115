package flow

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Callback serves GET /google/callback, the one redirect URI at Google for all
// tenants. State, cookie and flow row must agree, or Google's code is not
// exchanged: it may belong to another person's browser (PEERS A8).
func (h *Handler) Callback(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > maxQueryBytes {
		return badLink("Google's answer is too long.", nil)
	}
	q := r.URL.Query()
	for _, name := range []string{"state", "code", "error"} {
		if len(q[name]) > 1 {
			return badLink("Google's answer is malformed.", nil)
		}
	}
	id, stateHash, ok := parseState(q.Get("state"))
	if !ok {
		return wrongBrowser(errors.New("state is malformed"))
	}
	t, ok := h.Tenants().ByID(id)
	if !ok {
		return wrongBrowser(errors.New("state names no tenant"))
	}
	r = r.WithContext(tenant.WithTenant(r.Context(), t))
	browser := web.Cookie(r, t.Issuer, cookieOf(stateHash))
	if browser == "" {
		return wrongBrowser(errors.New("no flow cookie"))
	}
	web.ClearCookie(w, t.Issuer, cookieOf(stateHash))
	stored, err := h.Store.ConsumeFlow(r.Context(), t.ID, stateHash, sha256.Sum256([]byte(browser)))
	if errors.Is(err, ErrNoFlow) {
		return wrongBrowser(err)
	}
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("consuming flow: %w", err))
	}
	plain, err := h.Vault.Open(r.Context(), tripBinding(t, stateHash), stored)
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("opening flow: %w", err))
	}
	var tr trip
	if err := json.Unmarshal(plain, &tr); err != nil {
		return fmt.Errorf("decoding flow: %w", err)
	}
	return h.dispatch(w, r, t, tr, q, browser)
}

func wrongBrowser(cause error) error {
	return &web.PageError{Status: http.StatusForbidden, Title: "This sign-in was not started in this browser",
		Advice: "It may have been used already, or taken longer than ten minutes. Start again from the app.", Cause: cause}
}

// dispatch is the only place that decides what follows Google's answer: back
// to the client with an error, to Google once more, or back with a code.
func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, tr trip, q url.Values, browser string) error {
	ctx, a := r.Context(), &tr.Request
	if code := q.Get("error"); code != "" {
		if code == "access_denied" {
			return a.fail(t, oauth.NewError(oauth.AccessDenied, "The person did not allow access at Google."))
		}
		return a.fail(t, oauth.NewError(oauth.ServerError, "Google refused the sign-in.").WithCause(errors.New("google answered with an error other than access_denied")))
	}
	if q.Get("code") == "" {
		return a.fail(t, oauth.NewError(oauth.ServerError, "Google's answer has no code."))
	}
	upstream, err := h.upstream(ctx, t)
	if err != nil {
		return err
	}
	tokens, err := upstream.Exchange(ctx, q.Get("code"), derive(browser, "pkce"))
	if err != nil {
		return a.fail(t, googleFailed(err))
	}
	who, err := upstream.Verify(ctx, tokens.ID, derive(browser, "nonce"))
	if err != nil {
		return a.fail(t, googleFailed(err))
	}
	// An unticked box at Google narrows the token; it does not fail the flow.
	scopes := scope.Usable(oauth.NewScopes(a.Scopes...), tokens.Scopes)
	if scopes.Empty() {
		return a.fail(t, oauth.NewError(oauth.AccessDenied, "The person allowed none of the requested access at Google."))
	}
	c, err := h.same(ctx, t, a)
	if err != nil {
		return err
	}
	record, err := h.Store.EnsureConnection(ctx, t.ID, who.Subject, who.HostedDomain)
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("finding connection: %w", err))
	}
	// A stored refresh token covers what was granted when Google gave it: scopes
	// that have grown since need a new one (DESIGN §5).
	stored := record.SealedRefresh != nil && record.Status == connection.Active && record.UpstreamClient == upstream.ID() &&
		record.GoogleScopes.ContainsAll(tokens.Scopes)
	if tokens.Refresh.Empty() && !stored && !tr.Again {
		// Google sends a refresh token with the first consent only; we have none,
		// so it must ask once more (DESIGN §5).
		again := trip{Request: *a, Again: true}
		again.Request.LoginHint = who.Email
		return h.toGoogle(w, r, t, again)
	}
	return h.issue(w, r, t, c, tr.Request, scopes, tokens, who, record, upstream.ID())
}

// googleFailed keeps our fault, Google's and the person's apart.
func googleFailed(err error) *oauth.Error {
	if errors.Is(err, google.ErrIdentity) {
		return oauth.NewError(oauth.AccessDenied, "Google's proof of who signed in was refused.").WithCause(err)
	}
	switch google.ClassOf(err) {
	case google.Transient:
		return oauth.NewError(oauth.TemporarilyUnavailable, "Google does not answer right now. Try again shortly.").WithCause(err)
	case google.AdminBlocked:
		return oauth.NewError(oauth.AccessDenied, "The administrator of this Google account does not allow this service.").WithCause(err)
	case google.InvalidGrant, google.ReauthPolicy:
		return oauth.NewError(oauth.AccessDenied, "Google did not accept the sign-in. Try again.").WithCause(err)
	}
	return oauth.NewError(oauth.ServerError, "The sign-in with Google is not set up correctly here.").WithCause(err)
}

// issue writes connection, consent and grant together and returns the code.
func (h *Handler) issue(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, c *client.Client, a authorization, scopes oauth.Scopes, tokens *google.Tokens, who *google.Identity, record *connection.Record, upstreamID string) error {
	ctx := r.Context()
	bind := func(p vault.Purpose) vault.Binding {
		return vault.Binding{Tenant: t.ID, Subject: record.Subject, Connection: record.Connection, Purpose: p}
	}
	link := connection.Link{Ref: record.Ref, UpstreamClient: upstreamID, AccessExpires: tokens.Expires, GoogleScopes: tokens.Scopes}
	var sealErr error
	seal := func(p vault.Purpose, value string) []byte {
		sealed, err := h.Vault.Seal(ctx, bind(p), []byte(value))
		sealErr = errors.Join(sealErr, err)
		return sealed
	}
	if !tokens.Refresh.Empty() {
		link.SealedRefresh, link.RefreshID = seal(vault.RefreshToken, tokens.Refresh.Reveal()), connection.IdentifyRefresh(tokens.Refresh)
	}
	link.SealedAccess = seal(vault.AccessToken, tokens.Access.Reveal())
	email := seal(vault.Email, who.Email)
	if sealErr != nil {
		return oauth.Unavailable(fmt.Errorf("sealing credential: %w", sealErr))
	}
	approved := oauth.NewScopes(a.Scopes...)
	a.Scopes = scopes.Slice()
	request := a.consent(c, t)
	snapshot, err := json.Marshal(consent.NewSnapshot(request))
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
	if err := h.Store.CompleteSignIn(ctx, SignIn{Link: link, SealedEmail: email, Snapshot: snapshot, Grant: g, ClientLife: t.Lifetimes.ClientUsed}); err != nil {
		return oauth.Unavailable(fmt.Errorf("completing sign-in: %w", err))
	}
	// MCP security best practices, scope minimization: who got more, and what.
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("client", c.ID), slog.String("grant", g.ID.String()),
		slog.String("subject", record.Subject.String()), slog.String("approved", approved.String()), slog.String("granted", scopes.String()))
	web.Redirect(w, r, a.RedirectURI, a.State, t.Issuer, url.Values{"code": {codes.Code(g.ID).Reveal()}})
	return nil
}
