package admin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

func credentials() url.Values { return url.Values{"grant_type": {"client_credentials"}} }

// keyed is an administrator who proves itself by a key.
func (w *world) keyed(of tenant.ID) (*admin.Administrator, jose.JSONWebKey) {
	w.t.Helper()
	key := authtest.ClientKey(w.t, "k1")
	jwks, err := json.Marshal(authtest.KeySet(key))
	if err != nil {
		w.t.Fatal(err)
	}
	made, _, err := admin.NewAdministrator("keyed", of, oauth.NewScopes(admin.TenantsRead, admin.AuditRead), jwks)
	if err == nil {
		err = w.db.CreateAdministrator(ctx, made)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return made, key
}

func asserted(assertion string) url.Values {
	f := credentials()
	f.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
	f.Set("client_assertion", assertion)
	return f
}

// TestTokenRequests: RFC 6749 §4.4, RFC 7523 §3: only what proves the administrator gets a token, for no more than it has; every
// refusal of a proof is the same answer and stands in the trail.
func TestTokenRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keyed, key := w.keyed(tenant.ID{})
	issuer := w.s.URL
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	sign := func(audience string, change func(*jwt.Claims)) url.Values {
		return asserted(authtest.Assertion(t, key, keyed.ID, audience, change))
	}
	scoped := func(s string) url.Values { f := credentials(); f.Set("scope", s); return f }
	posted := credentials()
	posted.Set("client_id", w.root.id)
	posted.Set("client_secret", w.root.secret)
	twice := credentials()
	twice["scope"] = []string{"audit:read", "tenants:read"}
	big := credentials()
	big.Set("scope", strings.Repeat("x", 20<<10))
	other := authtest.ClientKey(t, "k1")
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		status int
		code   string // error, or scope
	}{
		"a secret":                      {credentials(), basic(w.root.id, w.root.secret), 200, admin.AllScopes().String()},
		"a secret in the form":          {posted, nil, 200, admin.AllScopes().String()},
		"fewer scopes":                  {scoped("audit:read"), basic(w.root.id, w.root.secret), 200, "audit:read"},
		"an assertion":                  {sign(issuer, nil), nil, 200, "audit:read tenants:read"},
		"an assertion for the endpoint": {sign(issuer+admin.TokenPath, nil), nil, 200, "audit:read tenants:read"},
		"no proof":                      {credentials(), nil, 401, "invalid_client"},
		"a name without a secret":       {url.Values{"grant_type": {"client_credentials"}, "client_id": {w.root.id}}, nil, 401, "invalid_client"},
		"a wrong secret":                {credentials(), basic(w.root.id, w.root.secret+"x"), 401, "invalid_client"},
		"an unknown administrator":      {credentials(), basic("adm_nobody", w.root.secret), 401, "invalid_client"},
		"a secret of one with keys":     {credentials(), basic(keyed.ID, "x"), 401, "invalid_client"},
		"keys of one with a secret":     {asserted(authtest.Assertion(t, key, w.root.id, issuer, nil)), nil, 401, "invalid_client"},
		"another's key":                 {asserted(authtest.Assertion(t, other, keyed.ID, issuer, nil)), nil, 401, "invalid_client"},
		"for the public token endpoint": {sign(issuer+"/token", nil), nil, 401, "invalid_client"},
		"for the API":                   {sign(issuer+admin.Base, nil), nil, 401, "invalid_client"},
		"about another":                 {sign(issuer, func(c *jwt.Claims) { c.Issuer = w.root.id }), nil, 401, "invalid_client"},
		"without a jti":                 {sign(issuer, func(c *jwt.Claims) { c.ID = "" }), nil, 401, "invalid_client"},
		"that is over":                  {sign(issuer, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }), nil, 401, "invalid_client"},
		"that lives for long":           {sign(issuer, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(time.Hour)) }), nil, 401, "invalid_client"},
		"two ways at once":              {sign(issuer, nil), basic(w.root.id, w.root.secret), 401, "invalid_client"},
		"a scope that it has not":       {sign(issuer, func(c *jwt.Claims) {}), func(r *http.Request) { withScope(r, sign(issuer, nil), "keys:write") }, 400, "invalid_scope"},
		"a scope that there is not":     {scoped("gmail.read"), basic(w.root.id, w.root.secret), 400, "invalid_scope"},
		"another grant":                 {url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, basic(w.root.id, w.root.secret), 400, "unsupported_grant_type"},
		"no grant":                      {url.Values{}, basic(w.root.id, w.root.secret), 400, "invalid_request"},
		"a parameter twice":             {twice, basic(w.root.id, w.root.secret), 400, "invalid_request"},
		"another type": {credentials(), func(r *http.Request) {
			basic(w.root.id, w.root.secret)(r)
			r.Header.Set("Content-Type", "application/json")
		}, 400, "invalid_request"},
		"too much":                         {big, basic(w.root.id, w.root.secret), 413, "invalid_request"},
		"another method":                   {credentials(), func(r *http.Request) { r.Method = http.MethodPut }, 405, "invalid_request"},
		"credentials of a person's client": {credentials(), basic(w.s.Register(t), "x"), 401, "invalid_client"},
	} {
		status, out := w.tokenAt(w.s, c.form, c.change)
		got := out["error"]
		if status == http.StatusOK {
			got = out["scope"]
		}
		if status != c.status || got != c.code {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	// Both what was given and what was refused stand in the trail.
	found, err := w.db.SearchAudit(ctx, tenant.DefaultID, audit.Query{Kind: audit.AdminToken, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	given, refused := 0, 0
	for _, e := range found {
		switch {
		case e.Outcome == audit.OK && (e.Actor == audit.Administrator(w.root.id) || e.Actor == audit.Administrator(keyed.ID)) && e.RequestID != "" && e.Source != "":
			given++
		case e.Outcome == "invalid_client" && e.Client != "":
			refused++
		default:
			t.Errorf("%+v", e)
		}
	}
	if given != 6 || refused != 13 {
		t.Errorf("%d given, %d refused in the trail", given, refused)
	}
	admins, err := w.db.Administrators(ctx)
	if err != nil || len(admins) != 2 || admins[0].Used.IsZero() || admins[1].Used.IsZero() {
		t.Error(admins, err)
	}
}

func withScope(r *http.Request, f url.Values, scope string) {
	f.Set("scope", scope)
	body := strings.NewReader(f.Encode())
	r.Body, r.ContentLength = nopCloser{body}, int64(body.Len())
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

// TestAssertionOnce: RFC 7523 §3: of concurrent requests with one assertion, at two replicas, one gets a token.
func TestAssertionOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replica := w.s.Replica(t)
	keyed, key := w.keyed(tenant.ID{})
	for range 3 {
		f := asserted(authtest.Assertion(t, key, keyed.ID, w.s.URL, nil))
		var mu sync.Mutex
		got := map[int]int{}
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				at := w.s
				if i%2 == 0 {
					at = replica
				}
				status, _ := w.tokenAt(at, f, nil)
				mu.Lock()
				got[status]++
				mu.Unlock()
			})
		}
		all.Wait()
		if got[http.StatusOK] != 1 || got[http.StatusUnauthorized] != 15 {
			t.Errorf("%v", got)
		}
	}
}

