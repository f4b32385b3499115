package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/vault"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Lifetime bounds a consent page.
const Lifetime = signin.Lifetime

const maxForm = 64 << 10

// ErrNoRequest is what Store.TakeRequest returns when nothing was pushed under
// that name for that client, or another browser has taken it.
var ErrNoRequest = errors.New("no such pushed request")

// SignIn is what a completed sign-in writes, all or nothing.
type SignIn struct {
	Link       connection.Link
	Snapshot   []byte // JSON of consent.Snapshot
	Grant      grant.New
	ClientLife time.Duration // how much longer the client's registration lasts, now that it is used
}

// Store is what the flow needs of the database.
type Store interface {
	// EnsureConnection returns the person's connection to the Google account,
	// with its credential if there is one, and makes subject and connection if
	// there are none. The key is Google's sub (DESIGN §4).
	EnsureConnection(ctx context.Context, t tenant.ID, googleSub, hostedDomain string) (*connection.Record, error)
	// Connections returns a person's linked accounts, the default first.
	Connections(ctx context.Context, t tenant.ID, subject uuid.UUID) ([]*connection.Record, error)
	CompleteSignIn(ctx context.Context, s SignIn) error

	PushRequest(ctx context.Context, t tenant.ID, p Pushed) error
	// TakeRequest uses a pushed request up. One conditional statement: of
	// concurrent browsers one wins, the others get ErrNoRequest.
	TakeRequest(ctx context.Context, t tenant.ID, id [sha256.Size]byte, clientID string, browser [sha256.Size]byte) ([]byte, error)
}

// Grants knows what a person has allowed before.
type Grants interface {
	// Allowed returns what a client may do at a resource by grants of that person
	// which live, the newest first.
	Allowed(ctx context.Context, t tenant.ID, subject uuid.UUID, clientID, resource string) ([]Allowed, error)
}

// Allowed is what a client may do with an account.
type Allowed struct {
	Connection uuid.UUID
	Scopes     oauth.Scopes
}

// Sealer seals for a binding and opens for the same one only.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Recorder writes an event of the audit trail. An act whose event cannot be
// written is not answered as done.
type Recorder interface {
	Record(ctx context.Context, e audit.Event) error
}

// Handler serves the flow. Every field is required.
type Handler struct {
	Clients      Clients
	Auth         Authenticator // of clients that push their requests
	Store        Store
	Grants       Grants
	Vault        Sealer
	SignIn       *signin.Handler // has Returned for KindAuthorize
	Sessions     *session.Sessions
	Codes        func(ctx context.Context, t tenant.ID) (*grant.Codec, error)
	Audit        Recorder
	Proxies      httpx.Proxies
	AccountPath  string // of the person's page, beneath the issuer
	GoogleOrigin string // where the consent form may lead (CSP form-action)
	Now          func() time.Time
}

// form is what the consent page carries, sealed.
type form struct {
	Request  authorization `json:"request"`
	Subject  uuid.UUID     `json:"subject,omitzero"` // whose accounts the page offered
	IssuedAt int64         `json:"iat"`              // seconds since the epoch
	Browser  []byte        `json:"csrf"`             // SHA-256 of the CSRF cookie
}

// Authorize serves GET /authorize: the consent page. It stores nothing and sets
// no state cookie; those come with the approval (MCP security best practices).
func (h *Handler) Authorize(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	browser := web.BrowserSecret(r, t.Issuer)
	sum := sha256.Sum256([]byte(browser))
	a, c, err := h.request(r, t, sum)
	if err != nil {
		return err
	}
	subject, accounts, err := h.accounts(r, t, a)
	if err != nil {
		return err
	}
	web.SetCookie(w, t.Issuer, web.BrowserCookie, browser, Lifetime)
	plain, err := json.Marshal(form{Request: *a, Subject: subject, IssuedAt: h.Now().Unix(), Browser: sum[:]})
	if err != nil {
		return fmt.Errorf("encoding consent form: %w", err)
	}
	sealed, err := h.Vault.Seal(ctx, vault.Binding{Tenant: t.ID, Purpose: vault.AuthorizationRequest}, plain)
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("sealing consent form: %w", err))
	}
	asked := a.consent(c, t)
	asked.Accounts = accounts
	view := consent.NewView(asked)
	view.Action = t.Issuer.Path() + "/authorize/consent"
	view.AccountPage = t.Issuer.Path() + h.AccountPath
	view.Sealed = base64.RawURLEncoding.EncodeToString(sealed)
	return web.Render(w, http.StatusOK, "consent.html", view, h.formTargets(a))
}

