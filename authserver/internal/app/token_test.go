package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"latchkey/authserver/internal/authtest"
)

// TestTokenErrors: RFC 6749 §5.2: each refusal has its code and status, is JSON and no-store, and burns nothing.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	q, _ := s.Walk(t, v)
	code := q.Get("code")
	other := s.Register(t)
	for name, c := range map[string]struct {
		change func(f url.Values)
		status int
		want   string
	}{
		"AS-T6 no grant type":                {func(f url.Values) { f.Del("grant_type") }, 400, "invalid_request"},
		"AS-T14 password":                    {func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type"},
		"AS-X2 token exchange is not public": {func(f url.Values) { f.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange") }, 400, "unsupported_grant_type"},
		"AS-R11 AS-T13 client credentials":   {func(f url.Values) { f.Set("grant_type", "client_credentials") }, 400, "unauthorized_client"},
		"AS-T1 repeated parameter":           {func(f url.Values) { f.Add("code", "x") }, 400, "invalid_request"},
		"AS-T16 AS-T6 no client":             {func(f url.Values) { f.Del("client_id") }, 401, "invalid_client"},
		"AS-T16 A30 unknown client":          {func(f url.Values) { f.Set("client_id", "c_gone") }, 401, "invalid_client"},
		"AS-T16 secret of a public client":   {func(f url.Values) { f.Set("client_secret", "x") }, 401, "invalid_client"},
		"assertion of a public client":       {func(f url.Values) { f.Set("client_assertion", "x") }, 401, "invalid_client"},
		"no code":                            {func(f url.Values) { f.Del("code") }, 400, "invalid_request"},
		"AS-T16 A16 AS-T11 forged code":      {func(f url.Values) { f.Set("code", altered(code)) }, 400, "invalid_grant"},
		"AS-T11 a code is no refresh token":  {func(f url.Values) { f.Set("grant_type", "refresh_token"); f.Set("refresh_token", code) }, 400, "invalid_grant"},
		"AS-T4 AS-A21 A5 other client":       {func(f url.Values) { f.Set("client_id", other) }, 400, "invalid_grant"},
		"AS-T4 AS-A21 A6 other redirect URI": {func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:8/callback") }, 400, "invalid_grant"},
		"AS-T4 AS-A21 A7 wrong verifier":     {func(f url.Values) { f.Set("code_verifier", strings.Repeat("v", 43)) }, 400, "invalid_grant"},
		"AS-T4 A7 no verifier":               {func(f url.Values) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"verifier too long":                  {func(f url.Values) { f.Set("code_verifier", strings.Repeat("v", 129)) }, 400, "invalid_grant"},
		"AS-T7 A14 other resource":           {func(f url.Values) { f.Set("resource", "https://other.example/mcp") }, 400, "invalid_target"},
		"two resources":                      {func(f url.Values) { f.Add("resource", authtest.Resource); f.Add("resource", authtest.Resource) }, 400, "invalid_target"},
		"parameter beyond every length":      {func(f url.Values) { f.Set("code", strings.Repeat("x", 5000)) }, 400, "invalid_request"},
		"AS-T6 body beyond the limit":        {func(f url.Values) { f.Set("junk", strings.Repeat("x", 70_000)) }, 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			f := v.Redeem(code)
			c.change(f)
			resp, err := http.PostForm(s.URL+"/token", f)
			if err != nil {
				t.Fatal(err)
			}
			h := resp.Header
			status, out := resp.StatusCode, decodeBody(t, resp)
			if status != c.status || out["error"] != c.want || out["error_description"] == nil {
				t.Errorf("%d %v", status, out)
			}
			if h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("headers %v", h)
			}
		})
	}
	if status, out := s.Token(t, v.Redeem(code)); status != http.StatusOK {
		t.Errorf("the right request afterwards: %d %v", status, out)
	}
	if status, out := s.Token(t, v.Redeem(code)); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("AS-T5 second use: %d %v", status, out)
	}
}

// TestTokenEndpointForms: form bodies by POST only; credentials never from the query.
func TestTokenEndpointForms(t *testing.T) {
	t.Parallel()
	t.Run("AS-T1 AS-T6 forms by POST only, nothing from the query", tokenEndpointForms)
}

func tokenEndpointForms(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for name, r := range map[string]*http.Request{
		"GET":              httptest.NewRequest(http.MethodGet, s.URL+"/token?grant_type=refresh_token", nil),
		"JSON":             httptest.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader(`{"grant_type":"refresh_token"}`)),
		"query only":       httptest.NewRequest(http.MethodPost, s.URL+"/token?grant_type=refresh_token&client_id=x&refresh_token=y", nil),
		"bearer as client": httptest.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader("grant_type=refresh_token&refresh_token=x")),
	} {
		r.RequestURI = ""
		want, status := "invalid_request", http.StatusBadRequest
		switch name {
		case "GET":
			status = http.StatusMethodNotAllowed
		case "JSON":
			r.Header.Set("Content-Type", "application/json")
		case "query only":
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			want, status = "invalid_client", http.StatusUnauthorized
		case "bearer as client":
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", "Bearer x")
			want, status = "invalid_client", http.StatusUnauthorized
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if out := decodeBody(t, resp); resp.StatusCode != status || out["error"] != want {
			t.Errorf("%s: %d %v", name, resp.StatusCode, out)
		}
	}
}

