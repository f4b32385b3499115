package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

func issuer(t *testing.T, s string) oauth.IssuerURL {
	t.Helper()
	i, err := oauth.ParseIssuerURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestRedirectParameters: RFC 9700 §4.4: a registered query is kept, but cannot bring response parameters of its own.
func TestRedirectParameters(t *testing.T) {
	t.Parallel()
	t.Run("AS-A8 A29 a registered query cannot bring response parameters of its own", redirectParameters)
}

func redirectParameters(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	web.Redirect(rec, httptest.NewRequest(http.MethodGet, "/", nil), "https://a.example/cb?keep=1&iss=https://evil.example&code=theirs&state=theirs&error=theirs", "ours", issuer(t, "https://auth.example.com"), url.Values{"code": {"ours"}})
	u, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != http.StatusSeeOther {
		t.Fatal(rec.Code, err)
	}
	want := url.Values{"keep": {"1"}, "iss": {"https://auth.example.com"}, "code": {"ours"}, "state": {"ours"}}
	if u.Query().Encode() != want.Encode() {
		t.Errorf("%v", u.Query())
	}
}

// TestUnknownErrorsAreDoubt: DESIGN §1.5: what is none of the protocol's errors is 503, and its text stays inside.
func TestUnknownErrorsAreDoubt(t *testing.T) {
	t.Parallel()
	for name, surface := range map[string]http.Handler{
		"JSON": web.OAuthJSON(func(http.ResponseWriter, *http.Request) error { return errors.New("canary: connection refused") }),
		"page": web.Authorize(func(http.ResponseWriter, *http.Request) error { return context.DeadlineExceeded }),
	} {
		rec := httptest.NewRecorder()
		surface.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		body, _ := io.ReadAll(rec.Body)
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || strings.Contains(string(body), "canary") || strings.Contains(string(body), "deadline") {
			t.Errorf("%s: %d %v %s", name, rec.Code, rec.Header(), body)
		}
	}
}

// TestCookies: PROTOCOL AS-A14: __Host-, Secure, HttpOnly, SameSite=Lax at https; plain http exists on loopback only.
func TestCookies(t *testing.T) {
	t.Parallel()
	t.Run("AS-A14 __Host-, Secure, HttpOnly, SameSite=Lax", cookies)
}

func cookies(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"https://auth.example.com": "__Host-x=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
		"http://127.0.0.1:8080":    "x=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
	} {
		rec := httptest.NewRecorder()
		web.SetCookie(rec, issuer(t, origin), "x", "v", 60e9)
		if got := rec.Header().Get("Set-Cookie"); got != want {
			t.Errorf("%s: %s", origin, got)
		}
	}
}