// formTargets: browsers apply form-action to every redirect that follows a
// post: Google, the company's own sign-in to which Google may pass a person on,
// and the client. The first of these can be any https origin.
func (h *Handler) formTargets(a *authorization) []string {
	targets := []string{h.GoogleOrigin}
	if u, err := url.Parse(a.RedirectURI); err == nil {
		switch u.Scheme {
		case "https":
		case "http":
			targets = append(targets, "http://"+u.Host)
		default:
			targets = append(targets, u.Scheme+":")
		}
	}
	return append(targets, "https:")
}

// request reads an authorization request, from the query or pushed before.
func (h *Handler) request(r *http.Request, t *tenant.Tenant, browser [sha256.Size]byte) (*authorization, *client.Client, error) {
	q, err := query(r.URL.RawQuery)
	if err != nil {
		return nil, nil, err
	}
	source := h.Proxies.Client(r)
	if uris := q["request_uri"]; len(uris) == 1 && strings.HasPrefix(uris[0], requestURIPrefix) {
		return h.pushed(r.Context(), t, q, uris[0], browser, source)
	}
	return parse(r.Context(), h.Clients, t, q, source)
}

func (a *authorization) consent(c *client.Client, t *tenant.Tenant) consent.Request {
	resource, _ := t.Resource(a.Resource) // it is there: parse and same have looked
	return consent.Request{
		Client: c, Tenant: t, RedirectURI: a.RedirectURI, Resource: resource,
		Scopes: oauth.NewScopes(a.Scopes...), Offline: a.Offline, LoginHint: a.LoginHint,
	}
}

// Consent serves POST /authorize/consent. The surrounding cross-origin check
// refuses forms posted from other sites.
func (h *Handler) Consent(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return badLink("The form could not be read.", err)
	}
	if name, found := text.BadParameter(r.PostForm); found {
		return badLink("The form could not be read.", errors.New("a parameter is no text: "+name))
	}
	f, err := h.open(ctx, t, r)
	if err != nil {
		return err
	}
	a := f.Request
	if _, err := h.same(ctx, t, &a); err != nil {
		return err
	}
	if r.PostForm.Get("decision") != "approve" { // whatever is not a yes is a no
		if err := h.denied(ctx, t, &a, "here"); err != nil {
			return err
		}
		return a.fail(t, oauth.NewError(oauth.AccessDenied, "The person did not allow access."))
	}
	chosen := consent.Selected(oauth.NewScopes(a.Scopes...), r.PostForm["scope"])
	if chosen.Empty() {
		if err := h.denied(ctx, t, &a, "here"); err != nil {
			return err
		}
		return a.fail(t, oauth.NewError(oauth.AccessDenied, "The person allowed none of the requested scopes."))
	}
	a.Scopes = chosen.Slice()
	record, err := h.chosen(r, t, f.Subject, r.PostForm.Get("account"))
	if err != nil {
		return err
	}
	if record == nil {
		return h.toGoogle(w, r, t, trip{Request: a})
	}
	return h.toGoogleAs(w, r, t, a, record)
}

