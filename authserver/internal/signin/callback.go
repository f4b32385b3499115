package signin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

// ErrDomain is the cause of a failure of an account that the tenant does not
// admit.
var ErrDomain = errors.New("its domain is not among the tenant's google_domains")

// Outcome is what a trip came to: who signed in and what Google gave, or why
// nothing came of it.
type Outcome struct {
	request json.RawMessage

	Upstream string // Google client that minted the tokens
	Tokens   *google.Tokens
	Who      *google.Identity
	Failure  *oauth.Error // nil: the other members are set
}

// Decode reads the request that the trip was begun with.
func (o *Outcome) Decode(into any) error {
	if err := json.Unmarshal(o.request, into); err != nil {
		return fmt.Errorf("decoding flow: %w", err)
	}
	return nil
}

// Callback serves GET /google/callback, one redirect URI at Google for all
// tenants of a host. State, cookie and flow row must agree, or Google's code is not
// exchanged: it may belong to another person's browser (PEERS A8).
func (h *Handler) Callback(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > maxQueryBytes {
		return malformed("Google's answer is too long.")
	}
	q := r.URL.Query()
	for _, name := range []string{"state", "code", "error"} {
		if len(q[name]) > 1 {
			return malformed("Google's answer is malformed.")
		}
	}
	id, stateHash, ok := parseState(q.Get("state"))
	if !ok {
		return wrongBrowser(errors.New("state is malformed"))
	}
	directory := h.Tenants()
	t, ok := directory.ByID(id)
	if !ok || !directory.Here(t, r.Host) {
		return wrongBrowser(errors.New("state names no tenant of this host"))
	}
	if err := t.Serves(); err != nil {
		return err
	}
	r = r.WithContext(tenant.WithTenant(r.Context(), t))
	upstream, err := h.upstream(r.Context(), t)
	if err != nil {
		return err
	}
	// Before anything is used up: an answer of somebody else ends no trip.
	if !upstream.Answers(q["iss"]) {
		return wrongBrowser(errors.New("the answer names another issuer"))
	}
	browser := web.Cookie(r, t.Issuer, cookieOf(stateHash))
	if browser == "" {
		return wrongBrowser(errors.New("no flow cookie"))
	}
	web.ClearCookie(w, t.Issuer, cookieOf(stateHash))
	trip, err := h.consume(r.Context(), t, stateHash, browser)
	if err != nil {
		return err
	}
	next := h.Kinds[trip.Kind]
	if next == nil {
		return fmt.Errorf("no way back for a trip of kind %q", trip.Kind)
	}
	o, err := h.outcome(r.Context(), t, upstream, q, browser)
	if err != nil {
		return err
	}
	o.request = trip.Request
	return next(w, r, t, o)
}

func (h *Handler) consume(ctx context.Context, t *tenant.Tenant, stateHash [sha256.Size]byte, browser string) (*stored, error) {
	sealed, err := h.Store.ConsumeFlow(ctx, t.ID, stateHash, sha256.Sum256([]byte(browser)))
	if errors.Is(err, ErrNoFlow) {
		return nil, wrongBrowser(err)
	}
	if err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("consuming flow: %w", err))
	}
	plain, err := h.Vault.Open(ctx, binding(t, stateHash), sealed)
	if err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("opening flow: %w", err))
	}
	var trip stored
	if err := json.Unmarshal(plain, &trip); err != nil {
		return nil, fmt.Errorf("decoding flow: %w", err)
	}
	return &trip, nil
}

// outcome reads Google's answer. Its error is doubt of ours; what Google or the
// person refused is the outcome's failure.
func (h *Handler) outcome(ctx context.Context, t *tenant.Tenant, upstream Google, q url.Values, browser string) (*Outcome, error) {
	switch code := q.Get("error"); {
	case code == "access_denied":
		return &Outcome{Failure: oauth.NewError(oauth.AccessDenied, "The person did not allow access at Google.")}, nil
	case code != "":
		return &Outcome{Failure: oauth.NewError(oauth.ServerError, "Google refused the sign-in.").WithCause(errors.New("google answered with an error other than access_denied"))}, nil
	case q.Get("code") == "":
		return &Outcome{Failure: oauth.NewError(oauth.ServerError, "Google's answer has no code.")}, nil
	}
	tokens, err := upstream.Exchange(ctx, q.Get("code"), derive(browser, "pkce"))
	if err != nil {
		return &Outcome{Failure: failed(err)}, nil
	}
	who, err := upstream.Verify(ctx, tokens.ID, derive(browser, "nonce"))
	if err != nil {
		return &Outcome{Failure: failed(err)}, nil
	}
	if !t.AdmitsDomain(ctx, who.HostedDomain, "") {
		return &Outcome{Failure: oauth.NewError(oauth.AccessDenied, "This Google account is not one of the organisation's. Sign in with the account of your work or school.").
			WithCause(ErrDomain)}, nil
	}
	return &Outcome{Upstream: upstream.ID(), Tokens: tokens, Who: who}, nil
}

// failed keeps our fault, Google's and the person's apart.
func failed(err error) *oauth.Error {
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

func wrongBrowser(cause error) error {
	return &web.PageError{Status: http.StatusForbidden, Title: "This sign-in was not started in this browser",
		Advice: "It may have been used already, or taken longer than ten minutes. Start again from the app.", Cause: cause}
}

func malformed(advice string) error {
	return &web.PageError{Status: http.StatusBadRequest, Title: "This link does not work", Advice: advice + " Start again from the app."}
}
