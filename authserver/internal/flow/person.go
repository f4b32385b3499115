package flow

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// chosen is an account of the person whose session this browser has.
type chosen struct {
	Subject    uuid.UUID `json:"subject"`
	Connection uuid.UUID `json:"connection"`
}

// accounts are those that the consent page offers: of the person whose session
// this browser has, unless the client wants the person to choose at Google. What
// somebody has allowed is told to nobody else: without their session it is not
// even read.
func (h *Handler) accounts(r *http.Request, t *tenant.Tenant, a *authorization) (uuid.UUID, []consent.Account, error) {
	if a.Again {
		return uuid.Nil, nil, nil
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return uuid.Nil, nil, nil
	}
	if err != nil {
		return uuid.Nil, nil, err
	}
	records, err := h.Store.Connections(r.Context(), t.ID, s.Subject)
	if err != nil {
		return uuid.Nil, nil, oauth.Unavailable(err)
	}
	allowed, err := h.Grants.Allowed(r.Context(), t.ID, s.Subject, a.ClientID, a.Resource)
	if err != nil {
		return uuid.Nil, nil, oauth.Unavailable(err)
	}
	preferred := suggested(records, allowed)
	var out []consent.Account
	for _, c := range records {
		email, err := connection.Email(r.Context(), h.Vault, c)
		if err != nil {
			return uuid.Nil, nil, oauth.Unavailable(err)
		}
		checked := c.Connection == preferred
		if a.LoginHint != "" {
			checked = strings.EqualFold(a.LoginHint, email) // a suggestion, and shown; it decides nothing
		}
		one := consent.Account{Handle: c.Handle(), Alias: c.Alias, Email: email, Checked: checked}
		for _, g := range allowed {
			if g.Connection == c.Connection {
				one.Allowed = one.Allowed.Union(g.Scopes)
			}
		}
		out = append(out, one)
	}
	return s.Subject, out, nil
}

// suggested is the account that the page suggests of itself: for an app that has
// access the one that it used last, else the default. One that is disconnected
// is not among the records, and what was allowed with it is of no use.
func suggested(records []*connection.Record, allowed []Allowed) uuid.UUID {
	for _, g := range allowed {
		if slices.ContainsFunc(records, func(c *connection.Record) bool { return c.Connection == g.Connection }) {
			return g.Connection
		}
	}
	for _, c := range records {
		if c.IsDefault {
			return c.Connection
		}
	}
	return uuid.Nil
}

// chosen is the account that the person chose on the consent page, nil for
// another one, to be chosen at Google. It must be one of those the page offered:
// of the same person, still signed in.
func (h *Handler) chosen(r *http.Request, t *tenant.Tenant, offered uuid.UUID, handle string) (*connection.Record, error) {
	if handle == "" {
		return nil, nil
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) || err == nil && s.Subject != offered {
		return nil, &web.PageError{Status: http.StatusForbidden, Title: "You are not signed in any more", Advice: "Nothing was allowed. Start again from the app.", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	record, err := h.find(r, t, s.Subject, handle)
	if err == nil && record == nil {
		err = &web.PageError{Status: http.StatusBadRequest, Title: "You have no such Google account here", Advice: "Nothing was allowed. Start again from the app."}
	}
	return record, err
}

// find finds a linked account of a person, nil if there is none.
func (h *Handler) find(r *http.Request, t *tenant.Tenant, subject uuid.UUID, handle string) (*connection.Record, error) {
	records, err := h.Store.Connections(r.Context(), t.ID, subject)
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	for _, c := range records {
		if c.Handle() == handle {
			return c, nil
		}
	}
	return nil, nil
}

// toGoogleAs sends the person to sign in with a known account: only what it has
// not granted yet is asked for, and Google's consent page is wanted only where
// scopes grow or no refresh token is stored (DESIGN §5).
func (h *Handler) toGoogleAs(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, a authorization, record *connection.Record) error {
	email, err := connection.Email(r.Context(), h.Vault, record)
	if err != nil {
		return oauth.Unavailable(err)
	}
	want := oauth.NewScopes(a.Scopes...)
	ask := scope.GoogleFor(want)
	if record.Alive(t.Upstream.ClientID) {
		ask = scope.Missing(want, record.GoogleScopes)
	}
	a.Chosen = &chosen{Subject: record.Subject, Connection: record.Connection}
	return h.SignIn.Begin(w, r, t, signin.Trip{Kind: KindAuthorize, Request: trip{Request: a, Asked: ask.Slice()}, Scopes: ask, LoginHint: email,
		Offline: true, ForceConsent: !record.Covers(t.Upstream.ClientID, ask, h.Now())})
}

// signedIn is the connection of who came back from Google. With an account that
// was chosen here it is that one, for the person of the session; without, it is
// the account's own person, who is signed in in this browser from now on.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, a *authorization, who *google.Identity) (*connection.Record, error) {
	if a.Chosen == nil {
		record, err := h.Store.EnsureConnection(r.Context(), t.ID, who.Subject, who.HostedDomain)
		if err != nil {
			return nil, oauth.Unavailable(fmt.Errorf("finding connection: %w", err))
		}
		return record, h.Sessions.Begin(w, r, t, record.Subject)
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) || err == nil && s.Subject != a.Chosen.Subject {
		return nil, a.fail(t, oauth.NewError(oauth.AccessDenied, "The person is not signed in any more.").WithCause(err))
	}
	if err != nil {
		return nil, err
	}
	record, err := h.find(r, t, s.Subject, (&connection.Record{Ref: connection.Ref{Connection: a.Chosen.Connection}}).Handle())
	if err != nil {
		return nil, err
	}
	if record == nil || record.GoogleSubject != who.Subject {
		return nil, a.fail(t, oauth.NewError(oauth.AccessDenied, "At Google another account was used than the one that was chosen here."))
	}
	return record, nil
}
