package app_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// refusedPage walks a visit that must end on our own error page, without any redirect.
func refusedPage(t *testing.T, s *authtest.Server, v *authtest.Visit, status int) string {
	t.Helper()
	q, p := s.Walk(t, v)
	if q != nil || p.Status != status || !strings.HasPrefix(p.URL.String(), s.URL) {
		t.Errorf("%s: ended at %v with %d", v.Client, p.URL, p.Status)
	}
	return string(p.Body)
}

// TestDocumentClients: AS-C1, C13, C14: a client whose id is the URL of its document signs a person in at first sight.
func TestDocumentClients(t *testing.T) {
	t.Parallel()
	t.Run("AS-C1 AS-C13 AS-C14 AS-C15 AS-C19 AS-A2 a client that is a document signs a person in at first sight", documentClients)
}

func documentClients(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	id := s.Host.PublishClient(t, "/client.json", map[string]any{
		"redirect_uris": []string{"http://127.0.0.1/callback", "weird://x"},                                             // AS-A2: any port; an exotic entry does no harm
		"grant_types":   []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"}, // AS-C19
		"logo_uri":      s.Host.URL + "/logo.png", "unknown": map[string]any{"a": 1},
	})
	v := s.VisitAs(t, id)
	p, err := authtest.Browser().Get(t.Context(), s.AuthorizeURL(v))
	if err != nil || p.Status != http.StatusOK {
		t.Fatalf("%v %d %s", err, p.Status, p.Body)
	}
	for what, text := range map[string]string{"name": "Published app", "host of the document": s.Host.Addr, "destination": "an app on this computer", "warning": "Nobody has verified it"} {
		if !strings.Contains(string(p.Body), text) {
			t.Errorf("the consent page lacks the %s", what)
		}
	}
	if strings.Contains(string(p.Body), "<img") || s.Host.Hits("/logo.png") != 0 { // AS-C15
		t.Error("the logo is hot-linked or fetched")
	}
	tokens := s.SignIn(t, v)
	if status, out := s.Token(t, v.Refresh(tokens["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("refresh: %d %v", status, out)
	}
	if n := s.Host.Hits("/client.json"); n != 1 { // AS-C7: the first sight only
		t.Errorf("%d fetches", n)
	}
	// go-sdk by x/oauth2 first tries Basic with an empty secret (PROTOCOL 3.1).
	q, _ := s.Walk(t, v)
	form := with(v.Redeem(q.Get("code")), "client_id", "")
	if status, _, out := post(t, s.URL+"/token", form, strings.ReplaceAll(strings.ReplaceAll(id, ":", "%3A"), "/", "%2F"), ""); status != http.StatusOK {
		t.Errorf("Basic with an empty secret: %d %v", status, out)
	}
}

// TestDocumentRefusals: AS-C2 to C6, C8, C9, C18: what is wrong with a document or its address ends on our page; nothing is
// kept of it, and once it is right it works.
func TestDocumentRefusals(t *testing.T) {
	t.Parallel()
	one := authtest.Start(t)
	for name, members := range map[string]map[string]any{
		"AS-C3 another client_id":         {"client_id": one.Host.URL + "/other.json"},
		"AS-C3 no client_id":              {"client_id": nil},
		"AS-C4 no client_name":            {"client_name": nil},
		"AS-C4 empty client_name":         {"client_name": "  "},
		"AS-C4 no redirect_uris":          {"redirect_uris": nil},
		"AS-C4 only unusable redirects":   {"redirect_uris": []string{"http://evil.example/cb", "weird://x"}},
		"AS-C9 client_secret":             {"client_secret": "lks_x"},
		"AS-C9 client_secret_basic":       {"token_endpoint_auth_method": "client_secret_basic"},
		"AS-C9 client_secret_post":        {"token_endpoint_auth_method": "client_secret_post"},
		"AS-C10 private_key_jwt, no keys": {"token_endpoint_auth_method": "private_key_jwt"},
		"AS-C4 no authorization_code":     {"grant_types": []string{"client_credentials"}},
		"AS-C4 wrong type":                {"redirect_uris": "https://a.example/cb"},
		"AS-C12 beyond 5 KB":              {"filler": strings.Repeat("x", 6000)},
		"AS-C8 other redirect URI":        {"redirect_uris": []string{"https://a.example/cb"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := one.Replica(t) // each fetches from the host for the first time: the limit per host is real here
			path := "/" + strings.ReplaceAll(strings.ToLower(name), " ", "-") + ".json"
			v := s.VisitAs(t, s.Host.PublishClient(t, path, members))
			refusedPage(t, s, v, http.StatusBadRequest)
			if s.Host.Hits(path) == 0 {
				t.Error("was not even fetched")
			}
		})
	}
}

// TestDocumentAnswers: AS-C5, C6, C12: only a 200 with JSON counts, redirects are not followed, errors are not kept.
func TestDocumentAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		answer http.HandlerFunc
	}{
		"AS-C5 AS-C18 A12 redirect": {http.StatusBadRequest, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good.json", http.StatusFound) }},
		"AS-C5 AS-C6 AS-C18 404":    {http.StatusBadRequest, http.NotFound},
		"AS-C5 AS-C6 201":           {http.StatusBadRequest, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }},
		"AS-C5 HTML":                {http.StatusBadRequest, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }},
		"AS-C6 AS-C18 500":          {http.StatusServiceUnavailable, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		"AS-C12 AS-C18 hangs":       {http.StatusServiceUnavailable, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t)
			s.Host.PublishClient(t, "/good.json", nil)
			s.Host.Answer("/client.json", c.answer)
			v := s.VisitAs(t, s.Host.URL+"/client.json")
			refusedPage(t, s, v, c.status)
			if s.Host.Hits("/good.json") != 0 {
				t.Error("a redirect was followed")
			}
			s.Host.PublishClient(t, "/client.json", nil)
			if q, p := s.Walk(t, v); q == nil || q.Get("code") == "" { // AS-C6
				t.Errorf("the error was kept: %d %s", p.Status, p.Body)
			}
		})
	}
}

