package app_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TestRevocation: AS-V1, RFC 7009: revoking either token ends the grant: no refresh, no exchange.
func TestRevocation(t *testing.T) {
	t.Parallel()
	t.Run("AS-V1 revoking either token ends the grant", revocation)
}

func revocation(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	rs := s.Exchanger(t, s.Internal)
	for _, kind := range []string{"refresh_token", "access_token"} {
		v := s.NewVisit(t)
		tokens := s.SignIn(t, v)
		form := url.Values{"token": {tokens[kind].(string)}, "token_type_hint": {"nonsense"}, "client_id": {v.Client}}
		stranger := s.Register(t)
		if status, _, out := post(t, s.URL+"/revoke", with(form, "client_id", stranger), "", ""); status != http.StatusBadRequest || out["error"] != "unauthorized_client" {
			t.Errorf("another client's %s: %d %v", kind, status, out)
		}
		status, _, out := post(t, s.URL+"/token", v.Refresh(tokens["refresh_token"].(string)), "", "")
		if status != http.StatusOK {
			t.Fatalf("the stranger revoked it: %d %v", status, out)
		}
		for range 2 { // revoking twice is no error
			if status, _, out := post(t, s.URL+"/revoke", form, "", ""); status != http.StatusOK {
				t.Errorf("%s: %d %v", kind, status, out)
			}
		}
		if status, _, out := post(t, s.URL+"/token", v.Refresh(out["refresh_token"].(string)), "", ""); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
			t.Errorf("refresh after revoking the %s: %d %v", kind, status, out)
		}
		_, err := rs.Exchange(t.Context(), exchange.Request{SubjectToken: secret.NewText(tokens["access_token"].(string)), Scopes: oauth.NewScopes("https://www.googleapis.com/auth/gmail.readonly")})
		if err == nil {
			t.Errorf("exchange after revoking the %s", kind)
		}
	}
	v := s.NewVisit(t)
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   any
	}{
		"unknown token":  {url.Values{"token": {"x"}, "client_id": {v.Client}}, 200, nil},
		"forged token":   {url.Values{"token": {"lkr_AAAA"}, "client_id": {v.Client}}, 200, nil},
		"no token":       {url.Values{"client_id": {v.Client}}, 400, "invalid_request"},
		"no client":      {url.Values{"token": {"x"}}, 401, "invalid_client"},
		"unknown client": {url.Values{"token": {"x"}, "client_id": {"c_x"}}, 401, "invalid_client"},
		"token twice":    {url.Values{"token": {"x", "y"}, "client_id": {v.Client}}, 400, "invalid_request"},
	} {
		if status, _, out := post(t, s.URL+"/revoke", c.form, "", ""); status != c.status || out["error"] != c.code {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if resp := get(t, s.URL+"/revoke?token=x"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

// TestRevocationInDoubt: A18: when the database fails the answer is 503, never a success that did not happen.
func TestRevocationInDoubt(t *testing.T) {
	t.Parallel()
	t.Run("A18 AS-V1 a revocation in doubt is 503", revocationInDoubt)
}

func revocationInDoubt(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t, authtest.Hasty)
	v := s.NewVisit(t)
	tokens := s.SignIn(t, v)
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `BEGIN; SET LOCAL ROLE latchkey_jobs; SELECT FROM grants FOR UPDATE`); err != nil { // longer than the server waits
		t.Fatal(err)
	}
	form := url.Values{"token": {tokens["refresh_token"].(string)}, "client_id": {v.Client}}
	if status, h, out := post(t, s.URL+"/revoke", form, "", ""); status != http.StatusServiceUnavailable || out["error"] != "temporarily_unavailable" || h.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, out)
	}
	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if status, _, out := post(t, s.URL+"/revoke", form, "", ""); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}
}

// TestIntrospection: AS-V2, A19, RFC 7662: for clients that authenticate, about their own tokens; all else is inactive and
// nothing more.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	t.Run("AS-V2 A19 introspection is for the own tokens of clients that authenticate", introspection)
}

func introspection(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	type confidential struct{ id, secret string }
	register := func() confidential {
		r := s.RegisterWith(t, nil)
		return confidential{r["client_id"].(string), r["client_secret"].(string)}
	}
	mine, other := register(), register()
	v := s.VisitAs(t, mine.id)
	q, _ := s.Walk(t, v)
	status, _, tokens := post(t, s.URL+"/token", v.Redeem(q.Get("code")), mine.id, mine.secret)
	if status != http.StatusOK {
		t.Fatal(status, tokens)
	}
	ask := func(c confidential, token any) map[string]any {
		t.Helper()
		status, h, out := post(t, s.URL+"/introspect", url.Values{"token": {token.(string)}}, c.id, c.secret)
		if status != http.StatusOK || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", status, out)
		}
		return out
	}
	inactive := func(name string, out map[string]any) {
		t.Helper()
		if len(out) != 1 || out["active"] != false {
			t.Errorf("%s: %v", name, out)
		}
	}
	access, refresh := ask(mine, tokens["access_token"]), ask(mine, tokens["refresh_token"])
	for name, out := range map[string]map[string]any{"Bearer": access, "refresh_token": refresh} {
		if out["active"] != true || out["client_id"] != mine.id || out["aud"] != authtest.Resource || out["iss"] != s.URL || out["token_type"] != name || out["sub"] == nil || out["exp"] == nil || out["scope"] != tokens["scope"] {
			t.Errorf("%s: %v", name, out)
		}
	}
	if days := (refresh["exp"].(float64) - refresh["iat"].(float64)) / 86400; days < 29 || days > 31 { // its own end, not the access token's
		t.Errorf("the refresh token ends after %.1f days", days)
	}
	inactive("another client's access token", ask(other, tokens["access_token"]))
	inactive("another client's refresh token", ask(other, tokens["refresh_token"]))
	inactive("garbage", ask(mine, "x"))
	inactive("a code", ask(mine, q.Get("code")))
	status, _, next := post(t, s.URL+"/token", v.Refresh(tokens["refresh_token"].(string)), mine.id, mine.secret)
	if status != http.StatusOK {
		t.Fatal(status, next)
	}
	inactive("an older generation", ask(mine, tokens["refresh_token"]))
	if out := ask(mine, next["refresh_token"]); out["active"] != true { // asking is not using
		t.Errorf("the live token: %v", out)
	}
	if status, _, _ := post(t, s.URL+"/revoke", url.Values{"token": {next["refresh_token"].(string)}}, mine.id, mine.secret); status != http.StatusOK {
		t.Fatal(status)
	}
	inactive("revoked refresh token", ask(mine, next["refresh_token"]))
	inactive("revoked access token", ask(mine, next["access_token"]))
	for name, form := range map[string]url.Values{"anonymous": {"token": {"x"}}, "public client": {"token": {"x"}, "client_id": {s.Register(t)}}} {
		if status, _, out := post(t, s.URL+"/introspect", form, "", ""); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}
