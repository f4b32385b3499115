package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	mass "latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// command runs the program's command line against the server's database.
func command(t *testing.T, s *authtest.Server, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := app.Main(t.Context(), append(args, "--database-url", s.DSN), &out, &errOut); code != 0 {
		t.Fatalf("authserver %v: %s", args, errOut.String())
	}
	return out.String()
}

func claimsOf(t *testing.T, token string) accesstoken.Claims {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c accesstoken.Claims
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClientCredentials: AS-T13, AS-K4, AS-R11: for clients that the operator entered, with a subject no person can have and
// no Google account behind it.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	t.Run("AS-T13 AS-K4 AS-R11 only clients that the operator entered act for themselves, and as nobody else", clientCredentials)
}

func clientCredentials(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(command(t, s, "clients", "create", "--name", "Nightly", "--grant", "client_credentials", "--scope", "gmail.read accounts")), &made); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	status, _, out := post(t, s.URL+"/token", form, made.ID, made.Secret)
	if status != http.StatusOK || out["refresh_token"] != nil || out["scope"] != "accounts gmail.read" {
		t.Fatalf("%d %v", status, out)
	}
	token := out["access_token"].(string)
	c := claimsOf(t, token)
	if c.Subject != "client:"+made.ID || c.ClientID != made.ID || c.Grant != "" || c.Audience != authtest.Resource {
		t.Errorf("%+v", c)
	}
	status, _, out = post(t, s.URL+"/token", with(form, "scope", "gmail.read", "resource", authtest.Resource), made.ID, made.Secret)
	if status != http.StatusOK || out["scope"] != "gmail.read" {
		t.Errorf("narrowed: %d %v", status, out)
	}
	for name, c := range map[string]struct {
		form url.Values
		code string
	}{
		"wider scope":      {with(form, "scope", "drive.read"), "invalid_scope"},
		"unknown scope":    {with(form, "scope", "root"), "invalid_scope"},
		"unknown resource": {with(form, "resource", "https://other.example/"), "invalid_target"},
	} {
		if status, _, out := post(t, s.URL+"/token", c.form, made.ID, made.Secret); status != http.StatusBadRequest || out["error"] != c.code {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	// The exchange gives such a token nothing.
	_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), exchange.Request{SubjectToken: secret.NewText(token), Scopes: oauth.NewScopes("https://www.googleapis.com/auth/gmail.readonly")})
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != oauth.InvalidGrant {
		t.Errorf("exchange: %v", err)
	}
	// It cannot sign people in: it has no redirect URI.
	refusedPage(t, s, s.VisitAs(t, made.ID), http.StatusBadRequest)
	// Self-registered clients get nothing for themselves, whatever they ask for.
	reg := s.RegisterWith(t, map[string]any{"grant_types": []string{"authorization_code", "client_credentials"}})
	if grants, _ := json.Marshal(reg["grant_types"]); strings.Contains(string(grants), "client_credentials") {
		t.Errorf("registered: %s", grants)
	}
	for name, c := range map[string]struct{ id, secret string }{"confidential": {reg["client_id"].(string), reg["client_secret"].(string)}} {
		if status, _, out := post(t, s.URL+"/token", form, c.id, c.secret); status != http.StatusBadRequest || out["error"] != "unauthorized_client" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if list := command(t, s, "clients", "list"); !strings.Contains(list, made.ID) || strings.Contains(list, "lks_") {
		t.Errorf("%s", list)
	}
	command(t, s, "clients", "delete", made.ID)
	if status, _, out := post(t, s.Replica(t).URL+"/token", form, made.ID, made.Secret); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("deleted: %d %v", status, out)
	}
}

// TestOwnTokenEnds: RFC 7662 §2.2: a client's own token that a mass revocation ended is inactive, as for resource servers; also when the
// revocation is closed. What it got since, and another client's, is not ended.
func TestOwnTokenEnds(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	type own struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		tokens []string
	}
	clients := [2]own{}
	for i := range clients {
		c := &clients[i]
		if err := json.Unmarshal([]byte(command(t, s, "clients", "create", "--name", "Nightly", "--grant", "client_credentials", "--scope", "accounts")), c); err != nil {
			t.Fatal(err)
		}
		_, _, out := post(t, s.URL+"/token", url.Values{"grant_type": {"client_credentials"}}, c.ID, c.Secret)
		c.tokens = append(c.tokens, out["access_token"].(string))
	}
	active := func(c own, token string) bool {
		t.Helper()
		status, _, out := post(t, s.URL+"/introspect", url.Values{"token": {token}}, c.ID, c.Secret)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, out)
		}
		return out["active"] == true
	}
	revoker := &mass.Revoker{Store: s.DB(t)}
	end := func(of mass.Selector) {
		t.Helper()
		job, _, err := revoker.Begin(t.Context(), of)
		if err == nil {
			_, err = revoker.Run(t.Context(), job.ID, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	end(mass.Selector{Tenant: tenant.DefaultID, Subject: uuid.New()}) // somebody's: not theirs
	if !active(clients[0], clients[0].tokens[0]) || !active(clients[1], clients[1].tokens[0]) {
		t.Error("what is not ended is inactive")
	}
	end(mass.Selector{Tenant: tenant.DefaultID, Client: clients[0].ID})
	if active(clients[0], clients[0].tokens[0]) || !active(clients[1], clients[1].tokens[0]) {
		t.Error("the client's revocation does not end its own token, or another's")
	}
	if err := revoker.Close(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if active(clients[0], clients[0].tokens[0]) {
		t.Error("active again when the revocation is closed")
	}
	end(mass.Selector{})
	if active(clients[1], clients[1].tokens[0]) {
		t.Error("everybody's revocation does not end it")
	}
	moveTime(t, s.DSN, `RESET ROLE; UPDATE revocation_epochs SET revoked_before = now() - interval '1 hour'`) // what was issued in this test is issued since
	if !active(clients[0], clients[0].tokens[0]) {
		t.Error("what was got since is inactive")
	}
}

// TestClientCommandsExplain: what an operator enters wrongly is said in words.
func TestClientCommandsExplain(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--grant", "client_credentials"}, "scopes out of"},
		{[]string{"--grant", "client_credentials", "--scope", "root"}, "scopes out of"},
		{[]string{"--grant", "client_credentials", "--scope", "gmail.read", "--auth-method", "none"}, "authenticates"},
		{[]string{"--grant", "refresh_token"}, "needs the grant"},
		{[]string{"--grant", "password"}, "does not exist"},
		{[]string{"--grant", "authorization_code"}, "redirect_uris"},
		{[]string{"--grant", "authorization_code", "--redirect-uri", "http://a.example/"}, "http only on localhost"},
		{[]string{"--grant", "client_credentials", "--scope", "gmail.read", "--auth-method", "private_key_jwt"}, "jwks"},
	} {
		var out, errOut bytes.Buffer
		if code := app.Main(t.Context(), append([]string{"clients", "create", "--name", "x", "--database-url", s.DSN}, c.args...), &out, &errOut); code != 1 || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%v: %d %s", c.args, code, errOut.String())
		}
	}
}