// TestTokensStayApart: DESIGN §1.2: a token of the API is taken nowhere else, and the API takes no other: not a person's access
// token, not a machine's, not one of Google's, not one that the same key signed for something else.
func TestTokensStayApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	entered := w.root.must(http.StatusCreated, "POST", "/tenants/default/clients", map[string]any{
		"client_name": "Machine", "grant_types": []string{"client_credentials"}, "scope": "gmail.read", "token_endpoint_auth_method": "client_secret_post",
	}).body
	machine := url.Values{"grant_type": {"client_credentials"}, "client_id": {entered["client_id"].(string)}, "client_secret": {entered["client_secret"].(string)}, "resource": {authtest.Resource}, "scope": {"gmail.read"}}
	status, got := w.s.Token(t, machine)
	if status != http.StatusOK {
		t.Fatal(status, got)
	}
	for name, token := range map[string]string{
		"a person's": w.acme.token, "a machine's": got["access_token"].(string), "Google's": "ya29.a0AfH6SNothing", "empty": "",
		"changed": w.root.token[:len(w.root.token)-4] + "AAAA", "of another part": strings.Split(w.root.token, ".")[0] + "." + strings.Split(w.acme.own.token, ".")[1] + "." + strings.Split(w.root.token, ".")[2],
	} {
		out := w.root.call("GET", "/tenants", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		if out.status != http.StatusUnauthorized || !strings.Contains(out.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s token: %d %s", name, out.status, out.raw)
		}
	}
	for name, token := range map[string]string{"the deployment's": w.root.token, "a tenant's": w.acme.own.token} {
		verifier, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: w.s.Issuer(t), Audience: mustResource(t, w.s.URL+admin.Base), Keys: remote(t, w.s)})
		if err != nil {
			t.Fatal(err)
		}
		// Even a resource server of the API's own name would refuse it.
		if p, err := verifier.Verify(ctx, token); err == nil || !strings.Contains(err.Error(), "typ") {
			t.Errorf("%s: a resource server takes it: %v %v", name, p, err)
		}
		_, err = w.s.Exchanger(t, w.s.Internal).Exchange(ctx, exchange.Request{SubjectToken: secret.NewText(token), Scopes: oauth.NewScopes("openid")})
		if err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%s: the exchange takes it: %v", name, err)
		}
		f := url.Values{"token": {token}, "client_id": machine["client_id"], "client_secret": machine["client_secret"]}
		if status, out := w.s.Post(t, "/introspect", "application/x-www-form-urlencoded", f.Encode()); status != http.StatusOK || out["active"] != false {
			t.Errorf("%s: introspected as %d %v", name, status, out)
		}
	}
	// An administrator is no client of the authorization server.
	f := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.root.id}, "client_secret": {w.root.secret}, "resource": {authtest.Resource}}
	if status, out := w.s.Token(t, f); status != http.StatusUnauthorized {
		t.Errorf("%d %v", status, out)
	}
}

