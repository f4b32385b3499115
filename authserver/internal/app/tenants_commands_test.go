package app_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
)

// TestTenantCommands: a tenant's whole life in commands, in a running server: made, limited, given a Google client whose
// secret is no argument and in no answer, suspended, resumed, exported, erased.
func TestTenantCommands(t *testing.T) {
	t.Parallel()
	var kek string
	s := authtest.Start(t, func(c *config.Server) { kek = filepath.Join(filepath.Dir(c.RSJWKSFile), "kek.json") })
	try := func(args ...string) (string, string, int) {
		if args[0] == "erase" {
			args = append(args, "--kek-file", kek)
		}
		var out, errOut bytes.Buffer
		code := app.Main(t.Context(), append(append([]string{"tenants"}, args...), "--database-url", s.DSN, "--issuer", s.URL, "--resource-url", authtest.Resource, "--google-client-id", "google-id"), &out, &errOut)
		return out.String(), errOut.String(), code
	}
	do := func(args ...string) (v tenancy.View) {
		t.Helper()
		out, errOut, code := try(append(args, "--json")...)
		if code != 0 {
			t.Fatalf("%v: %s", args, errOut)
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v: %v in %s", args, err, out)
		}
		s.Reload(t)
		return v
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if _, errOut, code := try(args...); code != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
	v := do("create", "acme", "--name", "Acme Ltd", "--google-domains", "example.com,acme.example", "--report-only", "google_domains")
	if v.Issuer != s.URL+"/t/acme" || v.Resources[0].URL != "http://127.0.0.1:9/t/acme/mcp" || v.Google.Of != tenancy.OfDeployment || v.Google.ClientID != "google-id" || v.Status != "active" ||
		!strings.Contains(string(v.Policy), `"acme.example"`) || v.Problem != "" {
		t.Errorf("%+v", v)
	}
	if a := ask(t, http.MethodGet, v.Issuer+"/.well-known/openid-configuration", ""); a.Status != http.StatusOK {
		t.Errorf("not served: %d", a.Status)
	}
	refused("belongs to another tenant", "create", "acme")
	refused("belongs to another tenant", "create", "thief", "--resource", "http://127.0.0.1:9/t/acme/mcp")
	refused("belongs to another tenant", "create", "thief", "--resource", authtest.Resource)
	refused("belongs to another tenant", "create", "thief", "--resource", authtest.Resource+"/gmail")
	refused("belongs to another tenant", "create", "thief", "--resource", "http://127.0.0.1:9/t/acme/mcp/drive")
	refused("no product", "create", "x", "--resource", "mail=https://mcp.example.com/mail")
	refused("is the deployment's own", "create", "thief", "--host", strings.TrimPrefix(s.URL, "http://"))
	refused("slug", "create", "Acme")
	refused("slug", "create", "../x")
	refused("lower case", "create", "x", "--host", "Auth.Acme.Example")
	refused("must be", "create", "x", "--resource", "mcp.example.com")
	refused("no scope", "update", "acme", "--allowed-scopes", "gmail.everything")
	refused("no such tenant", "show", "nobody")
	refused("ISSUER", "update", "default", "--host", "auth.example.com")
	refused("RESOURCE_URL", "update", "default", "--resource", "https://mcp.example.com/mcp")

	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"profile":"lite","lifetimes":{"access_token":"5m"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	v = do("update", "acme", "--policy-file", policy, "--host", "auth.acme.example", "--resource", "https://mcp.acme.example/mcp", "--resource", "gmail=https://mcp.acme.example/gmail")
	if v.Issuer != "https://auth.acme.example" || len(v.Resources) != 2 || v.Resources[0].Product != "gmail" || strings.Contains(string(v.Policy), "google_domains") || v.Name != "Acme Ltd" {
		t.Errorf("%+v", v)
	}
	v = do("update", "acme", "--profile", "full", "--host", "") // what is not given stays
	if v.Issuer != s.URL+"/t/acme" || len(v.Resources) != 2 || !strings.Contains(string(v.Policy), `5m`) || v.Generation != 3 {
		t.Errorf("%+v", v)
	}
	if v = do("update", "acme", "--allowed-tools", "gmail_search_threads"); !strings.Contains(string(v.Policy), "gmail_search_threads") {
		t.Errorf("%s", v.Policy)
	}
	if v = do("update", "acme", "--allowed-tools", ""); strings.Contains(string(v.Policy), "allowed_tools") {
		t.Errorf("an empty list restricts: %s", v.Policy)
	}

	v = do("update", "acme", "--clients", "approved", "--limits", "person=5000,tool=20", "--report-only", "clients,limits,sessions_max")
	if p, err := tenant.ParsePolicy(v.Policy); err != nil || p.Clients != tenant.ApprovedClient || p.Limits["person"] != 5000 || p.Limits["tool"] != 20 || len(p.ReportOnly) != 3 {
		t.Errorf("%s %v", v.Policy, err)
	}
	refused("such as person=2000", "update", "acme", "--limits", "person")
	refused("give each limit once", "update", "acme", "--limits", "person=1,person=2")
	refused("outside 1 to 10000", "update", "acme", "--limits", "tool=10001")
	refused("may have of its own", "update", "acme", "--limits", "token=1")
	refused("not any or approved", "update", "acme", "--clients", "some")
	refused("not one of", "update", "acme", "--report-only", "lifetimes")
	const document = "https://app.example/oauth/client"
	if out, errOut, code := try("approve", "acme", "--client", document, "--scopes", "gmail.read,accounts", "--note", "ticket 7"); code != 0 || !strings.Contains(out, `document client "app.example"`) ||
		!strings.Contains(out, document+`: gmail.read accounts  "ticket 7"`) {
		t.Errorf("%d %s %s", code, out, errOut)
	}
	mine := (&authtest.Server{URL: s.URL + "/t/acme"}).Register(t)
	do("approve", "acme", "--client", mine, "--scopes", "accounts")
	for _, what := range []string{document, mine, `"ticket 7"`} {
		if out, _, code := try("show", "acme"); code != 0 || !strings.Contains(out, what) {
			t.Errorf("show does not show %s: %s", what, out)
		}
	}
	refused("has no client", "approve", "acme", "--client", "c_unknown", "--scopes", "accounts")
	refused("has no client", "approve", "acme", "--client", "Claude", "--scopes", "accounts") // a name is none
	refused("has no client", "approve", "acme", "--client", "https://app.example/a/../b", "--scopes", "accounts")
	refused("has no client", "approve", "default", "--client", mine, "--scopes", "accounts") // another tenant's
	refused("no scope", "approve", "acme", "--client", mine, "--scopes", "gmail.everything")
	refused("say which scopes", "approve", "acme", "--client", mine, "--scopes", "")
	refused("not approved", "unapprove", "acme", "--client", "c_unknown")
	if v = do("unapprove", "acme", "--client", mine); strings.Contains(string(v.Policy), mine) || !strings.Contains(string(v.Policy), document) {
		t.Errorf("%s", v.Policy)
	}

	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("GOCSPX-canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v = do("google-client", "set", "acme", "--client-id", "acme-google", "--secret-file", secretFile, "--publishing", "testing", "--kek-file", kek)
	if v.Google.Of != tenancy.Own || v.Google.ClientID != "acme-google" || v.Google.Publishing != tenancy.Testing || v.Google.CallbackURL != s.URL+"/google/callback" {
		t.Errorf("%+v", v.Google)
	}
	refused("settings", "google-client", "set", "default", "--client-id", "x", "--secret-file", secretFile, "--kek-file", kek)
	for _, args := range [][]string{{"show", "acme"}, {"list"}, {"google-client", "show", "acme"}, {"export", "acme"}, {"list", "--json"}} {
		if out, errOut, code := try(args...); code != 0 || !strings.Contains(out, "acme") || strings.Contains(out, "canary") {
			t.Errorf("%v: %d %s %s", args, code, out, errOut)
		}
	}
	if v = do("google-client", "set", "acme", "--deployment"); v.Google.Of != tenancy.OfDeployment || v.Google.ClientID != "google-id" {
		t.Errorf("%+v", v.Google)
	}

	refused("not suspended", "erase", "acme", "--confirm", "acme")
	if v = do("suspend", "acme"); v.Status != "suspended" {
		t.Errorf("%+v", v)
	}
	if a := ask(t, http.MethodGet, s.URL+"/t/acme/authorize", ""); a.Status != http.StatusForbidden {
		t.Errorf("suspended: %d", a.Status)
	}
	do("resume", "acme")
	do("suspend", "acme")
	refused("confirm it with its slug", "erase", "acme")
	refused("confirm it with its slug", "erase", "acme", "--confirm", "acm")
	refused("cannot be erased", "erase", "default", "--confirm", "default")
	if out, errOut, code := try("erase", "acme", "--confirm", "acme"); code != 0 || !strings.Contains(out, "erased") {
		t.Errorf("%d %s %s", code, out, errOut)
	}
	s.Reload(t)
	if a := ask(t, http.MethodGet, s.URL+"/t/acme/jwks", ""); a.Status != http.StatusNotFound {
		t.Errorf("erased: %d", a.Status)
	}
	refused("no such tenant", "show", "acme")
}

// TestResourceList: DESIGN §3: resource servers learn every tenant with issuer, keys, resources and policy; an unchanged list
// is 304, and any change another version.
func TestResourceList(t *testing.T) {
	t.Parallel()
	s, acme, globex := twoTenants(t)
	x := s.Exchanger(t, s.Internal)
	got, err := x.Resources(t.Context(), "")
	if err != nil || len(got.Tenants) != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	for _, of := range []*authtest.Server{s, acme, globex} {
		i := slices.IndexFunc(got.Tenants, func(x exchange.Tenant) bool { return x.ID == of.Tenant.String() })
		if i < 0 || got.Tenants[i].Issuer != of.URL || got.Tenants[i].Status != exchange.TenantActive || got.Tenants[i].Resources[0].URL != of.Resource {
			t.Fatalf("%s: %+v", of.URL, got.Tenants)
		}
		if a, b := ask(t, http.MethodGet, s.Internal+got.Tenants[i].KeysPath, ""), ask(t, http.MethodGet, of.URL+"/jwks", ""); a.Status != http.StatusOK || a.Body != b.Body {
			t.Errorf("%s: other keys on the internal listener: %d %s", of.URL, a.Status, a.Body)
		}
	}
	if again, err := x.Resources(t.Context(), got.Version); err != nil || again != nil {
		t.Errorf("unchanged: %+v %v", again, err)
	}
	if other, err := s.Exchanger(t, s.Replica(t).Internal).Resources(t.Context(), got.Version); err != nil || other != nil {
		t.Errorf("another replica's list: %+v %v", other, err)
	}
	if _, err := s.Operator(t).Suspend(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
	if again, err := x.Resources(t.Context(), got.Version); err != nil || again == nil || again.Version == got.Version {
		t.Errorf("changed: %+v %v", again, err)
	}
	for _, path := range []string{"nobody", "00000000-0000-7000-8000-000000000002", ""} {
		if a := ask(t, http.MethodGet, s.Internal+exchange.KeysPath+path, ""); a.Status != http.StatusNotFound {
			t.Errorf("keys of %q: %d", path, a.Status)
		}
	}
}

// TestResourceListRefuses: whoever is no resource server learns nothing, and an assertion is used once and for this list.
func TestResourceListRefuses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	at := s.Internal + exchange.ResourcesPath
	sign := func(audience string) string { return authtest.Assertion(t, s.RSKey, "latchkey-rs", audience, nil) }
	once := sign(at)
	for _, row := range []struct {
		name, method, bearer string
		status               int
	}{
		{"nobody", "GET", "", 401},
		{"A13 an access token", "GET", s.SignIn(t, s.NewVisit(t))["access_token"].(string), 401},
		{"A13 an assertion for the exchange", "GET", sign(s.Internal + exchange.Path), 401},
		{"A13 an assertion for the revocations", "GET", sign(s.Internal + exchange.RevocationsPath), 401},
		{"A13 another's key", "GET", authtest.Assertion(t, authtest.ClientKey(t, "rs-1"), "latchkey-rs", at, nil), 401},
		{"an old assertion", "GET", authtest.Assertion(t, s.RSKey, "latchkey-rs", at, func(c *jwt.Claims) { *c.Expiry -= 3600; *c.IssuedAt -= 3600 }), 401},
		{"POST", "POST", sign(at), 405},
		{"the first use", "GET", once, 200},
		{"A17 a second use", "GET", once, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			var header []string
			if row.bearer != "" {
				header = []string{"Authorization", "Bearer " + row.bearer}
			}
			if a := ask(t, row.method, at, "", header...); a.Status != row.status || a.Header.Get("Cache-Control") != "no-store" || (row.status != 200) == strings.Contains(a.Body, "issuer") {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
}

// TestClientsOfATenant: a client that the operator enters for a tenant is that tenant's, and nobody else's.
func TestClientsOfATenant(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(command(t, s, "clients", "create", "--tenant", "acme", "--name", "Nightly", "--grant", "client_credentials", "--scope", "accounts")), &made); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if status, _, out := post(t, acme.URL+"/token", form, made.ID, made.Secret); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}
	status, _, out := post(t, s.URL+"/token", form, made.ID, made.Secret)
	mustFail(t, status, out, http.StatusUnauthorized, "invalid_client")
	if !strings.Contains(command(t, s, "clients", "list", "--tenant", "acme"), made.ID) || strings.Contains(command(t, s, "clients", "list"), made.ID) {
		t.Error("listed elsewhere")
	}
	command(t, s, "clients", "delete", "--tenant", "acme", made.ID)
}
