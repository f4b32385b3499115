package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// approved is a tenant whose people use approved clients only.
func approved(t *testing.T) (s, acme *authtest.Server) {
	t.Helper()
	s = authtest.Start(t)
	acme = s.AddTenant(t, "acme", authtest.TenantOptions{Policy: tenant.Policy{Clients: tenant.ApprovedClient}})
	name := "Acme & Sons"
	if _, err := s.Operator(t).Update(context.Background(), "acme", tenancy.Change{Name: &name}); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
	return s, acme
}

func approve(t *testing.T, s *authtest.Server, clientID string, scopes ...string) {
	t.Helper()
	if _, _, err := s.Operator(t).Approve(context.Background(), "acme", tenant.Approval{ClientID: clientID, Scopes: scopes}); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
}

func unapprove(t *testing.T, s *authtest.Server, clientID string) {
	t.Helper()
	if _, err := s.Operator(t).Unapprove(context.Background(), "acme", clientID); err != nil {
		t.Fatal(err)
	}
	s.Reload(t)
}

// TestUnapprovedClients: issue 5: who is not approved gets a page that says whom to ask and for what, a pushed request the error, and nothing
// leads anywhere by itself; a client that has a scheme of its own, which a page cannot lead to, is told.
func TestUnapprovedClients(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	for name, v := range map[string]*authtest.Visit{
		"a registration": acme.NewVisit(t),
		"a document":     acme.VisitAs(t, s.Host.PublishClient(t, "/oauth/app", nil)),
	} {
		q, p := acme.Walk(t, v)
		body := string(p.Body)
		if q != nil || p.Status != http.StatusForbidden || !strings.Contains(body, "Acme &amp; Sons has not approved this app") || !strings.Contains(body, "to approve "+v.Client) {
			t.Errorf("%s: %v %d %s", name, q, p.Status, p.Body)
		}
		if !strings.Contains(body, "error=access_denied") || !strings.Contains(body, "state=st-1") || !strings.Contains(body, "iss=") { // by the link, if the person follows it
			t.Errorf("%s: no way back: %s", name, body)
		}
	}
	const cursor = "cursor://anysphere.cursor-mcp/oauth/callback"
	v := acme.VisitAs(t, acme.Register(t, cursor))
	v.Query.Set("redirect_uri", cursor)
	if a := ask(t, http.MethodGet, acme.AuthorizeURL(v), ""); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), cursor+"?error=access_denied") {
		t.Errorf("a scheme of its own: %d %v", a.Status, a.Header)
	}
	v.Query.Set("redirect_uri", "https://evil.example/cb") // RFC 6749 §4.1.2.1: that is looked at first
	if a := ask(t, http.MethodGet, acme.AuthorizeURL(v), ""); a.Status != http.StatusBadRequest || strings.Contains(a.Body, "evil.example") {
		t.Errorf("another's redirect URI: %d %s", a.Status, a.Body)
	}
	reg := acme.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "client_secret_post"})
	id := reg["client_id"].(string)
	status, _, out := post(t, acme.URL+"/par", with(acme.VisitAs(t, id).Query, "client_secret", reg["client_secret"].(string)), "", "")
	mustFail(t, status, out, http.StatusForbidden, oauth.AccessDenied)
	s.SignIn(t, s.NewVisit(t)) // other tenants have their own rules
}

