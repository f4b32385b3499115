package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/pgtest"
)

// TestRegistrationsOfRealClients replays what real clients send (PROTOCOL 3.2): registration bodies recorded from the
// programs, or, of those that are services, as their sources and bug reports show them; with the answers that they need.
func TestRegistrationsOfRealClients(t *testing.T) {
	t.Parallel()
	t.Run("AS-R1 AS-R2 AS-R3 AS-R4 AS-R5 AS-R7 AS-R12 AS-R13 what real clients send is registered as they need it", registrationsOfRealClients)
}

func registrationsOfRealClients(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	files, err := filepath.Glob("testdata/registrations/*.json")
	if err != nil || len(files) < 18 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct {
			Client   string
			Request  json.RawMessage
			Response map[string]any
		}
		if err := json.Unmarshal(b, &golden); err != nil {
			t.Fatal(file, err)
		}
		resp, err := http.Post(s.URL+"/register", "application/json", bytes.NewReader(golden.Request))
		if err != nil {
			t.Fatal(err)
		}
		status, cache := resp.StatusCode, resp.Header.Get("Cache-Control")
		out := decodeBody(t, resp)
		if status != http.StatusCreated || cache != "no-store" {
			t.Errorf("%s: %d %q %v", golden.Client, status, cache, out)
			continue
		}
		id, _ := out["client_id"].(string)
		if !strings.HasPrefix(id, "c_") { // AS-R13: never a URL
			t.Errorf("%s: client_id %q", golden.Client, id)
		}
		issued, _ := out["client_id_issued_at"].(float64)
		if age := time.Since(time.Unix(int64(issued), 0)); age < -time.Minute || age > time.Minute {
			t.Errorf("%s: issued at %v", golden.Client, out["client_id_issued_at"])
		}
		if uri := out["registration_client_uri"]; uri != s.URL+"/register/"+id || out["registration_access_token"] == "" {
			t.Errorf("%s: management at %v", golden.Client, uri)
		}
		given, _ := out["client_secret"].(string)
		secret := golden.Response["token_endpoint_auth_method"] != "none"
		if secret != (len(given) >= 43) || secret != (out["client_secret_expires_at"] == float64(0)) {
			t.Errorf("%s: secret of %d characters, expiry %v", golden.Client, len(given), out["client_secret_expires_at"])
		}
		for _, random := range []string{"client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "registration_client_uri", "registration_access_token"} {
			delete(out, random)
		}
		if !reflect.DeepEqual(out, golden.Response) { // no null, nothing empty, nothing else (PROTOCOL 3.6 no. 12)
			t.Errorf("%s:\n got %v\nwant %v", golden.Client, out, golden.Response)
		}
	}
}

// TestRegistrationRefuses: RFC 7591 §3.2.2: what cannot be registered, in words that name it.
func TestRegistrationRefuses(t *testing.T) {
	t.Parallel()
	t.Run("AS-R6 AS-R7 AS-R8 AS-R10 what cannot be registered is refused in JSON", registrationRefuses)
}

