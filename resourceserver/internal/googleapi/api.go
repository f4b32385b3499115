package googleapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

// MaxResponse bounds one answer of Google, in bytes.
const MaxResponse = 10 << 20

// MaxDownload bounds what is streamed through for a person, in bytes: Gmail's
// largest attachments in base64.
const MaxDownload = 70 << 20

// userAgent also asks Google for compression, which it grants by this word.
const userAgent = "latchkey-resourceserver (gzip)"

// NewTransport returns the one transport of the process. Proxy settings and root
// certificates are Go's defaults, so HTTPS_PROXY and SSL_CERT_FILE work.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ForceAttemptHTTP2 = true
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 200, 100
	t.IdleConnTimeout = 90 * time.Second
	t.ResponseHeaderTimeout = 30 * time.Second
	return t
}

// API opens sessions at Google. Every field but BaseURL is required.
type API struct {
	Transport   http.RoundTripper // shared by every session
	Credentials *credential.Credentials
	QuotaUsers  *seal.Names // what Google is told about who calls
	// BaseURL replaces every Google API host (a stand-in in development); "" is
	// Google.
	BaseURL string

	held held
}

// Session is the use of one Google account by one tool call.
type Session struct {
	HTTP    *http.Client
	Account Account
	baseURL string
	stream  *http.Client // for Download
}

// Account names the account used; every result carries it.
type Account struct {
	Handle string `json:"handle"` // for the account argument
	Email  string `json:"email"`
}

// Open gets the credential for the running tool and principal. account is a
// handle or an alias, or "" for the one that the person chose in this call, or
// else for the account of the grant. Errors are typed tool errors.
func (a *API) Open(ctx context.Context, account string) (*Session, error) {
	need, err := NeedOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return a.open(ctx, need)
}

// Service opens a session and makes a product's client for it: path is as for
// Options, create is the generated NewService. Errors are typed tool errors.
func Service[T any](ctx context.Context, a *API, account, path string, create func(context.Context, ...option.ClientOption) (*T, error)) (*T, Account, error) {
	s, err := a.Open(ctx, account)
	if err != nil {
		return nil, Account{}, err
	}
	service, err := create(ctx, s.Options(path)...)
	if err != nil {
		return nil, Account{}, fmt.Errorf("making client: %w", err)
	}
	return service, s.Account, nil
}

// OpenAlso opens a session for a Google scope that the running tool names beside
// its least ones (tool.Description.Also), with a credential that opens nothing
// else. It returns nil without an error if the app was not given it, or the
// person did not grant it at Google.
func (a *API) OpenAlso(ctx context.Context, account, google string) (*Session, error) {
	need, err := NeedOf(ctx, account)
	if err != nil {
		return nil, err
	}
	if !tool.Current(ctx).Also.Contains(google) {
		return nil, errors.New("opening a Google session with a scope that the tool does not name")
	}
	if !scope.AllowsGoogle(need.Principal.Scopes, google) {
		return nil, nil
	}
	need.Scopes = oauth.NewScopes(google)
	s, err := a.open(ctx, need)
	if e, ok := asToolError(err); ok && e.Code == tool.CodeMissingScopes {
		return nil, nil
	}
	return s, err
}

func (a *API) open(ctx context.Context, need credential.Need) (*Session, error) {
	first, err := a.Credentials.Get(ctx, need)
	if err != nil {
		return nil, credential.ToolError(ctx, err)
	}
	elicit.Using(ctx, first.Account)
	auth := &authorizer{next: a.Transport, credentials: a.Credentials, need: need, current: first, quotaUser: a.quotaUser(need.Principal)}
	client := func(max int64, of *share) *http.Client {
		return &http.Client{Transport: &limiter{next: &retrier{next: auth}, max: max, share: of}, CheckRedirect: noRedirect}
	}
	return &Session{
		HTTP: client(MaxResponse, a.held.share(ctx, person{need.Principal.Tenant, need.Principal.Subject})), stream: client(MaxDownload, nil), Account: Account{Handle: first.Account, Email: first.Email}, baseURL: a.BaseURL,
	}, nil
}

// Download starts to read what is too large to be held: base is the API's
// address, path the rest. The caller closes the body. Errors are typed tool
// errors.
func (s *Session) Download(ctx context.Context, base, path string) (*http.Response, error) {
	if s.baseURL != "" {
		base = s.baseURL
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("building download: %w", err)
	}
	resp, err := s.stream.Do(req)
	if err != nil {
		return nil, Error("downloading", err)
	}
	if err := googleapi.CheckResponse(resp); err != nil {
		_ = resp.Body.Close()
		return nil, Error("downloading", err)
	}
	return resp, nil
}

