package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/pgtest"
	"latchkey/pkg/oauth"
)

// TestPushedRequests: RFC 9126: a request pushed by a client that proved itself leads to a code; the link carries nothing else.
func TestPushedRequests(t *testing.T) {
	t.Parallel()
	t.Run("A28 what stands beside a pushed request in the link counts nothing", pushedRequests)
}

func pushedRequests(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	reg := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "client_secret_post"})
	id, secret := reg["client_id"].(string), reg["client_secret"].(string)
	v := s.VisitAs(t, id)
	form := with(v.Query, "client_secret", secret)
	status, h, out := post(t, s.URL+"/par", form, "", "")
	if status != http.StatusCreated || h.Get("Cache-Control") != "no-store" || out["expires_in"] != float64(90) {
		t.Fatalf("%d %v %v", status, h, out)
	}
	uri := out["request_uri"].(string)
	pushed := *v
	// What else stands in the link is ignored: neither the state nor the scopes of an attacker count.
	pushed.Query = url.Values{"client_id": {id}, "request_uri": {uri}, "state": {"attacker"}, "redirect_uri": {"https://evil.example/"}, "scope": {"calendar.read"}}
	q, p := s.Walk(t, &pushed)
	if q.Get("code") == "" || q.Get("state") != "st-1" || q.Get("iss") != s.URL {
		t.Fatalf("%v %d %s", q, p.Status, p.Body)
	}
	status, _, out = post(t, s.URL+"/token", with(v.Redeem(q.Get("code")), "client_secret", secret), "", "")
	if status != http.StatusOK || len(strings.Fields(out["scope"].(string))) != 4 {
		t.Errorf("%d %v", status, out)
	}
	refusedPage(t, s, &pushed, http.StatusBadRequest) // RFC 9126 §4: once
	var stored string
	if err := pgtest.QueryRow(t, s.DSN, `SELECT string_agg(encode(request, 'escape'), '') FROM pushed_requests`, &stored); err != nil || strings.Contains(stored, secret) || strings.Contains(stored, "gmail") {
		t.Errorf("the pushed request is stored in clear (%v)", err)
	}
	if strings.Contains(s.Logs.String(), strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")) {
		t.Error("the request_uri is in the log")
	}
}

// TestPushedRequestErrors: RFC 9126 §2.3: the errors of the authorization endpoint, as JSON, when it is pushed.
func TestPushedRequestErrors(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	confidential := s.RegisterWith(t, nil)["client_id"].(string)
	twice := with(v.Query)
	twice["state"] = []string{"a", "b"}
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"no client":                         {with(v.Query, "client_id", ""), 401, "invalid_client"},
		"unknown client":                    {with(v.Query, "client_id", "c_x"), 401, "invalid_client"},
		"a secret is missing":               {with(v.Query, "client_id", confidential), 401, "invalid_client"},
		"request_uri":                       {with(v.Query, "request_uri", "urn:ietf:params:oauth:request_uri:x"), 400, "invalid_request"},
		"AS-A3 redirect URI not registered": {with(v.Query, "redirect_uri", "https://evil.example/"), 400, "invalid_request"},
		"AS-A5 A7 no PKCE":                  {with(v.Query, "code_challenge", ""), 400, "invalid_request"},
		"AS-A5 A7 plain PKCE":               {with(v.Query, "code_challenge_method", "plain"), 400, "invalid_request"},
		"AS-A11 unknown resource":           {with(v.Query, "resource", "https://other.example/"), 400, "invalid_target"},
		"AS-A6 response_type token":         {with(v.Query, "response_type", "token"), 400, "unsupported_response_type"},
		"request object":                    {with(v.Query, "request", "x"), 400, "request_not_supported"},
		"AS-A1 state twice":                 {twice, 400, "invalid_request"},
		"state beyond every length":         {with(v.Query, "state", strings.Repeat("s", 3000)), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, out := post(t, s.URL+"/par", c.form, "", "")
			if status != c.status || out["error"] != c.code || out["request_uri"] != nil {
				t.Errorf("%d %v", status, out)
			}
		})
	}
	status, _, out := post(t, s.URL+"/par", v.Query, "", "")
	if status != http.StatusCreated {
		t.Fatal(status, out)
	}
	uri := out["request_uri"].(string)
	for name, query := range map[string]url.Values{
		"A5 another client": {"client_id": {s.Register(t)}, "request_uri": {uri}},
		"no client":         {"request_uri": {uri}},
		"two clients":       {"client_id": {v.Client, v.Client}, "request_uri": {uri}},
		"A16 cut":           {"client_id": {v.Client}, "request_uri": {uri[:len(uri)-1]}},
		"A16 longer":        {"client_id": {v.Client}, "request_uri": {uri + "A"}},
		"never pushed":      {"client_id": {v.Client}, "request_uri": {"urn:ietf:params:oauth:request_uri:" + strings.Repeat("A", 43)}},
	} {
		t.Run(name, func(t *testing.T) {
			refusedPage(t, s, &authtest.Visit{Client: name, Query: query}, http.StatusBadRequest)
		})
	}
	execSQL(t, s.DSN, `UPDATE pushed_requests SET expires_at = now()`)
	refusedPage(t, s, &authtest.Visit{Client: "expired", Query: url.Values{"client_id": {v.Client}, "request_uri": {uri}}}, http.StatusBadRequest)
}

