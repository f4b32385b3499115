package connection_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const (
	upstream  = "google-id"
	mailRead  = "https://www.googleapis.com/auth/gmail.readonly"
	driveRead = "https://www.googleapis.com/auth/drive.readonly"
)

var (
	granted = oauth.NewScopes("openid", mailRead)
	both    = oauth.NewScopes("openid", mailRead, driveRead)
)

// call is one request at Google's token endpoint; the test answers it.
type call struct {
	refresh, scope string
	w              http.ResponseWriter
}

// ok answers with an access token; refresh may be empty.
func (c *call) ok(access, refresh string, scopes oauth.Scopes) {
	_, _ = fmt.Fprintf(c.w, `{"access_token":%q,"refresh_token":%q,"expires_in":3600,"scope":%q,"token_type":"Bearer"}`, access, refresh, scopes)
}

// scopes are those asked for, else everything.
func (c *call) scopes() oauth.Scopes {
	asked, err := oauth.ParseScopes(c.scope)
	if err != nil || asked.Empty() {
		return both
	}
	return asked
}

func (c *call) fail(status int, body string) {
	c.w.WriteHeader(status)
	_, _ = c.w.Write([]byte(body))
}

// upstreamGoogle is a token endpoint played by the test.
type upstreamGoogle struct {
	url string

	mu    sync.Mutex
	calls int
	play  func(n int, c *call)
}

func (g *upstreamGoogle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{refresh: r.PostFormValue("refresh_token"), scope: r.PostFormValue("scope"), w: w}
	w.Header().Set("Content-Type", "application/json")
	g.mu.Lock()
	g.calls++
	n, play := g.calls, g.play
	g.mu.Unlock()
	play(n, c)
}

func (g *upstreamGoogle) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *upstreamGoogle) set(play func(n int, c *call)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.play = play
}

// bench is a database and a vault. All tests of the package share one, with a
// person of their own in it; what works on whatever is due has one to itself.
type bench struct {
	dsn   string
	db    *postgres.DB
	vault *vault.Vault
}

var (
	setUpBench sync.Once
	shared     *bench
	persons    atomic.Int32
)

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dsn: pgtest.Clone(t)}
	var err error
	if b.db, err = postgres.Open(context.Background(), postgres.Config{URL: secret.NewText(b.dsn)}); err != nil {
		t.Fatal(err)
	}
	kek, err := vault.CreateKEK(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	if b.vault, err = vault.New(vault.Config{KEK: kek, Store: b.db}); err != nil {
		t.Fatal(err)
	}
	return b
}

func theBench(t *testing.T) *bench {
	t.Helper()
	setUpBench.Do(func() { shared = newBench(t) })
	if shared == nil {
		t.Fatal("no database: see the first failed test")
	}
	return shared
}

// fixture is one person's connection.
type fixture struct {
	*bench
	t      *testing.T
	google *upstreamGoogle
	ref    connection.Ref
	ends   time.Time // of the refresh token, as Google names it at a sign-in
}

// setUp stores a credential whose access token is "stored" with the given life
// and whose refresh token is "r1".
func setUp(t *testing.T, life time.Duration, scopes oauth.Scopes, play func(n int, c *call)) *fixture {
	t.Helper()
	return theBench(t).setUp(t, life, scopes, play)
}

