package app_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// twoTenants is a deployment with a tenant by path and one by host, each with an
// OAuth client of its own at Google.
func twoTenants(t *testing.T) (s, acme, globex *authtest.Server) {
	t.Helper()
	s = authtest.Start(t)
	acme = s.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "acme-secret"}})
	globex = s.AddTenant(t, "globex", authtest.TenantOptions{Host: true, Google: fakegoogle.Client{ID: "globex-google", Secret: "globex-secret"}})
	return s, acme, globex
}

// TestTwoTenants: DESIGN §3: the whole flow at an issuer by path and at one by host, each with its own Google client, its
// own redirect URI at Google, and tokens for its own resource.
func TestTwoTenants(t *testing.T) {
	t.Parallel()
	s, acme, globex := twoTenants(t)
	for client, of := range map[string]*authtest.Server{"google-id": s, "acme-google": acme, "globex-google": globex} {
		b, v := authtest.Browser(), of.NewVisit(t)
		var google url.Values
		b.Visited = func(_ string, u *url.URL, _ int) {
			if u.Path == "/o/oauth2/v2/auth" {
				google = u.Query()
			}
		}
		q, p := of.WalkWith(t, b, v)
		if q == nil || q.Get("iss") != of.URL {
			t.Fatalf("%s: %v %s", of.URL, q, p.Body)
		}
		if google.Get("client_id") != client || google.Get("redirect_uri") != of.Issuer(t).Origin()+"/google/callback" {
			t.Errorf("%s: asked Google as %s, back to %s", of.URL, google.Get("client_id"), google.Get("redirect_uri"))
		}
		status, out := of.Token(t, v.Redeem(q.Get("code")))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", of.URL, status, out)
		}
		if c := claimsOf(t, out["access_token"].(string)); c.Issuer != of.URL || c.Audience != of.Resource || c.Tenant != of.Tenant.String() {
			t.Errorf("%s: %+v", of.URL, c)
		}
		if _, err := of.Exchanger(t, of.Internal).Exchange(t.Context(), request(out, gmailRead)); err != nil {
			t.Error(err)
		}
		if status, out = of.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusOK {
			t.Fatalf("%s: %d %v", of.URL, status, out)
		}
	}
}

// TestTenantDocuments: RFC 8414 §3.1: each issuer's documents are where its path and host say, under every name, and say
// the issuer byte by byte; nothing is anywhere else.
func TestTenantDocuments(t *testing.T) {
	t.Parallel()
	s, acme, globex := twoTenants(t)
	const as, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	deployment, own := s.Issuer(t).Origin(), globex.Issuer(t).Origin()
	for at, issuer := range map[string]string{
		deployment + as: s.URL, deployment + oidc: s.URL,
		deployment + as + "/t/acme": acme.URL, deployment + oidc + "/t/acme": acme.URL, acme.URL + oidc: acme.URL, acme.URL + as: acme.URL,
		own + as: globex.URL, own + oidc: globex.URL,
	} {
		m := decodeBody(t, get(t, at))
		if m["issuer"] != issuer || m["token_endpoint"] != issuer+"/token" || m["jwks_uri"] != issuer+"/jwks" {
			t.Errorf("%s: %v", at, m)
		}
	}
	for _, at := range []string{
		deployment + as + "/t/globex", deployment + "/t/globex/authorize", deployment + "/t/globex/jwks", // its issuer is at its host
		own + as + "/t/acme", own + "/t/acme/jwks", own + "/t/globex/jwks", own + "/t/acme/.well-known/openid-configuration",
		deployment + as + "/t/nobody", deployment + "/t/nobody/token", deployment + "/t/default/token", deployment + as + "/t/default",
		deployment + "/t/ACME/jwks", deployment + as + "/t/acme/",
	} {
		if a := ask(t, http.MethodGet, at, ""); a.Status != http.StatusNotFound || strings.Contains(a.Body, "goroutine") {
			t.Errorf("%s: %d %s", at, a.Status, a.Body)
		}
	}
}