// denied records that a person said no, here or at Google. Who it was is not
// known then.
func (h *Handler) denied(ctx context.Context, t *tenant.Tenant, a *authorization, where string) error {
	err := h.Audit.Record(ctx, audit.Event{
		Tenant: t.ID, Kind: audit.ConsentDenied, Actor: audit.Person, Outcome: string(oauth.AccessDenied), Detail: where,
		Client: a.ClientID, Resource: a.Resource, Scopes: a.Scopes,
	})
	if err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// failed records a sign-in that came to nothing because somebody refused it:
// the person, or Google, whose refusal has a cause. Trouble is no refusal.
func (h *Handler) failed(ctx context.Context, t *tenant.Tenant, a *authorization, failure *oauth.Error) error {
	switch {
	case failure.Code != oauth.AccessDenied:
		return nil
	case failure.Cause == nil:
		return h.denied(ctx, t, a, "at google")
	}
	err := h.Audit.Record(ctx, audit.Event{
		Tenant: t.ID, Kind: audit.Login, Actor: audit.Google, Outcome: string(oauth.AccessDenied), Client: a.ClientID,
	})
	if err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// same finds the client of a request again. One that changed since the person
// was shown it must be asked about anew (draft client ID metadata document
// §6.3), and a stored request never leads where the client no longer does, nor
// to a resource that the tenant does not serve any more: a grant for it would be
// one for none. Nor is there one for a client whose approval has been withdrawn.
func (h *Handler) same(ctx context.Context, t *tenant.Tenant, a *authorization) (*client.Client, error) {
	c, err := h.Clients.Client(ctx, t, a.ClientID)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return nil, oauth.Unavailable(err)
	}
	resource, unknown := t.Resource(a.Resource)
	if err = errors.Join(err, unknown); err != nil || resource.String() != a.Resource || c.Fingerprint() != a.Fingerprint || !c.MatchRedirect(a.RedirectURI) {
		return nil, &web.PageError{Status: http.StatusBadRequest, Title: "The app has changed meanwhile", Advice: "Nothing was allowed. Start again from the app.", Cause: err}
	}
	if err := t.AdmitsClient(ctx, c.ID); err != nil {
		return nil, a.notApproved(t, err)
	}
	return c, nil
}

func (h *Handler) open(ctx context.Context, t *tenant.Tenant, r *http.Request) (*form, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(r.PostForm.Get("request"))
	if err != nil {
		return nil, staleForm(err)
	}
	plain, err := h.Vault.Open(ctx, vault.Binding{Tenant: t.ID, Purpose: vault.AuthorizationRequest}, sealed)
	if errors.Is(err, vault.ErrRefused) {
		return nil, staleForm(err)
	}
	if err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("opening consent form: %w", err))
	}
	var f form
	if err := json.Unmarshal(plain, &f); err != nil {
		return nil, staleForm(err)
	}
	if age := h.Now().Sub(time.Unix(f.IssuedAt, 0)); age < -time.Minute || age > Lifetime {
		return nil, staleForm(errors.New("form is too old"))
	}
	// The form belongs to the browser it was rendered for: an attacker's own
	// valid form is worthless in a victim's browser (PEERS A10).
	browser := web.Cookie(r, t.Issuer, web.BrowserCookie)
	sum := sha256.Sum256([]byte(browser))
	if browser == "" || !hmac.Equal(sum[:], f.Browser) {
		return nil, &web.PageError{Status: http.StatusForbidden, Title: "This page belongs to another browser",
			Advice: "Cookies may be off, or the page was opened elsewhere. Start again from the app, in this browser."}
	}
	return &f, nil
}

func staleForm(cause error) error {
	return &web.PageError{Status: http.StatusBadRequest, Title: "This page has expired", Advice: "Nothing was allowed. Start again from the app.", Cause: cause}
}

// KindAuthorize is the kind of this package's trips.
const KindAuthorize signin.Kind = "authorize"

// trip is what a flow row remembers.
type trip struct {
	Request authorization `json:"request"`
	Again   bool          `json:"again,omitempty"` // the second trip, for a refresh token
	Asked   []string      `json:"asked,omitempty"` // of a known account: what it was thought to lack at Google
}

func (h *Handler) toGoogle(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, tr trip) error {
	return h.SignIn.Begin(w, r, t, signin.Trip{
		Kind: KindAuthorize, Request: tr,
		Scopes: scope.GoogleFor(oauth.NewScopes(tr.Request.Scopes...)), LoginHint: tr.Request.LoginHint,
		Offline: true, ForceConsent: tr.Again, SelectAccount: tr.Request.Again,
	})
}