// TestPushedRequestReload: RFC 9126 §4: the browser that opened a pushed request may load the page again; no other.
func TestPushedRequestReload(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	_, _, out := post(t, s.URL+"/par", v.Query, "", "")
	link := s.URL + "/authorize?" + url.Values{"client_id": {v.Client}, "request_uri": {out["request_uri"].(string)}}.Encode()
	b := authtest.Browser()
	for range 3 {
		if p, err := b.Get(t.Context(), link); err != nil || p.Status != http.StatusOK {
			t.Errorf("%v %d", err, p.Status)
		}
	}
	if p, err := authtest.Browser().Get(t.Context(), link); err != nil || p.Status != http.StatusBadRequest {
		t.Errorf("another browser: %v %d", err, p.Status)
	}
}

// TestPushedRequestAssertion: RFC 9126 §2, and stricter: a client proves itself for the issuer or the token endpoint; the
// address it happens to call is no name of this server.
func TestPushedRequestAssertion(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	key := authtest.ClientKey(t, "k")
	id := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(key)})["client_id"].(string)
	form := with(s.VisitAs(t, id).Query, "client_assertion_type", oauth.ClientAssertionJWTBearer)
	head, _, _ := strings.Cut(authtest.Assertion(t, key, id, s.URL, nil), ".") // of each of them
	for audience, want := range map[string]int{s.URL: http.StatusCreated, s.URL + "/token": http.StatusCreated, s.URL + "/par": http.StatusUnauthorized, authtest.Resource: http.StatusUnauthorized} {
		t.Run("AS-T12 audience "+strings.TrimPrefix(audience, s.URL), func(t *testing.T) {
			assertion := authtest.Assertion(t, key, id, audience, nil)
			status, _, out := post(t, s.URL+"/par", with(form, "client_assertion", assertion), "", "")
			if status != want {
				t.Errorf("%d %v", status, out)
			}
			if status, _, out := post(t, s.URL+"/par", with(form, "client_assertion", assertion), "", ""); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
				t.Errorf("A17 a second use: %d %v", status, out)
			}
		})
	}
	var stored string
	if err := pgtest.QueryRow(t, s.DSN, `SELECT string_agg(row_to_json(p)::text, '') FROM pushed_requests p`, &stored); err != nil || strings.Contains(stored, "client_assertion") || strings.Contains(stored, head) {
		t.Errorf("the assertion is stored (%v)", err)
	}
}