// TestApprovedClient: issue 5: what was approved is asked for and nothing beyond, and the page says who approved and what is verified: for a
// registration its id, because anybody can have its name (PEERS A1); approving one registration approves no other of the same name.
func TestApprovedClient(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	document := s.Host.PublishClient(t, "/oauth/app", nil)
	for id, shown := range map[string]string{acme.Register(t): "", document: s.Host.Addr} {
		approve(t, s, id, "gmail.read", "accounts")
		v := acme.VisitAs(t, id)
		p := follow(t, authtest.Browser(), acme.AuthorizeURL(v))
		if shown == "" {
			shown = id
		}
		if body := string(p.Body); !strings.Contains(body, "Approved by") || !strings.Contains(body, "<bdi>Acme &amp; Sons</bdi>") || !strings.Contains(body, "for <bdi>"+shown+"</bdi>") ||
			strings.Contains(body, "drive.read") || strings.Contains(body, "Not among what") {
			t.Errorf("%s: %s", id, body)
		}
		// The person is asked all the same: an administrator's word is no consent (MCP security best practices, confused deputy).
		if out := acme.SignIn(t, v); out["scope"] != "accounts gmail.read" {
			t.Errorf("%s: %v", id, out["scope"])
		}
		none := acme.VisitAs(t, id)
		none.Query.Set("scope", "drive.read")
		if a := ask(t, http.MethodGet, acme.AuthorizeURL(none), ""); a.Status >= 400 && !strings.Contains(a.Body, "none of these scopes") ||
			a.Status < 400 && !strings.Contains(a.Header.Get("Location"), "error=invalid_scope") {
			t.Errorf("%s: only what is not approved: %d %s", id, a.Status, a.Body)
		}
	}
	if body := refusedPage(t, acme, acme.NewVisit(t), http.StatusForbidden); !strings.Contains(body, "not approved") { // same name, another registration
		t.Error(body)
	}
	n := rowsOf(t, s.DSN, `SELECT count(*) FROM set_config('app.tenant_id', $1::text, false) c, LATERAL (SELECT FROM consents WHERE tenant_id = c::uuid AND snapshot->>'approved_by' = 'Acme & Sons') x`, acme.Tenant.String())
	if n != 2 {
		t.Errorf("%d consents say what the page said", n)
	}
}

// TestWithdrawnApproval: issue 5: an approval that is withdrawn ends new authorizations at once, those on their way, codes, refreshes and
// exchanges; nothing of it is spent or thrown away: approved again, the same tokens work.
func TestWithdrawnApproval(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	id := acme.Register(t)
	approve(t, s, id, "gmail.read", "drive.read", "accounts")
	v, waiting, b := acme.VisitAs(t, id), acme.VisitAs(t, id), authtest.Browser()
	out := acme.SignIn(t, v)
	person := authtest.Browser()
	code, _ := acme.WalkWith(t, person, v)
	if page := string(follow(t, person, acme.URL+"/account").Body); strings.Contains(page, "has not approved") {
		t.Error(page)
	}
	page := follow(t, authtest.Browser(), acme.AuthorizeURL(v))
	back := callback(t, acme, b, waiting)
	x := acme.Exchanger(t, acme.Internal)

	unapprove(t, s, id)
	for name, form := range map[string]url.Values{"code": v.Redeem(code.Get("code")), "refresh": v.Refresh(out["refresh_token"].(string))} {
		for range 3 {
			status, body := acme.Token(t, form)
			mustFail(t, status, body, http.StatusForbidden, oauth.AccessDenied)
			if !strings.Contains(body["error_description"].(string), "administrator") {
				t.Errorf("%s: %v", name, body)
			}
		}
	}
	refusedPage(t, acme, v, http.StatusForbidden)
	if page := string(follow(t, person, acme.URL+"/account").Body); !strings.Contains(page, "<bdi>Acme &amp; Sons</bdi> has not approved this app") || !strings.Contains(page, "to approve <bdi>"+id) {
		t.Error("the person's page does not say why the app has no access")
	}
	if p := follow(t, b, back.String()); p.Status != http.StatusForbidden || !strings.Contains(string(p.Body), "not approved") {
		t.Errorf("back from Google: %d %s", p.Status, p.Body)
	}
	if p, err := authtest.Approve(t.Context(), authtest.Browser(), page, v); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("a page that was open: %v %v", p, err)
	}
	_, err := x.Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.AdminPolicyBlocked || !strings.Contains(e.Description, id) {
		t.Errorf("%+v", e)
	}

	approve(t, s, id, "gmail.read", "accounts") // for less
	status, body := acme.Token(t, v.Refresh(out["refresh_token"].(string)))
	if status != http.StatusOK || body["scope"] != "accounts gmail.read" {
		t.Errorf("approved again: %d %v", status, body)
	}
	if status, body := acme.Token(t, v.Redeem(code.Get("code"))); status != http.StatusOK {
		t.Errorf("the code: %d %v", status, body)
	}
	if _, err := x.Exchange(t.Context(), request(out, gmailRead)); err != nil {
		t.Error(err)
	}
	_, err = x.Exchange(t.Context(), request(out, "https://www.googleapis.com/auth/drive.readonly"))
	if e := failure(t, err); e.Reason != exchange.AdminPolicyBlocked {
		t.Errorf("%+v", e)
	}
	status, body = acme.Token(t, with(v.Refresh(body["refresh_token"].(string)), "scope", "drive.read"))
	mustFail(t, status, body, http.StatusBadRequest, oauth.InvalidScope)
}

