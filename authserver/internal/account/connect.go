package account

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// connectView is the page of a link.
type connectView struct {
	Action, Token string
	App           string
	Alias         string // "": an account is added
	Why           string
	Asks          []string // at Google, in words
	Account       string   // path of the account page
}

// Connect serves GET /connect/<secret>: what an app asks the person for. It
// uses nothing up: mail scanners and chats look into links.
func (h *Handler) Connect(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	value := r.PathValue("secret")
	if !secret.IsRandom(value) {
		return deadLink(nil)
	}
	i, err := h.Invitations.Invitation(ctx, t.ID, sha256.Sum256([]byte(value)))
	if errors.Is(err, connection.ErrNoInvitation) {
		return deadLink(err)
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	view := connectView{Action: t.Issuer.Path() + connection.ConnectPath + value, Account: t.Issuer.Path() + Path, App: consent.AppName(i.AppName), Why: whys[exchange.Reason(i.Reason)]}
	if i.OfPerson {
		s, err := h.Sessions.Current(r, t)
		if errors.Is(err, session.ErrNone) {
			return h.renderSignIn(w, r, t, value)
		}
		if err != nil {
			return err
		}
		if s.Subject != i.Subject {
			return foreignLink()
		}
	}
	ask := i.Scopes
	if !i.Adds() {
		record, err := h.known(ctx, i.Ref)
		if err != nil {
			return err
		}
		view.Alias = record.Alias
		if !record.Alive(t.Upstream.ClientID) {
			ask = ask.Union(record.GoogleScopes)
		}
	}
	view.Asks = googleWords(ask.Minus(scope.IdentityOf(ask)))
	browser := web.BrowserSecret(r, t.Issuer)
	web.SetCookie(w, t.Issuer, web.BrowserCookie, browser, signin.Lifetime)
	view.Token = web.FormToken(browser, connectForm(value))
	return web.Render(w, http.StatusOK, "connect.html", view, h.targets())
}

func connectForm(value string) string { return "connect " + value }

// whys says in words why an app sends the person here.
var whys = map[exchange.Reason]string{
	exchange.NotLinked:           "No Google account is connected here for it.",
	exchange.ReauthRequired:      "The connection to Google has ended: the password was changed, the access was withdrawn, it was unused for long, or this service asks for a new sign-in.",
	exchange.MissingGoogleScopes: "It needs access that was not allowed at Google so far.",
	exchange.TestingExpired:      "Google ends the connection every seven days while this service is in testing there.",
	exchange.AdminPolicyBlocked:  "The administrator of the Google account asks for a new sign-in.",
}

// UseConnect serves POST /connect/<secret>: the link is used up, and the person
// goes to Google. Of several browsers one gets on.
func (h *Handler) UseConnect(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	value := r.PathValue("secret")
	f, err := form(w, r)
	if err != nil {
		return err
	}
	if !secret.IsRandom(value) {
		return deadLink(nil)
	}
	if !web.ValidFormToken(web.Cookie(r, t.Issuer, web.BrowserCookie), connectForm(value), f.Get("token")) {
		return otherBrowser()
	}
	var subject uuid.UUID // nobody
	s, err := h.Sessions.Current(r, t)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	if err == nil {
		subject = s.Subject
	}
	i, err := h.Invitations.UseInvitation(ctx, t.ID, sha256.Sum256([]byte(value)), subject)
	if errors.Is(err, connection.ErrNoInvitation) {
		return deadLink(err)
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("subject", i.Subject.String()), slog.String("reason", i.Reason))
	if i.Adds() {
		return h.toLink(w, r, t, linkTrip{Subject: i.Subject, Scopes: i.Scopes.Slice(), ForApp: true}, "")
	}
	record, err := h.known(ctx, i.Ref)
	if err != nil {
		return err
	}
	return h.toRelink(w, r, t, record, i.Scopes, linkTrip{ForApp: true, OfPerson: i.OfPerson})
}

func deadLink(cause error) error {
	return &web.PageError{Status: http.StatusNotFound, Title: "This link does not work any more",
		Advice: "A link works once, and for ten minutes. Nothing was changed. Ask the app again: it gets a new one.", Cause: cause}
}

func foreignLink() error {
	return &web.PageError{Status: http.StatusForbidden, Title: "This link is for somebody else",
		Advice: "You are signed in here as another person than the one the app works for. Nothing was changed. If the app is yours, sign out on your account page, " +
			"open the link again and sign in with the account with which you first allowed the app."}
}