// TestDocumentAddresses: AS-C2, AS-C11: an address that is not allowed is not asked.
func TestDocumentAddresses(t *testing.T) {
	t.Parallel()
	t.Run("AS-C2 AS-C11 A12 an address that is not allowed is not asked", documentAddresses)
}

func documentAddresses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for _, id := range []string{
		s.Host.URL, s.Host.URL + "/", s.Host.URL + "/a/../client.json", s.Host.URL + "/./client.json", s.Host.URL + "/%2e%2e/client.json", s.Host.URL + "/a%2fb.json",
		s.Host.URL + "/client.json#f", strings.Replace(s.Host.URL, "https://", "https://user@", 1) + "/client.json", strings.Replace(s.Host.URL, "https://", "HTTPS://", 1) + "/client.json",
		s.Host.URL + "/client.json\t", s.Host.URL + `\client.json`, s.Host.URL + "/" + strings.Repeat("x", 600),
		"https://127.0.0.1/client.json", "https://localhost/client.json", "https://[::1]/client.json", "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/c", "https://2130706433/c",
		"https://0x7f.1/c", "https://metadata.google.internal/c", "http://" + s.Host.Addr + "/client.json",
	} {
		refusedPage(t, s, s.VisitAs(t, id), http.StatusBadRequest)
	}
	for path := range map[string]bool{"/client.json": true, "/": true, "/a/../client.json": true} {
		if n := s.Host.Hits(path); n != 0 {
			t.Errorf("%d requests for %s", n, path)
		}
	}
}

// TestDocumentChanges: AS-C17: a changed document is asked about again: a consent page rendered before does not count, a
// redirect URI that was taken out is not followed, and the trip to Google does not end in a code.
func TestDocumentChanges(t *testing.T) {
	t.Parallel()
	t.Run("AS-C17 A9 a changed document is asked about again", documentChanges)
}

