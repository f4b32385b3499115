package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// Lookup is the one read of an exchange.
type Lookup struct {
	Tenant    tenant.ID
	Grant     uuid.UUID
	Subject   uuid.UUID
	Assertion *client.AssertionID // the caller's, to be used up
}

// Found is what the read found.
type Found struct {
	GrantLive       bool // not revoked, not expired, of this subject
	GrantConnection uuid.UUID
	GrantScopes     oauth.Scopes
	ClientID        string
	Resource        string
	Connections     []*connection.Record // linked ones of the subject, oldest first; the grant's own among them
}

// Store is what the exchange needs of the database. Exchange burns the
// assertion and reads, in one round trip; it returns client.ErrAssertionUsed for a
// second presentation.
type Store interface {
	Exchange(ctx context.Context, l Lookup) (*Found, error)
}

// Opener opens sealed values.
type Opener interface {
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Linker makes a link by which a person repairs what stands against a call.
type Linker interface {
	Link(ctx context.Context, i connection.Invitation) (string, error)
}

// Recorder writes an event of the audit trail. An act whose event cannot be
// written is not answered as done.
type Recorder interface {
	Record(ctx context.Context, e audit.Event) error
}

// Limits count exchanges. Exchange returns *ratelimit.Exceeded beyond a limit; any
// other error is doubt.
type Limits interface {
	Exchange(ctx context.Context, t *tenant.Tenant, subject uuid.UUID, tool string) error
}

// Handler serves the exchange. Every field is required.
type Handler struct {
	Clients     *Clients // resource servers and their keys
	Store       Store
	Vault       Opener
	Credentials *connection.Credentials
	Tenants     func() *tenant.Directory
	Limits      Limits
	Keys        func(ctx context.Context, t tenant.ID) (accesstoken.KeySource, error)
	Links       Linker
	Asker       Asker
	Audit       Recorder
	Now         func() time.Time
	Log         *slog.Logger
}

const (
	cacheShare = 60 * time.Second // taken off the token's life for the resource server's cache
	maxCache   = 5 * time.Minute  // a revocation reaches the cache at the latest after this
)

// ServeHTTP answers an exchange. It renders its own errors: they have members
// that RFC 6749 does not know.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	act := &audit.Event{}
	out, err := h.exchange(w, r, act)
	if recordErr := h.record(r.Context(), act, err); recordErr != nil {
		err = unavailable(recordErr)
	}
	if err != nil {
		render(w, r, err)
		return
	}
	out.Write(w)
}

// record writes what was handed out or refused, before it is answered: one
// write after the one read. A caller that did not prove who it is leaves no
// event, for anybody could fill the trail then, and nor does what is beyond a rate
// limit; doubt is no refusal.
func (h *Handler) record(ctx context.Context, act *audit.Event, err error) error {
	if act.Actor == "" {
		return nil
	}
	act.Kind, act.Outcome = audit.ExchangeIssued, audit.OK
	if err != nil {
		var refused *exchange.Error
		if !errors.As(err, &refused) || refused.Code == oauth.TemporarilyUnavailable || refused.Code == oauth.SlowDown {
			return nil
		}
		act.Kind, act.Outcome, act.Detail = audit.ExchangeRefused, string(refused.Code), string(refused.Reason)
	}
	return h.Audit.Record(ctx, *act)
}

// render writes an error: of the exchange's own kind, or doubt.
func render(w http.ResponseWriter, r *http.Request, err error) {
	httpx.Failed(r.Context(), err)
	var e *exchange.Error
	if !errors.As(err, &e) {
		e = unavailable(err)
	}
	e.Write(w)
}

func fail(code oauth.Code, description string) *exchange.Error {
	return &exchange.Error{Code: code, Description: description}
}

func unavailable(cause error) *exchange.Error {
	return &exchange.Error{Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: 2,
		Description: "The exchange cannot answer right now. Try again shortly.", Cause: cause}
}

