package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
)

func decodeBody(t testing.TB, resp *http.Response) map[string]any {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("status %d, not JSON: %s", resp.StatusCode, b)
	}
	return out
}

func get(t testing.TB, url string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestMetadata: PROTOCOL AS-D1 to D14: all forms, byte-identical issuer, only what works, CORS on machine endpoints only.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		resp := get(t, s.URL+path, "Origin", "https://inspector.example")
		if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
		etag := resp.Header.Get("ETag")
		m := decodeBody(t, resp)
		for name, want := range map[string]any{
			"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "registration_endpoint": s.URL + "/register",
			"jwks_uri": s.URL + "/jwks", "authorization_response_iss_parameter_supported": true,
		} {
			if m[name] != want {
				t.Errorf("%s %s: %v", path, name, m[name])
			}
		}
		if b, _ := json.Marshal(m["code_challenge_methods_supported"]); string(b) != `["S256"]` {
			t.Errorf("AS-D6: %s", b)
		}
		if resp := get(t, s.URL+path, "If-None-Match", etag); resp.StatusCode != http.StatusNotModified {
			t.Errorf("ETag: %d", resp.StatusCode)
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server/t/nobody", "/.well-known/openid-configuration/x", "/t/nobody/.well-known/openid-configuration", "/t/default/token", "/nothing"} {
		if resp := get(t, s.URL+path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if resp := get(t, s.URL+"/authorize", "Origin", "https://x.example"); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("AS-D14: CORS at the authorization endpoint")
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.URL+"/token", nil)
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusNoContent || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Error("preflight:", resp, err)
	}
}

// TestJWKS: PROTOCOL AS-K6: a public key with kid and alg, cacheable, no private member.
func TestJWKS(t *testing.T) {
	t.Parallel()
	t.Run("AS-K6 the key set is public and cacheable", jWKS)
}

func jWKS(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	resp := get(t, s.URL+"/jwks")
	// RFC 5861 §4; the age and the lead of signing keys belong together: keyset.TestTimingInvariant.
	if got := resp.Header.Get("Cache-Control"); got != "public, max-age=300, stale-if-error=600" {
		t.Error(got)
	}
	keys, _ := decodeBody(t, resp)["keys"].([]any)
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	k := keys[0].(map[string]any)
	if k["kid"] == nil || k["alg"] != "ES256" || k["use"] != "sig" || k["d"] != nil || k["k"] != nil {
		t.Error(k)
	}
}
