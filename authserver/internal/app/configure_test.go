package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"latchkey/authserver/internal/app"
	"latchkey/pkg/commandline"
)

// secretSettings are the flags of a command that are marked as secret.
func secretSettings(t *testing.T) (out []*kong.Flag) {
	t.Helper()
	parser, err := app.CommandLine()
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		for _, f := range leaf.Flags {
			marked := f.Tag.Has("secret")
			named := strings.HasSuffix(f.Name, "-secret") || strings.HasSuffix(f.Name, "-token") || strings.Contains(f.Name, "password") || strings.HasPrefix(f.Name, "database-") && strings.HasSuffix(f.Name, "-url")
			if named != marked && len(f.Envs) > 0 {
				t.Errorf("%s --%s: secret is %v", leaf.Path(), f.Name, marked)
			}
			if leaf.Path() == "config print" && marked {
				out = append(out, f)
			}
		}
	}
	return out
}

// TestSecretsAreNotShown: no way of giving a secret makes config check or print, or their errors, show it.
func TestSecretsAreNotShown(t *testing.T) {
	settings := secretSettings(t)
	if len(settings) != 3 {
		t.Fatalf("%d secret settings", len(settings))
	}
	const canary = "kanarienvogel"
	values := []string{
		canary,
		"postgres://u:" + canary + "@db.example:5432/latchkey",
		"postgres://" + canary + "@db.example/latchkey",
		"postgres://u@db.example/latchkey?sslmode=disable&password=" + canary,
		"postgres://u@db.example/latchkey#" + canary,
		"postgres://u:123/" + canary + "@db.example/latchkey",
		"postgres://u:123?" + canary + "@db.example/latchkey",
		"postgres://u:123#" + canary + "@db.example/latchkey",
		"postgres://u:1@" + canary + "@db.example/latchkey",
		"postgres://u:%zz" + canary + "@db.example/latchkey",
		"postgres://u:" + canary + "\x01@db.example:port/latchkey",
		"host=db.example dbname=latchkey user=u password=" + canary,
		"host=db.example password='" + canary,
		"sslmode=" + canary, // refused by the driver, whose text repeats it
	}
	commands := [][]string{{"config", "check"}, {"config", "check", "--json"}, {"config", "print"}, {"config", "print", "--json"}}
	looks := 0
	look := func(how string, args ...string) {
		t.Helper()
		looks++
		for i, c := range commands {
			if raced && i != looks%len(commands) { // each run builds the whole command line, which takes ten times as long then
				continue
			}
			var out, errOut bytes.Buffer
			app.Main(t.Context(), append(c, args...), &out, &errOut)
			if all := out.String() + errOut.String(); strings.Contains(all, canary) || all == "" {
				t.Errorf("%v %s:\n%s", c, how, all)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	write := func(settings map[string]any) {
		t.Helper()
		b, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, value := range values {
		var flags []string
		inFile := map[string]any{}
		for _, f := range settings {
			flags = append(flags, "--"+f.Name+"="+value)
			inFile[strings.ReplaceAll(f.Name, "-", "_")] = value
		}
		look("as flags: "+value, flags...)
		write(inFile)
		look("in the file: "+value, "--config", file)
		for _, f := range settings {
			t.Setenv(f.Envs[0], value)
		}
		look("in the environment: " + value)
		for _, f := range settings {
			if err := os.Unsetenv(f.Envs[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range settings { // what is no text
		for _, value := range []any{map[string]any{canary: canary}, []string{canary}} {
			write(map[string]any{strings.ReplaceAll(f.Name, "-", "_"): value})
			look("in the file, of the wrong type: "+f.Name, "--config", file)
		}
	}
	look("where it does not belong", "--google-client-secret", canary, "--google-auth-url=https://u:"+canary+"@accounts.example/", "--google-jwks-url=https://u:"+canary+"%zz@accounts.example/",
		"--kek-uri=hcvault://u:"+canary+"@vault.example/transit/keys/k")
}

// TestPasswordsInURLs: whatever is wrong with a setting that is or may be a URL, its user's password is not repeated, nor a key in its query
// or its fragment.
func TestPasswordsInURLs(t *testing.T) {
	t.Parallel()
	const canary = "kanarienvogel"
	names := []string{"issuer", "resource-url", "as-listen", "as-internal-listen", "as-admin-listen", "as-internal-url", "google-issuer", "google-auth-url", "google-token-url", "google-jwks-url",
		"google-revoke-url", "google-signals-issuer", "google-signals-jwks-url", "client-document-hosts", "custom-redirect-uris", "cimd-test-allow-hosts", "kek-uri", "from-kek-uri"}
	for _, shape := range []string{"https://u:%s@a.example", "http://u:%s@a.example/x/", "https://u:1/%s@a.example/?q", "https://u:%%zz%s@a.example", "u:%s@a.example:1", "https://u:1#%s@a.example",
		"https://a.example/x?key=%s", "http://a.example?key=%s", "http://a.example/#%s", "a.example?%s", "http://a.example/%%zz?key=%s"} {
		args := []string{"config", "check", "--google-signals=on", "--as-internal-tls-cert-file=x", "--as-internal-tls-key-file=x"}
		for _, name := range names {
			args = append(args, fmt.Sprintf("--"+name+"="+shape, canary))
		}
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), args, &out, &errOut); code != 1 || strings.Contains(out.String()+errOut.String(), canary) {
			t.Errorf("%s: %d %s", shape, code, errOut.String())
		}
	}
}

// TestFilesRepeatNothing: what a file of settings has in place of a text is not repeated either, and of two values for one setting none is taken.
func TestFilesRepeatNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.json")
	const canary = "kanarienvogel"
	for text, want := range map[string]string{
		`{"google_jwks_url": ["https://u:kanarienvogel@a.example"]}`:             "--google-jwks-url: the file of --config must give it as a text",
		`{"issuer": {"url": "https://u:kanarienvogel@a.example"}}`:               "--issuer: the file of --config must give it as a text",
		`{"custom_redirect_uris": [["https://u:kanarienvogel@a.example"]]}`:      "--custom-redirect-uris: the file of --config must give it as a text",
		`{"custom_redirect_uris": {"a": "https://u:kanarienvogel@a.example"}}`:   "--custom-redirect-uris: the file of --config must give it as a text",
		`{"client_documents": "disabled", "client_documents": "open"}`:           `"client_documents" twice`,
		`{"client_documents": "disabled", "clientDocuments": "open"}`:            `"clientDocuments" and "client_documents"`,
		`{"custom_redirect_uris": ["com.example.app:/cb"], "issuer": null}`:      "ISSUER is not set",
		`{"custom_redirect_uris": "com.example.app:/cb", "rate_limit_scale": 1}`: "ISSUER is not set",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), []string{"config", "check", "--config", file}, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), want) || strings.Contains(out.String()+errOut.String(), canary) {
			t.Errorf("%s: %d %s", text, code, errOut.String())
		}
	}
}

// TestUnknownKeys: what a file of settings says and nobody reads is named, all of it, with the other problems; keys of any command are known.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"isuer": "https://auth.example.com", "RESOURCE_URL": 1, "as-listen": "127.0.0.1:1", "kekFile": "none", "from_kek_file": "none", "rsClientId": "rs", "nonsense": {"a": 1}, "subject": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{`"RESOURCE_URL": did you mean "resource_url"?`, `"as-listen": did you mean "as_listen"?`, `"isuer": did you mean "issuer"?`, `"nonsense": remove it`, "ISSUER is not set"}
	for _, command := range [][]string{{"serve"}, {"config", "check"}, {"config", "check", "--json"}} {
		var out, errOut bytes.Buffer
		code := app.Main(t.Context(), append(command, "--config", file), &out, &errOut)
		all := strings.ReplaceAll(out.String()+errOut.String(), `\"`, `"`)
		for _, text := range want {
			if code != 1 || !strings.Contains(all, text) {
				t.Errorf("%v: %d, no %s in:\n%s", command, code, text, all)
			}
		}
		if n := strings.Count(all, "unknown key"); n != 4 {
			t.Errorf("%v: %d unknown keys:\n%s", command, n, all)
		}
	}
	for _, command := range [][]string{{"config", "print"}, {"version"}, {"keys", "list"}} {
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), append(command, "--config", file), &out, &errOut); code != 1 || strings.Count(errOut.String(), "unknown key") != 4 {
			t.Errorf("%v: %d %s", command, code, errOut.String())
		}
	}
	for _, text := range []string{``, `null`, `[]`, `{} {}`, `{"issuer": "a"} x`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), []string{"version", "--config", file}, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "no JSON object") {
			t.Errorf("%q: %d %s", text, code, errOut.String())
		}
	}
}

