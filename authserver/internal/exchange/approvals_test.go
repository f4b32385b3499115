package exchange_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/accesstoken"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TestApprovalCaller: DESIGN §1.1 [law]: a person is asked, and an answer handed out, to a resource server that proves itself here, for a token
// in which everything is of one live grant; what is refused asks nobody.
func TestApprovalCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	var live, ended *row
	for _, r := range w.rows {
		if r.live && live == nil && r.tenant == w.tenants[1] {
			live = r
		}
		if !r.live && r.tenant == w.tenants[1] {
			ended = r
		}
	}
	here := caller{w.rs, rsClient, internal + wire.ApprovalsPath}
	form := func(by caller, c accesstoken.Claims, change func(url.Values)) url.Values {
		f := wire.ApprovalRequest{SubjectToken: secret.NewText(w.sign(t, live.tenant.ID, c)), Tool: "drive_share", Digest: strings.Repeat("0a", 32), Question: "Share it?"}.Form()
		f.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
		f.Set("client_assertion", authtest.Assertion(t, by.key, by.id, by.audience, nil))
		change(f)
		return f
	}
	ask := func(f url.Values) (int, map[string]any) {
		t.Helper()
		request := httptest.NewRequest(http.MethodPost, wire.ApprovalsPath, strings.NewReader(f.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer := httptest.NewRecorder()
		w.handler.Approvals(answer, request)
		out := map[string]any{}
		if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil || answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v %s", err, answer.Body)
		}
		return answer.Code, out
	}
	same := func(url.Values) {}
	claims := func(change func(*accesstoken.Claims)) accesstoken.Claims {
		c := live.claims()
		change(&c)
		return c
	}
	mine := claims(func(*accesstoken.Claims) {})
	for name, row := range map[string]struct {
		form   url.Values
		status int
		code   oauth.Code
	}{
		"a stranger's key":                {form(caller{w.other, here.id, here.audience}, mine, same), 401, oauth.InvalidClient},
		"another client":                  {form(caller{w.rs, "another-rs", here.audience}, mine, same), 401, oauth.InvalidClient},
		"an assertion for the exchange":   {form(w.rightCaller(), mine, same), 401, oauth.InvalidClient},
		"no assertion":                    {form(here, mine, func(f url.Values) { f.Del("client_assertion") }), 401, oauth.InvalidClient},
		"a token that has expired":        {form(here, claims(func(c *accesstoken.Claims) { c.Expiry = time.Now().Add(-time.Hour).Unix() }), same), 400, oauth.InvalidGrant},
		"a grant that has ended":          {form(here, ended.claims(), same), 400, oauth.InvalidGrant},
		"another's grant":                 {form(here, claims(func(c *accesstoken.Claims) { c.Subject = w.people[live.tenant.ID][1].subject.String() }), same), 400, oauth.InvalidGrant},
		"another client's grant":          {form(here, claims(func(c *accesstoken.Claims) { c.ClientID = "c3" }), same), 400, oauth.InvalidGrant},
		"another tenant in the token":     {form(here, claims(func(c *accesstoken.Claims) { c.Tenant = w.tenants[0].ID.String() }), same), 400, oauth.InvalidGrant},
		"the same grant's other resource": {form(here, claims(func(c *accesstoken.Claims) { c.Audience = otherResource(live) }), same), 400, oauth.InvalidGrant},
		"a client's own token":            {form(here, claims(func(c *accesstoken.Claims) { c.Subject, c.Grant = c.ClientID, "" }), same), 400, oauth.InvalidGrant},
		"an account of nobody":            {form(here, mine, func(f url.Values) { f.Set("account", "acc_00000000-0000-7000-8000-000000000000") }), 400, wire.AccountSelectionRequired},
		"no question":                     {form(here, mine, func(f url.Values) { f.Del("question") }), 400, oauth.InvalidRequest},
		"a question of no characters":     {form(here, mine, func(f url.Values) { f.Set("question", "a\x00b") }), 400, oauth.InvalidRequest},
		"an endless question":             {form(here, mine, func(f url.Values) { f.Set("question", strings.Repeat("a", 64<<10)) }), 400, oauth.InvalidRequest},
	} {
		if status, got := ask(row.form); status != row.status || got["error"] != string(row.code) || got["interaction_uri"] != nil || got["status"] != nil {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if got, err := w.db.SearchAudit(t.Context(), live.tenant.ID, audit.Query{Kind: audit.ApprovalAsked, Limit: 10}); err != nil || len(got) != 0 {
		t.Errorf("a refused request has asked: %v %v", got, err)
	}
	right := form(here, mine, same)
	if status, got := ask(right); status != 200 || got["status"] != "pending" || got["expires_in"] != 600.0 || !strings.HasPrefix(got["interaction_uri"].(string), live.tenant.Issuer.String()+"/approve/") {
		t.Errorf("%d %v", status, got)
	}
	if got, err := w.db.SearchAudit(t.Context(), live.tenant.ID, audit.Query{Kind: audit.ApprovalAsked, Limit: 10}); err != nil || len(got) != 1 || got[0].Subject != live.person.subject || got[0].Grant != live.id || got[0].Tool != "drive_share" {
		t.Errorf("asked: %+v %v", got, err)
	}
	if status, got := ask(right); status != 401 || got["error"] != string(oauth.InvalidClient) { // RFC 7523 §3: a jti is used once
		t.Errorf("an assertion twice: %d %v", status, got)
	}
}

func otherResource(r *row) string {
	for _, one := range r.tenant.Resources {
		if one.Canonical != r.resource {
			return one.Canonical.String()
		}
	}
	return ""
}