// TestApprovalIsOfWhatWasRead: an approved registration keeps the name and the addresses that its administrator has read: whoever holds its
// management token cannot make another of it (RFC 7592 §2.2 lets the server refuse).
func TestApprovalIsOfWhatWasRead(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	reg := acme.RegisterWith(t, map[string]any{"client_name": "Harmless", "token_endpoint_auth_method": "none"})
	id, token := reg["client_id"].(string), reg["registration_access_token"].(string)
	change := func(redirect string) answer {
		return ask(t, http.MethodPut, acme.URL+"/register/"+id, `{"client_id":"`+id+`","client_name":"Harmless","token_endpoint_auth_method":"none","redirect_uris":["`+redirect+`"]}`,
			"Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	if a := change(authtest.Redirect); a.Status != http.StatusOK {
		t.Fatalf("before: %d %s", a.Status, a.Body)
	}
	if a := change("https://evil.example/cb"); a.Status != http.StatusForbidden { // the administrator may be reading it
		t.Errorf("another client before the approval: %d %s", a.Status, a.Body)
	}
	approve(t, s, id, "accounts")
	if a := change("https://evil.example/cb"); a.Status != http.StatusForbidden || !strings.Contains(a.Body, `"access_denied"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := change(authtest.Redirect); a.Status != http.StatusOK {
		t.Errorf("the same again: %d %s", a.Status, a.Body)
	}
	v := acme.VisitAs(t, id)
	v.Query.Set("redirect_uri", "https://evil.example/cb")
	if a := ask(t, http.MethodGet, acme.AuthorizeURL(v), ""); a.Status != http.StatusBadRequest {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// TestApprovalsUnderAnyRule: where any client may come, an approval restricts nobody, and the page tells what of the request is beyond it.
func TestApprovalsUnderAnyRule(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	id := acme.Register(t)
	approve(t, s, id, "gmail.read")
	v := acme.VisitAs(t, id)
	if body := string(follow(t, authtest.Browser(), acme.AuthorizeURL(v)).Body); strings.Count(body, "Not among what <bdi>Your organisation</bdi> has approved") != 3 {
		t.Error(body)
	}
	if out := acme.SignIn(t, v); len(strings.Fields(out["scope"].(string))) != 4 {
		t.Errorf("%v", out["scope"])
	}
	if body := string(follow(t, authtest.Browser(), acme.AuthorizeURL(acme.NewVisit(t))).Body); strings.Contains(body, "Approved by") {
		t.Error("a client is called approved that is not")
	}
}

// TestMachineApproval: a client for itself is a client too.
func TestMachineApproval(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(command(t, s, "clients", "create", "--tenant", "acme", "--name", "Nightly", "--grant", "client_credentials", "--scope", "accounts drive.read")), &made); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	status, _, out := post(t, acme.URL+"/token", form, made.ID, made.Secret)
	mustFail(t, status, out, http.StatusForbidden, oauth.AccessDenied)
	approve(t, s, made.ID, "accounts")
	if status, _, out = post(t, acme.URL+"/token", form, made.ID, made.Secret); status != http.StatusOK || out["scope"] != "accounts" {
		t.Errorf("%d %v", status, out)
	}
}

// TestApprovalsAreRecorded: issue 5: each approval and each withdrawal is in the tenant's trail, by whatever command it came about.
func TestApprovalsAreRecorded(t *testing.T) {
	t.Parallel()
	s, acme := approved(t)
	a, b := acme.Register(t), acme.Register(t)
	approve(t, s, a, "accounts")
	approve(t, s, a, "accounts") // says nothing new
	approve(t, s, a, "accounts", "gmail.read")
	changePolicy(t, s, "acme", tenant.Policy{Approvals: []tenant.Approval{{ClientID: b, Scopes: []string{"accounts"}}}})
	unapprove(t, s, b)
	found, err := s.DB(t).SearchAudit(t.Context(), acme.Tenant, audit.Query{Limit: audit.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range found {
		if e.Kind == audit.AdminAct && e.Client != "" {
			got = append(got, strings.NewReplacer(a, "a", b, "b").Replace(e.Client+" "+e.Detail+" "+strings.Join(e.Scopes, " ")))
			if e.Actor != audit.Operator {
				t.Errorf("%+v", e)
			}
		}
	}
	slices.Sort(got)
	want := []string{"a client approved accounts", "a client approved accounts gmail.read", "a client's approval withdrawn accounts gmail.read", "b client approved accounts", "b client's approval withdrawn accounts"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
