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

	"github.com/alecthomas/kong"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/operator"
	"latchkey/deploy/dev/fakegoogle"
)

// TestEveryCommandSpeaksJSON: a program that calls the commands needs no other form of any of them.
func TestEveryCommandSpeaksJSON(t *testing.T) {
	t.Parallel()
	parser, err := app.CommandLine()
	if err != nil {
		t.Fatal(err)
	}
	// They answer by what they do: by serving, by their exit status, and to shells.
	without := []string{"serve", "healthcheck", "completion bash", "completion zsh", "completion fish", "completion words"}
	for _, leaf := range parser.Model.Leaves(false) {
		has := slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "json" })
		if has == slices.Contains(without, leaf.Path()) {
			t.Errorf("%s: --json is %v", leaf.Path(), has)
		}
	}
}

// refusedCommand runs a command that must fail, and returns why.
func refusedCommand(t *testing.T, s *authtest.Server, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := app.Main(t.Context(), append(args, "--database-url", s.DSN), &out, &errOut); code != 1 {
		t.Errorf("%v: %d %s", args, code, out.String())
	}
	return errOut.String()
}

func decoded[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// TestPeopleCommands: connections, grants and sessions as the admin API shows them; what ends has ended; another tenant's is
// not there.
func TestPeopleCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	v := acme.NewVisit(t)
	tokens := acme.SignIn(t, v)
	at := func(args ...string) string { return command(t, s, append(args, "--tenant", "acme")...) }

	connections := decoded[[]operator.Connection](t, at("connections", "list", "--json", "--status", "active"))
	if len(connections) != 1 || connections[0].Status != "active" || !connections[0].Default {
		t.Fatalf("%+v", connections)
	}
	c := connections[0]
	if one := decoded[operator.Connection](t, at("connections", "show", c.ID.String(), "--json")); one.ID != c.ID || len(one.GoogleScopes) == 0 {
		t.Errorf("%+v", one)
	}
	grants := decoded[[]operator.Grant](t, at("grants", "list", "--json", "--subject", c.Subject.String(), "--client", v.Client))
	if len(grants) != 1 || grants[0].Status != "live" || grants[0].Connection != c.ID {
		t.Fatalf("%+v", grants)
	}
	if one := decoded[operator.Grant](t, at("grants", "show", grants[0].ID.String(), "--json")); one.Client != v.Client {
		t.Errorf("%+v", one)
	}
	sessions := decoded[[]operator.Session](t, at("sessions", "list", "--json", "--subject", c.Subject.String()))
	if len(sessions) == 0 || !sessions[0].Ended.IsZero() {
		t.Fatalf("%+v", sessions)
	}
	for _, args := range [][]string{{"connections", "list"}, {"connections", "show", c.ID.String()}, {"grants", "list"}, {"grants", "show", grants[0].ID.String()}, {"sessions", "list"}} {
		if text := at(args...); !strings.Contains(text, c.Subject.String()) || strings.Contains(text, "@example.com") {
			t.Errorf("%v: %s", args, text)
		}
	}
	// Nobody else's.
	for _, args := range [][]string{{"connections", "show", c.ID.String()}, {"connections", "disconnect", c.ID.String()}, {"connections", "require-reauth", c.ID.String()},
		{"grants", "show", grants[0].ID.String()}, {"grants", "revoke", grants[0].ID.String()}, {"sessions", "end", sessions[0].ID.String()}} {
		if why := refusedCommand(t, s, args...); !strings.Contains(why, "tenant default has no") {
			t.Errorf("%v: %s", args, why)
		}
	}
	if list := command(t, s, "grants", "list", "--json"); list != "[]\n" {
		t.Errorf("%s", list)
	}
	for want, args := range map[string][]string{
		"is no id":                 {"grants", "show", "x"},
		"--subject is no UUID":     {"connections", "list", "--subject", "x"},
		"name a session":           {"sessions", "end"},
		`there is no tenant "nix"`: {"grants", "list", "--tenant", "nix"},
		"1 to 200":                 {"grants", "list", "--limit", "201"},
	} {
		if why := refusedCommand(t, s, args...); !strings.Contains(why, want) {
			t.Errorf("%v: %s", args, why)
		}
	}

	at("sessions", "end", sessions[0].ID.String(), "--json")
	if ended := decoded[map[string]int](t, at("sessions", "end", "--subject", c.Subject.String(), "--json")); ended["ended"] != len(sessions)-1 {
		t.Errorf("%v", ended)
	}
	at("grants", "revoke", grants[0].ID.String())
	if status, out := acme.Token(t, v.Refresh(tokens["refresh_token"].(string))); status != http.StatusBadRequest {
		t.Errorf("a revoked grant refreshes: %v", out)
	}
	at("connections", "require-reauth", c.ID.String())
	if one := decoded[operator.Connection](t, at("connections", "show", c.ID.String(), "--json")); one.Status != "needs_reauth" {
		t.Errorf("%+v", one)
	}
	p := newPerson(t, acme) // it was not Google that ended it, and the page says so
	says(t, p.google(p.press(p.account(), "sign-in", ""), fakegoogle.Choice{Account: alice}), http.StatusOK, "The operator of this service asks for a new sign-in")
	at("connections", "disconnect", c.ID.String())
	if one := decoded[operator.Connection](t, at("connections", "show", c.ID.String(), "--json")); one.Status != operator.Unlinked {
		t.Errorf("%+v", one)
	}
	// On whose word stands in the trail.
	trail := at("audit", "search", "--json", "--subject", c.Subject.String())
	for _, want := range []string{`"kind":"grant.revoked"`, `"kind":"connection.disconnected"`, `"actor":"operator"`} {
		if !strings.Contains(trail, want) {
			t.Errorf("no %s in %s", want, trail)
		}
	}
}

