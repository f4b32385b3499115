package app_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/pgtest"
)

// TestRowsRegistration: PROTOCOL 1.2, beside the bodies of real clients.
func TestRowsRegistration(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	t.Run("AS-R1 AS-R2 JSON in, 201, JSON and no-store out", func(t *testing.T) {
		t.Parallel()
		for media, want := range map[string]int{"application/json": 201, "application/json; charset=utf-8": 201, "text/plain": 400, formType: 400, "": 400} {
			a := ask(t, http.MethodPost, s.URL+"/register", `{"redirect_uris":["https://a.example/cb"]}`, "Content-Type", media)
			if a.Status != want || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%q: %d %v", media, a.Status, a.Header)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if a := ask(t, method, s.URL+"/register", `{}`, "Content-Type", "application/json"); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d", method, a.Status)
			}
		}
	})
	t.Run("AS-R3 the answer has no null, no fraction, and an expiry with a secret only", func(t *testing.T) {
		t.Parallel()
		for _, method := range []string{"none", "client_secret_basic", "client_secret_post"} {
			a := ask(t, http.MethodPost, s.URL+"/register", fmt.Sprintf(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":%q,"client_name":null,"scope":"","contacts":[],"logo_uri":null}`, method), "Content-Type", "application/json")
			m := document(t, a.Body)
			for name, v := range m {
				if n, isNumber := v.(float64); v == nil || v == "" || isNumber && n != math.Trunc(n) {
					t.Errorf("%s: %s is %v", method, name, v)
				}
			}
			if strings.Contains(a.Body, ":null") || strings.Contains(a.Body, "e+") || m["token_endpoint_auth_method"] != method || (m["client_secret"] != nil) != (method != "none") || (m["client_secret_expires_at"] != nil) != (method != "none") {
				t.Errorf("%s: %s", method, a.Body)
			}
		}
	})
	t.Run("AS-R5 what is left out gets the protocol's defaults", func(t *testing.T) {
		t.Parallel()
		_, out := s.Post(t, "/register", "application/json", `{"redirect_uris":["https://a.example/cb"]}`)
		grants, _ := json.Marshal(out["grant_types"])
		responses, _ := json.Marshal(out["response_types"])
		if out["token_endpoint_auth_method"] != "client_secret_basic" || string(grants) != `["authorization_code"]` || string(responses) != `["code"]` {
			t.Errorf("%v", out)
		}
	})
	t.Run("AS-R12 application_type is honoured, echoed, and inferred", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct{ asked, uri, want string }{
			{"web", "https://a.example/cb", "web"}, {"native", "http://127.0.0.1/cb", "native"}, {"native", "https://a.example/cb", "native"},
			{"", "https://a.example/cb", "web"}, {"", "http://localhost/cb", "native"}, {"", "cursor://anysphere.cursor-mcp/oauth/callback", "native"},
			{"web", "https://localhost/cb", ""}, {"web", "https://127.0.0.1/cb", ""}, {"web", "https://[::1]:8443/cb", ""}, {"", "https://localhost/cb", "native"}, {"native", "https://localhost/cb", "native"},
			{"web", "https://localhost.example/cb", "web"},
			{"web", "http://localhost/cb", ""}, {"web", "cursor://anysphere.cursor-mcp/oauth/callback", ""}, {"tv", "https://a.example/cb", ""},
		} {
			status, out := s.Post(t, "/register", "application/json", fmt.Sprintf(`{"redirect_uris":[%q],"application_type":%q}`, c.uri, c.asked))
			if c.asked == "" {
				status, out = s.Post(t, "/register", "application/json", fmt.Sprintf(`{"redirect_uris":[%q]}`, c.uri))
			}
			if got, _ := out["application_type"].(string); got != c.want || (status == http.StatusCreated) != (c.want != "") {
				t.Errorf("%+v: %d %v", c, status, out)
			}
		}
	})
	t.Run("AS-R13 AS-T11 ids and secrets are random, and no id looks like a URL", func(t *testing.T) {
		t.Parallel()
		seen := map[any]bool{}
		for range 8 {
			out := s.RegisterWith(t, nil)
			for _, name := range []string{"client_id", "client_secret", "registration_access_token"} {
				v, _ := out[name].(string)
				if seen[v] || len(v) < 26 || strings.Contains(v, ":") || strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || name != "client_id" && len(v) < 43 {
					t.Errorf("%s %q", name, v) // PROTOCOL 3.6 no. 19: nothing that Basic would encode
				}
				seen[v] = true
			}
		}
	})
	t.Run("AS-R11 AS-T3 the type of a client stands in its registration and binds it", func(t *testing.T) {
		t.Parallel()
		public, confidential := s.Register(t), s.RegisterWith(t, nil)["client_id"].(string)
		for id, want := range map[string]string{public: "none", confidential: "client_secret_basic"} {
			var method string
			if err := pgtest.QueryRow(t, s.DSN, `SELECT auth_method FROM clients WHERE id = '`+id+`'`, &method); err != nil || method != want {
				t.Errorf("%q, want %q (%v)", method, want, err)
			}
		}
		form := "grant_type=client_credentials&client_id=" + public
		if a := ask(t, http.MethodPost, s.URL+"/token", form, "Content-Type", formType); a.Status == 200 || strings.Contains(a.Body, "access_token") {
			t.Errorf("a public client acts for itself: %d %s", a.Status, a.Body)
		}
	})
	t.Run("AS-S1 secrets of clients are kept as hashes only", func(t *testing.T) {
		t.Parallel()
		out := s.RegisterWith(t, nil)
		var row string
		if err := pgtest.QueryRow(t, s.DSN, `SELECT row_to_json(c)::text FROM clients c WHERE id = '`+out["client_id"].(string)+`'`, &row); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"client_secret", "registration_access_token"} {
			if secret := out[name].(string); strings.Contains(row, secret) || strings.Contains(row, secret[4:]) {
				t.Errorf("%s stands in the row", name)
			}
		}
	})
}

