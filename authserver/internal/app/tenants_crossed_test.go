package app_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// crossing is one client that is known in every tenant, so that nothing is
// refused for an unknown client only: it has a metadata document and a key.
type crossing struct {
	id  string
	key jose.JSONWebKey
}

func newCrossing(t *testing.T, s *authtest.Server) crossing {
	t.Helper()
	key := authtest.ClientKey(t, "c1")
	return crossing{s.Host.PublishClient(t, "/crossing.json", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(key)}), key}
}

// post posts a form to an endpoint of a tenant, authenticated there.
func (c crossing) post(t *testing.T, of *authtest.Server, path string, form url.Values) (int, map[string]any) {
	t.Helper()
	return c.postWith(t, of, path, form, authtest.Assertion(t, c.key, c.id, of.URL, nil))
}

func (c crossing) postWith(t *testing.T, of *authtest.Server, path string, form url.Values, assertion string) (int, map[string]any) {
	t.Helper()
	f := with(form, "client_assertion_type", oauth.ClientAssertionJWTBearer, "client_assertion", assertion)
	status, _, out := post(t, of.URL+path, f, "", "")
	return status, out
}

// code plays a person to a code.
func (c crossing) code(t *testing.T, of *authtest.Server) (*authtest.Visit, string) {
	t.Helper()
	v := of.VisitAs(t, c.id)
	q, p := of.Walk(t, v)
	if q.Get("code") == "" {
		t.Fatalf("%s: %v %s", of.URL, q, p.Body)
	}
	return v, q.Get("code")
}

func (c crossing) signIn(t *testing.T, of *authtest.Server) (*authtest.Visit, map[string]any) {
	t.Helper()
	v, code := c.code(t, of)
	status, out := c.post(t, of, "/token", v.Redeem(code))
	if status != http.StatusOK {
		t.Fatalf("%s: %d %v", of.URL, status, out)
	}
	return v, out
}

func mustFail(t *testing.T, status int, out map[string]any, want int, code oauth.Code) {
	t.Helper()
	if status != want || out["error"] != string(code) || out["access_token"] != nil {
		t.Errorf("answered %d %v, want %d %s", status, out, want, code)
	}
}

func mustWork(t *testing.T, status int, out map[string]any) {
	t.Helper()
	if status != http.StatusOK {
		t.Errorf("at its own tenant afterwards: %d %v", status, out)
	}
}

func quoted(s string) string { return `"` + s + `"` }