// TestBasicWithEmptySecret: x/oauth2 probes with Basic and no secret (PROTOCOL 3.6 no. 20); a wrong secret gets its scheme back (RFC 6749 §5.2).
func TestBasicWithEmptySecret(t *testing.T) {
	t.Parallel()
	t.Run("AS-T3 a wrong secret by Basic gets its scheme back, an empty one is none", basicWithEmptySecret)
}

func basicWithEmptySecret(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	out := s.SignIn(t, v)
	for secret, want := range map[string]int{"x": http.StatusUnauthorized, "": http.StatusOK} {
		f := v.Refresh(out["refresh_token"].(string))
		f.Del("client_id")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/token", strings.NewReader(f.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(v.Client), secret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || (want == 401) != strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("secret %q: %d %v", secret, resp.StatusCode, resp.Header)
		}
	}
}

// TestRefreshNarrows: RFC 6749 §6, RFC 8707 §2.2: scope may only narrow, the refresh token keeps everything; absent resource keeps the audience.
func TestRefreshNarrows(t *testing.T) {
	t.Parallel()
	t.Run("AS-T7 AS-T9 A14 a refresh narrows and never widens", refreshNarrows)
}

func refreshNarrows(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read drive.read")
	out := s.SignIn(t, v)
	refresh := func(change func(url.Values)) (int, map[string]any) {
		f := v.Refresh(out["refresh_token"].(string))
		change(f)
		status, next := s.Token(t, f)
		if status == http.StatusOK {
			out = next
		}
		return status, next
	}
	if status, got := refresh(func(f url.Values) { f.Set("scope", "gmail.read offline_access openid") }); status != 200 || got["scope"] != "gmail.read" || claims(t, got["access_token"])["scope"] != "gmail.read" {
		t.Errorf("narrow: %d %v", status, got)
	}
	if status, got := refresh(func(url.Values) {}); status != 200 || got["scope"] != "drive.read gmail.read" || claims(t, got["access_token"])["aud"] != authtest.Resource {
		t.Errorf("after narrowing: %d %v", status, got)
	}
	if status, got := refresh(func(f url.Values) { f.Set("scope", "gmail.read calendar.read") }); status != 400 || got["error"] != "invalid_scope" {
		t.Errorf("AS-T9 wider: %d %v", status, got)
	}
	if status, got := refresh(func(f url.Values) { f.Set("resource", "https://other.example/mcp") }); status != 400 || got["error"] != "invalid_target" {
		t.Errorf("other resource: %d %v", status, got)
	}
	if status, got := refresh(func(f url.Values) { f.Set("resource", authtest.Resource+"/") }); status != 200 {
		t.Errorf("alias of the same resource: %d %v", status, got)
	}
}

// TestParallelRefreshOverHTTP: 8 parallel refreshes: every answer carries the same successor, and it works.
func TestParallelRefreshOverHTTP(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	token := s.SignIn(t, v)["refresh_token"].(string)
	for range 5 {
		answers := make([]string, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				status, out := s.Token(t, v.Refresh(token))
				if status == http.StatusOK {
					answers[i] = out["refresh_token"].(string)
				} else {
					t.Errorf("%d %v", status, out)
				}
			})
		}
		wg.Wait()
		for _, a := range answers {
			if a == "" || a != answers[0] || a == token {
				t.Fatal("the answers carry different successors")
			}
		}
		token = answers[0]
	}
}

// altered is a token with another character in it.
func altered(token string) string {
	at, other := len(token)-8, "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}