func documentChanges(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	id := s.Host.PublishClient(t, "/client.json", nil)
	v := s.VisitAs(t, id)
	b := authtest.Browser()
	before, err := b.Get(t.Context(), s.AuthorizeURL(v))
	if err != nil || before.Status != http.StatusOK {
		t.Fatal(err, before.Status)
	}
	s.Host.PublishClient(t, "/client.json", map[string]any{"client_name": "Renamed app", "redirect_uris": []string{"https://elsewhere.example/cb"}})
	execSQL(t, s.DSN, `UPDATE client_documents SET fresh_until = now() - interval '1 second'`)
	refusedPage(t, s, v, http.StatusBadRequest) // fetched again: the redirect URI is no longer there
	p, err := authtest.Approve(t.Context(), b, before, v)
	if err != nil || p.Status != http.StatusBadRequest || !strings.Contains(string(p.Body), "changed") {
		t.Errorf("an old consent page was accepted: %v %d %v", err, p.Status, p.URL)
	}
	s.Host.PublishClient(t, "/client.json", map[string]any{"client_name": "Renamed app"})
	execSQL(t, s.DSN, `UPDATE client_documents SET fresh_until = now() - interval '1 second'`)
	now, err := authtest.Browser().Get(t.Context(), s.AuthorizeURL(v))
	if err != nil || !strings.Contains(string(now.Body), "Renamed app") {
		t.Errorf("consent does not show the document of today: %v %s", err, now.Body)
	}
}

// TestDocumentHostIsDown: DESIGN §1.5: a host that does not answer signs nobody out; one that says the document is gone does.
func TestDocumentHostIsDown(t *testing.T) {
	t.Parallel()
	t.Run("AS-T16 AS-C6 a host that is down signs nobody out, a document that is gone is invalid_client", documentHostIsDown)
}

