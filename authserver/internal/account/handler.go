package account

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Path is the page's, below the issuer.
const Path = "/account"

const maxForm = 16 << 10

// Grant is what a person allowed an app, as their page shows it.
type Grant struct {
	ClientID    string
	Connection  uuid.UUID
	Scopes      oauth.Scopes
	LeftOut     oauth.Scopes // wanted here and not allowed at Google
	AppName     string       // as the person was shown it
	Destination string
	Since, Used time.Time
}

// Session is a session as its person's page shows it.
type Session struct {
	ID          uuid.UUID
	Browser     string
	Began, Used time.Time
}

// Overview is everything the page shows.
type Overview struct {
	Connections []*connection.Record // unlinked ones too; the default first
	Grants      []Grant              // newest first
	Sessions    []Session
}

// Store is what the page needs of the database. Every method is bound to tenant
// and subject: what is another's is not found.
type Store interface {
	Account(ctx context.Context, t tenant.ID, subject uuid.UUID, life session.Life) (*Overview, error)
	EnsureSubject(ctx context.Context, t tenant.ID, googleSub string) (uuid.UUID, error)
	RevokeApp(ctx context.Context, t tenant.ID, subject uuid.UUID, clientID string) (int64, error)
	EndSubjectSession(ctx context.Context, t tenant.ID, subject, id uuid.UUID) error
	EndSubjectSessions(ctx context.Context, t tenant.ID, subject uuid.UUID) error
	// Record writes an event of what changed nothing.
	Record(ctx context.Context, e audit.Event) error
}

// Accounts change a person's set of Google accounts. Each method is one
// transaction; an account that is not the subject's is connection.ErrNotFound.
type Accounts interface {
	SetDefault(ctx context.Context, ref connection.Ref) error
	Rename(ctx context.Context, ref connection.Ref, alias string) error
	Disconnect(ctx context.Context, ref connection.Ref) error
}

// Linker stores what a sign-in at Google gave.
type Linker interface {
	Connection(ctx context.Context, ref connection.Ref) (*connection.Record, error)
	EnsureLinkable(ctx context.Context, t tenant.ID, subject uuid.UUID, googleSub, hostedDomain string) (*connection.Record, error)
	LinkAccount(ctx context.Context, l connection.Link) error
}

// Approvals are the questions about acts of tools. Question and Answer return
// approval.ErrNone for a link that is over; whose a question is, the caller checks.
type Approvals interface {
	Question(ctx context.Context, t tenant.ID, secret string) (*approval.Question, error)
	Lines(ctx context.Context, q *approval.Question, person secret.Bytes) ([]string, error)
	Answer(ctx context.Context, t tenant.ID, secret string, a approval.Answer) error
}

// Handler serves the page, its forms and the links. Every field is required.
type Handler struct {
	Store        Store
	Accounts     Accounts
	Linker       Linker
	Invitations  connection.InvitationStore
	Approvals    Approvals
	Sessions     *session.Sessions
	SignIn       *signin.Handler // has Continuations
	Vault        connection.Sealer
	Leaver       Leaver
	GoogleOrigin string // where forms may lead (CSP form-action)
	Now          func() time.Time
}

// Page serves GET /account: the page, or the way to sign in.
func (h *Handler) Page(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return h.renderSignIn(w, r, t, "")
	}
	if err != nil {
		return err
	}
	o, err := h.Store.Account(ctx, t.ID, s.Subject, lifeOf(t))
	if err != nil {
		return oauth.Unavailable(err)
	}
	view, err := h.view(ctx, t, s, o)
	if err != nil {
		return oauth.Unavailable(err)
	}
	view.Notice = notices[r.URL.Query().Get("done")]
	return web.Render(w, http.StatusOK, "account.html", view, h.targets())
}

// targets: the forms that lead to Google, and where Google may pass a person on
// (a company's own sign-in can be any https origin).
func (h *Handler) targets() []string { return []string{h.GoogleOrigin, "https:"} }

// signInForm is the form of a person who is not signed in. Its token belongs to
// the browser.
const signInForm = "account sign-in"

// renderSignIn asks the person to sign in; next is the path of the link to come back
// to, "" for their page.
func (h *Handler) renderSignIn(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, next string) error {
	browser := web.BrowserSecret(r, t.Issuer)
	web.SetCookie(w, t.Issuer, web.BrowserCookie, browser, signin.Lifetime)
	view := struct{ Action, Token, Next string }{t.Issuer.Path() + Path + "/sign-in", web.FormToken(browser, signInForm), next}
	return web.Render(w, http.StatusOK, "signin.html", view, h.targets())
}

// form reads a posted form. The surrounding cross-origin check refuses forms
// posted from other sites.
func form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	if name, found := text.BadParameter(r.PostForm); found && err == nil {
		err = errors.New("a parameter is no text: " + name)
	}
	if err != nil {
		return nil, &web.PageError{Status: http.StatusBadRequest, Title: "The form could not be read", Advice: "Nothing was changed. Go back and try again.", Cause: err}
	}
	return r.PostForm, nil
}

// accountForm is every form of the page: its token belongs to the session.
const accountForm = "account"

// request is a posted form of a person who is signed in.
type request struct {
	t    *tenant.Tenant
	s    *session.Session
	form url.Values
}

// signedIn checks session and form token, for every form of the page.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request) (*request, error) {
	t := tenant.FromContext(r.Context())
	f, err := form(w, r)
	if err != nil {
		return nil, err
	}
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return nil, &web.PageError{Status: http.StatusForbidden, Title: "You are not signed in any more", Advice: "Nothing was changed. Open your account page and sign in again.", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	if !s.ValidFormToken(accountForm, f.Get("token")) { // RFC 9700 §4.7
		return nil, &web.PageError{Status: http.StatusForbidden, Title: "This form belongs to another session", Advice: "Nothing was changed. Reload your account page and try again."}
	}
	httpx.Annotate(r.Context(), slog.String("tenant", t.ID.String()), slog.String("subject", s.Subject.String()))
	return &request{t: t, s: s, form: f}, nil
}

// ref is the connection that the form names, of the session's subject: whose it
// is decides the store.
func (q *request) ref() (connection.Ref, error) {
	id, ok := connection.ParseHandle(q.form.Get("account"))
	if !ok {
		return connection.Ref{}, noAccount(nil)
	}
	return connection.Ref{Tenant: q.t.ID, Subject: q.s.Subject, Connection: id}, nil
}

func noAccount(cause error) error {
	return &web.PageError{Status: http.StatusNotFound, Title: "You have no such Google account here", Advice: "Nothing was changed. Reload your account page.", Cause: cause}
}

// done leads back to the page, with a notice.
func done(w http.ResponseWriter, t *tenant.Tenant, notice string) error {
	return seeOther(w, t, Path+"?"+url.Values{"done": {notice}}.Encode())
}

func seeOther(w http.ResponseWriter, t *tenant.Tenant, path string) error {
	w.Header().Set("Location", t.Issuer.Path()+path)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
