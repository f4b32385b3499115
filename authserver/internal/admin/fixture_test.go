package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
)

var ctx = context.Background()

// world is a server with administrators, and two tenants with a person each.
type world struct {
	t      *testing.T
	s      *authtest.Server
	db     *postgres.DB
	root   *adm // of the deployment, with every scope
	acme   *place
	globex *place
}

// place is a tenant with what is in it.
type place struct {
	s          *authtest.Server
	slug       string
	revocation uuid.UUID // of nobody's grants
	rewrap     uuid.UUID
	verify     uuid.UUID
	own        *adm // its administrator, with every scope that there is for one
	subject    uuid.UUID
	connection uuid.UUID
	grant      uuid.UUID
	session    uuid.UUID
	client     string // registered itself
	document   string
	token      string // a person's access token
}

// adm is an administrator with a token.
type adm struct {
	w      *world
	id     string
	secret string
	token  string
}

func newWorld(t *testing.T, options ...func(*config.Server)) *world {
	t.Helper()
	w := &world{t: t, s: authtest.Start(t, options...)}
	w.db = w.s.DB(t)
	w.root = w.admin(tenant.ID{}, admin.AllScopes())
	return w
}

// peopled adds the two tenants.
func (w *world) peopled() *world {
	w.t.Helper()
	w.acme, w.globex = w.place("acme"), w.place("globex")
	return w
}

// admin makes an administrator, of the deployment for the zero tenant, and a token.
func (w *world) admin(of tenant.ID, scopes oauth.Scopes) *adm {
	w.t.Helper()
	made, secret, err := admin.NewAdministrator("test", of, scopes, nil)
	if err == nil {
		err = w.db.CreateAdministrator(ctx, made)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	a := &adm{w: w, id: made.ID, secret: secret.Reveal()}
	a.token = a.ask(w.s)
	return a
}

// ask gets a token for everything that the administrator has.
func (a *adm) ask(s *authtest.Server) string {
	a.w.t.Helper()
	status, out := a.w.tokenAt(s, url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.SetBasicAuth(a.id, a.secret) })
	if status != http.StatusOK {
		a.w.t.Fatalf("no token: %d %v", status, out)
	}
	return out["access_token"].(string)
}

// tokenAt asks the token endpoint of a server.
func (w *world) tokenAt(s *authtest.Server, f url.Values, change func(*http.Request)) (int, map[string]any) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.Admin+admin.TokenPath, strings.NewReader(f.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	a := w.send(r)
	return a.status, a.body
}

// answered is an answer of the API.
type answered struct {
	status int
	header http.Header
	body   map[string]any // nil without one
	raw    string
}

func (a answered) items() []map[string]any {
	var out []map[string]any
	list, _ := a.body["items"].([]any)
	for _, one := range list {
		out = append(out, one.(map[string]any))
	}
	return out
}

func (w *world) send(r *http.Request) answered {
	w.t.Helper()
	resp, err := (&http.Client{Transport: transport{w.t}}).Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := answered{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	if len(b) > 0 && resp.Header.Get("Content-Type") != "application/jsonl" {
		if err := json.Unmarshal(b, &out.body); err != nil {
			w.t.Fatalf("%s %s: %d, no JSON object: %s", r.Method, r.URL, resp.StatusCode, b)
		}
	}
	return out
}

// call sends a request of an administrator; a body is sent as JSON.
func (a *adm) call(method, path string, body any, change ...func(*http.Request)) answered {
	a.w.t.Helper()
	var b io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			a.w.t.Fatal(err)
		}
		b = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, a.w.s.Admin+admin.Base+path, b)
	if err != nil {
		a.w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	for _, c := range change {
		c(r)
	}
	return a.w.send(r)
}

// must is call that fails the test on another status.
func (a *adm) must(status int, method, path string, body any, change ...func(*http.Request)) answered {
	a.w.t.Helper()
	out := a.call(method, path, body, change...)
	if out.status != status {
		a.w.t.Fatalf("%s %s: %d, not %d: %s", method, path, out.status, status, out.raw)
	}
	return out
}

