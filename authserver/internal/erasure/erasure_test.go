package erasure_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const gmailRead = "https://www.googleapis.com/auth/gmail.readonly"

// fixture is a running server and a shredder beside it.
type fixture struct {
	*authtest.Server
	db       *postgres.DB
	vault    *vault.Vault
	shredder *erasure.Shredder
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Server: authtest.Start(t)}
	f.db = f.DB(t)
	kek, err := vault.LoadKEK(f.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	if f.vault, err = vault.New(vault.Config{KEK: kek, Store: f.db}); err != nil {
		t.Fatal(err)
	}
	issuer, err := oauth.ParseIssuerURL(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := tenant.NewDirectory(&tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Status: tenant.Active, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	tenants := func() *tenant.Directory { return directory }
	keys, err := keyset.New(keyset.Config{Store: f.db, Vault: f.vault, Tenants: tenants})
	if err != nil {
		t.Fatal(err)
	}
	f.shredder = &erasure.Shredder{Store: f.db, Keys: keys.For, Tenants: tenants, Now: time.Now}
	return f
}

// person signs in and returns the access token and the connection.
func (f *fixture) person(t *testing.T, account string) (token string, r *connection.Record) {
	t.Helper()
	v := f.NewVisit(t)
	v.Choice.Account = account
	token = f.SignIn(t, v)["access_token"].(string)
	subject, err := uuid.Parse(claims(t, token)["sub"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var id uuid.UUID
	query(t, f.DSN, tenant.DefaultID, `SELECT id FROM connections WHERE subject_id = '`+subject.String()+`'`, &id)
	if r, err = f.db.Connection(t.Context(), connection.Ref{Tenant: tenant.DefaultID, Subject: subject, Connection: id}); err != nil {
		t.Fatal(err)
	}
	return token, r
}

func (f *fixture) exchange(t *testing.T, token string) (*exchange.Response, error) {
	t.Helper()
	return f.Exchanger(t, f.Internal).Exchange(t.Context(), exchange.Request{SubjectToken: secret.NewText(token), Scopes: oauth.NewScopes(gmailRead)})
}

func claims(t *testing.T, jws string) (out map[string]any) {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 || json.Unmarshal(decode(t, parts[1]), &out) != nil {
		t.Fatalf("no JWS: %s", jws)
	}
	return out
}

// query reads one value as a server does.
func query(t *testing.T, dsn string, of tenant.ID, sql string, into any) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SET ROLE latchkey_runtime`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `SELECT set_config('app.tenant_id', $1, false)`, of.String()); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(ctx, sql).Scan(into); err != nil {
		t.Fatal(sql, err)
	}
}

func asJobs(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range []string{`SET ROLE latchkey_jobs`, sql} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(s, err)
		}
	}
}

func (f *fixture) jwks(t *testing.T) []byte {
	t.Helper()
	resp, err := http.Get(f.URL + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestShredSubject: a shredded person's values open for nobody who has the database, the key-encryption key and copies of the
// ciphertexts; others lose nothing; the person can come back and gets a new secret.
func TestShredSubject(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	alice, before := f.person(t, "alice@example.com")
	bob, _ := f.person(t, "bob@example.com")
	if plain, err := f.vault.Open(t.Context(), before.Binding(vault.Email), before.SealedEmail); err != nil || string(plain) != "alice@example.com" {
		t.Fatal(string(plain), err)
	}
	signed, r, err := f.shredder.Subject(t.Context(), tenant.DefaultID, before.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Keys) != 1 || r.Subject != before.Subject.String() || !maps.Equal(r.Rows, map[string]int64{"credentials": 1, "connections": 1, "google_revocations": 0, "subject_secrets": 1}) {
		t.Errorf("%+v", r)
	}
	if strings.Contains(string(decode(t, strings.Split(signed, ".")[1])), "alice") {
		t.Error("the receipt holds personal data")
	}
	after, err := f.db.Connection(t.Context(), before.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if after.SealedRefresh != nil || after.SealedAccess != nil || len(after.SealedEmail) != 0 || !after.Person.Empty() || after.Status != connection.Revoked || after.Version != before.Version+1 {
		t.Errorf("left: %v refresh, %v access, e-mail of %d bytes, %s", after.SealedRefresh != nil, after.SealedAccess != nil, len(after.SealedEmail), after.Status)
	}
	copies := map[vault.Purpose][]byte{vault.RefreshToken: before.SealedRefresh, vault.AccessToken: before.SealedAccess, vault.Email: before.SealedEmail}
	opens := func(r *connection.Record) {
		t.Helper()
		for p, sealed := range copies {
			if _, err := f.vault.Open(t.Context(), r.Binding(p), sealed); !errors.Is(err, vault.ErrRefused) {
				t.Errorf("a copy of the %s opens: %v", p, err)
			}
		}
	}
	opens(after)
	if _, err := f.exchange(t, alice); err == nil || !strings.Contains(err.Error(), string(oauth.InteractionRequired)) {
		t.Errorf("alice's exchange: %v", err)
	}
	if got, err := f.exchange(t, bob); err != nil || got.AccountEmail != "bob@example.com" {
		t.Errorf("bob's exchange: %v", err)
	}
	if _, again, err := f.shredder.Subject(t.Context(), tenant.DefaultID, before.Subject); err != nil || len(again.Keys) != 0 || again.Rows["subject_secrets"] != 0 {
		t.Errorf("a second time: %+v %v", again, err)
	}
	back, fresh := f.person(t, "alice@example.com")
	if got, err := f.exchange(t, back); err != nil || got.AccountEmail != "alice@example.com" {
		t.Errorf("alice comes back: %v", err)
	}
	opens(fresh)
}

// TestRefreshDuringShred: what a refresh or a sign-in under way brings for a shredded person is not stored, or opens for nobody.
func TestRefreshDuringShred(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	_, r := f.person(t, "alice@example.com")
	owner := uuid.New()
	if mine, err := f.db.TakeLease(t.Context(), r.Ref, r.Version, owner, time.Minute); err != nil || !mine {
		t.Fatal(mine, err)
	}
	sealed, err := f.vault.Seal(t.Context(), r.Binding(vault.AccessToken), []byte("late"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.shredder.Subject(t.Context(), tenant.DefaultID, r.Subject); err != nil {
		t.Fatal(err)
	}
	if err := f.db.PublishRefresh(t.Context(), connection.Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, SealedAccess: sealed, AccessExpires: time.Now().Add(time.Hour)}); !errors.Is(err, connection.ErrLost) {
		t.Errorf("published: %v", err)
	}
	after, err := f.db.Connection(t.Context(), r.Ref)
	if err != nil || after.SealedAccess != nil {
		t.Errorf("the token came back: %v", err)
	}
	if _, err := f.vault.Open(t.Context(), after.Binding(vault.AccessToken), sealed); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("the late token opens: %v", err)
	}
}

// TestShredTenant: nothing sealed is left of the tenant, nor a key; other tenants lose nothing; the default tenant signs and stays.
func TestShredTenant(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	alice, _ := f.person(t, "alice@example.com")
	other := pgtest.Tenant(t, f.DSN)
	r, err := f.db.EnsureConnection(t.Context(), other, "google-sub-9", "")
	if err != nil {
		t.Fatal(err)
	}
	email, err := f.vault.Seal(t.Context(), r.Binding(vault.Email), []byte("x@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	seal := func(b vault.Binding) []byte {
		t.Helper()
		b.Tenant = other
		sealed, err := f.vault.Seal(t.Context(), b, []byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for _, err := range []error{
		f.db.InsertSigningKey(t.Context(), other, keyset.Record{KID: "k1", Purpose: keyset.ForGrants, Alg: "HS256", Sealed: seal(vault.Binding{Purpose: vault.SigningKey, Context: "k1"})}),
		f.db.BeginFlow(t.Context(), other, signin.Flow{StateHash: [32]byte{1}, BrowserHash: [32]byte{2}, Request: seal(vault.Binding{Purpose: vault.AuthorizationRequest}), Lifetime: time.Minute}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.shredder.Tenant(t.Context(), tenant.DefaultID); !errors.Is(err, erasure.ErrDefaultTenant) {
		t.Errorf("the default tenant: %v", err)
	}
	if _, _, err := f.shredder.Tenant(t.Context(), other); !errors.Is(err, tenancy.ErrNotSuspended) {
		t.Errorf("a tenant that is not suspended: %v", err)
	}
	asJobs(t, f.DSN, `UPDATE tenants SET status = 'suspended' WHERE id = '`+other.String()+`'`)
	signed, receipt, err := f.shredder.Tenant(t.Context(), other)
	if err != nil || len(receipt.Keys) != 1 || receipt.Rows["signing_keys"] != 1 || receipt.Rows["flows"] != 1 || receipt.Rows["data_keys"] != 1 || receipt.Subject != "" {
		t.Fatalf("%+v %v", receipt, err)
	}
	if got, err := erasure.Verify(signed, f.jwks(t)); err != nil || got.Tenant != other.String() || got.Issuer != f.URL || got.Kind != erasure.KindTenant {
		t.Errorf("%+v %v", got, err)
	}
	for _, table := range []string{"data_keys", "signing_keys", "flows", "pushed_requests", "subject_secrets", "upstream_clients", "google_revocations"} {
		var n int
		if query(t, f.DSN, other, `SELECT count(*) FROM `+table, &n); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
	counts, err := f.db.CountValues(t.Context(), other)
	if err != nil || len(counts) != 0 {
		t.Errorf("left: %+v %v", counts, err)
	}
	kek, err := vault.LoadKEK(f.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	restarted, err := vault.New(vault.Config{KEK: kek, Store: f.db})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.Open(t.Context(), r.Binding(vault.Email), email); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("a copy opens after a restart, even with the person's secret: %v", err)
	}
	if got, err := f.exchange(t, alice); err != nil || got.AccountEmail != "alice@example.com" {
		t.Errorf("another tenant: %v", err)
	}
}

// TestReceipt: a receipt is verified by the public keys alone; nothing else passes for one, and it passes for nothing else.
func TestReceipt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, r := f.person(t, "alice@example.com")
	bob, _ := f.person(t, "bob@example.com")
	signed, made, err := f.shredder.Subject(t.Context(), tenant.DefaultID, r.Subject)
	if err != nil {
		t.Fatal(err)
	}
	jwks := f.jwks(t)
	got, err := erasure.Verify(signed+"\n", jwks) // as a file ends
	if err != nil || got.ID != made.ID || !slices.Equal(got.Keys, made.Keys) || got.Issuer != f.URL || got.Backups == "" || time.Since(time.Unix(got.IssuedAt, 0)) > time.Minute {
		t.Errorf("%+v %v", got, err)
	}
	parts := strings.Split(signed, ".")
	stranger := setUp(t).jwks(t)
	for name, c := range map[string]struct {
		receipt string
		jwks    []byte
	}{
		"an access token":          {token, jwks},
		"changed":                  {parts[0] + "." + strings.Split(token, ".")[1] + "." + parts[2], jwks},
		"without a signature":      {parts[0] + "." + parts[1] + ".", jwks},
		"keys of another issuer":   {signed, stranger},
		"no keys":                  {signed, []byte(`{"keys":[]}`)},
		"no key set":               {signed, []byte(`x`)},
		"nothing":                  {"", jwks},
		"larger than any can be":   {strings.Repeat("a", 65<<10), jwks},
		"a set larger than can be": {signed, make([]byte, 257<<10)},
	} {
		if _, err := erasure.Verify(c.receipt, c.jwks); !errors.Is(err, erasure.ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.exchange(t, signed); err == nil || !strings.Contains(err.Error(), string(oauth.InvalidGrant)) {
		t.Errorf("a receipt passes for an access token: %v", err)
	}
	set, err := f.shredder.Keys(t.Context(), tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := set.SignDocument(accesstoken.Type, map[string]string{}); err == nil {
		t.Error("a document is signed as an access token")
	}

	// What cannot be stated is not done.
	broken := *f.shredder
	broken.Keys = func(context.Context, tenant.ID) (*keyset.Set, error) { return nil, errors.New("the database is away") }
	victim, err := uuid.Parse(claims(t, bob)["sub"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := broken.Subject(t.Context(), tenant.DefaultID, victim); err == nil {
		t.Error("shredded without a receipt")
	}
	if _, err := f.exchange(t, bob); err != nil {
		t.Errorf("bob's credential is gone without a receipt: %v", err)
	}

	// The command, with files.
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	keys, file := write("jwks.json", jwks), write("receipt.jws", []byte(signed+"\n"))
	var out, errOut strings.Builder
	if code := app.Main(t.Context(), []string{"keys", "verify-receipt", file, "--jwks", keys}, &out, &errOut); code != 0 || !strings.Contains(out.String(), made.Keys[0]) {
		t.Errorf("%d %s %s", code, out.String(), errOut.String())
	}
	if code := app.Main(t.Context(), []string{"keys", "verify-receipt", write("other.jws", []byte(token)), "--jwks", keys}, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "another type") {
		t.Errorf("%d %s", code, errOut.String())
	}
}

func decode(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