// TestCrossedTenants: issue 5: a token, code, client, form, link or account of one tenant is refused by every other, in
// both directions, by path and by host, and is not spent by the attempt.
func TestCrossedTenants(t *testing.T) {
	t.Parallel()
	// Each tries one tenant's things at another, and shows as well that the thing
	// works at its own tenant, afterwards: it was not spent.
	crossings := map[string]func(t *testing.T, c crossing, from, to *authtest.Server){
		"A5 a code": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v, code := c.code(t, from)
			status, out := c.post(t, to, "/token", v.Redeem(code))
			mustFail(t, status, out, http.StatusBadRequest, oauth.InvalidGrant)
			status, out = c.post(t, from, "/token", v.Redeem(code))
			mustWork(t, status, out)
		},
		"A5 a refresh token": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v, tokens := c.signIn(t, from)
			refresh := v.Refresh(tokens["refresh_token"].(string))
			status, out := c.post(t, to, "/token", refresh)
			mustFail(t, status, out, http.StatusBadRequest, oauth.InvalidGrant)
			status, out = c.post(t, from, "/token", refresh)
			mustWork(t, status, out)
		},
		"A5 a registered client": func(t *testing.T, _ crossing, from, to *authtest.Server) {
			v := from.NewVisit(t)
			foreign := *v
			foreign.Query = with(v.Query, "resource", to.Resource)
			refusedPage(t, to, &foreign, http.StatusBadRequest)
			q, _ := from.Walk(t, v)
			status, out := to.Token(t, v.Redeem(q.Get("code")))
			mustFail(t, status, out, http.StatusUnauthorized, oauth.InvalidClient)
			status, out = from.Token(t, v.Redeem(q.Get("code")))
			mustWork(t, status, out)
		},
		"A23 a registration access token": func(t *testing.T, _ crossing, from, to *authtest.Server) {
			reg := from.RegisterWith(t, nil)
			id, token := reg["client_id"].(string), reg["registration_access_token"].(string)
			if status, _, out := manage(t, to, http.MethodGet, id, token, ""); status != http.StatusUnauthorized {
				t.Errorf("read elsewhere: %d %v", status, out)
			}
			status, _, out := manage(t, from, http.MethodGet, id, token, "")
			mustWork(t, status, out)
		},
		"a client assertion": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v, code := c.code(t, to)
			status, out := c.postWith(t, to, "/token", v.Redeem(code), authtest.Assertion(t, c.key, c.id, from.URL, nil))
			mustFail(t, status, out, http.StatusUnauthorized, oauth.InvalidClient)
			status, out = c.post(t, to, "/token", v.Redeem(code))
			mustWork(t, status, out)
		},
		"a pushed request": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v := from.VisitAs(t, c.id)
			status, out := c.post(t, from, "/par", v.Query)
			if status != http.StatusCreated {
				t.Fatal(status, out)
			}
			pushed := *v
			pushed.Query = url.Values{"client_id": {c.id}, "request_uri": {out["request_uri"].(string)}}
			refusedPage(t, to, &pushed, http.StatusBadRequest)
			if q, p := from.Walk(t, &pushed); q.Get("code") == "" {
				t.Errorf("at its own tenant afterwards: %s", p.Body)
			}
		},
		"a consent form": func(t *testing.T, c crossing, from, to *authtest.Server) {
			form, header := consentForm(t, from, from.VisitAs(t, c.id), "approve")
			elsewhere := map[string]string{}
			for k, v := range header {
				elsewhere[k] = v
			}
			elsewhere["Origin"] = to.Issuer(t).Origin()
			if a := postForm(t, to, form, elsewhere); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.Contains(a.Body, "expired") {
				t.Errorf("answered %d %s", a.Status, a.Header.Get("Location"))
			}
			header["Origin"] = from.Issuer(t).Origin()
			if a := postForm(t, from, form, header); a.Status != http.StatusSeeOther {
				t.Errorf("at its own tenant afterwards: %d %s", a.Status, a.Body)
			}
		},
		"A8 Google's answer": func(t *testing.T, c crossing, from, to *authtest.Server) {
			b := authtest.Browser()
			back := callback(t, from, b, from.VisitAs(t, c.id))
			foreign := *back
			q := foreign.Query()
			raw, err := base64.RawURLEncoding.DecodeString(q.Get("state"))
			if err != nil {
				t.Fatal(err)
			}
			id := to.Tenant.UUID()
			q.Set("state", base64.RawURLEncoding.EncodeToString(append(id[:], raw[16:]...)))
			foreign.RawQuery = q.Encode()
			if p := follow(t, b, foreign.String()); p.Status != http.StatusForbidden {
				t.Errorf("the state names another tenant: %d %s", p.Status, p.Body)
			}
			if here, there := from.Issuer(t).Origin(), to.Issuer(t).Origin(); here != there {
				u := there + back.RequestURI()
				if p := follow(t, b, u); p.Status != http.StatusForbidden {
					t.Errorf("at another tenant's host: %d %s", p.Status, p.Body)
				}
			}
			if p := follow(t, b, back.String()); p.Status != 0 || p.URL.Query().Get("code") == "" {
				t.Errorf("at its own tenant afterwards: %d %s", p.Status, p.Body)
			}
		},
		"A19 introspection": func(t *testing.T, c crossing, from, to *authtest.Server) {
			_, tokens := c.signIn(t, from)
			for _, name := range []string{"access_token", "refresh_token"} {
				form := url.Values{"token": {tokens[name].(string)}}
				if status, out := c.post(t, to, "/introspect", form); status != http.StatusOK || out["active"] != false || len(out) != 1 {
					t.Errorf("%s: %d %v", name, status, out)
				}
				if _, out := c.post(t, from, "/introspect", form); out["active"] != true {
					t.Errorf("%s at its own tenant: %v", name, out)
				}
			}
		},
		"revocation": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v, tokens := c.signIn(t, from)
			for _, name := range []string{"access_token", "refresh_token"} {
				if status, _ := c.post(t, to, "/revoke", url.Values{"token": {tokens[name].(string)}}); status != http.StatusOK { // RFC 7009 §2.2: an unknown token is no error
					t.Errorf("%s: %d", name, status)
				}
			}
			status, out := c.post(t, from, "/token", v.Refresh(tokens["refresh_token"].(string)))
			mustWork(t, status, out)
		},
		"A14 a resource": func(t *testing.T, c crossing, from, to *authtest.Server) {
			v := to.VisitAs(t, c.id)
			v.Query.Set("resource", from.Resource)
			if q, p := to.Walk(t, v); q.Get("error") != string(oauth.InvalidTarget) {
				t.Errorf("authorization: %v %d", q, p.Status)
			}
			v, tokens := c.signIn(t, to)
			status, out := c.post(t, to, "/token", with(v.Refresh(tokens["refresh_token"].(string)), "resource", from.Resource))
			mustFail(t, status, out, http.StatusBadRequest, oauth.InvalidTarget)
			if aud := claim(t, tokens, "aud"); aud != to.Resource {
				t.Errorf("the token is for %s", aud)
			}
		},
		"A13 a Google account at the exchange": func(t *testing.T, c crossing, from, to *authtest.Server) {
			_, tokens := c.signIn(t, from)
			_, foreign := c.signIn(t, to)
			x := from.Exchanger(t, from.Internal)
			theirs, err := x.Exchange(t.Context(), request(foreign, gmailRead))
			if err != nil {
				t.Fatal(err)
			}
			r := request(tokens, gmailRead)
			r.Account = theirs.Account
			_, err = x.Exchange(t.Context(), r)
			e := failure(t, err)
			if e.Code != exchange.AccountSelectionRequired || slices.ContainsFunc(e.Accounts, func(a exchange.Account) bool { return a.Handle == theirs.Account }) {
				t.Errorf("%+v", e)
			}
			mine, err := x.Exchange(t.Context(), request(tokens, gmailRead))
			if err != nil || mine.Account == theirs.Account || mine.AccessToken == theirs.AccessToken {
				t.Errorf("%+v %v", mine, err)
			}
		},
		"A13 a signature under another tenant's name": func(t *testing.T, c crossing, from, to *authtest.Server) {
			_, tokens := c.signIn(t, from)
			parts := strings.Split(tokens["access_token"].(string), ".")
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.NewReplacer(from.Tenant.String(), to.Tenant.String(), quoted(from.URL), quoted(to.URL), quoted(from.Resource), quoted(to.Resource)).Replace(string(payload))
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(changed))
			_, err = from.Exchanger(t, from.Internal).Exchange(t.Context(), request(map[string]any{"access_token": strings.Join(parts, ".")}, gmailRead))
			if e := failure(t, err); e.Code != oauth.InvalidGrant {
				t.Errorf("%+v", e)
			}
		},
		"signing keys": func(t *testing.T, c crossing, from, to *authtest.Server) {
			_, tokens := c.signIn(t, from)
			kid := header(t, tokens["access_token"].(string))["kid"].(string)
			for of, want := range map[*authtest.Server]bool{from: true, to: false} {
				for _, at := range []string{of.URL + "/jwks", of.Internal + exchange.KeysPath + of.Tenant.String()} {
					var set jose.JSONWebKeySet
					if err := json.Unmarshal([]byte(ask(t, http.MethodGet, at, "").Body), &set); err != nil {
						t.Fatal(err)
					}
					if got := len(set.Key(kid)) == 1; got != want {
						t.Errorf("%s has the key: %v", at, got)
					}
				}
			}
		},
		"a session of the account page": crossedSession,
		"a link that repairs": func(t *testing.T, c crossing, from, to *authtest.Server) {
			crossedLink(t, c, from, to, bob, `UPDATE credentials SET status = 'needs_reauth', access_expires_at = now() WHERE connection_id IN (SELECT id FROM connections WHERE subject_id = '%s')`)
		},
		"a link that adds an account": func(t *testing.T, c crossing, from, to *authtest.Server) {
			crossedLink(t, c, from, to, carol, `UPDATE connections SET status = 'unlinked', is_default = false WHERE subject_id = '%s'`)
		},
		"a question about an act": crossedQuestion,
		"the feed of ended grants": func(t *testing.T, c crossing, from, to *authtest.Server) {
			_, tokens := c.signIn(t, from)
			x, grant := from.Exchanger(t, from.Internal), claim(t, tokens, "gid")
			for _, at := range []*authtest.Server{to, from} {
				if status, out := c.post(t, at, "/revoke", url.Values{"token": {tokens["refresh_token"].(string)}}); status != http.StatusOK {
					t.Fatal(status, out)
				}
				got, err := x.Revocations(t.Context(), time.Now().Add(-time.Minute))
				if err != nil || slices.Contains(got.Grants, grant) != (at == from) {
					t.Errorf("revoked at %s: %v %v", at.URL, got, err)
				}
			}
		},
	}
	s, acme, globex := twoTenants(t)
	c := newCrossing(t, s)
	for _, of := range []*authtest.Server{s, acme, globex} { // Google sends whoever has no refresh token yet, because others are just getting it, round twice
		c.signIn(t, of)
	}
	for name, try := range crossings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for pair, of := range map[string][2]*authtest.Server{
				"path to host": {acme, globex}, "host to path": {globex, acme}, "default to path": {s, acme}, "path to default": {acme, s}, "host to default": {globex, s},
			} {
				t.Run(pair, func(t *testing.T) { try(t, c, of[0], of[1]) })
			}
		})
	}
}