// TestClientCommands: lists go on page after page; every kind is shown; a deleted one is gone.
func TestClientCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	var made []string
	for range 3 {
		out := decoded[operator.Client](t, command(t, s, "clients", "create", "--json", "--name", "Machine", "--grant", "client_credentials", "--scope", "gmail.read"))
		made = append(made, out.ID)
	}
	slices.Sort(made)
	dynamic := s.Register(t)
	first := decoded[[]operator.Client](t, command(t, s, "clients", "list", "--json", "--limit", "2"))
	rest := decoded[[]operator.Client](t, command(t, s, "clients", "list", "--json", "--after", first[1].ID))
	if first[0].ID != made[0] || first[1].ID != made[1] || len(rest) != 1 || rest[0].ID != made[2] {
		t.Errorf("%+v %+v", first, rest)
	}
	if all := decoded[[]operator.Client](t, command(t, s, "clients", "list", "--json", "--kind", "all")); len(all) != 4 {
		t.Errorf("%+v", all)
	}
	if text := command(t, s, "clients", "show", dynamic); !strings.Contains(text, "dynamic") || !strings.Contains(text, authtest.Redirect) {
		t.Errorf("%s", text)
	}
	command(t, s, "clients", "delete", dynamic, "--json")
	for _, act := range []string{"show", "delete"} {
		if why := refusedCommand(t, s, "clients", act, dynamic); !strings.Contains(why, "there is no client") {
			t.Errorf("%s", why)
		}
	}
}

