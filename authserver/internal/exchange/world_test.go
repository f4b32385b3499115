package exchange_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

const (
	internal  = "http://internal.test"
	rsClient  = "latchkey-rs"
	gmailRead = "https://www.googleapis.com/auth/gmail.readonly"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// account is a Google account that a person of a tenant has connected.
type account struct {
	connection.Ref
	handle, email, token string
}

// row is a grant as the database has it.
type row struct {
	tenant   *tenant.Tenant
	id       uuid.UUID
	person   *person
	client   string
	resource oauth.Resource
	account  *account
	live     bool
}

type person struct {
	subject  uuid.UUID
	accounts []*account
}

// world is several tenants in one database with people, accounts, clients,
// resources and grants, and the exchange over it.
type world struct {
	dsn       string
	db        *postgres.DB
	handler   *exchange.Handler
	keys      *keyset.Keyset
	rs, other jose.JSONWebKey // the resource server's key, and a stranger's
	tenants   []*tenant.Tenant
	people    map[tenant.ID][]*person
	rows      []*row
	byID      map[tenant.ID]map[uuid.UUID]*row
	trips     *trips
}

// trips counts what goes to the database, but for the pool's own questions: it asks
// them before it gives out a connection that has rested or is new.
type trips struct{ batches, statements atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if d.SQL != "-- ping" && !strings.Contains(d.SQL, "FROM pg_roles") {
		c.batches.Add(1)
		c.statements.Add(1)
	}
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	c.batches.Add(1)
	c.statements.Add(int64(d.Batch.Len()))
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func newKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: string(jose.ES256)}
}

// newWorld makes size tenants, the default one among them, with size people
// each, who have two accounts each. Grant ids are the same in every tenant: an id
// alone names nothing.
func newWorld(t testing.TB, size int) *world {
	t.Helper()
	w := &world{dsn: pgtest.Clone(t), trips: &trips{}, rs: newKey(t, "rs-1"), other: newKey(t, "rs-1"), people: map[tenant.ID][]*person{}, byID: map[tenant.ID]map[uuid.UUID]*row{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.db, err = postgres.Open(context.Background(), postgres.Config{URL: secret.NewText(w.dsn), Tracer: w.trips})
	must(err)
	t.Cleanup(w.db.Close)
	for i := range size {
		tn := &tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Status: tenant.Active, Profile: scope.Full, Lifetimes: tenant.DefaultLifetimes()}
		path := ""
		if i > 0 {
			tn.ID, tn.Slug = pgtest.Tenant(t, w.dsn), fmt.Sprintf("t%d", i)
			path = "/t/" + tn.Slug
		}
		tn.Issuer, err = oauth.ParseIssuerURL("https://auth.test" + path)
		must(err)
		for _, name := range []string{"mcp", "second"} {
			r, err := oauth.ParseResource("https://mcp.test" + path + "/" + name)
			must(err)
			tn.Resources = append(tn.Resources, tenant.Resource{Canonical: r})
		}
		w.tenants = append(w.tenants, tn)
	}
	directory, err := tenant.NewDirectory(w.tenants...)
	must(err)
	tenants := func() *tenant.Directory { return directory }
	kek, err := vault.CreateKEK(filepath.Join(t.TempDir(), "kek.json"))
	must(err)
	v, err := vault.New(vault.Config{KEK: kek, Store: w.db})
	must(err)
	w.keys, err = keyset.New(keyset.Config{Store: w.db, Vault: v, Tenants: tenants, Timing: keyset.DefaultTiming()})
	must(err)
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{w.rs.Public()}})
	must(err)
	file := filepath.Join(t.TempDir(), "rs.json")
	must(os.WriteFile(file, jwks, 0o600))
	callers, err := exchange.LoadClients(rsClient, file, internal, w.tenants[0].Issuer)
	must(err)
	apart, err := postgres.Open(context.Background(), postgres.Config{URL: secret.NewText(w.dsn)}) // what it tells beside is nobody's round trip
	must(err)
	t.Cleanup(apart.Close)
	w.handler = &exchange.Handler{
		Clients: callers, Store: w.db, Vault: v, Tenants: tenants, Audit: w.db, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Links:  &connection.Invitations{Store: w.db, Tenants: tenants},
		Asker:  &approval.Approvals{Store: w.db, Vault: v, Tenants: tenants},
		Limits: ratelimit.New(ratelimit.Config{Store: apart, Limits: ratelimit.Everywhere(ratelimit.Default(1000)), Log: slog.New(slog.DiscardHandler)}),
		Credentials: &connection.Credentials{Store: w.db, Vault: v, Google: func(context.Context, tenant.ID) (connection.Google, error) {
			panic("google is asked although the token lives")
		}},
		Keys: func(ctx context.Context, id tenant.ID) (accesstoken.KeySource, error) { return w.keys.For(ctx, id) },
	}
	ids := make([]uuid.UUID, 0, 16*size)
	for range cap(ids) {
		ids = append(ids, uuid.Must(uuid.NewV7()))
	}
	for _, tn := range w.tenants {
		w.byID[tn.ID] = map[uuid.UUID]*row{}
		n := 0
		for i := range size {
			p := w.person(t, v, tn, i)
			for _, a := range p.accounts {
				for _, resource := range tn.Resources {
					for _, client := range []string{"c1", "c2"} {
						r := &row{tenant: tn, id: ids[n%len(ids)], person: p, client: client, resource: resource.Canonical, account: a, live: n%7 != 3}
						w.grant(t, v, r)
						n++
					}
				}
			}
		}
	}
	return w
}

