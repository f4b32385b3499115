package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// The kinds of this package's trips.
const (
	kindSignIn signin.Kind = "account" // who the person is
	kindLink   signin.Kind = "link"    // a further account of the person of a session
	kindRelink signin.Kind = "relink"  // an account that is known: repair, or more access
)

// Continuations are where this package's trips go on.
func (h *Handler) Continuations() map[signin.Kind]signin.Continuation {
	return map[signin.Kind]signin.Continuation{
		kindSignIn: h.recorded(audit.Login, h.signedInAtGoogle), kindLink: h.recorded(audit.LinkRefused, h.linked), kindRelink: h.recorded(audit.LinkRefused, h.relinked),
	}
}

// signInTrip: the path of a link to come back to, or "".
type signInTrip struct {
	Next string `json:"next,omitempty"`
}

func (h *Handler) toSignIn(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, next string) error {
	return h.SignIn.Begin(w, r, t, signin.Trip{Kind: kindSignIn, Request: signInTrip{next}, SelectAccount: true})
}

// isLink reports whether a path is that of a link of ours: a sign-in leads nowhere else
// (RFC 9700 §4.11).
func isLink(path string) bool {
	for _, prefix := range []string{connection.ConnectPath, approval.Path} {
		if value, ok := strings.CutPrefix(path, prefix); ok && secret.IsRandom(value) {
			return true
		}
	}
	return false
}

// signedInAtGoogle begins a session. The person is the subject of that very
// Google account: who has merely linked it is somebody else.
func (h *Handler) signedInAtGoogle(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *signin.Outcome) error {
	var trip signInTrip
	if err := o.Decode(&trip); err != nil {
		return err
	}
	if o.Failure != nil {
		return failed(o.Failure)
	}
	subject, err := h.Store.EnsureSubject(r.Context(), t.ID, o.Who.Subject)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if err := h.Sessions.Begin(w, r, t, subject); err != nil {
		return err
	}
	httpx.Annotate(r.Context(), slog.String("tenant", t.ID.String()), slog.String("subject", subject.String()))
	if isLink(trip.Next) {
		return seeOther(w, t, trip.Next)
	}
	return seeOther(w, t, Path)
}

// linkTrip is a trip that stores a credential.
type linkTrip struct {
	Subject    uuid.UUID `json:"subject"`
	Connection uuid.UUID `json:"connection,omitzero"` // of a relink
	Scopes     []string  `json:"scopes"`              // Google scopes asked for
	ForApp     bool      `json:"app,omitempty"`       // begun by an app's link
	OfPerson   bool      `json:"person,omitempty"`    // a relink that ends only in its person's session
	Again      bool      `json:"again,omitempty"`     // the second trip, for a refresh token
}

// toLink sends the person to link a further account.
func (h *Handler) toLink(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, trip linkTrip, hint string) error {
	return h.SignIn.Begin(w, r, t, signin.Trip{Kind: kindLink, Request: trip, Scopes: oauth.NewScopes(trip.Scopes...), LoginHint: hint,
		Offline: true, ForceConsent: true, SelectAccount: hint == ""})
}

// toRelink sends the person to sign in again with an account: only what is
// missing is asked for; where Google has ended what there was, all of it, narrow
// scopes beside broad ones too: tokens for less need them by name.
func (h *Handler) toRelink(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, record *connection.Record, need oauth.Scopes, trip linkTrip) error {
	ask := need.Minus(record.GoogleScopes)
	if !record.Alive(t.Upstream.ClientID) || record.SealedRefresh == nil {
		ask = need.Union(record.GoogleScopes).Minus(scope.IdentityOf(record.GoogleScopes))
	}
	// Who merely holds a link learns no address from it (decision 0011): only the
	// person of this browser's session has it filled in at Google.
	var hint string
	s, err := h.Sessions.Current(r, t)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	if err == nil && s.Subject == record.Subject {
		if hint, err = connection.Email(r.Context(), h.Vault, record); err != nil {
			return oauth.Unavailable(err)
		}
	}
	trip.Subject, trip.Connection, trip.Scopes = record.Subject, record.Connection, ask.Slice()
	return h.relinkTrip(w, r, t, trip, hint, !record.Covers(t.Upstream.ClientID, ask, h.Now()))
}

func (h *Handler) relinkTrip(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, trip linkTrip, hint string, consent bool) error {
	return h.SignIn.Begin(w, r, t, signin.Trip{Kind: kindRelink, Request: trip, Scopes: oauth.NewScopes(trip.Scopes...), LoginHint: hint, Offline: true, ForceConsent: consent})
}

// linked stores a further account for the person who began the trip, if they
// are still signed in in this browser: signing out meanwhile undoes it.
func (h *Handler) linked(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *signin.Outcome) error {
	var trip linkTrip
	if err := o.Decode(&trip); err != nil {
		return err
	}
	if o.Failure != nil {
		return failed(o.Failure)
	}
	if err := h.stillSignedIn(r, t, trip.Subject); err != nil {
		return err
	}
	record, err := h.Linker.EnsureLinkable(r.Context(), t.ID, trip.Subject, o.Who.Subject, o.Who.HostedDomain)
	if errors.Is(err, connection.ErrTooMany) {
		return noRoom(err)
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	return h.store(w, r, t, trip, o, record, kindLink)
}

// stillSignedIn refuses a trip whose person has signed out meanwhile.
func (h *Handler) stillSignedIn(r *http.Request, t *tenant.Tenant, subject uuid.UUID) error {
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) || err == nil && s.Subject != subject {
		return &web.PageError{Status: http.StatusForbidden, Title: "You are not signed in any more",
			Advice: "No account was connected. Open your account page, sign in and connect it there.", Cause: err}
	}
	return err
}

