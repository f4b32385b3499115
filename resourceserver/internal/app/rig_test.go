package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/app"
	"latchkey/resourceserver/internal/approvaltest"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

const (
	tenant = "0198f000-0000-7000-8000-000000000001"
	alice  = "alice@example.com"
	all    = "accounts calendar.read drive.read gmail.read"
	full   = all + " calendar.write chat.read chat.send contacts.other.read contacts.read contacts.write directory.read forms.read gmail.draft gmail.organize gmail.send gmail.settings meet.read tasks.read tasks.write drive.files drive.write docs.write sheets.write"
)

// rig is a whole resource server over real HTTP, with a tiny authorization
// server and the stand-in for Google.
type rig struct {
	t        testing.TB
	as       *authority
	google   *fakegoogle.Server
	conns    *atomic.Int64 // TCP connections that Google saw
	quota    *quotaUsers
	origin   string // of the resource server
	mcp      string // resource identifier
	log      *buffer
	settings *config.Server
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t testing.TB, change ...func(*config.Server)) *rig {
	t.Helper()
	r := &rig{t: t, conns: &atomic.Int64{}, quota: &quotaUsers{}, log: &buffer{}}
	const redirect = "http://127.0.0.1:1/cb"
	g := httptest.NewUnstartedServer(nil)
	googleURL := "http://" + g.Listener.Addr().String()
	var err error
	r.google, err = fakegoogle.New(fakegoogle.Config{Issuer: googleURL, Crowd: 16, Clients: []fakegoogle.Client{{ID: "id", Secret: "sec", RedirectURIs: []string{redirect}}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Config.Handler = r.watched()
	g.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	g.Start()
	t.Cleanup(g.Close)

	dir := t.TempDir()
	if _, err := credential.CreateKey(filepath.Join(dir, "rs.json"), filepath.Join(dir, "rs.jwks.json")); err != nil {
		t.Fatal(err)
	}
	rs := httptest.NewUnstartedServer(nil)
	r.origin = "http://" + rs.Listener.Addr().String()
	r.mcp = r.origin + "/mcp"
	r.as = newAuthority(t, r.mcp, oauth2.Config{
		ClientID: "id", ClientSecret: "sec", RedirectURL: redirect, Endpoint: oauth2.Endpoint{AuthURL: googleURL + "/o/oauth2/v2/auth", TokenURL: googleURL + "/token"},
		Scopes: append([]string{"openid", "email"}, scope.GoogleFor(oauth.NewScopes(strings.Fields(full)...)).Slice()...),
	})
	resource, err := oauth.ParseResource(r.mcp)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oauth.ParseIssuerURL(r.as.url)
	if err != nil {
		t.Fatal(err)
	}
	r.settings = &config.Server{
		Resource: resource, Issuer: issuer, JWKSURL: r.as.url + "/jwks", ASInternalURL: r.as.url, RSClientID: "rs", RSKeyFile: filepath.Join(dir, "rs.json"),
		GoogleAPIURL: googleURL, ListenLoopback: true, AllowedOrigins: []string{"https://inspector.example"},
		ToolPreset: tool.PresetComplete, Policy: policy.Policy{Send: policy.SendConfirm, ExternalShare: policy.ShareConfirm, Confirmation: policy.ConfirmByClient},
		RateLimitScale: 1,
	}
	for _, c := range change {
		c(r.settings)
	}
	rs.Config.Handler = r.handler()
	rs.Start()
	t.Cleanup(func() {
		rs.Close()
		for _, secret := range r.as.secrets() { // DESIGN §1.7, in every test
			if strings.Contains(r.log.String(), secret) {
				t.Error("a token, an e-mail address or content is in the log")
			}
		}
	})
	return r
}

// handler builds a resource server of the rig's settings.
func (r *rig) handler() http.Handler {
	r.t.Helper()
	h, err := app.New(r.t.Context(), r.settings, slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// replica is another process with the same settings and key.
func (r *rig) replica() *rig {
	s := httptest.NewServer(r.handler())
	r.t.Cleanup(s.Close)
	other := *r
	other.origin, other.mcp = s.URL, s.URL+"/mcp"
	return &other
}

// authority is the in-test authorization server: keys, and an exchange whose
// answers a test can replace.
type authority struct {
	t      testing.TB
	url    string
	key    jose.JSONWebKey
	aud    string
	google oauth2.Config
	page   *approvaltest.Page

	mu       sync.Mutex
	down     bool
	answer   func(form map[string]string) (status int, body any) // nil: a real Google token
	people   map[string]string                                   // e-mail address by subject; others are alice
	tokens   map[string]*oauth2.Token                            // Google tokens by e-mail address and scopes
	asked    []map[string]string                                 // exchange requests
	minted   []string
	revoked  []string // grants
	outcomes chan exchange.Outcome
	forceNew bool
	listed   int                        // how often the list was asked for
	fed      int                        // how often the feed of revocations was
	tenants  []exchange.Tenant          // nil: the list does not answer
	keys     map[string]jose.JSONWebKey // of tenants, by id
}

func newKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: string(jose.ES256), Use: "sig"}
}

func newAuthority(t testing.TB, aud string, google oauth2.Config) *authority {
	a := &authority{t: t, page: approvaltest.New(t), key: newKey(t, "k1"), aud: aud, google: google, tokens: map[string]*oauth2.Token{}, people: map[string]string{}, outcomes: make(chan exchange.Outcome, 1000)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		down := a.down
		a.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{a.key.Public()}})
	})
	mux.HandleFunc("POST "+exchange.Path, a.exchange)
	mux.HandleFunc("POST "+exchange.AccountsPath, a.accounts)
	mux.Handle("POST "+exchange.ApprovalsPath, a.page)
	mux.HandleFunc("GET "+exchange.RevocationsPath, func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.fed++
		_ = json.NewEncoder(w).Encode(exchange.Revocations{Grants: a.revoked, Next: time.Now().UnixMilli()})
	})
	mux.HandleFunc("GET "+exchange.ResourcesPath, func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.listed++
		if a.tenants == nil {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		version, err := json.Marshal(a.tenants)
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(exchange.Resources{Version: strconv.Itoa(int(crc32.ChecksumIEEE(version))), Tenants: a.tenants})
	})
	mux.HandleFunc("GET "+exchange.KeysPath+"{tenant}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		key := a.keys[r.PathValue("tenant")]
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	})
	mux.HandleFunc("POST "+exchange.OutcomesPath, func(w http.ResponseWriter, r *http.Request) {
		var in exchange.Outcomes
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
			t.Error("a report of outcomes:", err)
		}
		for _, o := range in.Outcomes {
			select {
			case a.outcomes <- o:
			default: // a test of many calls, which does not look
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *authority) requests() []map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]map[string]string{}, a.asked...)
}