// TestAdminsCommands: the first administrator is entered at the machine and works at the API; a deleted one does not.
func TestAdminsCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.AddTenant(t, "acme", authtest.TenantOptions{})
	type administrator struct {
		ID     string `json:"client_id"`
		Tenant string
		Scope  string
		Secret string `json:"client_secret"`
		Method string `json:"token_endpoint_auth_method"`
	}
	root := decoded[administrator](t, command(t, s, "admins", "create", "--json", "--name", "Ops", "--scope", "all"))
	own := decoded[administrator](t, command(t, s, "admins", "create", "--json", "--name", "Acme", "--tenant", "acme", "--scope", "grants:read,audit:read"))
	jwks := filepath.Join(t.TempDir(), "jwks.json")
	key := authtest.ClientKey(t, "k")
	b, err := json.Marshal(authtest.KeySet(key))
	if err == nil {
		err = os.WriteFile(jwks, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	keyed := decoded[administrator](t, command(t, s, "admins", "create", "--json", "--name", "Keyed", "--scope", "all", "--tenant", "acme", "--jwks-file", jwks))
	if root.Secret == "" || own.Scope != "audit:read grants:read" || keyed.Secret != "" || keyed.Method != "private_key_jwt" || strings.Contains(keyed.Scope, "tenants:erase") {
		t.Errorf("%+v %+v %+v", root, own, keyed)
	}
	text := command(t, s, "admins", "list")
	if strings.Contains(text, root.Secret) || strings.Count(text, "adm_") != 3 || !strings.Contains(text, "acme") {
		t.Errorf("%s", text)
	}
	token := func(a administrator) (int, map[string]any) {
		r, err := http.NewRequest(http.MethodPost, s.Admin+"/admin/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(a.ID, a.Secret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	for _, a := range []administrator{root, own} {
		if status, out := token(a); status != http.StatusOK || out["scope"] != a.Scope {
			t.Errorf("%d %v", status, out)
		}
	}
	command(t, s, "admins", "delete", own.ID)
	if status, _ := token(own); status != http.StatusUnauthorized {
		t.Errorf("a deleted administrator: %d", status)
	}
	for want, args := range map[string][]string{
		"there is no administrator":   {"admins", "delete", own.ID},
		"whole deployment only":       {"admins", "create", "--name", "x", "--tenant", "acme", "--scope", "tenants:erase"},
		"there is no scope gmail":     {"admins", "create", "--name", "x", "--scope", "gmail"},
		`there is no tenant "nobody"`: {"admins", "create", "--name", "x", "--tenant", "nobody", "--scope", "all"},
	} {
		if why := refusedCommand(t, s, args...); !strings.Contains(why, want) {
			t.Errorf("%v: %s", args, why)
		}
	}
	trail := command(t, s, "audit", "search", "--json", "--tenant", "acme", "--kind", "admin.act")
	if !strings.Contains(trail, "administrator created "+own.ID) || !strings.Contains(trail, "administrator deleted "+own.ID) {
		t.Errorf("%s", trail)
	}
}

// TestDatabaseAway: a command that gets no connection says which setting is meant and what to do, on one line.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	code := app.Main(t.Context(), []string{"tenants", "list", "--database-url=postgres://nobody@127.0.0.1:1/x", "--issuer=http://127.0.0.1:1", "--resource-url=http://127.0.0.1:2/mcp"}, &out, &errOut)
	if said := errOut.String(); code != 1 || out.Len() > 0 || !strings.Contains(said, "the database (DATABASE_URL) does not answer: start it or correct the setting") || strings.Count(said, "\n") != 1 {
		t.Errorf("%d %s%s", code, out.String(), said)
	}
}

// TestJSONOfCommands: commands that said it in words say it in JSON too.
func TestJSONOfCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.SignIn(t, s.NewVisit(t)) // so that there are keys
	if all := decoded[[]struct {
		Version int64
		Applied bool
	}](t, command(t, s, "migrate", "status", "--json")); len(all) < 13 || !all[0].Applied {
		t.Errorf("%+v", all)
	}
	rotated := decoded[[]struct{ Tenant, Purpose, KID string }](t, command(t, s, "keys", "rotate", "--json", "--kek-file", s.KEKFile))
	if len(rotated) != 2 || rotated[0].Tenant != "default" || rotated[0].KID == "" {
		t.Errorf("%+v", rotated)
	}
	data := decoded[[]struct {
		Tenant string
		Key    string `json:"data_key"`
	}](t, command(t, s, "keys", "rotate-data", "--json", "--kek-file", s.KEKFile))
	if len(data) != 1 || data[0].Key == "" {
		t.Errorf("%+v", data)
	}
	file := filepath.Join(t.TempDir(), "kek.json")
	for _, args := range [][]string{{"init"}, {"add-kek"}, {"promote-kek"}} {
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), append([]string{"keys"}, append(args, "--json", "--kek-file", file)...), &out, &errOut); code != 0 {
			t.Fatal(errOut.String())
		}
		if did := decoded[map[string]string](t, out.String()); did["id"] == "" || did["did"] == "" {
			t.Errorf("%v: %v", args, did)
		}
	}
}
