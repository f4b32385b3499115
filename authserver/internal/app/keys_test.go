package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

type listedKey struct {
	Tenant, KID, Purpose, Alg, State string
	Created                          time.Time `json:"created_at"`
	Activated                        time.Time `json:"activated_at"`
	Remaining                        *int64    `json:"remaining_seconds"`
}

// TestKeysCommands: list shows what there is and nothing secret; rotate publishes a next key and says when it will sign;
// --now asks first, names the consequence, and leaves nothing of the old keys; a wrong key-encryption key changes nothing.
func TestKeysCommands(t *testing.T) {
	t.Parallel()
	ctx, dsn, kek := context.Background(), pgtest.Clone(t), filepath.Join(t.TempDir(), "kek.json")
	command := func(args ...string) (string, error) {
		var out, errOut bytes.Buffer
		if code := app.Main(ctx, append([]string{"keys"}, args...), &out, &errOut); code != 0 {
			return "", fmt.Errorf("%s", errOut.String())
		}
		return out.String(), nil
	}
	do := func(args ...string) string {
		t.Helper()
		out, err := command(args...)
		if err != nil {
			t.Fatal(args, err)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if _, err := command(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	list := func() (keys []listedKey) {
		t.Helper()
		if err := json.Unmarshal([]byte(do("list", "--json", "--database-url", dsn)), &keys); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	do("init", "--kek-file", kek)
	rotate := []string{"rotate", "--database-url", dsn, "--kek-file", kek}
	if out := do("list", "--json", "--database-url", dsn); strings.TrimSpace(out) != "[]" {
		t.Error(out)
	}
	if out := do(rotate...); !strings.Contains(out, "first use") {
		t.Error(out)
	}

	server(t, dsn, kek)
	first := list()
	if len(first) != 2 || first[0].State != "active" || first[0].Tenant != "default" || first[0].Activated.IsZero() || first[0].Remaining != nil {
		t.Fatal(first)
	}
	if out := do(append(rotate, "--purpose", "access_token", "--tenant", "default")...); !strings.Contains(out, "will sign in 7m0s") {
		t.Error(out)
	}
	keys := list()
	if len(keys) != 3 || keys[2].State != "next" || keys[2].Purpose != "access_token" || keys[2].Alg != "ES256" || *keys[2].Remaining < 300 || *keys[2].Remaining > 420 {
		t.Fatal(keys)
	}
	if out := do(rotate...); !strings.Contains(out, "a next key is published already") || !strings.Contains(out, "grant: key") || len(list()) != 4 {
		t.Error(out)
	}
	table := do("list", "--database-url", dsn, "--tenant", "default")
	for _, k := range list() {
		if !strings.Contains(table, k.KID) || !strings.Contains(table, k.State) {
			t.Error(table)
		}
	}

	refused(`no tenant "nobody"`, "list", "--database-url", dsn, "--tenant", "nobody")
	refused(`no tenant "nobody"`, append(rotate, "--tenant", "nobody")...)
	refused("--now needs --purpose", append(rotate, "--now", "--yes")...)
	refused("of EVERY tenant, and every authorization code and refresh token", append(rotate, "--now", "--purpose", "grant")...)
	refused("of tenant default, and every access token", append(rotate, "--now", "--purpose", "access_token", "--tenant", "default")...)
	refused("must be one of", append(rotate, "--purpose", "nonsense")...)
	other := filepath.Join(t.TempDir(), "other.json")
	do("init", "--kek-file", other)
	refused("wrong key-encryption key", "rotate", "--database-url", dsn, "--kek-file", other, "--now", "--yes", "--purpose", "grant")
	if len(list()) != 4 {
		t.Error("a refused command changed keys")
	}

	out := do(append(rotate, "--now", "--yes", "--purpose", "access_token")...)
	keys = list()
	for _, k := range keys {
		if k.Purpose == "access_token" && (k.State != "active" || !strings.Contains(out, k.KID+" signs now") || strings.Contains(out, "deleted "+k.KID)) {
			t.Error(k, out)
		}
	}
	if len(keys) != 3 || !strings.Contains(out, first[0].KID) && !strings.Contains(out, first[1].KID) {
		t.Error(keys, out)
	}
	server(t, dsn, kek) // what is left is a set that a server can use
}

// server uses a database's keys as a server does.
func server(t *testing.T, dsn, kekFile string) {
	t.Helper()
	kek, err := vault.LoadKEK(kekFile)
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, err := vault.New(vault.Config{KEK: kek, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oauth.ParseIssuerURL("https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	known, err := tenant.NewDirectory(&tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Status: tenant.Active, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyset.New(keyset.Config{Store: db, Vault: v, Tenants: func() *tenant.Directory { return known }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.For(t.Context(), tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
}