func (b *bench) setUp(t *testing.T, life time.Duration, scopes oauth.Scopes, play func(n int, c *call)) *fixture {
	t.Helper()
	f := &fixture{bench: b, t: t, google: &upstreamGoogle{play: play}}
	server := httptest.NewServer(f.google)
	t.Cleanup(server.Close)
	f.google.url = server.URL
	r, err := f.db.EnsureConnection(context.Background(), tenant.DefaultID, fmt.Sprintf("sub-%d", persons.Add(1)), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	f.ref = r.Ref
	f.signIn("stored", "r1", life, scopes)
	return f
}

func (f *fixture) seal(p vault.Purpose, value string) []byte {
	f.t.Helper()
	sealed, err := f.vault.Seal(context.Background(), f.record().Binding(p), []byte(value))
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed
}

// signIn is a completed sign-in at Google.
func (f *fixture) signIn(access, refresh string, life time.Duration, scopes oauth.Scopes) {
	f.t.Helper()
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		f.t.Fatal(err)
	}
	link := connection.Link{SealedEmail: []byte("e"), Ref: f.ref, UpstreamClient: upstream, SealedAccess: f.seal(vault.AccessToken, access), AccessExpires: time.Now().Add(life), GoogleScopes: scopes}
	if refresh != "" {
		link.SealedRefresh, link.RefreshExpires = f.seal(vault.RefreshToken, refresh), f.ends
	}
	if err := f.db.CompleteSignIn(context.Background(), flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: grant.New{
		Tenant: tenant.DefaultID, ID: uuid.Must(uuid.NewV7()), ClientID: "c", Subject: f.ref.Subject, Connection: f.ref.Connection, Resource: resource,
		Scopes: oauth.NewScopes("accounts"), CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Lifetimes: tenant.DefaultLifetimes(),
	}}); err != nil {
		f.t.Fatal(err)
	}
}

// replica is another process's worth of the same server.
func (f *fixture) replica() *connection.Credentials { return f.replicaOf(upstream) }

func (f *fixture) replicaOf(clientID string) *connection.Credentials {
	return &connection.Credentials{Store: f.db, Vault: f.vault, Google: always(google.New(google.Config{
		ClientID: clientID, ClientSecret: secret.NewText("s"), Issuer: f.google.url, AuthURL: f.google.url, TokenURL: f.google.url + "/token", JWKSURL: f.google.url,
	}))}
}

// always is one OAuth client at Google for every tenant.
func always(g connection.Google) func(context.Context, tenant.ID) (connection.Google, error) {
	return func(context.Context, tenant.ID) (connection.Google, error) { return g, nil }
}

func (f *fixture) record() *connection.Record {
	f.t.Helper()
	r, err := f.db.Connection(context.Background(), f.ref)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// stored opens a sealed value of the record as it stands.
func (f *fixture) stored(p vault.Purpose) string {
	f.t.Helper()
	r := f.record()
	sealed := r.SealedAccess
	if p == vault.RefreshToken {
		sealed = r.SealedRefresh
	}
	plain, err := f.vault.Open(context.Background(), r.Binding(p), sealed)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(plain)
}

// revoke is what revoking the connection writes, by another replica.
func (f *fixture) revoke() {
	f.t.Helper()
	f.exec(`UPDATE credentials SET status = 'revoked', version = version + 1 WHERE connection_id = $1`, f.ref.Connection)
}

// exec runs a statement as another replica would.
func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	b := &pgx.Batch{}
	b.Queue(`SET LOCAL ROLE latchkey_runtime`)
	b.Queue(`SELECT set_config('app.tenant_id', $1, true)`, tenant.DefaultID.String())
	b.Queue(sql, args...)
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() }); err != nil {
		f.t.Fatal(err)
	}
}

// free reports whether nobody holds the lease of the credential as it stands.
func (f *fixture) free() bool {
	f.t.Helper()
	r, owner := f.record(), uuid.New()
	mine, err := f.db.TakeLease(context.Background(), r.Ref, r.Version, owner, time.Minute)
	if err == nil && mine {
		err = f.db.ReleaseLease(context.Background(), r.Ref, owner)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return mine
}

// want checks a token or the reason why there is none.
func want(t *testing.T, what string, got *connection.AccessToken, err error, token string, reason error) {
	t.Helper()
	switch {
	case reason != nil && !errors.Is(err, reason):
		t.Errorf("%s: %v, want %v", what, err, reason)
	case reason == nil && err != nil:
		t.Errorf("%s: %v", what, err)
	case reason == nil && got.Token.Reveal() != token:
		t.Errorf("%s: token %q, want %q", what, got.Token.Reveal(), token)
	}
}