// formOf reads the form of a request.
func formOf(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		e := fail(oauth.InvalidRequest, "The exchange takes POST only.")
		e.Status = http.StatusMethodNotAllowed
		return nil, e
	}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
		return nil, fail(oauth.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, exchange.MaxBodyBytes)
	if err := r.ParseForm(); err != nil {
		return nil, fail(oauth.InvalidRequest, "The body cannot be read or is too large.")
	}
	if name, found := text.BadParameter(r.PostForm); found {
		return nil, fail(oauth.InvalidRequest, "A parameter is no text (UTF-8 without NUL): "+name+".")
	}
	return r.PostForm, nil
}

// requested reads a request to a path, and who sends it: what each begins with.
func requested[T any](h *Handler, w http.ResponseWriter, r *http.Request, path string, parse func(url.Values) (*T, *exchange.Error)) (*T, *client.AssertionID, error) {
	form, err := formOf(w, r)
	if err != nil {
		return nil, nil, err
	}
	req, refused := parse(form)
	if refused != nil {
		return nil, nil, refused
	}
	caller, err := h.Clients.Authenticate(path, form, h.Now())
	return req, caller, err
}

// exchange runs the checks in the order of DESIGN §5, and fills in what is to be
// recorded of them as far as it is proven.
func (h *Handler) exchange(w http.ResponseWriter, r *http.Request, act *audit.Event) (*exchange.Response, error) {
	ctx := r.Context()
	req, caller, err := requested(h, w, r, exchange.Path, exchange.ParseForm)
	if err != nil {
		return nil, err
	}
	// The resource server is the deployment's: until the token has shown whose it
	// is, so is the event.
	*act = audit.Event{Tenant: tenant.DefaultID, Actor: audit.ResourceServer, Tool: req.Tool, CallerRequestID: req.RequestID, Scopes: req.Scopes.Slice()}
	p, err := h.person(ctx, caller, req.SubjectToken, req.Tool, act, func(t *tenant.Tenant, who *accesstoken.Principal) (oauth.Scopes, error) {
		allowed, err := admit(ctx, t, who, req.Scopes)
		if err != nil {
			return oauth.Scopes{}, err
		}
		// RFC 8693 §2.1, DESIGN §1.1: what the token does not carry is not handed out.
		for _, s := range req.Scopes.Slice() {
			if !scope.AllowsGoogle(who.Scopes, s) {
				e := fail(oauth.InsufficientScope, "The access token does not carry the scopes for this.")
				e.Scope = scope.Needed(s).String()
				return oauth.Scopes{}, e
			}
		}
		return allowed, nil
	})
	if err != nil {
		return nil, err
	}
	record, err := h.account(ctx, p, req.Account, req.Tool, req.Scopes, act)
	if err != nil {
		return nil, err
	}
	out, err := h.answer(ctx, req, p.allowed, record)
	if err != nil {
		return nil, h.withLink(ctx, err, connection.Invitation{Ref: record.Ref, ClientID: p.who.ClientID, Scopes: req.Scopes})
	}
	return out, nil
}

// person is whose token was presented, and what is stored of them.
type person struct {
	tenant  *tenant.Tenant
	who     *accesstoken.Principal
	subject uuid.UUID
	allowed oauth.Scopes // of the token, what the tenant still allows
	found   *Found
}