func registrationRefuses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	private, err := json.Marshal(map[string]any{"redirect_uris": []string{authtest.Redirect}, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{authtest.ClientKey(t, "k")}}})
	if err != nil {
		t.Fatal(err)
	}
	const redirect, meta = "invalid_redirect_uri", "invalid_client_metadata"
	for name, c := range map[string]struct{ body, want string }{
		"no redirect URI":              {`{"client_name":"x"}`, redirect},
		"http elsewhere":               {`{"redirect_uris":["http://a.example/cb"]}`, redirect},
		"fragment":                     {`{"redirect_uris":["https://a.example/cb#f"]}`, redirect},
		"javascript":                   {`{"redirect_uris":["javascript:alert(1)"]}`, redirect},
		"data":                         {`{"redirect_uris":["data:text/html,x"]}`, redirect},
		"file":                         {`{"redirect_uris":["file:///etc/passwd"]}`, redirect},
		"vbscript":                     {`{"redirect_uris":["vbscript:x"]}`, redirect},
		"relative":                     {`{"redirect_uris":["/cb"]}`, redirect},
		"user information":             {`{"redirect_uris":["https://a@b.example/cb"]}`, redirect},
		"other custom scheme":          {`{"redirect_uris":["evil://x/cb"]}`, redirect},
		"custom scheme, other path":    {`{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback2"]}`, redirect},
		"one bad among good":           {`{"redirect_uris":["https://a.example/cb","http://b.example/cb"]}`, redirect},
		"web on loopback":              {`{"redirect_uris":["http://127.0.0.1/cb"],"application_type":"web"}`, redirect},
		"21 redirect URIs":             {`{"redirect_uris":[` + strings.TrimSuffix(strings.Repeat(`"https://a.example/cb",`, 21), ",") + `]}`, redirect},
		"unknown application_type":     {`{"redirect_uris":["https://a.example/cb"],"application_type":"tv"}`, meta},
		"implicit only":                {`{"redirect_uris":["https://a.example/cb"],"grant_types":["implicit"]}`, meta},
		"client_credentials only":      {`{"redirect_uris":["https://a.example/cb"],"grant_types":["client_credentials"]}`, meta},
		"response_type token":          {`{"redirect_uris":["https://a.example/cb"],"response_types":["token"]}`, meta},
		"unknown method":               {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"tls_client_auth"}`, meta},
		"private_key_jwt without keys": {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, meta},
		"private_key_jwt, plain http":  {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://a.example/jwks"}`, meta},
		"keys in two ways":             {`{"redirect_uris":["https://a.example/cb"],"jwks":{"keys":[]},"jwks_uri":"https://a.example/jwks"}`, meta},
		"a private key":                {string(private), meta},
		"a symmetric key":              {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}}`, meta},
		"no JSON":                      {`redirect_uris=x`, meta},
		"an array":                     {`[]`, meta},
		"wrong type":                   {`{"redirect_uris":"https://a.example/cb"}`, meta},
		"malformed scope":              {`{"redirect_uris":["https://a.example/cb"],"scope":"a\"b"}`, meta},
		"name too long":                {`{"redirect_uris":["https://a.example/cb"],"client_name":"` + strings.Repeat("n", 201) + `"}`, meta},
		"invalid UTF-8":                {"{\"redirect_uris\":[\"https://a.example/cb\"],\"client_name\":\"\xff\"}", meta},
		"ten thousand nested arrays":   {`{"redirect_uris":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, meta},
	} {
		status, out := s.Post(t, "/register", "application/json", c.body)
		if status != http.StatusBadRequest || out["error"] != c.want || out["error_description"] == "" || out["client_id"] != nil {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, out := s.Post(t, "/register", "application/x-www-form-urlencoded", "redirect_uris=x"); status != http.StatusBadRequest || out["error"] != meta {
		t.Errorf("a form: %d %v", status, out)
	}
	if status, out := s.Post(t, "/register", "application/json", strings.Repeat("x", 70_000)); status != http.StatusRequestEntityTooLarge || out["error"] != meta {
		t.Errorf("body beyond the limit: %d %v", status, out)
	}
}

func manage(t *testing.T, s *authtest.Server, method, id, token, body string) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+"/register/"+id, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNoContent {
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header, nil
	}
	return resp.StatusCode, resp.Header, decodeBody(t, resp)
}

// TestClientManagement: RFC 7592: read, replace and delete with the client's own token, and with no other.
func TestClientManagement(t *testing.T) {
	t.Parallel()
	t.Run("AS-R14 A23 a client reads, replaces and deletes itself with its own token, and with no other", clientManagement)
}

