package account

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// approveView is the page on which a person is asked about one act of a tool.
type approveView struct {
	Action, Token string
	App, Tool     string
	Destination   string // of the app, as the account page has it
	Alias, Email  string
	Question      []string // a block for each line: what is quoted has a mark at its begin, and wraps
	Account       string   // path of the account page
}

// answers are what the buttons of the page say.
var answers = map[string]exchange.ApprovalStatus{"allow": exchange.Approved, "refuse": exchange.Declined}

// Approve serves GET /approve/<secret>: what a tool is about to do, for its person
// alone. It answers nothing: mail scanners and chats look into links.
func (h *Handler) Approve(w http.ResponseWriter, r *http.Request) error {
	ctx, t, value := r.Context(), tenant.FromContext(r.Context()), r.PathValue("secret")
	q, err := h.question(ctx, t, value)
	if err != nil {
		return err
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return h.renderSignIn(w, r, t, approval.Path+value)
	}
	if err != nil {
		return err
	}
	if s.Subject != q.Subject {
		return foreignLink()
	}
	if q.Status != exchange.Pending {
		return h.renderAnswered(w, t, s, value, q)
	}
	record, err := h.known(ctx, q.Ref)
	if err != nil {
		return err
	}
	view := approveView{Action: t.Issuer.Path() + approval.Path + value, Token: s.FormToken(approveForm(value)), Account: t.Issuer.Path() + Path,
		App: consent.AppName(q.AppName), Destination: consent.Clean(q.Destination, 120), Tool: q.Tool, Alias: record.Alias}
	if view.Email, err = connection.Email(ctx, h.Vault, record); err != nil {
		return oauth.Unavailable(err)
	}
	if view.Question, err = h.Approvals.Lines(ctx, q, record.Person); err != nil {
		return oauth.Unavailable(err)
	}
	return web.Render(w, http.StatusOK, "approve.html", view, nil)
}

// approveForm is the form of one question: its token belongs to the session.
func approveForm(value string) string { return "approve " + value }

// UseApprove serves POST /approve/<secret>: the person's answer. Of several, the first
// counts, but for a no that takes back a yes in time; all are told what counts.
func (h *Handler) UseApprove(w http.ResponseWriter, r *http.Request) error {
	ctx, t, value := r.Context(), tenant.FromContext(r.Context()), r.PathValue("secret")
	f, err := form(w, r)
	if err != nil {
		return err
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return &web.PageError{Status: http.StatusForbidden, Title: "You are not signed in any more", Advice: "Nothing was allowed. Open the link again and sign in.", Cause: err}
	}
	if err != nil {
		return err
	}
	if !s.ValidFormToken(approveForm(value), f.Get("token")) { // RFC 9700 §4.7
		return &web.PageError{Status: http.StatusForbidden, Title: "This form belongs to another session", Advice: "Nothing was allowed. Open the link again in this browser."}
	}
	said, ok := answers[f.Get("do")]
	if !ok {
		return &web.PageError{Status: http.StatusBadRequest, Title: "The form could not be read", Advice: "Nothing was allowed. Go back and try again."}
	}
	httpx.Annotate(ctx, slog.String("tenant", t.ID.String()), slog.String("subject", s.Subject.String()))
	err = h.Approvals.Answer(ctx, t.ID, value, approval.Answer{Status: said, Subject: s.Subject, Session: s.ID})
	if err != nil && !errors.Is(err, approval.ErrNone) {
		return oauth.Unavailable(err)
	}
	q, err := h.question(ctx, t, value)
	if err != nil {
		return err
	}
	if s.Subject != q.Subject {
		return foreignLink()
	}
	return h.renderAnswered(w, t, s, value, q)
}

// question reads a link's question. Of one that is over nobody knows here what became
// of it: that nothing was done would be wrong where the app was faster than a reload,
// and have the act done again.
func (h *Handler) question(ctx context.Context, t *tenant.Tenant, value string) (*approval.Question, error) {
	q, err := h.Approvals.Question(ctx, t.ID, value)
	if errors.Is(err, approval.ErrNone) {
		return nil, &web.PageError{Status: http.StatusNotFound, Title: "This link does not work any more",
			Advice: "What it asked was answered, and the app has heard the answer; or its time was over. If you allowed it, look whether it was done before you ask the app for it again.", Cause: err}
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return q, nil
}

// renderAnswered says what the person has said, as it is stored, and lets them take
// back a yes.
func (h *Handler) renderAnswered(w http.ResponseWriter, t *tenant.Tenant, s *session.Session, value string, q *approval.Question) error {
	view := struct {
		Allowed                     bool
		Action, Token, App, Account string
	}{q.Status == exchange.Approved, t.Issuer.Path() + approval.Path + value, s.FormToken(approveForm(value)), consent.AppName(q.AppName), t.Issuer.Path() + Path}
	return web.Render(w, http.StatusOK, "answered.html", view, nil)
}