// person verifies the presented token, asks rules about it, counts the request and
// reads what is stored, with the caller's assertion used up, in one round trip.
func (h *Handler) person(ctx context.Context, caller *client.AssertionID, token secret.Text, tool string, act *audit.Event,
	rules func(*tenant.Tenant, *accesstoken.Principal) (oauth.Scopes, error)) (*person, error) {
	t, who, err := h.subject(ctx, token.Reveal())
	if err != nil {
		return nil, err
	}
	act.Tenant, act.Client = t.ID, who.ClientID
	act.Grant, _ = uuid.Parse(who.Grant) // a client's own token has neither
	act.Subject, _ = uuid.Parse(who.Subject)
	p := &person{tenant: t, who: who}
	if p.allowed, err = rules(t, who); err != nil {
		return nil, err
	}
	if who.Machine() {
		return nil, fail(oauth.InvalidGrant, "The access token is a client's own: no person stands behind it, so no Google account does.")
	}
	lookup := Lookup{Tenant: t.ID, Assertion: caller}
	if lookup.Grant, err = uuid.Parse(who.Grant); err != nil {
		return nil, fail(oauth.InvalidGrant, "The access token is not valid.")
	}
	if lookup.Subject, err = uuid.Parse(who.Subject); err != nil {
		return nil, fail(oauth.InvalidGrant, "The access token is not valid.")
	}
	p.subject = lookup.Subject
	if err := h.limited(ctx, t, lookup.Subject, tool); err != nil {
		return nil, err
	}
	p.found, err = h.Store.Exchange(ctx, lookup)
	if errors.Is(err, client.ErrAssertionUsed) {
		return nil, fail(oauth.InvalidClient, "The client assertion was used before.")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if !p.found.GrantLive || p.found.Resource != who.Audience.String() || p.found.ClientID != who.ClientID {
		return nil, fail(oauth.InvalidGrant, "The access was revoked or has ended.")
	}
	act.Resource = p.found.Resource
	return p, nil
}

// admit asks the tenant, by the same rules as at a sign-in (PEERS A13): whether
// it takes part at all, whether its administrator still approves the client, and
// which of the token's scopes it still allows.
func admit(ctx context.Context, t *tenant.Tenant, who *accesstoken.Principal, google oauth.Scopes) (oauth.Scopes, error) {
	if t.Status == tenant.Suspended {
		return oauth.Scopes{}, blocked("Access here is suspended. Nothing has been deleted.")
	}
	if err := t.Serves(); err != nil {
		return oauth.Scopes{}, unavailable(err)
	}
	if t.AdmitsClient(ctx, who.ClientID) != nil {
		return oauth.Scopes{}, blocked("The organisation has not approved this app, or does not any more. Ask its administrator to approve " + who.ClientID + ". Nothing has been deleted.")
	}
	allowed := t.Permitted(ctx, who.Scopes, who.ClientID)
	for _, s := range google.Slice() {
		if scope.AllowsGoogle(who.Scopes, s) && !scope.AllowsGoogle(allowed, s) {
			return oauth.Scopes{}, blocked("The organisation does not allow this any more.")
		}
	}
	return allowed, nil
}

// blocked is the organisation's no: signing in again does not help.
func blocked(description string) *exchange.Error {
	e := fail(oauth.InteractionRequired, description)
	e.Reason = exchange.AdminPolicyBlocked
	return e
}

// limited asks about the limits of tenant, person and tool.
func (h *Handler) limited(ctx context.Context, t *tenant.Tenant, subject uuid.UUID, tool string) error {
	err := h.Limits.Exchange(ctx, t, subject, tool)
	var exceeded *ratelimit.Exceeded
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exceeded):
		e := fail(oauth.SlowDown, "Too many requests were made.")
		e.RetryAfter, e.Cause = int(math.Ceil(exceeded.State.Retry.Seconds())), err
		httpx.Annotate(ctx, slog.String("limit", exceeded.State.Limit.Name))
		return e
	}
	return unavailable(err)
}

// subject verifies the presented access token: of the tenant it names, for one
// of that tenant's resources, alive (RFC 9068 §4, PEERS A13, A14).
func (h *Handler) subject(ctx context.Context, token string) (*tenant.Tenant, *accesstoken.Principal, error) {
	refused := fail(oauth.InvalidGrant, "The access token is not valid.")
	for _, t := range h.candidates(token) {
		keys, err := h.Keys(ctx, t.ID)
		if err != nil {
			return nil, nil, unavailable(err)
		}
		for _, res := range t.Resources {
			v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: t.Issuer, Audience: res.Canonical, Keys: keys, Now: h.Now})
			if err != nil {
				return nil, nil, fmt.Errorf("making verifier: %w", err)
			}
			p, err := v.Verify(ctx, token)
			if err == nil && p.Tenant == t.ID.String() {
				return t, p, nil
			}
			if err != nil && !errors.Is(err, accesstoken.ErrInvalid) {
				return nil, nil, unavailable(err)
			}
		}
	}
	return nil, nil, refused
}