// TestAdministratorEnds: a token ends with its administrator and with what it may do, at once; with its tenant's suspension; and
// by itself after five minutes.
func TestAdministratorEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	own := w.acme.own
	own.must(http.StatusOK, "GET", "/tenants/acme/grants", nil)
	w.root.must(http.StatusOK, "POST", "/tenants/acme/suspend", nil)
	w.s.Reload(t)
	if out := own.call("GET", "/tenants/acme/grants", nil); out.status != http.StatusForbidden || out.body["code"] != "access_denied" {
		t.Errorf("of a suspended tenant: %s", out.raw)
	}
	if status, out := w.tokenAt(w.s, credentials(), func(r *http.Request) { r.SetBasicAuth(own.id, own.secret) }); status != http.StatusForbidden {
		t.Errorf("of a suspended tenant: %d %v", status, out)
	}
	w.root.must(http.StatusOK, "POST", "/tenants/acme/resume", nil)
	w.s.Reload(t)
	own.must(http.StatusOK, "GET", "/tenants/acme/grants", nil)
	w.jobs(`DELETE FROM admin_clients WHERE id = '` + own.id + `'`)
	if out := own.call("GET", "/tenants/acme/grants", nil); out.status != http.StatusUnauthorized {
		t.Errorf("deleted: %d %s", out.status, out.raw)
	}
	if err := w.db.DeleteAdministrator(ctx, own.id); err != admin.ErrNoAdministrator {
		t.Error(err)
	}
	claims := decodeClaims(t, w.root.token)
	if life := claims.Expiry - claims.IssuedAt; life != 300 || claims.Audience != w.s.URL+admin.Base || claims.Subject != "client:"+w.root.id || claims.Grant != "" {
		t.Errorf("%+v", claims)
	}
	if _, err := uuid.Parse(claims.Tenant); err != nil || claims.Issuer != w.s.URL {
		t.Errorf("%+v", claims)
	}
}