// place makes a tenant with a person who has signed in, a session, and a client of
// each kind.
func (w *world) place(slug string) *place {
	w.t.Helper()
	p := &place{s: w.s.AddTenant(w.t, slug, authtest.TenantOptions{}), slug: slug}
	v := p.s.NewVisit(w.t)
	p.client, p.token = v.Client, p.s.SignIn(w.t, v)["access_token"].(string)
	o := &operator.Operator{Store: w.db}
	grants, err := o.Grants(ctx, p.s.Tenant, operator.GrantFilter{}, operator.Page{Limit: 10})
	if err != nil || len(grants) != 1 {
		w.t.Fatal(grants, err)
	}
	p.grant, p.connection, p.subject = grants[0].ID, grants[0].Connection, grants[0].Subject
	p.session, p.document = uuid.Must(uuid.NewV7()), "https://client.example/"+slug+".json"
	if err := w.db.BeginSession(ctx, p.s.Tenant, session.New{SecretHash: sha256.Sum256([]byte(slug)), ID: p.session, Subject: p.subject, Browser: "Firefox", Most: 20}); err != nil {
		w.t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{"client_id": p.document, "client_name": "Published", "redirect_uris": []string{authtest.Redirect}, "token_endpoint_auth_method": "none"})
	if err == nil {
		err = w.db.KeepDocument(ctx, p.s.Tenant, &registration.Document{URL: p.document, Body: doc, Fetched: time.Now(), FreshUntil: time.Now().Add(time.Hour)})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ending, _, err := (&revocation.Revoker{Store: w.db}).Begin(ctx, revocation.Selector{Tenant: p.s.Tenant, Client: "nobody's"})
	if err != nil {
		w.t.Fatal(err)
	}
	p.revocation = ending.ID
	p.own = w.admin(p.s.Tenant, admin.TenantScopes())
	for kind, id := range map[job.Kind]*uuid.UUID{job.Rewrap: &p.rewrap, job.Verify: &p.verify} {
		begun, err := (&job.Runner{Store: w.db, KEK: kek(w.t, w.s).ID()}).Begin(ctx, kind, p.s.Tenant)
		if err != nil {
			w.t.Fatal(err)
		}
		*id = begun.ID
	}
	return p
}

// path fills a route's path with what is in a place, in the tenant of a slug.
func (p *place) path(route, slug string) string {
	return strings.NewReplacer("{tenant}", slug, "{connection}", p.connection.String(), "{grant}", p.grant.String(), "{session}", p.session.String(),
		"{subject}", p.subject.String(), "{client}", url.PathEscape(p.client), "{revocation}", p.revocation.String(), "{rewrap}", p.rewrap.String(), "{verification}", p.verify.String()).Replace(route)
}

// rows is what the database has of a tenant, its trail included.
func (w *world) rows(t tenant.ID) string {
	w.t.Helper()
	conn, err := pgx.Connect(ctx, w.s.DSN)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var out strings.Builder
	for _, sql := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '` + t.String() + `', false)`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, table := range []string{"tenants", "subjects", "connections", "credentials", "clients", "client_documents", "grants", "sessions", "signing_keys", "upstream_clients", "audit_events"} {
		columns := "x.*"
		if table == "upstream_clients" {
			columns = "x.generation, x.client_id, x.state"
		}
		var rows string
		if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(to_jsonb(y)::text, E'\n' ORDER BY to_jsonb(y)::text), '') FROM (SELECT `+columns+` FROM `+table+` x) y`).Scan(&rows); err != nil {
			w.t.Fatal(table, err)
		}
		out.WriteString(table + "\n" + rows + "\n")
	}
	return out.String()
}

// routes are the API's.
func (w *world) routes() []*admin.Route {
	w.t.Helper()
	api, err := admin.New(admin.Config{
		Tenants: func() *tenant.Directory { return directory(w.t, w.s) },
		Keys:    func(context.Context, tenant.ID) (*keyset.Set, error) { return nil, errors.New("no keys") },
		Now:     time.Now, Operator: &operator.Operator{},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return api.Routes()
}

// directory knows the default tenant's issuer.
func directory(t testing.TB, s *authtest.Server) *tenant.Directory {
	t.Helper()
	d, err := tenant.NewDirectory(&tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Issuer: s.Issuer(t)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// owner runs statements as the database's owner, jobs as the jobs role.
func (w *world) owner(statements ...string) {
	w.t.Helper()
	conn, err := pgx.Connect(ctx, w.s.DSN)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (w *world) jobs(statements ...string) {
	w.t.Helper()
	w.owner(append([]string{`SET ROLE latchkey_jobs`}, statements...)...)
}

func mustResource(t testing.TB, s string) oauth.Resource {
	t.Helper()
	r, err := oauth.ParseResource(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// published are the server's published keys.
type published struct{ jose.JSONWebKeySet }

// Key implements accesstoken.KeySource.
func (p published) Key(_ context.Context, kid string) (jose.JSONWebKey, error) {
	for _, k := range p.JSONWebKeySet.Key(kid) {
		return k, nil
	}
	return jose.JSONWebKey{}, accesstoken.ErrInvalid
}

func remote(t testing.TB, s *authtest.Server) accesstoken.KeySource {
	t.Helper()
	resp, err := http.Get(s.URL + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var p published
	if err := json.NewDecoder(resp.Body).Decode(&p.JSONWebKeySet); err != nil || len(p.Keys) == 0 {
		t.Fatal(err)
	}
	return p
}

func decodeClaims(t testing.TB, token string) accesstoken.Claims {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c accesstoken.Claims
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func kek(t testing.TB, s *authtest.Server) *vault.KEK {
	t.Helper()
	k, err := vault.LoadKEK(s.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
