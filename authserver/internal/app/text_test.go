package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/oauth"
)

// notText are what no text of the database can be.
var notText = []string{"\x00", "a\x00b", "\xff", "\xed\xa0\x80"}

// TestFormsThatAreNoText: a parameter with NUL or bytes that are not UTF-8 is the client's mistake, at every endpoint: never doubt about
// the database, which a client would ask about again and again.
func TestFormsThatAreNoText(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	id := v.Query.Get("client_id")
	tokens := s.SignIn(t, v)
	refresh := tokens["refresh_token"].(string)
	q, _ := s.Walk(t, v)
	for _, bad := range notText {
		for path, form := range map[string]url.Values{
			"/token":      {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {id}, "scope": {"gmail.read"}, "resource": {v.Query.Get("resource")}},
			"/token#code": v.Redeem(q.Get("code")),
			"/revoke":     {"token": {refresh}, "client_id": {id}, "token_type_hint": {"refresh_token"}},
			"/introspect": {"token": {refresh}, "client_id": {id}},
			"/par":        v.Query,
		} {
			path, _, _ = strings.Cut(path, "#")
			for name := range form {
				with := url.Values{}
				for n, values := range form {
					with[n] = values
				}
				with[name] = []string{with.Get(name) + bad}
				if name == "token" { // it is none of ours: RFC 7009 §2.2, RFC 7662 §2.2
					if status, _, out := post(t, s.URL+path, with, "", ""); status != http.StatusOK && !(path == "/introspect" && status == http.StatusUnauthorized) {
						t.Errorf("%s with a token %q: %d %v", path, bad, status, out)
					}
					continue
				}
				status, out := s.Post(t, path, "application/x-www-form-urlencoded", with.Encode())
				if status != http.StatusBadRequest || out["error"] != "invalid_request" || !strings.Contains(fmt.Sprint(out["error_description"]), name) {
					t.Errorf("%s with %s=%q: %d %v", path, name, bad, status, out)
				}
			}
			form = url.Values{"x" + bad: {"1"}}
			if status, out := s.Post(t, path, "application/x-www-form-urlencoded", form.Encode()); status != http.StatusBadRequest {
				t.Errorf("%s with a name %q: %d %v", path, bad, status, out)
			}
		}
		assertion := encodeParts(t, map[string]any{"alg": "ES256"}, map[string]any{"iss": bad, "sub": bad, "jti": bad, "aud": s.URL})
		form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {oauth.ClientAssertionJWTBearer}, "client_assertion": {assertion}}
		if status, out := s.Token(t, form); status != http.StatusUnauthorized {
			t.Errorf("a client %q by an assertion: %d %v", bad, status, out)
		}
		for name := range v.Query {
			with := url.Values{}
			for n, values := range v.Query {
				with[n] = values
			}
			with[name] = []string{with.Get(name) + bad}
			getText(t, s.URL+"/authorize?"+with.Encode(), http.StatusBadRequest)
		}
		getText(t, s.URL+"/google/callback?"+url.Values{"state": {bad}, "code": {bad}}.Encode(), 400, 403)
		getText(t, s.URL+"/t/"+url.PathEscape(bad)+"/authorize", 400, 404)
		getText(t, s.URL+"/register/"+url.PathEscape(bad), 401)
		getText(t, s.URL+"/connect/"+url.PathEscape(bad), 404, 410)
		getText(t, s.URL+"/.well-known/oauth-authorization-server/t/"+url.PathEscape(bad), 404)
	}
}

func encodeParts(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	out := []string{}
	for _, part := range []any{header, claims, "signature"} {
		b, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, base64.RawURLEncoding.EncodeToString(b))
	}
	return strings.Join(out, ".")
}

func getText(t *testing.T, at string, want ...int) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer x")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	for _, status := range want {
		if resp.StatusCode == status {
			return
		}
	}
	t.Errorf("%s: %d %.200s", at, resp.StatusCode, body)
}

// TestMetadataThatIsNoText: RFC 7591 §3.2.2: a client's metadata with NUL or half a surrogate pair anywhere is refused with the member's
// name, at registration, replacement and in a document.
func TestMetadataThatIsNoText(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	key, err := json.Marshal(authtest.KeySet(authtest.ClientKey(t, "k")))
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"redirect_uris": `["` + authtest.Redirect + `"]`, "token_endpoint_auth_method": `"private_key_jwt"`, "jwks": string(key)}
	body := func(name, value string) string {
		out := []string{}
		for n, v := range good {
			if n != name {
				out = append(out, `"`+n+`":`+v)
			}
		}
		return "{" + strings.Join(append(out, `"`+name+`":`+value), ",") + "}"
	}
	for _, row := range []struct{ name, value, named string }{
		{"client_name", `"a\u0000b"`, "client_name"},
		{"client_uri", `"https://a.example/\u0000"`, "client_uri"},
		{"scope", `"gmail.read\u0000"`, "scope"},
		{"redirect_uris", `["` + authtest.Redirect + `", "http://127.0.0.1/\u0000"]`, "redirect_uris[1]"},
		{"jwks", strings.Replace(string(key), `{"keys":[{`, `{"keys":[{"x5u":"\u0000",`, 1), "jwks.keys[0].x5u"},
		{"jwks", strings.Replace(string(key), `{"keys":[{`, `{"keys":[{"x5u":"\ud800",`, 1), "jwks.keys[0].x5u"},
		{"jwks", strings.Replace(string(key), `{"keys":[{`, `{"keys":[{"\u0000":1,`, 1), "jwks.keys[0]"},
		{"jwks", strings.Replace(string(key), `{"keys":[{`, `{"keys":[{"n":1e400000,`, 1), "jwks.keys[0].n"},
		{"x", `{"y": "\u0000"}`, "x.y"},
	} {
		status, out := s.Post(t, "/register", "application/json", body(row.name, row.value))
		if status != http.StatusBadRequest || out["error"] != "invalid_client_metadata" || !strings.Contains(fmt.Sprint(out["error_description"]), row.named) {
			t.Errorf("%s: %d %v", row.value, status, out)
		}
	}
	for _, text := range []string{body("client_name", "\"\xff\""), body("client_name", "\"\xed\xa0\x80\""), body("client_name", "\"\x00\"")} {
		if status, out := s.Post(t, "/register", "application/json", text); status != http.StatusBadRequest || out["error"] != "invalid_client_metadata" {
			t.Errorf("%q: %d %v", text, status, out)
		}
	}
	for name, value := range map[string]string{"client_name": "a\x00b", "x": "\x00"} {
		v := s.VisitAs(t, s.Host.PublishClient(t, "/"+name, map[string]any{name: value}))
		getText(t, s.AuthorizeURL(v), http.StatusBadRequest)
	}
	if status, out := s.Post(t, "/register", "application/json", body("client_name", `"\ud83d\ude00 \ufffd \\u0000"`)); status != http.StatusCreated {
		t.Errorf("what is text: %d %v", status, out)
	}
}