// TestHostChoosesAmongTenants: DESIGN §1.8: whatever Host says, an issuer is a configured one.
func TestHostChoosesAmongTenants(t *testing.T) {
	t.Parallel()
	s, _, globex := twoTenants(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(globex.URL, "http://"), ":")
	for host, want := range map[string]string{
		"localhost:" + port: globex.URL, "LOCALHOST:" + port: globex.URL, "evil.example": s.URL, "localhost": s.URL, "localhost:1": s.URL,
		"localhost:" + port + ".evil.example": s.URL, "evil.localhost:" + port: s.URL,
	} {
		m := document(t, ask(t, http.MethodGet, s.URL+"/.well-known/oauth-authorization-server", "", "Host", host, "X-Forwarded-Host", "localhost:"+port).Body)
		if m["issuer"] != want {
			t.Errorf("%s: %v", host, m["issuer"])
		}
	}
}

// TestSuspendedTenant: issue 5: nobody signs in, no token is issued or exchanged, what is answered throws nothing away,
// other tenants notice nothing, and a resumption brings back everything.
func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	s, acme, globex := twoTenants(t)
	o, ctx := s.Operator(t), context.Background()
	v := acme.NewVisit(t)
	waiting := acme.VisitAs(t, v.Client)
	b := authtest.Browser()
	back := callback(t, acme, b, waiting)
	q, _ := acme.Walk(t, v)
	code := q.Get("code")
	late := acme.NewVisit(t)
	out := acme.SignIn(t, late)

	if _, err := o.Suspend(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
	for name, form := range map[string]url.Values{"code": v.Redeem(code), "refresh": late.Refresh(out["refresh_token"].(string))} {
		status, body := acme.Token(t, form)
		if status != http.StatusForbidden || body["error"] != string(oauth.AccessDenied) || !strings.Contains(body["error_description"].(string), "administrator") {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	for _, path := range []string{"/register", "/par", "/introspect", "/revoke"} {
		if status, body := acme.Post(t, path, "application/json", `{}`); status != http.StatusForbidden || body["error"] != string(oauth.AccessDenied) {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
	if body := refusedPage(t, acme, late, http.StatusForbidden); !strings.Contains(body, "suspended") {
		t.Error(body)
	}
	if p := follow(t, b, back.String()); p.Status != http.StatusForbidden || !strings.Contains(string(p.Body), "suspended") {
		t.Errorf("a callback: %d %s", p.Status, p.Body)
	}
	_, err := acme.Exchanger(t, acme.Internal).Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.AdminPolicyBlocked {
		t.Errorf("%+v", e)
	}
	list, err := s.Exchanger(t, s.Internal).Resources(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list.Tenants {
		if want := map[bool]string{true: exchange.TenantSuspended, false: exchange.TenantActive}[one.ID == acme.Tenant.String()]; one.Status != want {
			t.Errorf("the list says %s of %s", one.Status, one.Issuer)
		}
	}
	if a := ask(t, http.MethodGet, acme.URL+"/jwks", ""); a.Status != http.StatusOK { // tokens are still verified, and then refused for what they are
		t.Errorf("keys: %d", a.Status)
	}
	globex.SignIn(t, globex.NewVisit(t))
	s.SignIn(t, s.NewVisit(t))

	if _, err := o.Resume(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
	if status, body := acme.Token(t, late.Refresh(out["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("after the resumption: %d %v", status, body)
	}
	if _, err := acme.Exchanger(t, acme.Internal).Exchange(t.Context(), request(out, gmailRead)); err != nil {
		t.Error(err)
	}
}

// changePolicy replaces a tenant's policy.
func changePolicy(t *testing.T, s *authtest.Server, slug string, p tenant.Policy) {
	t.Helper()
	if _, err := s.Operator(t).Update(context.Background(), slug, tenancy.Change{Policy: &p}); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
}

// TestGoogleDomainPolicy: issue 5: only people of the tenant's Workspace domains sign in, by Google's hd claim: an address
// of the domain without it is none. The exchange obeys the same rule (PEERS A13).
func TestGoogleDomainPolicy(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	carol := acme.NewVisit(t)
	carol.Choice.Account = "carol@outsider.test"
	before := acme.SignIn(t, carol)
	x := acme.Exchanger(t, acme.Internal)
	if _, err := x.Exchange(t.Context(), request(before, gmailRead)); err != nil {
		t.Fatal(err)
	}

	changePolicy(t, s, "acme", tenant.Policy{GoogleDomains: []string{"example.com"}})
	acme.SignIn(t, acme.NewVisit(t)) // alice@example.com
	again := acme.NewVisit(t)
	again.Choice.Account = "carol@outsider.test"
	if q, p := acme.Walk(t, again); q.Get("error") != string(oauth.AccessDenied) || !strings.Contains(q.Get("error_description"), "organisation") || q.Get("code") != "" {
		t.Errorf("%v %d", q, p.Status)
	}
	_, err := x.Exchange(t.Context(), request(before, gmailRead))
	if e := failure(t, err); e.Reason != exchange.AdminPolicyBlocked {
		t.Errorf("%+v", e)
	}
	// Another tenant's people are none of it.
	other := s.NewVisit(t)
	other.Choice.Account = "carol@outsider.test"
	s.SignIn(t, other)

	changePolicy(t, s, "acme", tenant.Policy{GoogleDomains: []string{"outsider.test.example", "sider.test", "*", "test"}[:2]})
	if q, _ := acme.Walk(t, again); q.Get("error") != string(oauth.AccessDenied) {
		t.Errorf("a domain that is like one of the list: %v", q)
	}

	changePolicy(t, s, "acme", tenant.Policy{GoogleDomains: []string{"example.com"}, ReportOnly: []tenant.PolicyName{tenant.ByGoogleDomains}})
	acme.SignIn(t, again)
	if _, err := x.Exchange(t.Context(), request(before, gmailRead)); err != nil {
		t.Error(err)
	}
	if log := s.Logs.String(); !strings.Contains(log, `"would_refuse":{"policy":"google_domains","tenant":"`+acme.Tenant.String()+`","client":"`+carol.Client+`"`) {
		t.Error("the dry run is not in the log")
	}
}

// TestScopePolicy: issue 5: what the tenant forbids is dropped at the authorization, at a refresh and at the exchange; a
// dry run refuses nothing; a tightened policy spends no refresh token.
func TestScopePolicy(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	v := acme.NewVisit(t)
	wide := acme.SignIn(t, v)
	refresh := wide["refresh_token"].(string)
	x := acme.Exchanger(t, acme.Internal)

	changePolicy(t, s, "acme", tenant.Policy{AllowedScopes: []string{"gmail.read", "accounts"}})
	if out := acme.SignIn(t, acme.NewVisit(t)); out["scope"] != "accounts gmail.read" {
		t.Errorf("a new authorization: %v", out["scope"])
	}
	forbidden := acme.NewVisit(t)
	forbidden.Query.Set("scope", "drive.read")
	if a := ask(t, http.MethodGet, acme.AuthorizeURL(forbidden), ""); !strings.Contains(a.Header.Get("Location"), "error="+string(oauth.InvalidScope)) {
		t.Errorf("nothing is left: %d %s", a.Status, a.Header.Get("Location"))
	}
	status, out := acme.Token(t, v.Refresh(refresh))
	if status != http.StatusOK || out["scope"] != "accounts gmail.read" {
		t.Fatalf("refresh: %d %v", status, out)
	}
	refresh = out["refresh_token"].(string)
	const driveRead = "https://www.googleapis.com/auth/drive.readonly"
	_, err := x.Exchange(t.Context(), request(wide, driveRead)) // a token from before
	if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.AdminPolicyBlocked {
		t.Errorf("%+v", e)
	}
	got, err := x.Exchange(t.Context(), request(wide, gmailRead))
	if err != nil || strings.Contains(got.Scope, "drive") {
		t.Errorf("the Google token opens %v %v", got, err)
	}

	changePolicy(t, s, "acme", tenant.Policy{AllowedScopes: []string{"tasks.read"}})
	for range 3 { // refused without being spent, however often
		status, out = acme.Token(t, v.Refresh(refresh))
		mustFail(t, status, out, http.StatusBadRequest, oauth.InvalidScope)
	}
	changePolicy(t, s, "acme", tenant.Policy{AllowedScopes: []string{"tasks.read"}, ReportOnly: []tenant.PolicyName{tenant.ByScopes}})
	if status, out = acme.Token(t, v.Refresh(refresh)); status != http.StatusOK || len(strings.Fields(out["scope"].(string))) != 4 {
		t.Errorf("dry run: %d %v", status, out)
	}
	if log := s.Logs.String(); !strings.Contains(log, `"would_refuse":{"policy":"allowed_scopes","tenant":"`+acme.Tenant.String()+`","client":"`+v.Client+`"}`) {
		t.Error("the dry run is not in the log")
	}
}

// TestProfilePolicy: a tenant's consent profile is its own, narrower or wider than the deployment's.
func TestProfilePolicy(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Policy: tenant.Policy{Profile: scope.Lite}})
	if out := signInFor(t, acme, "gmail.read calendar.read"); out["scope"] != "calendar.read" {
		t.Errorf("%v", out["scope"])
	}
	m := decodeBody(t, get(t, acme.URL+"/.well-known/oauth-authorization-server"))
	if slices.Contains(texts(m["scopes_supported"]), "gmail.read") {
		t.Errorf("advertised: %v", m["scopes_supported"])
	}
	changePolicy(t, s, "acme", tenant.Policy{Profile: scope.Lite, ReportOnly: []tenant.PolicyName{tenant.ByProfile}})
	if out := signInFor(t, acme, "gmail.read calendar.read"); out["scope"] != "calendar.read gmail.read" {
		t.Errorf("dry run: %v", out["scope"])
	}
	if !strings.Contains(s.Logs.String(), `"would_refuse":{"policy":"profile"`) {
		t.Error("the dry run is not in the log")
	}
}

// TestLifetimePolicy: a tenant's lifetimes are in its tokens and grants, and in nobody else's.
func TestLifetimePolicy(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Policy: tenant.Policy{Lifetimes: tenant.LifetimeTexts{AccessToken: "2m", RefreshIdle: "2h", RefreshAbsolute: "3h"}}})
	for of, want := range map[*authtest.Server]time.Duration{s: 10 * time.Minute, acme: 2 * time.Minute} {
		out := of.SignIn(t, of.NewVisit(t))
		if c := claimsOf(t, out["access_token"].(string)); c.Expiry-c.IssuedAt != int64(want/time.Second) || out["expires_in"] != want.Seconds() {
			t.Errorf("%s: %+v %v", of.URL, c, out["expires_in"])
		}
	}
	n := rowsOf(t, s.DSN, `SELECT count(*) FROM set_config('app.tenant_id', $1::text, false) c, LATERAL (SELECT FROM grants WHERE tenant_id = c::uuid AND expires_at BETWEEN now() + interval '2 hours 59 minutes' AND now() + interval '3 hours'
		AND idle_expires_at BETWEEN now() + interval '119 minutes' AND now() + interval '2 hours') g`, acme.Tenant.String())
	if n != 1 {
		t.Error("the grant does not end as the tenant says")
	}
}

// TestOwnGoogleClient: issue 4: a tenant's client is its own: unreadable it is doubt and never the deployment's; a new
// secret changes nothing for anybody; another client id means a new sign-in.
func TestOwnGoogleClient(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "first"}})
	o, ctx := s.Operator(t), context.Background()
	v := acme.NewVisit(t)
	out := acme.SignIn(t, v)
	x := acme.Exchanger(t, acme.Internal)
	set := func(id, value string) {
		t.Helper()
		if _, err := o.SetGoogleClient(ctx, "acme", tenancy.GoogleClient{ID: id, Secret: secret.NewText(value), Publishing: tenancy.Production}); err != nil {
			t.Fatal(err)
		}
		s.Google.AddClient(fakegoogle.Client{ID: id, Secret: value, RedirectURIs: []string{acme.Issuer(t).Origin() + tenancy.CallbackPath}})
		s.Reload(t)
	}
	refresh := func() error {
		r := request(out, gmailRead)
		r.ForceRefresh = true
		_, err := x.Exchange(t.Context(), r)
		return err
	}
	var stored string
	if err := pgtest.QueryRow(t, s.DSN, `SELECT coalesce(string_agg(encode(secret, 'escape'), ''), '') FROM upstream_clients`, &stored); err == nil && strings.Contains(stored, "first") {
		t.Error("the secret is stored in clear")
	}

	set("acme-google", "second") // Google knows no other now
	if err := refresh(); err != nil {
		t.Errorf("with a new secret: %v", err)
	}
	if a := ask(t, http.MethodGet, acme.AuthorizeURL(v), ""); a.Status != http.StatusOK {
		t.Errorf("a sign-in with a new secret: %d", a.Status)
	}

	// A row that does not open, as after a restore of an older key: nobody is signed in with another client.
	damage := func(sql string) {
		t.Helper()
		runAs(t, s.DSN, acme.Tenant, sql)
		s.Reload(t)
	}
	set("acme-google", "third")
	damage(`UPDATE upstream_clients SET secret = decode('00', 'hex') WHERE state = 'active'`)
	before := s.Google.Count("GET /o/oauth2/v2/auth")
	if p := decideAt(t, acme, v); p.Status != http.StatusServiceUnavailable {
		t.Errorf("a sign-in while the secret is unreadable: %d %s", p.Status, p.Header.Get("Location"))
	}
	if e := failure(t, refresh()); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("an exchange while the secret is unreadable: %+v", e)
	}
	if s.Google.Count("GET /o/oauth2/v2/auth") != before {
		t.Error("somebody was sent to Google")
	}
	damage(`UPDATE upstream_clients SET state = 'retired', secret = NULL WHERE true`)
	if p := decideAt(t, acme, v); p.Status != http.StatusServiceUnavailable {
		t.Errorf("a sign-in without any client: %d", p.Status)
	}

	set("acme-google", "fourth") // what was minted before works on
	if err := refresh(); err != nil {
		t.Errorf("repaired: %v", err)
	}
	set("acme-google-2", "fifth")
	if e := failure(t, refresh()); e.Code != oauth.InteractionRequired || e.Reason != exchange.ReauthRequired {
		t.Errorf("another client: %+v", e)
	}
	out = acme.SignIn(t, v)
	if err := refresh(); err != nil {
		t.Errorf("after a sign-in with the other client: %v", err)
	}
	if _, err := o.UseDeploymentClient(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
	if e := failure(t, refresh()); e.Reason != exchange.ReauthRequired {
		t.Errorf("the deployment's client: %+v", e)
	}
	for _, value := range []string{"first", "second", "third", "fourth", "fifth"} {
		if strings.Contains(s.Logs.String(), `"`+value+`"`) {
			t.Error("a secret is in the log")
		}
	}
}

// decideAt approves a visit's consent page, and stops there.
func decideAt(t *testing.T, of *authtest.Server, v *authtest.Visit) answer {
	t.Helper()
	form, header := consentForm(t, of, v, "approve")
	header["Origin"] = of.Issuer(t).Origin()
	return postForm(t, of, form, header)
}

// TestDirectoryFollows: a change reaches a server by its notification, long before the tenants are read again anyway.
func TestDirectoryFollows(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t, func(c *config.Server) { c.DirectoryTTL = time.Hour }) // by that nothing comes through in time
	s.Follow(t)
	o := s.Operator(t)
	// Connected when a first change has come through.
	if _, err := o.Create(t.Context(), "acme", tenancy.Change{}); err != nil {
		t.Fatal(err)
	}
	until := func(what string, status int, at string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for ask(t, http.MethodGet, at, "").Status != status {
			if time.Now().After(deadline) {
				t.Fatalf("%s was not noticed", what)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	until("a new tenant", http.StatusOK, s.URL+"/t/acme/jwks")
	if _, err := o.Suspend(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	until("a suspension", http.StatusForbidden, s.URL+"/t/acme/authorize")
}

// TestProductResources: each resource of everything has one for each product below it, and a token for one is for no other;
// who names none gets that of everything.
func TestProductResources(t *testing.T) {
	t.Parallel()
	s, acme, _ := twoTenants(t)
	for _, of := range []*authtest.Server{s, acme} {
		for asked, want := range map[string]string{"": of.Resource, of.Resource: of.Resource, of.Resource + "/gmail": of.Resource + "/gmail", of.Resource + "/gmail/": of.Resource + "/gmail"} {
			v := of.NewVisit(t)
			v.Query = with(v.Query, "resource", asked)
			if aud := claim(t, of.SignIn(t, v), "aud"); aud != want {
				t.Errorf("asked for %q: a token for %s", asked, aud)
			}
		}
		v := of.NewVisit(t)
		v.Query.Set("resource", of.Resource+"/gmail")
		out := of.SignIn(t, v)
		status, body := of.Token(t, with(v.Refresh(out["refresh_token"].(string)), "resource", of.Resource))
		mustFail(t, status, body, http.StatusBadRequest, oauth.InvalidTarget)
	}
}