// person has one account that is the same at every tenant, and one of their own.
func (w *world) person(t testing.TB, v *vault.Vault, tn *tenant.Tenant, i int) *person {
	t.Helper()
	ctx := context.Background()
	first, err := w.db.EnsureConnection(ctx, tn.ID, fmt.Sprintf("sub-%d", i), "")
	if err != nil {
		t.Fatal(err)
	}
	p := &person{subject: first.Subject}
	second := first.Ref
	second.Connection = uuid.Must(uuid.NewV7())
	w.exec(t, tn.ID, `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default) VALUES ($1, $2, $3, $4, '', false)`,
		tn.ID.UUID(), second.Connection, second.Subject, "second-"+second.Connection.String())
	for _, ref := range []connection.Ref{first.Ref, second} {
		name := ref.Connection.String()
		p.accounts = append(p.accounts, &account{Ref: ref, handle: "acc_" + name, email: name + "@example.com", token: "ya29." + name})
	}
	w.people[tn.ID] = append(w.people[tn.ID], p)
	return p
}

func (w *world) exec(t testing.TB, id tenant.ID, sql string, args ...any) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	b := &pgx.Batch{}
	b.Queue(`SET LOCAL ROLE latchkey_runtime`)
	b.Queue(`SELECT set_config('app.tenant_id', $1, true)`, id.String())
	b.Queue(sql, args...)
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() }); err != nil {
		t.Fatal(err)
	}
}

// grant completes the sign-in that makes the grant, and redeems its code.
func (w *world) grant(t testing.TB, v *vault.Vault, r *row) {
	t.Helper()
	ctx := context.Background()
	record, err := w.db.Connection(ctx, r.account.Ref)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(p vault.Purpose, value string) []byte {
		sealed, err := v.Seal(ctx, record.Binding(p), []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	g := grant.New{
		Tenant: r.tenant.ID, ID: r.id, ClientID: r.client, Subject: r.person.subject, Connection: r.account.Connection, Resource: r.resource,
		Scopes: oauth.NewScopes("gmail.read", "accounts"), Offline: true, RedirectURI: "http://127.0.0.1/cb", CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes(),
	}
	link := connection.Link{Ref: r.account.Ref, UpstreamClient: "up", SealedRefresh: seal(vault.RefreshToken, "r"), SealedAccess: seal(vault.AccessToken, r.account.token),
		AccessExpires: time.Now().Add(time.Hour), GoogleScopes: oauth.NewScopes("openid", gmailRead), SealedEmail: seal(vault.Email, r.account.email)}
	if err := w.db.CompleteSignIn(ctx, flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: g}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.RedeemCode(ctx, grant.Redemption{Tenant: r.tenant.ID, ID: r.id, ClientID: r.client, RedirectURI: g.RedirectURI, CodeChallenge: challenge, RefreshIdle: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if !r.live {
		if err := w.db.RevokeGrant(ctx, r.tenant.ID, r.id, "test"); err != nil {
			t.Fatal(err)
		}
	}
	w.rows = append(w.rows, r)
	w.byID[r.tenant.ID][r.id] = r
}

// claims are those of an access token of the grant.
func (r *row) claims() accesstoken.Claims {
	now := time.Now()
	return accesstoken.Claims{
		Issuer: r.tenant.Issuer.String(), Subject: r.person.subject.String(), Audience: r.resource.String(), ClientID: r.client, Scope: "accounts gmail.read",
		Expiry: now.Add(10 * time.Minute).Unix(), IssuedAt: now.Unix(), ID: rand.Text(), Tenant: r.tenant.ID.String(), Grant: r.id.String(),
	}
}

func (w *world) sign(t testing.TB, by tenant.ID, c accesstoken.Claims) string {
	t.Helper()
	keys, err := w.keys.For(context.Background(), by)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// caller is how a resource server proves itself.
type caller struct {
	key          jose.JSONWebKey
	id, audience string
}

func (w *world) rightCaller() caller { return caller{w.rs, rsClient, internal + wire.Path} }

// exchange asks as a resource server does and returns the answer's status and
// members.
func (w *world) exchange(t testing.TB, by caller, r wire.Request) (int, map[string]any) {
	t.Helper()
	form := r.Form()
	form.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
	form.Set("client_assertion", authtest.Assertion(t, by.key, by.id, by.audience, nil))
	request := httptest.NewRequest(http.MethodPost, wire.Path, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, request)
	out := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return answer.Code, out
}