// NeedOf is what the running tool may ask the exchange for: its own least
// scopes, or those of the scope that stands in for them (scope.Ask), and no
// others.
func NeedOf(ctx context.Context, account string) (credential.Need, error) {
	p, t := bearer.From(ctx), tool.Current(ctx)
	if p == nil || t == nil {
		return credential.Need{}, errors.New("opening a Google session outside a tool call")
	}
	if account == "" {
		account = elicit.Account(ctx)
	}
	return credential.Need{Principal: p, Scopes: scope.Ask(p.Scopes, t.Google), Account: account, Tool: t.Name, RequestID: httpx.RequestID(ctx)}, nil
}

// Options are the options of a generated client. path is the service's path
// below its host: "", "drive/v3/", "calendar/v3/". With a client of ours the
// library adds neither transport nor credentials.
func (s *Session) Options(path string) []option.ClientOption {
	o := []option.ClientOption{option.WithHTTPClient(s.HTTP)}
	if s.baseURL != "" {
		o = append(o, option.WithEndpoint(strings.TrimSuffix(s.baseURL, "/")+"/"+path))
	}
	return o
}

// noRedirect: no API method used here redirects, and a followed redirect would
// carry the credential to another host.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// quotaUser attributes Google's per-user quota to the person, not to this server
// (googleapi standard parameter quotaUser: "any arbitrary string assigned to a
// user", at most 40 characters).
func (a *API) quotaUser(p *bearer.Principal) string { return a.QuotaUsers.Of(p.Tenant, p.Subject) }

var errUnconfirmed = &tool.Error{Code: tool.CodeInternal, Message: "Something went wrong in the server: nothing was done.", Cause: errors.New("acting before the person confirmed")}

// authorizer adds the credential and the quota user. A 401 renews the credential
// once per session and repeats the request once: Google refused it unread.
type authorizer struct {
	next        http.RoundTripper
	credentials *credential.Credentials
	need        credential.Need
	quotaUser   string

	mu      sync.Mutex
	current *credential.Credential
	renewed bool
}

func (a *authorizer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && !tool.MayAct(r.Context()) {
		// Whatever a product forgets: what asks the person does nothing before.
		return nil, errUnconfirmed
	}
	if dotted(r.URL.Path) {
		return nil, tool.Invalid("An id is not one of Google's; nothing was done.")
	}
	a.mu.Lock()
	used := a.current
	a.mu.Unlock()
	resp, err := a.send(r, used)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || (r.Body != nil && r.GetBody == nil) {
		return resp, err
	}
	fresh, err := a.renew(r.Context(), used)
	if err != nil {
		discard(resp)
		return nil, credential.ToolError(r.Context(), err)
	}
	if fresh == nil {
		return resp, nil
	}
	discard(resp)
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.send(again, fresh)
}

// dotted reports whether an address has a segment that leads to another one (RFC 3986
// §5.2.4): ids are escaped, but for the dots.
func dotted(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// renew returns the credential to try next, nil if there is none to be had.
func (a *authorizer) renew(ctx context.Context, used *credential.Credential) (*credential.Credential, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != used { // a parallel request of this session was first
		return a.current, nil
	}
	if a.renewed {
		return nil, nil
	}
	a.renewed = true
	fresh, err := a.credentials.Renew(ctx, a.need, used)
	if err != nil {
		return nil, err
	}
	if fresh.Account != used.Account { // what was shown and confirmed is of the one that was opened
		return nil, &tool.Error{Code: tool.CodeConflict, Message: "This name became that of another Google account while the call was under way; the call was broken off.",
			NextAction: "Look at account_status, and call again with the handle of the account that is meant."}
	}
	a.current = fresh
	return fresh, nil
}

func (a *authorizer) send(r *http.Request, c *credential.Credential) (*http.Response, error) {
	out := r.Clone(r.Context()) // a round tripper must not change its request
	out.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	out.Header.Set("User-Agent", userAgent)
	q := out.URL.Query()
	q.Set("quotaUser", a.quotaUser)
	out.URL.RawQuery = q.Encode()
	return a.next.RoundTrip(out)
}
