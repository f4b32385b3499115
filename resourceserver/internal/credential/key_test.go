package credential_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/resourceserver/internal/credential"
)

// TestKeys: the private half is private, the public half is public, and an
// existing key is never replaced.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, jwks := filepath.Join(dir, "key.json"), filepath.Join(dir, "jwks.json")
	id, err := credential.CreateKey(key, jwks)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("mode", info.Mode(), err)
	}
	b, err := os.ReadFile(jwks)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil || len(set.Keys) != 1 || !set.Keys[0].IsPublic() || set.Keys[0].KeyID != id || strings.Contains(string(b), `"d"`) {
		t.Errorf("public set: %s", b)
	}
	if _, err := credential.CreateKey(key, jwks); err == nil {
		t.Error("an existing key was replaced")
	}
	if err := os.Remove(jwks); err != nil {
		t.Fatal(err)
	}
	if again, err := credential.CreateKey(key, jwks); err != nil || again != id {
		t.Error("the public half was not written again", err)
	}
	for name, spoil := range map[string]func() error{
		"readable by others": func() error { return os.Chmod(key, 0o644) },
		"public half":        func() error { return os.WriteFile(key, b, 0o600) },
	} {
		good, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := credential.LoadKey(key); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := os.WriteFile(key, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := credential.LoadKey(filepath.Join(dir, "no-such-file")); err == nil || !strings.Contains(err.Error(), "resourceserver keys init") {
		t.Error("missing:", err)
	}
}