func (a *authority) secrets() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := append([]string{alice, "Budget", "Autumn news", "office moves"}, a.minted...)
	for _, t := range a.tokens {
		out = append(out, t.AccessToken)
	}
	return out
}

func (a *authority) exchange(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		a.t.Error(err)
	}
	form := map[string]string{}
	for k, v := range r.PostForm {
		form[k] = v[0]
	}
	if form["client_assertion"] == "" || form["client_assertion_type"] != oauth.ClientAssertionJWTBearer || form["resource"] != exchange.GoogleAPIs {
		a.t.Error("the exchange request is not authenticated or not for Google")
	}
	a.mu.Lock()
	a.asked = append(a.asked, form)
	answer := a.answer
	a.mu.Unlock()
	status, body := http.StatusOK, any(nil)
	if answer != nil {
		status, body = answer(form)
	}
	if body == nil {
		a.mu.Lock()
		email := a.people[signed(form["subject_token"]).Sub]
		a.mu.Unlock()
		if email == "" {
			email = alice
		}
		body = a.tokenOf(email, form["scope"], form["force_refresh"] == "true")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// accounts answers a list of linked accounts: two, of which the second was chosen.
func (a *authority) accounts(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("client_assertion") == "" || signed(r.PostForm.Get("subject_token")).Sub == "" {
		a.t.Error("the request for accounts is not authenticated or for nobody")
	}
	a.mu.Lock()
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		if status, body := answer(map[string]string{"tool": r.PostForm.Get("tool")}); body != nil {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(body)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(exchange.Accounts{Accounts: []exchange.Account{
		{Handle: "acc_1", Alias: "old\u202ework", MaskedEmail: "o***@example.com", Ended: true}, {Handle: "acc_2", Alias: "work", MaskedEmail: "a***@example.com", Chosen: true},
	}})
}

// signed reads a token that this authority signed.
func signed(token string) (c struct{ Sub, Scope string }) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		b, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(b, &c)
	}
	return c
}