func noRoom(cause error) error {
	return &web.PageError{Status: http.StatusConflict, Title: "You have as many Google accounts here as there can be", Advice: "No account was connected.", Cause: cause}
}

// relinked stores what Google gave, if the account is the very one that was to
// be repaired: another's tokens under a known name would be the worst that can
// happen here. An account that is not the person's own may have another holder by
// now, so the person has to be there too (decision 0011).
func (h *Handler) relinked(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *signin.Outcome) error {
	var trip linkTrip
	if err := o.Decode(&trip); err != nil {
		return err
	}
	if o.Failure != nil {
		return failed(o.Failure)
	}
	if trip.OfPerson {
		if err := h.stillSignedIn(r, t, trip.Subject); err != nil {
			return err
		}
	}
	record, err := h.known(r.Context(), connection.Ref{Tenant: t.ID, Subject: trip.Subject, Connection: trip.Connection})
	if err != nil {
		return err
	}
	if record.GoogleSubject != o.Who.Subject {
		return &web.PageError{Status: http.StatusForbidden, Title: "That was another Google account", Cause: errOtherAccount,
			Advice: fmt.Sprintf("Nothing was changed. The account that is needed is the one you call “%s”. Start again from the app, or from your account page, and choose that one at Google.", record.Alias)}
	}
	return h.store(w, r, t, trip, o, record, kindRelink)
}

// known finds a linked account. One that was disconnected is added by its
// person again, not repaired by a link.
func (h *Handler) known(ctx context.Context, ref connection.Ref) (*connection.Record, error) {
	record, err := h.Linker.Connection(ctx, ref)
	if errors.Is(err, connection.ErrNotFound) || err == nil && !record.Linked {
		return nil, &web.PageError{Status: http.StatusNotFound, Title: "This Google account was disconnected", Advice: "Nothing was changed. You can add it again on your account page.", Cause: err}
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return record, nil
}

// store writes the credential and says what came of it.
func (h *Handler) store(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, trip linkTrip, o *signin.Outcome, record *connection.Record, kind signin.Kind) error {
	ctx := r.Context()
	if o.Tokens.Refresh.Empty() && !trip.Again && !record.Covers(o.Upstream, o.Tokens.Scopes, h.Now()) {
		trip.Again = true // Google sends a refresh token with a fresh consent only
		if kind == kindLink {
			return h.toLink(w, r, t, trip, o.Who.Email)
		}
		return h.relinkTrip(w, r, t, trip, o.Who.Email, true)
	}
	// A repair that was asked for less than Google has ended would end what is
	// stored of it: once more, for all of it.
	if kept := record.GoogleScopes.Minus(o.Tokens.Scopes).Minus(scope.IdentityOf(record.GoogleScopes)); kind == kindRelink && !trip.Again && !kept.Empty() && !oauth.NewScopes(trip.Scopes...).ContainsAll(kept) {
		trip.Again, trip.Scopes = true, oauth.NewScopes(trip.Scopes...).Union(kept).Slice()
		return h.relinkTrip(w, r, t, trip, o.Who.Email, true)
	}
	link, err := connection.NewLink(ctx, h.Vault, record, o.Upstream, o.Tokens, o.Who)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if err := h.Linker.LinkAccount(ctx, *link); errors.Is(err, connection.ErrTooMany) {
		return noRoom(err) // another one took the last place meanwhile
	} else if err != nil {
		return oauth.Unavailable(err)
	}
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("subject", record.Subject.String()), slog.String("connection", record.Connection.String()),
		slog.String("granted", o.Tokens.Scopes.String()))
	return h.renderDone(w, t, record.Alias, oauth.NewScopes(trip.Scopes...).Minus(o.Tokens.Scopes), trip.ForApp)
}

// renderDone tells that an account is connected, and what was left out at Google.
func (h *Handler) renderDone(w http.ResponseWriter, t *tenant.Tenant, alias string, leftOut oauth.Scopes, forApp bool) error {
	view := struct {
		Alias, Account string
		LeftOut        []string
		ForApp         bool
	}{alias, t.Issuer.Path() + Path, googleWords(leftOut), forApp}
	return web.Render(w, http.StatusOK, "connected.html", view, nil)
}

// failed is the page of a trip that came to nothing.
func failed(e *oauth.Error) error {
	page := &web.PageError{Status: e.HTTPStatus(), Title: "The sign-in at Google was not completed", Advice: e.Description + " Nothing was changed.", Cause: e}
	if e.Code == oauth.AccessDenied && e.Cause == nil { // said to a client it is about a person, said here it is to that person
		page.Advice = "You did not allow it there. Nothing was changed."
	}
	if page.Status == http.StatusBadRequest || page.Status == http.StatusUnauthorized {
		page.Status = http.StatusForbidden
	}
	return page
}