// TestRowsDocuments: PROTOCOL 1.3, beside documents_test.go.
func TestRowsDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"ten minutes":            {map[string]string{"Cache-Control": "max-age=600"}, 10 * time.Minute},
		"at most a day":          {map[string]string{"Cache-Control": "max-age=31536000"}, 24 * time.Hour},
		"at least a minute":      {map[string]string{"Cache-Control": "no-store"}, time.Minute},
		"nothing said: a minute": {nil, time.Minute},
		"an age is taken off":    {map[string]string{"Cache-Control": "public, max-age=600", "Age": "300"}, 5 * time.Minute},
	} {
		t.Run("AS-C7 "+name, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t)
			s.Host.PublishClient(t, "/good.json", map[string]any{"client_id": s.Host.URL + "/client.json"})
			s.Host.Answer("/client.json", copyOf(t, s, c.header))
			v := s.VisitAs(t, s.Host.URL+"/client.json")
			for range 3 {
				page(t, s, authtest.Browser(), v)
			}
			var seconds float64
			err := pgtest.QueryRow(t, s.DSN, `SELECT extract(epoch FROM fresh_until - fetched_at) FROM client_documents`, &seconds)
			if n := s.Host.Hits("/client.json"); err != nil || n != 1 || seconds != c.want.Seconds() {
				t.Errorf("%d fetches, fresh for %v s (%v)", n, seconds, err)
			}
			execSQL(t, s.DSN, `UPDATE client_documents SET fetched_at = fetched_at - interval '25 hours', fresh_until = fresh_until - interval '25 hours'`)
			page(t, s, authtest.Browser(), v)
			if n := s.Host.Hits("/client.json"); n != 2 {
				t.Errorf("%d fetches after its time", n)
			}
		})
	}
	t.Run("AS-C8 AS-C18 AS-A3 a redirect URI beside the document's gets a page, before and after a good request", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		id := s.Host.PublishClient(t, "/client.json", nil)
		for range 2 {
			v := visit(id, "https://evil.example/cb")
			if a := ask(t, http.MethodGet, s.AuthorizeURL(v), ""); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || strings.Contains(a.Body, "evil.example") {
				t.Errorf("%d to %q", a.Status, a.Header.Get("Location"))
			}
			if q, p := s.Walk(t, s.VisitAs(t, id)); q.Get("code") == "" {
				t.Fatalf("%v %d", q, p.Status)
			}
		}
	})
	t.Run("AS-C12 a host is not flooded: many documents of one host are told to wait", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		busy, shown, began := 0, 0, time.Now()
		for i := 0; busy < 10 && i < 1000; i++ {
			path := fmt.Sprintf("/client-%d.json", i)
			a := ask(t, http.MethodGet, s.AuthorizeURL(visit(s.Host.PublishClient(t, path, nil), authtest.Redirect)), "")
			if a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "" && s.Host.Hits(path) == 0 {
				busy++
			} else if shown++; a.Status != http.StatusOK {
				t.Errorf("%d: %d", i, a.Status)
			}
		}
		if most := 5 + int(time.Since(began).Seconds()) + 1; busy < 10 || shown < 5 || shown > most { // five, and one each second
			t.Errorf("%d requests waited; %d did not, 5 to %d are right", busy, shown, most)
		}
	})
	t.Run("AS-C13 AS-C14 the page says which host describes the app, and warns about loopback", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		id := s.Host.PublishClient(t, "/client.json", map[string]any{"redirect_uris": []string{"http://127.0.0.1/callback", "https://app.example/cb"}})
		local, site := page(t, s, authtest.Browser(), s.VisitAs(t, id)), page(t, s, authtest.Browser(), visit(id, "https://app.example/cb"))
		for name, p := range map[string]string{"loopback": string(local.Body), "https": string(site.Body)} {
			if !strings.Contains(p, "<strong><bdi>"+s.Host.Addr+"</bdi></strong>") || !strings.Contains(p, `role="note"`) || strings.Contains(p, "any program running here") != (name == "loopback") {
				t.Errorf("%s: %s", name, p)
			}
		}
		if !strings.Contains(string(site.Body), "<strong><bdi>app.example</bdi></strong>") || !strings.Contains(string(site.Body), "takes you to app.example") {
			t.Error("a destination at another host is not shown, or without a warning")
		}
	})
	t.Run("AS-C16 A12 while documents are not admitted none is fetched, whoever asks", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t, closed)
		id := s.Host.PublishClient(t, "/client.json", nil)
		refusedPage(t, s, s.VisitAs(t, id), http.StatusBadRequest)
		for _, path := range []string{"/token", "/revoke", "/introspect", "/par"} {
			a := ask(t, http.MethodPost, s.URL+path, "grant_type=refresh_token&refresh_token=x&token=x&client_id="+id, "Content-Type", formType)
			if a.Status != http.StatusUnauthorized || document(t, a.Body)["error"] != "invalid_client" {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
		if n := s.Host.Hits("/client.json"); n != 0 {
			t.Errorf("%d fetches", n)
		}
	})
}
