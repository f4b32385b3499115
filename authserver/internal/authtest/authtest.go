// Package authtest runs the whole authorization server for tests: real HTTP on
// loopback, real PostgreSQL, the stand-in for Google, and a person at a
// browser. It is never imported by production code.
package authtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// Resource is the resource server's identifier.
const Resource = "http://127.0.0.1:9/mcp"

// Redirect is the redirect URI of Register's clients.
const Redirect = "http://127.0.0.1:7/callback"

const rsClient = "latchkey-rs"

// Server is a running authorization server.
type Server struct {
	URL      string // issuer
	Internal string
	Admin    string // origin of the admin listener
	DSN      string
	KEKFile  string
	Google   *fakegoogle.Running
	RSKey    jose.JSONWebKey // private
	Logs     *Logs
	Host     *DocumentHost // serves client ID metadata documents

	Resource string // canonical identifier of the tenant's resource
	Tenant   tenant.ID

	settings config.Server
	app      *app.Server
}

// RevokeAtGoogle lets the worker try once what is to be revoked at Google.
func (s *Server) RevokeAtGoogle(t testing.TB) {
	t.Helper()
	if err := s.app.RevokeAtGoogle(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Logs collects what the server logs. Safe for concurrent use.
type Logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs a server of the test's own; everything ends with the test. Options
// change its settings.
func Start(t testing.TB, options ...func(*config.Server)) *Server {
	t.Helper()
	public, internal, admin := listen(t), listen(t), listen(t)
	s := &Server{URL: "http://" + public.Addr().String(), Internal: "http://" + internal.Addr().String(), Admin: "http://" + admin.Addr().String(), DSN: pgtest.Clone(t), Logs: &Logs{}, Resource: Resource, Tenant: tenant.DefaultID}
	s.Host = NewDocumentHost(t)
	s.Google = fakegoogle.Start(t, fakegoogle.Config{Clients: []fakegoogle.Client{{ID: "google-id", Secret: "google-secret", RedirectURIs: []string{s.URL + "/google/callback"}}}})
	dir := t.TempDir()
	var err error
	s.KEKFile = filepath.Join(dir, "kek.json")
	if _, err = vault.CreateKEK(s.KEKFile); err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.RSKey = jose.JSONWebKey{Key: private, KeyID: "rs-1", Algorithm: "ES256", Use: "sig"}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.RSKey.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	s.settings = config.Server{
		DatabaseURL: secret.NewText(s.DSN), InternalURL: s.Internal, RSClientID: rsClient, RSJWKSFile: filepath.Join(dir, "rs.json"),
		Google: config.Google{
			ClientID: "google-id", ClientSecret: secret.NewText("google-secret"), Issuer: s.Google.URL, AuthURL: s.Google.URL + "/o/oauth2/v2/auth",
			TokenURL: s.Google.URL + "/token", JWKSURL: s.Google.URL + "/oauth2/v3/certs", RevokeURL: s.Google.URL + "/revoke",
		},
		AccessTokenTTL: 10 * time.Minute, RefreshGrace: time.Minute, SessionIdle: time.Hour, SessionAbsolute: 24 * time.Hour, Profile: scope.Full,
		Documents: tenant.Admission{Mode: tenant.AdmitOpen}, TestHosts: []string{s.Host.Addr}, TestRoots: s.Host.Roots,
		RateLimitScale: 100, LimitsAskTime: 20 * time.Second,
	}
	for _, o := range options {
		o(&s.settings)
	}
	if s.settings.Issuer, err = oauth.ParseIssuerURL(s.URL); err != nil {
		t.Fatal(err)
	}
	if s.settings.Resource, err = oauth.ParseResource(Resource); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.settings.RSJWKSFile, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	a := s.build(t, s.Internal)
	s.app = a
	log := slog.New(slog.NewJSONHandler(s.Logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	serve(t, public, a.Public(log))
	serve(t, internal, a.Internal(log))
	serve(t, admin, a.Admin(log))
	return s
}

// Limits sets the factor on the rate limits, which a test's server has so high that
// they do not matter, and believes X-Forwarded-For (see From).
func Limits(factor float64) func(*config.Server) {
	return func(c *config.Server) {
		c.RateLimitScale, c.Proxies = factor, httpx.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	}
}

// From makes a request come from an address, at a server with Limits.
func From(r *http.Request, address string) *http.Request {
	r.Header.Set("X-Forwarded-For", address)
	return r
}

// Hasty lets the server wait for what others hold in the database for a second
// only.
func Hasty(c *config.Server) {
	dsn, err := pgtest.With(c.DatabaseURL.Reveal(), "lock_timeout", "1s")
	if err != nil {
		panic(err) // it is Clone's
	}
	c.DatabaseURL = secret.NewText(dsn)
}

// Replica runs another process's worth of the same server, with the same issuer:
// same database, same keys, nothing shared in memory. URL is where it listens.
// Options change its settings.
func (s *Server) Replica(t testing.TB, options ...func(*config.Server)) *Server {
	t.Helper()
	public, internal, admin := listen(t), listen(t), listen(t)
	r := *s
	for _, o := range options {
		o(&r.settings)
	}
	r.URL, r.Internal, r.Admin = "http://"+public.Addr().String(), "http://"+internal.Addr().String(), "http://"+admin.Addr().String()
	r.app = r.build(t, r.Internal)
	a, log := r.app, slog.New(slog.DiscardHandler)
	serve(t, public, a.Public(log))
	serve(t, internal, a.Internal(log))
	serve(t, admin, a.Admin(log))
	return &r
}

// DB opens the server's database as a server does.
func (s *Server) DB(t testing.TB) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), postgres.Config{URL: s.settings.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func (s *Server) build(t testing.TB, internal string) *app.Server {
	t.Helper()
	db := s.DB(t)
	callers, err := exchange.LoadClients(rsClient, s.settings.RSJWKSFile, internal, s.settings.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(&s.settings, db, s.kek(t), callers, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *Server) kek(t testing.TB) *vault.KEK {
	t.Helper()
	k, err := vault.LoadKEK(s.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serve(t testing.TB, l net.Listener, h http.Handler) {
	t.Helper()
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	srv.Start()
	t.Cleanup(srv.Close)
}

// Register registers a public client with both grants and returns its id.
func (s *Server) Register(t testing.TB, redirects ...string) string {
	t.Helper()
	if len(redirects) == 0 {
		redirects = []string{Redirect}
	}
	return s.RegisterWith(t, map[string]any{"redirect_uris": redirects, "token_endpoint_auth_method": "none"})["client_id"].(string)
}

// RegisterWith registers a client with the given members besides the usual ones
// and returns the response.
func (s *Server) RegisterWith(t testing.TB, members map[string]any) map[string]any {
	t.Helper()
	all := map[string]any{"redirect_uris": []string{Redirect}, "client_name": "Test app", "grant_types": []string{"authorization_code", "refresh_token"}}
	maps.Copy(all, members)
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	status, out := s.Post(t, "/register", "application/json", string(body))
	if status != http.StatusCreated {
		t.Fatalf("registration: %d %v", status, out)
	}
	return out
}

// Post posts a body to the server and decodes its JSON answer.
func (s *Server) Post(t testing.TB, path, contentType, body string) (int, map[string]any) {
	t.Helper()
	resp, err := http.Post(s.URL+path, contentType, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, resp)
}

// Token posts to the token endpoint.
func (s *Server) Token(t testing.TB, form url.Values) (int, map[string]any) {
	t.Helper()
	return s.Post(t, "/token", "application/x-www-form-urlencoded", form.Encode())
}

func decode(t testing.TB, resp *http.Response) (int, map[string]any) {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("status %d, not JSON: %s", resp.StatusCode, b)
	}
	return resp.StatusCode, out
}

// Visit is an authorization request with its PKCE verifier.
type Visit struct {
	Client   string
	Verifier string
	Query    url.Values
	Choice   fakegoogle.Choice
	Deny     bool     // at our consent page
	Untick   []string // scopes at our consent page
}

// NewVisit is a valid request for everything.
func (s *Server) NewVisit(t testing.TB) *Visit {
	t.Helper()
	return s.VisitAs(t, s.Register(t))
}

// VisitAs is NewVisit for a given client.
func (s *Server) VisitAs(t testing.TB, clientID string) *Visit {
	t.Helper()
	v := &Visit{Client: clientID, Verifier: oauth2.GenerateVerifier()}
	v.Query = url.Values{
		"response_type": {"code"}, "client_id": {v.Client}, "redirect_uri": {Redirect}, "state": {"st-1"}, "resource": {s.Resource},
		"scope": {"gmail.read drive.read calendar.read accounts"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(v.Verifier)}, "code_challenge_method": {"S256"},
	}
	return v
}

// AuthorizeURL is where the client sends the person.
func (s *Server) AuthorizeURL(v *Visit) string { return s.URL + "/authorize?" + v.Query.Encode() }

// Browser is a browser that stops at the client's redirect URI.
func Browser() *browser.Browser {
	b := browser.New()
	b.Stop = func(u *url.URL) bool { return strings.HasPrefix(u.String(), "http://127.0.0.1:7/") }
	return b
}

// Approve submits the consent page and returns where that leads.
func Approve(ctx context.Context, b *browser.Browser, p *browser.Page, v *Visit) (*browser.Page, error) {
	decision := "approve"
	if v.Deny {
		decision = "deny"
	}
	f, button, ok := p.Button("decision", decision)
	if !ok {
		return nil, fmt.Errorf("no consent page: status %d at %s", p.Status, p.URL.Path)
	}
	var ticked []string
	for _, s := range f.Values["scope"] {
		keep := true
		for _, u := range v.Untick {
			keep = keep && s != u
		}
		if keep {
			ticked = append(ticked, s)
		}
	}
	f.Values["scope"] = ticked
	return b.Submit(ctx, p, f, button)
}

// Walk plays the person to the end and returns the authorization response, or
// nil with the page where it ended.
func (s *Server) Walk(t testing.TB, v *Visit) (url.Values, *browser.Page) {
	t.Helper()
	return s.WalkWith(t, Browser(), v)
}

// WalkWith is Walk with a given browser.
func (s *Server) WalkWith(t testing.TB, b *browser.Browser, v *Visit) (url.Values, *browser.Page) {
	t.Helper()
	ctx := context.Background()
	p, err := b.Get(ctx, s.AuthorizeURL(v))
	if err == nil && p.Status == http.StatusOK {
		p, err = Approve(ctx, b, p, v)
	}
	if err == nil && p.Status == http.StatusOK {
		p, err = fakegoogle.Proceed(ctx, b, p, v.Choice)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != 0 {
		return nil, p
	}
	return p.URL.Query(), p
}

// Redeem is the token request of a code.
func (v *Visit) Redeem(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {v.Client}, "redirect_uri": {v.Query.Get("redirect_uri")}, "code_verifier": {v.Verifier}}
}

// Refresh is the token request of a refresh token.
func (v *Visit) Refresh(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {v.Client}}
}

// SignIn plays the whole flow and returns the token response.
func (s *Server) SignIn(t testing.TB, v *Visit) map[string]any {
	t.Helper()
	q, p := s.Walk(t, v)
	if q == nil || q.Get("code") == "" {
		t.Fatalf("no code: %v, page %d %s", q, p.Status, p.Body)
	}
	status, out := s.Token(t, v.Redeem(q.Get("code")))
	if status != http.StatusOK {
		t.Fatalf("token: %d %v", status, out)
	}
	return out
}

// Exchanger is the resource server's client of the exchange at an internal URL.
func (s *Server) Exchanger(t testing.TB, internal string) *wire.Client {
	t.Helper()
	c, err := wire.NewClient(wire.ClientConfig{Endpoint: internal + wire.Path, ClientID: rsClient, Key: s.RSKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// GoOnErasing lets the worker do once what is due of people's erasures.
func (s *Server) GoOnErasing(t testing.TB) {
	t.Helper()
	if err := s.app.GoOnErasing(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// GoOnWorking lets a server do the long work that the admin API has begun.
func (s *Server) GoOnWorking(t testing.TB) {
	t.Helper()
	if err := s.TryWorking(); err != nil {
		t.Fatal(err)
	}
}

// TryWorking is GoOnWorking where that may fail.
func (s *Server) TryWorking() error { return s.app.GoOnWorking(context.Background()) }

// SealAudit lets a server seal the audit trails once, with checkpoints.
func (s *Server) SealAudit(t testing.TB) {
	t.Helper()
	if err := s.app.SealAudit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// BeginRevocation begins to revoke everybody's access, without doing any of its
// work, and returns the job.
func (s *Server) BeginRevocation(t testing.TB) string {
	t.Helper()
	job, _, err := (&revocation.Revoker{Store: s.DB(t)}).Begin(context.Background(), revocation.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	return job.ID.String()
}

// GoOnRevoking lets a server do once what is due of revocations.
func (s *Server) GoOnRevoking(t testing.TB) {
	t.Helper()
	if err := s.app.GoOnRevoking(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
}