// candidates is the tenant whose keys may have signed a token: the one its tid
// names, which the verification then proves.
func (h *Handler) candidates(token string) []*tenant.Tenant {
	id, err := tenant.ParseID(accesstoken.UnverifiedTenant(token))
	if err != nil {
		return nil
	}
	t, ok := h.Tenants().ByID(id)
	if !ok {
		return nil
	}
	return []*tenant.Tenant{t}
}

func (h *Handler) answer(ctx context.Context, req *exchange.Request, granted oauth.Scopes, r *connection.Record) (*exchange.Response, error) {
	if missing := scope.Lacking(granted, req.Scopes, r.GoogleScopes); r.Status == connection.Active && !missing.Empty() {
		return nil, notGranted(missing, r)
	}
	token, err := h.Credentials.AccessToken(ctx, r, scope.Entitled(granted), req.MinTTL, forced(req, r))
	if err != nil {
		return nil, noToken(err, r.Handle())
	}
	if missing := scope.Lacking(granted, req.Scopes, token.Scopes); !missing.Empty() { // the refresh has shown that less is granted
		return nil, notGranted(missing, r)
	}
	email, err := h.Vault.Open(ctx, r.Binding(vault.Email), r.SealedEmail)
	if err != nil {
		return nil, unavailable(fmt.Errorf("opening e-mail: %w", err))
	}
	now := h.Now()
	life := token.Expires.Sub(now)
	return &exchange.Response{
		AccessToken: token.Token.Reveal(), IssuedTokenType: oauth.TokenTypeAccessToken, TokenType: "Bearer",
		ExpiresIn: int64(life / time.Second), Scope: token.Scopes.String(), Account: r.Handle(), AccountEmail: string(email),
		GrantVersion: token.Version, CacheTTL: int64(max(0, min(life-cacheShare, maxCache)) / time.Second),
		Warning: warning(token.RefreshExpires, now),
	}, nil
}

// forced reports whether Google shall be asked although the token looks alive. A
// token is refused once: when the credential has moved on since, the newer one is
// the answer.
func forced(req *exchange.Request, r *connection.Record) bool {
	return req.ForceRefresh && (req.GrantVersion == 0 || r.Version <= req.GrantVersion)
}

// warning tells, a day ahead, that Google will end the connection.
func warning(ends, now time.Time) *exchange.Warning {
	if ends.IsZero() || ends.Sub(now) > connection.Warning {
		return nil
	}
	return &exchange.Warning{Code: exchange.TestingEnds, EndsIn: int64(max(0, ends.Sub(now)) / time.Second)}
}

func notGranted(missing oauth.Scopes, r *connection.Record) *exchange.Error {
	e := fail(oauth.InteractionRequired, "The Google account has not granted what this needs. Connect again and allow it.")
	e.Reason, e.MissingScopes, e.Account = exchange.MissingGoogleScopes, missing.Slice(), r.Handle()
	return e
}

func noToken(err error, account string) *exchange.Error {
	var e *exchange.Error
	switch {
	case errors.Is(err, connection.ErrReauth):
		e = fail(oauth.InteractionRequired, "The connection to Google has ended. Connect again.")
		e.Reason = exchange.ReauthRequired
	case errors.Is(err, connection.ErrTestingEnded):
		e = fail(oauth.InteractionRequired, "Google has ended the connection because the OAuth client is in testing mode. Connect again.")
		e.Reason = exchange.TestingExpired
	case errors.Is(err, connection.ErrPolicy):
		e = fail(oauth.InteractionRequired, "The administrator of the Google account asks for a new sign-in or does not allow this.")
		e.Reason = exchange.AdminPolicyBlocked
	case errors.Is(err, connection.ErrConfiguration):
		e = fail(oauth.ServerError, "The connection with Google is not set up correctly here.")
	default:
		e = unavailable(nil)
		if after := connection.RetryAfter(err); after > 0 {
			e.RetryAfter = int(math.Ceil(after.Seconds()))
		}
	}
	e.Account, e.Cause = account, err
	return e
}
