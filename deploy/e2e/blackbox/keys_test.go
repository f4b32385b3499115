package blackbox_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/smoke"
)

// published lists the algorithms of the JWKS.
func published(t *testing.T, jwks string) (algorithms []string) {
	t.Helper()
	resp, err := http.Get(jwks)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var set struct {
		Keys []struct{ Alg string }
	}
	must(t, json.NewDecoder(resp.Body).Decode(&set))
	for _, k := range set.Keys {
		algorithms = append(algorithms, k.Alg)
	}
	return algorithms
}

// TestKeysRotateInTheRunningServer: serve tends the keys by itself: a changed algorithm is published, and does not sign before
// everybody can know it; the operator's commands work beside the server, and --now reaches it without a restart.
func TestKeysRotateInTheRunningServer(t *testing.T) {
	t.Parallel()
	s := own(t)
	keys := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), s.AS.Args[0], append([]string{"keys"}, args...)...)
		cmd.Env = s.AS.Env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("keys %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	c := signedIn(t, s)
	works(t, c)
	s.AS.Stop()
	s.AS.Env = append(slices.Clone(s.AS.Env), "ACCESS_TOKEN_ALG=EdDSA")
	must(t, s.AS.Start())
	must(t, s.Ready(t.Context()))
	eventually(t, "the next key, of the new algorithm, is published", func() bool {
		return slices.Equal(published(t, s.Issuer+"/jwks"), []string{"ES256", "EdDSA"})
	})
	must(t, c.Refresh(t.Context()))
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(c.AccessToken(), ".")[0])
	must(t, err)
	if !strings.Contains(string(header), `"ES256"`) {
		t.Errorf("a key signs before everybody can know it: %s", header)
	}
	works(t, c)
	if out := keys("list"); !strings.Contains(out, "next") || strings.Count(out, "\n") != 4 {
		t.Error(out)
	}
	if out := keys("rotate", "--purpose", "grant"); !strings.Contains(out, "will sign in 7m0s") {
		t.Error(out)
	}
	must(t, c.Refresh(t.Context()))

	before, pid := c.AccessToken(), s.AS.PID()
	keys("rotate", "--now", "--yes", "--purpose", "access_token")
	eventually(t, "the server follows", func() bool {
		must(t, c.Refresh(t.Context()))
		return strings.Split(c.AccessToken(), ".")[0] != strings.Split(before, ".")[0]
	})
	if s.AS.PID() != pid {
		t.Error("the server was restarted")
	}
	// The resource server asks for a key that it does not know at most twice a minute.
	eventually(t, "the resource server knows the new key", func() bool {
		_, err := c.CallTool(t.Context(), smoke.DefaultTool, nil)
		return err == nil
	})
	works(t, c)
}