// googleToken is alice's token for everything.
func (a *authority) googleToken(force bool) exchange.Response { return a.tokenOf(alice, "", force) }

// tokenOf signs a person in at the stand-in, once for each set of scopes, and
// again when forced. The token has the scopes that were asked for and no others,
// so that every tool is held to what it says it needs.
func (a *authority) tokenOf(email, scopes string, force bool) exchange.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	google := a.google
	if scopes != "" {
		google.Scopes = append([]string{"openid", "email"}, strings.Fields(scopes)...)
	}
	key := email + " " + scopes
	if a.tokens[key] == nil || force {
		ctx, verifier := context.Background(), oauth2.GenerateVerifier()
		back, err := fakegoogle.SignIn(ctx, google.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), fakegoogle.Choice{Account: email})
		if err != nil {
			a.t.Error(err)
			return exchange.Response{}
		}
		token, err := google.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			a.t.Error(err)
			return exchange.Response{}
		}
		a.tokens[key] = token
	}
	return exchange.Response{
		AccessToken: a.tokens[key].AccessToken, TokenType: "Bearer", IssuedTokenType: oauth.TokenTypeAccessToken, ExpiresIn: 3600,
		Scope: strings.Join(a.google.Scopes, " "), Account: "acc_1", AccountEmail: email, CacheTTL: 300,
	}
}

// claims of a good token; a test changes what it wants.
func (a *authority) claims(scopes string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": a.url, "sub": "0198f000-0000-7000-8000-00000000000a", "aud": a.aud, "client_id": "client", "scope": scopes,
		"exp": now.Add(10 * time.Minute).Unix(), "iat": now.Unix(), "jti": rand.Text(), "tid": tenant, "gid": "0198f000-0000-7000-8000-00000000000b",
	}
}

func (a *authority) mint(scopes string) string { return a.sign(a.claims(scopes), a.key, "at+jwt") }

func (a *authority) sign(claims map[string]any, key jose.JSONWebKey, typ string) string {
	a.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		a.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		a.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		a.t.Fatal(err)
	}
	s, err := jws.CompactSerialize()
	if err != nil {
		a.t.Fatal(err)
	}
	a.set(func() { a.minted = append(a.minted, s) })
	return s
}

// reply is an HTTP answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request; headers are name, value pairs, Host included.
func (r *rig) send(method, url, token, body string, headers ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// result is a tools/call result.
type result struct {
	Content []struct{ Text, Name, MimeType string }
	IsError bool
	Data    map[string]any `json:"structuredContent"`
}

// callBody is a tools/call message of an older revision.
func callBody(name string, args any) string {
	b, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": name, "arguments": args}})
	return string(b)
}

// call runs a tool and wants HTTP 200.
func (r *rig) call(token, name string, args map[string]any) result {
	r.t.Helper()
	return r.callAt(r.mcp, token, name, args)
}

// callAt is call at another tenant's resource.
func (r *rig) callAt(mcp, token, name string, args map[string]any) result {
	r.t.Helper()
	out := r.send(http.MethodPost, mcp, token, callBody(name, args))
	if out.status != http.StatusOK {
		r.t.Fatalf("%s: status %d: %s", name, out.status, out.body)
	}
	return decode(r.t, out.body)
}

func decode(t testing.TB, body string) result {
	t.Helper()
	var m struct {
		Result result
		Error  json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Error != nil {
		t.Fatalf("no result: %s (%v)", body, err)
	}
	return m.Result
}

// ok runs a tool and wants success.
func (r *rig) ok(name string, args map[string]any) map[string]any {
	r.t.Helper()
	out := r.call(r.as.mint(full), name, args)
	if out.IsError {
		r.t.Fatalf("%s: %v", name, out.Data)
	}
	return out.Data
}