// TestConfigPrint: every setting has its value and where it comes from.
func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"rs_client_id": "from-file", "access_token_ttl": "5m", "client_document_hosts": ["a.example", "b.example"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ACCESS_TOKEN_TTL", "7m")
	t.Setenv("DATABASE_URL", "postgres://u:p@[::1]:5433/latchkey?sslmode=require")
	var out, errOut bytes.Buffer
	if code := app.Main(t.Context(), []string{"config", "print", "--json", "--config", file, "--google-client-secret", "x", "--issuer", "https://auth.example.com"}, &out, &errOut); code != 0 {
		t.Fatal(errOut.String())
	}
	got := map[string]commandline.Setting{}
	for _, s := range decoded[[]commandline.Setting](t, out.String()) {
		got[s.Name] = s
	}
	for _, want := range []commandline.Setting{
		{Name: "RS_CLIENT_ID", Value: "from-file", Source: commandline.File},
		{Name: "CLIENT_DOCUMENT_HOSTS", Value: "a.example,b.example", Source: commandline.File},
		{Name: "ACCESS_TOKEN_TTL", Value: "7m0s", Source: commandline.Environment},
		{Name: "DATABASE_URL", Value: "(set) host ::1, database latchkey", Source: commandline.Environment},
		{Name: "DATABASE_MIGRATE_URL", Value: "(not set)", Source: commandline.Default},
		{Name: "GOOGLE_CLIENT_SECRET", Value: "(set)", Source: commandline.Flag},
		{Name: "ISSUER", Value: "https://auth.example.com", Source: commandline.Flag},
		{Name: "REFRESH_GRACE", Value: "1m0s", Source: commandline.Default},
	} {
		if got[want.Name] != want {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
}

// TestConfigCheck: every problem at once, in the same order each time, those of files too.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"config", "check", "--json", "--database-url", "postgres://h:x/", "--as-listen", "a", "--as-internal-listen", "b", "--as-admin-listen", "c", "--google-auth-url", "d",
		"--google-jwks-url", "e", "--kek-file", bad, "--from-kek-file", filepath.Join(dir, "none"), "--rs-jwks-file", bad, "--as-internal-tls-cert-file", bad, "--as-internal-tls-key-file", bad}
	order := []string{"ISSUER", "RESOURCE_URL", "AS_LISTEN", "AS_INTERNAL_LISTEN", "AS_ADMIN_LISTEN", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_AUTH_URL", "GOOGLE_JWKS_URL",
		"AS_INTERNAL_TLS_CLIENT_SHA256", "DATABASE_URL", "holds no key set", "does not exist", "RS_JWKS_FILE", "AS_INTERNAL_TLS_CERT_FILE"}
	for range 5 {
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), args, &out, &errOut); code != 1 {
			t.Fatal(code, out.String(), errOut.String())
		}
		found := decoded[struct{ Problems []string }](t, out.String()).Problems
		if len(found) != len(order) {
			t.Fatalf("%d problems:\n%s", len(found), strings.Join(found, "\n"))
		}
		for i, want := range order {
			if !strings.Contains(found[i], want) {
				t.Errorf("problem %d: %s, want one of %s", i, found[i], want)
			}
		}
	}
}
