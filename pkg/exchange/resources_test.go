package exchange_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/exchange"
)

const golden = `{"version":"v1","tenants":[` +
	`{"id":"t1","issuer":"https://auth.example.com","keys_path":"/internal/keys/t1","status":"active","resources":[{"resource":"https://mcp.example.com/mcp","aliases":["https://mcp.example.com/mcp/"]}]},` +
	`{"id":"t2","issuer":"https://auth.acme.example","keys_path":"/internal/keys/t2","status":"suspended","resources":[{"resource":"https://mcp.acme.example/gmail","product":"gmail"}],` +
	`"allowed_tools":["gmail_search_threads"],"allowed_origins":["https://app.acme.example"],"report_only":["allowed_tools"],"limits":{"person":50,"tool":200}}]}`

// TestGoldenResources: the wire form of the list of tenants, member by member.
func TestGoldenResources(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	c, url := client(t, key(t), func(w http.ResponseWriter, r *http.Request) {
		asked = r
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = fmt.Fprint(w, golden)
	})
	got, err := c.Resources(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	want := &exchange.Resources{Version: "v1", Tenants: []exchange.Tenant{
		{ID: "t1", Issuer: "https://auth.example.com", KeysPath: "/internal/keys/t1", Status: exchange.TenantActive,
			Resources: []exchange.Resource{{URL: "https://mcp.example.com/mcp", Aliases: []string{"https://mcp.example.com/mcp/"}}}},
		{ID: "t2", Issuer: "https://auth.acme.example", KeysPath: "/internal/keys/t2", Status: exchange.TenantSuspended,
			Resources:    []exchange.Resource{{URL: "https://mcp.acme.example/gmail", Product: "gmail"}},
			AllowedTools: []string{"gmail_search_threads"}, AllowedOrigins: []string{"https://app.acme.example"}, ReportOnly: []string{"allowed_tools"},
			Limits: map[string]int64{"person": 50, "tool": 200}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if asked.Method != http.MethodGet || asked.URL.Path != "/internal/resources" || !strings.HasPrefix(asked.Header.Get("Authorization"), "Bearer ey") {
		t.Errorf("%s %s", asked.Method, asked.URL)
	}
	if claims := claimsOf(t, strings.TrimPrefix(asked.Header.Get("Authorization"), "Bearer ")); claims["aud"] != url+"/internal/resources" {
		t.Errorf("the assertion is for %v", claims["aud"])
	}
	if again, err := c.Resources(t.Context(), "v1"); err != nil || again != nil {
		t.Errorf("an unchanged list: %v %v", again, err)
	}
}

// TestResourcesRefused: every answer that is no list of tenants is doubt, a truncated or empty one too: it never reads
// as "there are no tenants".
func TestResourcesRefused(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"503":                   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"304 that nobody asked": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"a redirect":            func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"cut":                   func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, golden[:len(golden)-2]) },
		"no tenants":            func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"version":"v1","tenants":[]}`) },
		"no version":            func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"tenants":[{"id":"t1"}]}`) },
		"another document":      func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"grants":[],"next":1}`) },
	} {
		c, _ := client(t, key(t), answer)
		if got, err := c.Resources(t.Context(), ""); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func claimsOf(t *testing.T, assertion string) map[string]any {
	t.Helper()
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