func documentHostIsDown(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	id := s.Host.PublishClient(t, "/client.json", nil)
	v := s.VisitAs(t, id)
	token := s.SignIn(t, v)["refresh_token"].(string)
	refresh := func(want int) map[string]any {
		t.Helper()
		status, out := s.Replica(t).Token(t, v.Refresh(token)) // a replica has nothing in memory
		if status != want {
			t.Errorf("%d %v", status, out)
		}
		if next, ok := out["refresh_token"].(string); ok {
			token = next
		}
		return out
	}
	s.Host.Answer("/client.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	execSQL(t, s.DSN, `UPDATE client_documents SET fetched_at = now() - interval '2 days', fresh_until = now() - interval '1 day'`)
	refresh(http.StatusOK)
	// Nor does a host that does not like robots today, moved, or shows a page: the publisher has taken nothing back.
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusFound, http.StatusOK} {
		s.Host.Answer("/client.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		refresh(http.StatusOK)
	}
	s.Host.Answer("/client.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	execSQL(t, s.DSN, `UPDATE client_documents SET fetched_at = now() - interval '8 days'`)
	if out := refresh(http.StatusServiceUnavailable); out["error"] != "temporarily_unavailable" {
		t.Errorf("%v", out)
	}
	execSQL(t, s.DSN, `UPDATE client_documents SET fetched_at = now() - interval '2 days'`)
	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		s.Host.Answer("/client.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if out := refresh(http.StatusUnauthorized); out["error"] != "invalid_client" {
			t.Errorf("%d: %v", status, out)
		}
	}
	s.Host.PublishClient(t, "/client.json", map[string]any{"client_id": s.Host.URL + "/other.json"})
	if out := refresh(http.StatusUnauthorized); out["error"] != "invalid_client" {
		t.Errorf("another document at its address: %v", out)
	}
}

// TestDocumentAdmission: AS-C16: the tenant's modes.
func TestDocumentAdmission(t *testing.T) {
	t.Parallel()
	t.Run("AS-C16 AS-D8 the modes of a tenant, and what is advertised", documentAdmission)
}

func documentAdmission(t *testing.T) {
	t.Parallel()
	for mode, admitted := range map[tenant.AdmissionMode]bool{tenant.AdmitNone: false, tenant.AdmitListed: false, tenant.AdmitReportOnly: true, tenant.AdmitOpen: true} {
		s := authtest.Start(t, func(c *config.Server) { c.Documents.Mode = mode })
		v := s.VisitAs(t, s.Host.PublishClient(t, "/client.json", nil))
		if q, _ := s.Walk(t, v); (q.Get("code") != "") != admitted {
			t.Errorf("%s: admitted %v", mode, !admitted)
		}
		if hits := s.Host.Hits("/client.json"); (hits > 0) != admitted {
			t.Errorf("%s: %d fetches", mode, hits)
		}
		if logged := strings.Contains(s.Logs.String(), "client_would_be_refused"); logged != (mode == tenant.AdmitReportOnly) {
			t.Errorf("%s: reported %v", mode, logged)
		}
		m := decodeBody(t, get(t, s.URL+"/.well-known/oauth-authorization-server"))
		if told, _ := m["client_id_metadata_document_supported"].(bool); told != (mode != tenant.AdmitNone) { // AS-D8
			t.Errorf("%s: advertised %v", mode, told)
		}
	}
	s := authtest.Start(t, func(c *config.Server) {
		c.Documents = tenant.Admission{Mode: tenant.AdmitListed, Hosts: []string{c.TestHosts[0]}}
	})
	if q, _ := s.Walk(t, s.VisitAs(t, s.Host.PublishClient(t, "/client.json", nil))); q.Get("code") == "" {
		t.Error("a listed host is not admitted")
	}
}

// TestDocumentKeys: AS-C10, PROTOCOL 3.6 no. 8: private_key_jwt is required of a document that says so, unless it lists none
// as well (ChatGPT's does).
func TestDocumentKeys(t *testing.T) {
	t.Parallel()
	t.Run("AS-C10 AS-T12 a document with keys is held to them", documentKeys)
}

func documentKeys(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	key := authtest.ClientKey(t, "k")
	s.Host.Publish(t, "/jwks.json", authtest.KeySet(key))
	for name, c := range map[string]struct {
		members map[string]any
		without int
	}{
		"private_key_jwt":                 {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": s.Host.URL + "/jwks.json"}, http.StatusUnauthorized},
		"inline keys":                     {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(key)}, http.StatusUnauthorized},
		"private_key_jwt, none as well":   {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": s.Host.URL + "/jwks.json", "token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}}, http.StatusOK},
		"none first, private_key_jwt too": {map[string]any{"jwks_uri": s.Host.URL + "/jwks.json", "token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}}, http.StatusOK},
	} {
		id := s.Host.PublishClient(t, "/"+strings.NewReplacer(" ", "-", ",", "").Replace(name)+".json", c.members)
		v := s.VisitAs(t, id)
		q, p := s.Walk(t, v)
		if q.Get("code") == "" {
			t.Fatalf("%s: %d %s", name, p.Status, p.Body)
		}
		form := v.Redeem(q.Get("code"))
		status, out := s.Token(t, form)
		if status != c.without {
			t.Errorf("%s, without assertion: %d %v", name, status, out)
		}
		if status == http.StatusOK {
			form = v.Refresh(out["refresh_token"].(string))
		}
		form = with(form, "client_assertion_type", oauth.ClientAssertionJWTBearer, "client_assertion", authtest.Assertion(t, key, id, s.URL, nil))
		if status, out := s.Token(t, form); status != http.StatusOK {
			t.Errorf("%s, with assertion: %d %v", name, status, out)
		}
	}
}

// TestDocumentsAreFetchedOnce: AS-C12: 32 people at once cause one fetch.
func TestDocumentsAreFetchedOnce(t *testing.T) {
	t.Parallel()
	t.Run("AS-C12 many people at once cause one fetch", documentsAreFetchedOnce)
}

func documentsAreFetchedOnce(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.VisitAs(t, s.Host.PublishClient(t, "/client.json", nil))
	at([]string{s.AuthorizeURL(v)}, func(_ int, link string) {
		p, err := authtest.Browser().Get(t.Context(), link)
		if err != nil || p.Status != http.StatusOK {
			t.Errorf("%v %d", err, p.Status)
		}
	})
	if n := s.Host.Hits("/client.json"); n != 1 {
		t.Errorf("%d fetches", n)
	}
}
