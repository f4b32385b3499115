package app_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/config"
)

const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`

// TestTokensRefused: RFC 9068 §4 and MCP "Token Handling"; each row is a 401
// with invalid_token, and the exchange is never asked.
func TestTokensRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.as
	with := func(name string, value any) string {
		c := a.claims(all)
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
		return a.sign(c, a.key, "at+jwt")
	}
	der, err := x509.MarshalPKIXPublicKey(a.key.Key.(*ecdsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	raw := func(header string) string {
		payload, _ := json.Marshal(a.claims(all))
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	good := a.mint(all)
	for name, token := range map[string]string{
		"typ JWT (an ID token)":         a.sign(a.claims(all), a.key, "JWT"),
		"alg none":                      raw(`{"alg":"none","typ":"at+jwt","kid":"k1"}`),
		"HS256 with the public key":     a.sign(a.claims(all), jose.JSONWebKey{Key: public, KeyID: "k1", Algorithm: "HS256"}, "at+jwt"),
		"another issuer":                with("iss", "https://evil.example"),
		"another resource":              with("aud", "https://other.example/mcp"),
		"audience list":                 with("aud", []string{a.aud, "https://other.example"}),
		"expired":                       with("exp", time.Now().Add(-time.Minute).Unix()),
		"not yet valid":                 with("nbf", time.Now().Add(time.Hour).Unix()),
		"no expiry":                     with("exp", nil),
		"lives for years":               with("exp", time.Now().Add(9000*time.Hour).Unix()),
		"no subject":                    with("sub", nil),
		"no client":                     with("client_id", nil),
		"no tenant":                     with("tid", nil),
		"no grant":                      with("gid", nil),
		"no jti":                        with("jti", nil),
		"unknown key id":                a.sign(a.claims(all), newKey(t, "k9"), "at+jwt"),
		"another key under our key id":  a.sign(a.claims(all), newKey(t, "k1"), "at+jwt"),
		"a Google access token":         "ya29.a0AfH6SMBx-opaque_token",
		"a bit flipped in the payload":  good[:len(good)/2] + flip(good[len(good)/2]) + good[len(good)/2+1:],
		"a token of 9 kB":               strings.Repeat("a", 9<<10),
		"characters outside the header": "a b",
	} {
		out := r.send(http.MethodPost, r.mcp, token, list)
		if out.status != http.StatusUnauthorized || !strings.HasPrefix(out.header.Get("WWW-Authenticate"), `Bearer error="invalid_token", scope="`+all+`", resource_metadata="`) {
			t.Errorf("%s: %d %s", name, out.status, out.header.Get("WWW-Authenticate"))
		}
		if !strings.Contains(out.body, `"error_description"`) {
			t.Errorf("%s: no sentence for people: %s", name, out.body)
		}
	}
	if len(a.requests()) != 0 {
		t.Error("the exchange was asked for a refused token")
	}
	if out := r.send(http.MethodPost, r.mcp, good, list); out.status != http.StatusOK {
		t.Errorf("the good token: %d %s", out.status, out.body)
	}
	if out := r.send(http.MethodPost, r.mcp, "", list, "Authorization", "bEaReR  "+good); out.status != http.StatusOK {
		t.Errorf("the scheme is case-insensitive (RFC 9110 §11.1): %d", out.status)
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// TestNoCredentials: 401 before every other check of the protocol, with the
// challenge in the order that clients' parsers need, without error (RFC 6750 §3.1).
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	r := start(t)
	want := `Bearer scope="` + all + `", resource_metadata="` + r.origin + `/.well-known/oauth-protected-resource/mcp"`
	for name, c := range map[string]struct{ method, body, contentType, session string }{
		"POST":            {http.MethodPost, list, "application/json", ""},
		"not JSON":        {http.MethodPost, "{", "text/plain", ""},
		"removed method":  {http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"nope"}`, "application/json", ""},
		"session id only": {http.MethodPost, list, "application/json", "mcp-session-1"},
		"GET":             {http.MethodGet, "", "", ""},
		"HEAD":            {http.MethodHead, "", "", ""},
		"DELETE":          {http.MethodDelete, "", "", "mcp-session-1"},
		"unknown method":  {"BREW", "", "", ""},
	} {
		out := r.send(c.method, r.mcp, "", c.body, "Content-Type", c.contentType, "Mcp-Session-Id", c.session)
		if out.status != http.StatusUnauthorized || out.header.Get("WWW-Authenticate") != want || out.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, out.status, out.header.Get("WWW-Authenticate"))
		}
	}
	if out := r.begun("", " ", 20<<20); out.status != http.StatusUnauthorized || out.header.Get("WWW-Authenticate") != want || out.header.Get("Cache-Control") != "no-store" {
		t.Errorf("20 MB of nothing: %d %s", out.status, out.header.Get("WWW-Authenticate"))
	}
	if out := r.send(http.MethodPost, r.mcp, "", list, "Authorization", "DPoP abc"); out.status != http.StatusUnauthorized {
		t.Errorf("another scheme: %d", out.status)
	}
	token := r.as.mint(all)
	if out := r.send(http.MethodPost, r.mcp+"?access_token="+token, "", list); out.status != http.StatusUnauthorized {
		t.Errorf("token in the query: %d", out.status)
	}
	if out := r.send(http.MethodPost, r.mcp+"?access_token="+token, token, list); out.status != http.StatusUnauthorized {
		t.Errorf("token in header and query: %d", out.status)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut} {
		out := r.send(method, r.mcp, token, "")
		if out.status != http.StatusMethodNotAllowed || !strings.Contains(out.header.Get("Allow"), "POST") {
			t.Errorf("%s with a token: %d", method, out.status)
		}
	}
}

// TestForeignPages: DNS rebinding and foreign origins (MCP Streamable HTTP, "Security Warning").
func TestForeignPages(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	port := r.origin[strings.LastIndexByte(r.origin, ':'):]
	for name, c := range map[string]struct {
		header, value string
		want          int
	}{
		"evil origin":                 {"Origin", "https://evil.example", http.StatusForbidden},
		"null origin":                 {"Origin", "null", http.StatusForbidden},
		"prefix of an allowed origin": {"Origin", "https://inspector.example.evil.example", http.StatusForbidden},
		"another loopback port":       {"Origin", "http://127.0.0.1:1", http.StatusForbidden},
		"https of our own host":       {"Origin", "https://127.0.0.1" + port, http.StatusForbidden},
		"allowed origin":              {"Origin", "https://inspector.example", http.StatusOK},
		"our own origin":              {"Origin", r.origin, http.StatusOK},
		"foreign host":                {"Host", "evil.example", http.StatusForbidden},
		"foreign host, our port":      {"Host", "evil.example" + port, http.StatusForbidden},
		"looks like loopback":         {"Host", "127.0.0.1.evil.example", http.StatusForbidden},
		"localhost":                   {"Host", "localhost" + port, http.StatusOK},
		"IPv6 loopback":               {"Host", "[::1]" + port, http.StatusOK},
	} {
		out := r.send(http.MethodPost, r.mcp, token, list, c.header, c.value)
		if out.status != c.want {
			t.Errorf("%s: %d %s", name, out.status, out.body)
		}
		if cors := out.header.Get("Access-Control-Allow-Origin"); (cors != "") != (c.header == "Origin" && c.want == http.StatusOK) {
			t.Errorf("%s: Access-Control-Allow-Origin %q", name, cors)
		}
	}
	if out := r.send(http.MethodGet, r.origin+"/.well-known/oauth-protected-resource", "", "", "Host", "evil.example"); out.status != http.StatusForbidden {
		t.Errorf("metadata for a foreign host: %d", out.status)
	}
}

// TestHostBehindProxy: a server that does not listen on loopback answers for its
// public name only.
func TestHostBehindProxy(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.ListenLoopback = false })
	if out := r.send(http.MethodPost, r.mcp, r.as.mint(all), list); out.status != http.StatusOK {
		t.Errorf("own name: %d", out.status)
	}
	if out := r.send(http.MethodPost, r.mcp, r.as.mint(all), list, "Host", "localhost"); out.status != http.StatusForbidden {
		t.Errorf("localhost: %d", out.status)
	}
	if out := r.send(http.MethodGet, r.origin+"/livez", "", "", "Host", "10.0.0.7:8090"); out.status != http.StatusOK {
		t.Errorf("a probe by address: %d", out.status)
	}
}

// TestPreflight: answered before the token, for allowed origins (PROTOCOL 3.5).
func TestPreflight(t *testing.T) {
	t.Parallel()
	r := start(t)
	out := r.send(http.MethodOptions, r.mcp, "", "", "Origin", "https://inspector.example", "Access-Control-Request-Method", "POST")
	if out.status != http.StatusNoContent || out.header.Get("Access-Control-Allow-Origin") != "https://inspector.example" {
		t.Errorf("preflight: %d %v", out.status, out.header)
	}
	for _, h := range []string{"Authorization", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"} {
		if !strings.Contains(out.header.Get("Access-Control-Allow-Headers"), h) {
			t.Errorf("preflight does not allow %s", h)
		}
	}
	if out.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
	if out := r.send(http.MethodOptions, r.mcp, "", "", "Origin", "https://evil.example"); out.status != http.StatusForbidden {
		t.Errorf("preflight of an evil origin: %d", out.status)
	}
	out = r.send(http.MethodPost, r.mcp, "", list, "Origin", "https://inspector.example")
	if out.status != http.StatusUnauthorized || !strings.Contains(out.header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Error("a browser client cannot read the challenge")
	}
}

// TestBodyLimit: 413 with and without a declared length.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	r := start(t)
	// More than the limit and what net/http reads of the rest before it gives the connection up, 256 KiB.
	big := callBody("account_status", map[string]string{"account": strings.Repeat("a", bearer.DefaultMaxBody+512<<10)})
	if out := r.begun(r.as.mint(all), big[:1000], 20<<20); out.status != http.StatusRequestEntityTooLarge {
		t.Errorf("20 MB: %d", out.status)
	}
	if out := r.begun(r.as.mint(all), big, -1); out.status != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: %d", out.status)
	}
}

// begun posts the first of a long body and holds the rest back, so that the answer
// comes without it. Who goes on sending to a server that has answered and closed the
// connection may learn of that alone.
func (r *rig) begun(token, first string, length int64) reply {
	r.t.Helper()
	rest, end := io.Pipe()
	defer func() { _ = end.Close() }()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.mcp, io.MultiReader(strings.NewReader(first), rest))
	if err != nil {
		r.t.Fatal(err)
	}
	req.ContentLength = length // -1: chunked
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// TestStepUp: 403 names every scope of the operation and those granted before.
func TestStepUp(t *testing.T) {
	t.Parallel()
	r := start(t)
	out := r.send(http.MethodPost, r.mcp, r.as.mint("accounts"), callBody("gmail_search_threads", map[string]any{}))
	want := `Bearer error="insufficient_scope", scope="accounts gmail.read", resource_metadata="` + r.origin + `/.well-known/oauth-protected-resource/mcp", error_description="`
	if out.status != http.StatusForbidden || !strings.HasPrefix(out.header.Get("WWW-Authenticate"), want) {
		t.Errorf("step-up: %d %s", out.status, out.header.Get("WWW-Authenticate"))
	}
	description := strings.TrimPrefix(out.header.Get("WWW-Authenticate"), want)
	if strings.ContainsAny(strings.TrimSuffix(description, `"`), "\",\\=") {
		t.Errorf("the description confuses parsers: %s", description)
	}
	var body struct{ Error, Scope string }
	if err := json.Unmarshal([]byte(out.body), &body); err != nil || body.Error != "insufficient_scope" || body.Scope != "accounts gmail.read" {
		t.Errorf("body: %s", out.body)
	}
	if len(r.as.requests()) != 0 {
		t.Error("the exchange was asked without the scope")
	}
	if out := r.send(http.MethodPost, r.mcp, r.as.mint("accounts"), list); out.status != http.StatusOK || !strings.Contains(out.body, "gmail_search_threads") {
		t.Error("a tool is hidden for missing scopes, so no client would ever ask for them")
	}
}

// TestNameTricks: whichever of several names wins, the tool that runs is one
// that the token may use.
func TestNameTricks(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint("accounts")
	for name, params := range map[string]string{
		"duplicate, bad last":    `"params":{"name":"account_status","name":"gmail_search_threads"}`,
		"duplicate, bad first":   `"params":{"name":"gmail_search_threads","name":"account_status"}`,
		"case variant":           `"params":{"name":"account_status","NAME":"gmail_search_threads"}`,
		"Kelvin sign":            `"params":{"name":"account_status","nam\u0065":"gmail_search_threads"}`,
		"params twice":           `"params":{"name":"account_status"},"params":{"name":"gmail_search_threads"}`,
		"params twice, no name":  `"params":{"name":"gmail_search_threads"},"params":{"arguments":{}}`,
		"Params, case variant":   `"params":{"name":"account_status"},"Params":{"name":"gmail_search_threads"}`,
		"name of another type":   `"params":{"name":["gmail_search_threads"]}`,
		"method twice":           `"method":"tools/list","params":{"name":"gmail_search_threads"}`,
		"method in capitals":     `"METHOD":"tools/call","params":{"name":"gmail_search_threads"}`,
		"escaped name":           `"params":{"name":"gmail\u005fsearch_threads"}`,
		"name with a zero":       `"params":{"name":"gmail_search_threads\u0000"}`,
		"unknown tool":           `"params":{"name":"nope"}`,
		"no params":              `"x":1`,
		"params null":            `"params":null`,
		"two messages in a list": `"params":{}},{"method":"tools/call","params":{"name":"gmail_search_threads"}`,
	} {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call",` + params + `}`
		out := r.send(http.MethodPost, r.mcp, token, body)
		if out.status >= 500 || strings.Contains(out.body, "goroutine") {
			t.Errorf("%s: %d %s", name, out.status, out.body)
		}
	}
	for _, asked := range r.as.requests() {
		if asked["scope"] != "" {
			t.Errorf("a trick reached Google scopes: %v", asked["scope"])
		}
	}
}

// TestKeysUnreachable: doubt is 503, never 401 (DESIGN §1.5).
func TestKeysUnreachable(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.as.set(func() { r.as.down = true })
	out := r.send(http.MethodPost, r.mcp, r.as.mint(all), list)
	if out.status != http.StatusServiceUnavailable || out.header.Get("Retry-After") == "" || out.header.Get("WWW-Authenticate") != "" {
		t.Errorf("keys unreachable: %d %v", out.status, out.header)
	}
	if out := r.send(http.MethodGet, r.origin+"/readyz", "", ""); out.status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", out.status)
	}
	if out := r.send(http.MethodGet, r.origin+"/livez", "", ""); out.status != http.StatusOK {
		t.Errorf("livez: %d", out.status)
	}
}