// TestGuesses: OAuth 2.1 §2.4.1: who guesses is slowed down, and locks nobody out. The API has a limit of its own.
func TestGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authtest.Limits(1))
	from := func(address, secret string) int {
		status, _ := w.tokenAt(w.s, credentials(), func(r *http.Request) {
			authtest.From(r, address)
			r.SetBasicAuth(w.root.id, secret)
		})
		return status
	}
	heard, refused, began := 0, 0, time.Now()
	for refused < 6 && heard < 1000 {
		if from("192.0.2.1", "wrong") == http.StatusTooManyRequests {
			refused++
		} else {
			heard++
		}
	}
	most := 20 + int(time.Since(began)/(3*time.Second)) + 2 // one comes back every three seconds
	if heard < 20 || heard > most {
		t.Errorf("%d guesses are heard, 20 to %d are right", heard, most)
	}
	for _, address := range []string{"192.0.2.1", "198.51.100.1"} {
		if got := from(address, w.root.secret); got != http.StatusOK {
			t.Errorf("%s is locked out by guesses: %d", address, got)
		}
	}
	found, err := w.db.SearchAudit(ctx, tenant.DefaultID, audit.Query{Kind: audit.AdminToken, Limit: 100})
	if err != nil || len(found) > heard+4 {
		t.Errorf("guesses fill the trail: %d %v", len(found), err)
	}
	// Of a limit that this test reaches on a slow machine, too: one more each second.
	tight := strings.TrimPrefix(w.s.Replica(t, authtest.Limits(0.05)).Admin, "http://")
	var out answered
	for range 5000 {
		if out = w.root.call("GET", "/tenants/nobody", nil, func(r *http.Request) { authtest.From(r, "192.0.2.9").URL.Host = tight }); out.status == http.StatusTooManyRequests {
			break
		}
	}
	if out.status != http.StatusTooManyRequests || out.header.Get("Retry-After") == "" {
		t.Errorf("a flood is answered %d", out.status)
	}
}

// TestNewAdministrator: what an administrator cannot be.
func TestNewAdministrator(t *testing.T) {
	t.Parallel()
	of := tenant.FromUUID(uuid.New())
	read := oauth.NewScopes(admin.AuditRead)
	for name, c := range map[string]struct {
		name   string
		of     tenant.ID
		scopes oauth.Scopes
		jwks   string
		want   string // "": made
	}{
		"of the deployment":            {"n", tenant.ID{}, admin.AllScopes(), "", ""},
		"of a tenant":                  {"n", of, admin.TenantScopes(), "", ""},
		"without a name":               {"", of, read, "", "name"},
		"without scopes":               {"n", of, oauth.Scopes{}, "", "give scopes"},
		"with a scope that is none":    {"n", of, oauth.NewScopes("gmail.read"), "", "no scope gmail.read"},
		"of a tenant, erasing tenants": {"n", of, oauth.NewScopes(admin.TenantsErase), "", "whole deployment only"},
		"with keys that are none":      {"n", of, read, `{"keys":[]}`, "no key"},
		"with a private key":           {"n", of, read, `{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}]}`, "private"},
	} {
		var jwks []byte
		if c.jwks != "" {
			jwks = []byte(c.jwks)
		}
		a, value, err := admin.NewAdministrator(c.name, c.of, c.scopes, jwks)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (value.Empty() || a.Everywhere != c.of.IsZero() || len(a.SecretHash) != 32) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
