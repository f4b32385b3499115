package app_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/pkg/commandline"
)

// TestConfigPrint: every setting has its value and where it comes from.
func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"rs_client_id": "from-file", "send_policy": "draft_only"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SEND_POLICY", "confirm")
	code, out, errOut := run(t.Context(), "config", "print", "--json", "--config", file, "--issuer", "https://auth.example.com", "--as-internal-url", "http://u:kanarienvogel@as:8081")
	var list []commandline.Setting
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || strings.Contains(out+errOut, "kanarienvogel") {
		t.Fatal(code, err, out, errOut)
	}
	got := map[string]commandline.Setting{}
	for _, s := range list {
		got[s.Name] = s
	}
	for _, want := range []commandline.Setting{
		{Name: "RS_CLIENT_ID", Value: "from-file", Source: commandline.File},
		{Name: "SEND_POLICY", Value: "confirm", Source: commandline.Environment},
		{Name: "ISSUER", Value: "https://auth.example.com", Source: commandline.Flag},
		{Name: "RS_LISTEN", Value: "127.0.0.1:8090", Source: commandline.Default},
		{Name: "RS_KEY_FILE", Value: "(not set)", Source: commandline.Default},
	} {
		if got[want.Name] != want {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
}

// TestPasswordsInURLs: whatever is wrong with a setting that is or may be a URL, its user's password is not repeated.
func TestPasswordsInURLs(t *testing.T) {
	t.Parallel()
	const canary = "kanarienvogel"
	for _, shape := range []string{"https://u:%s@a.example", "http://u:%s@a.example/x/", "https://u:1/%s@a.example/?q", "https://u:%%zz%s@a.example", "u:%s@a.example:1", "https://u:1#%s@a.example"} {
		args := []string{"config", "check", "--rs-internal-tls-cert-file=x"}
		for _, name := range []string{"issuer", "resource-url", "rs-listen", "as-internal-url", "jwks-url", "google-api-url", "allowed-origins"} {
			args = append(args, fmt.Sprintf("--"+name+"="+shape, canary))
		}
		if code, out, errOut := run(t.Context(), args...); code != 1 || strings.Contains(out+errOut, canary) {
			t.Errorf("%s: %d %s", shape, code, errOut)
		}
	}
}

// TestUnknownKeys: what a file of settings says and nobody reads is named, all of it, with the other problems.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"isuer": "https://auth.example.com", "RESOURCE_URL": 1, "rs-listen": "127.0.0.1:1", "rsClientId": "rs", "send_policy": "confirm", "nonsense": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "config check"} {
		code, _, errOut := run(t.Context(), append(strings.Fields(command), "--config", file)...)
		for _, want := range []string{`"RESOURCE_URL": did you mean "resource_url"?`, `"isuer": did you mean "issuer"?`, `"nonsense": remove it`, `"rs-listen": did you mean "rs_listen"?`, "ISSUER is not set"} {
			if code != 1 || !strings.Contains(errOut, want) || strings.Count(errOut, "unknown key") != 4 {
				t.Errorf("%s: %d, no %s in:\n%s", command, code, want, errOut)
			}
		}
	}
	if code, out, errOut := run(t.Context(), "version", "--config", file); code != 1 || !strings.Contains(errOut, "isuer") {
		t.Error(code, out, errOut)
	}
}

// TestConfigCheck: every problem at once, those of files too, and none of good settings.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "k")
	if code, _, errOut := run(t.Context(), "keys", "init", "--key-file", key, "--jwks-file", filepath.Join(dir, "j")); code != 0 {
		t.Fatal(errOut)
	}
	good := []string{"config", "check", "--resource-url", "https://mcp.example.com/mcp", "--issuer", "https://auth.example.com", "--as-internal-url", "https://as:8081", "--rs-key-file", key}
	if code, out, errOut := run(t.Context(), good...); code != 0 || !strings.Contains(out, "complete") {
		t.Error(code, out, errOut)
	}
	if code, out, errOut := run(t.Context(), append(good, "--json")...); code != 0 || !strings.Contains(out, `"problems": []`) {
		t.Error(code, out, errOut)
	}
	code, _, errOut := run(t.Context(), append(good, "--issuer", "", "--rs-key-file", filepath.Join(dir, "j"), "--rs-internal-tls-cert-file", key, "--rs-internal-tls-key-file", key)...)
	for _, want := range []string{"ISSUER is not set", "RS_KEY_FILE", "RS_INTERNAL_TLS_CERT_FILE"} {
		if code != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%d, no %s: %s", code, want, errOut)
		}
	}
}