// TestMetadata: RFC 9728 §3 at both places; exact identifiers, baseline scopes.
func TestMetadata(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"} {
		out := r.send(http.MethodGet, r.origin+path, "", "", "Origin", "https://anyone.example", "MCP-Protocol-Version", "2026-07-28")
		want := `{"resource":"` + r.mcp + `","authorization_servers":["` + r.as.url + `"],"scopes_supported":["accounts","calendar.read","drive.read","gmail.read"],"bearer_methods_supported":["header"],"resource_name":"Latchkey: Google Workspace"}`
		if out.status != http.StatusOK || out.body != want || out.header.Get("Content-Type") != "application/json" || out.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, out.status, out.body)
		}
		if again := r.send(http.MethodGet, r.origin+path, "", "", "If-None-Match", out.header.Get("ETag")); again.status != http.StatusNotModified {
			t.Errorf("%s again: %d", path, again.status)
		}
		if out := r.send(http.MethodOptions, r.origin+path, "", "", "Origin", "https://anyone.example"); out.status != http.StatusNoContent {
			t.Errorf("%s preflight: %d", path, out.status)
		}
	}
}

// TestOtherPaths: exact paths only, JSON, no redirect (PROTOCOL 3.6 no. 4 and 17).
func TestOtherPaths(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/mcp/", "//mcp", "/mcp/..", "/./mcp", "/", "/other", "/.well-known/oauth-protected-resource/", "/.well-known/oauth-protected-resource/other", "/MCP"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			out := r.send(method, r.origin+path, r.as.mint(all), list)
			if out.status != http.StatusNotFound || out.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %d", method, path, out.status)
			}
		}
	}
}
