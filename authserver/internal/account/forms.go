package account

import (
	"errors"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// notices are what the page says after a form was taken.
var notices = map[string]string{
	"default":      "New apps start with that account from now on. Apps that you allowed before keep theirs.",
	"renamed":      "The account has its new name.",
	"disconnected": "The account is disconnected. Its access is being withdrawn at Google, unless you use the same account here in another place.",
	"revoked":      "The app has no access any more.",
	"session":      "That session is over.",
	"linked":       "The Google account is connected.",
}

// SetDefault serves POST /account/default.
func (h *Handler) SetDefault(w http.ResponseWriter, r *http.Request) error {
	return h.onAccount(w, r, "default", func(_ *request, ref connection.Ref) error { return h.Accounts.SetDefault(r.Context(), ref) })
}

// Rename serves POST /account/rename.
func (h *Handler) Rename(w http.ResponseWriter, r *http.Request) error {
	return h.onAccount(w, r, "renamed", func(q *request, ref connection.Ref) error {
		alias := q.form.Get("alias")
		if _, isHandle := connection.ParseHandle(alias); isHandle || alias == "" || utf8.RuneCountInString(alias) > connection.MaxAlias || consent.Clean(alias, connection.MaxAlias) != alias {
			return &web.PageError{Status: http.StatusBadRequest, Title: "That name cannot be used", Advice: "Nothing was changed. Use 1 to 40 letters, digits and signs."}
		}
		err := h.Accounts.Rename(r.Context(), ref, alias)
		if errors.Is(err, connection.ErrAliasTaken) {
			return &web.PageError{Status: http.StatusConflict, Title: "Another of your accounts has that name", Advice: "Nothing was changed. Go back and choose another one.", Cause: err}
		}
		return err
	})
}

// Disconnect serves POST /account/disconnect.
func (h *Handler) Disconnect(w http.ResponseWriter, r *http.Request) error {
	return h.onAccount(w, r, "disconnected", func(_ *request, ref connection.Ref) error { return h.Accounts.Disconnect(r.Context(), ref) })
}

// onAccount does something with one account of the session's person.
func (h *Handler) onAccount(w http.ResponseWriter, r *http.Request, notice string, act func(*request, connection.Ref) error) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	ref, err := q.ref()
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), slog.String("connection", ref.Connection.String()), slog.String("act", notice))
	var page *web.PageError
	switch err := act(q, ref); {
	case errors.Is(err, connection.ErrNotFound):
		return noAccount(err)
	case errors.As(err, &page):
		return err
	case err != nil:
		return oauth.Unavailable(err)
	}
	return done(w, q.t, notice)
}

// RevokeApp serves POST /account/apps/revoke.
func (h *Handler) RevokeApp(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	n, err := h.Store.RevokeApp(r.Context(), q.t.ID, q.s.Subject, q.form.Get("client"))
	if err != nil {
		return oauth.Unavailable(err)
	}
	if n == 0 {
		return &web.PageError{Status: http.StatusNotFound, Title: "That app has no access", Advice: "Nothing was changed. Reload your account page."}
	}
	httpx.Annotate(r.Context(), slog.Int64("grants_revoked", n))
	return done(w, q.t, "revoked")
}

// EndSession serves POST /account/sessions/end.
func (h *Handler) EndSession(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(q.form.Get("session"))
	if err != nil {
		return &web.PageError{Status: http.StatusNotFound, Title: "There is no such session", Advice: "Nothing was changed. Reload your account page."}
	}
	if err := h.Store.EndSubjectSession(r.Context(), q.t.ID, q.s.Subject, id); err != nil {
		return oauth.Unavailable(err)
	}
	return done(w, q.t, "session")
}

// SignOut serves POST /account/sign-out: this browser's session ends.
func (h *Handler) SignOut(w http.ResponseWriter, r *http.Request) error {
	return h.signOut(w, r, false)
}

// SignOutEverywhere serves POST /account/sign-out-everywhere: every session of
// the person ends.
func (h *Handler) SignOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	return h.signOut(w, r, true)
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request, everywhere bool) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	if everywhere {
		if err := h.Store.EndSubjectSessions(r.Context(), q.t.ID, q.s.Subject); err != nil {
			return oauth.Unavailable(err)
		}
	}
	if err := h.Sessions.End(w, r, q.t); err != nil {
		return err
	}
	return seeOther(w, q.t, Path)
}

// BeginSignIn serves POST /account/sign-in: to Google, who the person is and
// nothing else. next is the path of a link to come back to.
func (h *Handler) BeginSignIn(w http.ResponseWriter, r *http.Request) error {
	t := tenant.FromContext(r.Context())
	f, err := form(w, r)
	if err != nil {
		return err
	}
	if !web.ValidFormToken(web.Cookie(r, t.Issuer, web.BrowserCookie), signInForm, f.Get("token")) {
		return otherBrowser()
	}
	return h.toSignIn(w, r, t, f.Get("next"))
}

func otherBrowser() error {
	return &web.PageError{Status: http.StatusForbidden, Title: "This page belongs to another browser",
		Advice: "Nothing was changed. Cookies may be off, or the page was opened elsewhere. Reload it in this browser."}
}