func clientManagement(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	mine, other := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "none"}), s.RegisterWith(t, nil)
	id, token := mine["client_id"].(string), mine["registration_access_token"].(string)
	for name, wrong := range map[string]string{"none": "", "another client's": other["registration_access_token"].(string), "cut": token[:len(token)-1], "a secret": other["client_secret"].(string)} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if status, h, out := manage(t, s, method, id, wrong, `{}`); status != http.StatusUnauthorized || out["error"] != "invalid_token" || h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with token %s: %d %v", method, name, status, out)
			}
		}
	}
	if status, _, out := manage(t, s, http.MethodGet, "c_unknown", token, ""); status != http.StatusUnauthorized || out["error"] != "invalid_token" {
		t.Errorf("unknown client: %d %v", status, out)
	}
	if status, _, out := manage(t, s, http.MethodGet, id, token, ""); status != http.StatusOK || out["client_id"] != id || out["client_secret"] != nil || out["registration_access_token"] != token {
		t.Errorf("read: %d %v", status, out)
	}
	for name, body := range map[string]string{
		"without client_id":     `{"redirect_uris":["https://a.example/cb"]}`,
		"another's client_id":   `{"client_id":"` + other["client_id"].(string) + `","redirect_uris":["https://a.example/cb"]}`,
		"with management token": `{"client_id":"` + id + `","redirect_uris":["https://a.example/cb"],"registration_access_token":"x"}`,
		"with a chosen secret":  `{"client_id":"` + id + `","redirect_uris":["https://a.example/cb"],"client_secret":"chosen"}`,
	} {
		if status, _, out := manage(t, s, http.MethodPut, id, token, body); status != http.StatusBadRequest || out["error"] != "invalid_client_metadata" {
			t.Errorf("update %s: %d %v", name, status, out)
		}
	}
	v := s.VisitAs(t, id)
	tokens := s.SignIn(t, v)
	status, _, out := manage(t, s, http.MethodPut, id, token, `{"client_id":"`+id+`","client_name":"Renamed","redirect_uris":["https://new.example/cb"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`)
	if status != http.StatusOK || out["client_name"] != "Renamed" || out["client_secret"] != nil {
		t.Fatalf("update: %d %v", status, out)
	}
	if _, p := s.Walk(t, s.VisitAs(t, id)); p.Status != http.StatusBadRequest {
		t.Errorf("the old redirect URI still works: %d", p.Status)
	}
	if status, out := s.Token(t, v.Refresh(tokens["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("refresh after update: %d %v", status, out)
	} else {
		tokens = out
	}
	if status, _, _ := manage(t, s, http.MethodDelete, id, token, ""); status != http.StatusNoContent {
		t.Errorf("delete: %d", status)
	}
	if status, _, out := manage(t, s, http.MethodGet, id, token, ""); status != http.StatusUnauthorized {
		t.Errorf("read after delete: %d %v", status, out)
	}
	// AS-T16: the client is gone, so it registers again; its grants have ended too.
	if status, out := s.Token(t, v.Refresh(tokens["refresh_token"].(string))); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("refresh after delete: %d %v", status, out)
	}
	live := 1
	if err := pgtest.QueryRow(t, s.DSN, `SELECT count(*) FROM grants WHERE revoked_at IS NULL`, &live); err != nil || live != 0 {
		t.Errorf("%d grants live on (%v)", live, err)
	}
}

// TestUnusedRegistrationsEnd: AS-R10: a registration is bounded in time, use moves its end on, and what has ended is
// invalid_client and swept.
func TestUnusedRegistrationsEnd(t *testing.T) {
	t.Parallel()
	t.Run("AS-R10 AS-T16 registrations end unless they are used, and are swept", unusedRegistrationsEnd)
}

func unusedRegistrationsEnd(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	used, unused := s.NewVisit(t), s.NewVisit(t)
	tokens := s.SignIn(t, used)
	var days float64
	life := `SELECT extract(epoch FROM expires_at - now()) / 86400 FROM clients WHERE id = '`
	if err := pgtest.QueryRow(t, s.DSN, life+unused.Client+`'`, &days); err != nil || days > 7.1 || days < 6.9 {
		t.Errorf("unused: ends in %.1f days (%v)", days, err)
	}
	if err := pgtest.QueryRow(t, s.DSN, life+used.Client+`'`, &days); err != nil || days < 89 {
		t.Errorf("used: ends in %.1f days (%v)", days, err)
	}
	execSQL(t, s.DSN, `UPDATE clients SET expires_at = now() - interval '2 hours' WHERE id = '`+unused.Client+`'`)
	fresh := s.Replica(t) // no memory of the client
	if status, out := fresh.Token(t, unused.Redeem("lkc_x")); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("ended: %d %v", status, out)
	}
	if status, out := fresh.Token(t, used.Refresh(tokens["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("used: %d %v", status, out)
	}
	if n, err := s.DB(t).Sweep(context.Background()); err != nil || n != 1 {
		t.Errorf("swept %d (%v)", n, err)
	}
}
