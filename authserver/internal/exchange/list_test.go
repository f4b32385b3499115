package exchange_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/authtest"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// list asks for accounts as a resource server does.
func (w *world) list(t testing.TB, form url.Values) (int, map[string]any) {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, wire.AccountsPath, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.handler.Accounts(answer, request)
	out := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if answer.Header().Get("Cache-Control") != "no-store" {
		t.Error("the list may be cached")
	}
	return answer.Code, out
}

// listForm is a whole request: a token, and how the caller proves itself.
func listForm(t testing.TB, by caller, token string) url.Values {
	t.Helper()
	form := wire.AccountsRequest{SubjectToken: secret.NewText(token), Tool: "accounts_list"}.Form()
	form.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
	form.Set("client_assertion", authtest.Assertion(t, by.key, by.id, by.audience, nil))
	return form
}

// TestNobodyElsesAccounts: DESIGN §1.1 and §1.3 [law]: a person's accounts are listed to a caller that proves itself here, for a token in which
// everything is of one live grant; none has its address in full, and one is the grant's own.
func TestNobodyElsesAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	here := caller{w.rs, rsClient, internal + wire.AccountsPath}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		a, b := pick(r, w.rows), pick(r, w.rows)
		c, signer := a.claims(), a.tenant
		for what, lie := range []func(){
			func() { signer = b.tenant }, func() { c.Issuer = b.tenant.Issuer.String() }, func() { c.Tenant = b.tenant.ID.String() }, func() { c.Subject = b.person.subject.String() },
			func() { c.ClientID = b.client }, func() { c.Audience = b.resource.String() }, func() { c.Grant = b.id.String() },
		} {
			if what == r.IntN(20) {
				lie()
			}
		}
		t0 := w.tenantOf(c.Tenant)
		row := w.byID[t0.ID][uuid.MustParse(c.Grant)]
		want := row != nil && row.live && signer == t0 && c.Issuer == t0.Issuer.String() && c.Subject == row.person.subject.String() &&
			c.ClientID == row.client && c.Audience == row.resource.String()
		status, got := w.list(t, listForm(t, here, w.sign(t, signer.ID, c)))
		accounts, _ := got["accounts"].([]any)
		if !want {
			if status == http.StatusOK || len(accounts) > 0 || got["error"] != "invalid_grant" {
				t.Errorf("what does not belong together: %d %v", status, got)
			}
			continue
		}
		if status != http.StatusOK || len(accounts) != len(row.person.accounts) {
			t.Errorf("what belongs together: %d %v", status, got)
			continue
		}
		for i, own := range row.person.accounts {
			one := accounts[i].(map[string]any)
			if one["handle"] != own.handle || one["masked_email"] != own.email[:1]+"***@example.com" || (one["chosen"] == true) != (own == row.account) || one["ended"] == true {
				t.Errorf("account %d: %v, not %+v", i, one, own)
			}
		}
	}
	var live *row
	for _, r := range w.rows {
		if r.live {
			live = r
			break
		}
	}
	token := w.sign(t, live.tenant.ID, live.claims())
	for name, by := range map[string]caller{
		"a stranger's key": {w.other, here.id, here.audience}, "another client": {w.rs, "another-rs", here.audience}, "an assertion for the exchange": w.rightCaller(),
	} {
		if status, got := w.list(t, listForm(t, by, token)); status != http.StatusUnauthorized || got["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	again := listForm(t, here, token)
	if status, got := w.list(t, again); status != http.StatusOK {
		t.Errorf("%d %v", status, got)
	}
	if status, got := w.list(t, again); status != http.StatusUnauthorized || got["accounts"] != nil { // RFC 7523 §3: a jti is used once
		t.Errorf("an assertion twice: %d %v", status, got)
	}
	narrow, old := live.claims(), live.claims()
	narrow.Scope, old.Expiry = "gmail.read", time.Now().Add(-time.Hour).Unix()
	if status, got := w.list(t, listForm(t, here, w.sign(t, live.tenant.ID, narrow))); status != http.StatusForbidden || got["error"] != "insufficient_scope" || got["scope"] != "accounts" {
		t.Errorf("without the scope: %d %v", status, got)
	}
	if status, got := w.list(t, listForm(t, here, w.sign(t, live.tenant.ID, old))); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("expired: %d %v", status, got)
	}
	// A connection that has ended is said to have.
	w.exec(t, live.tenant.ID, `UPDATE credentials SET status = 'needs_reauth' WHERE tenant_id = $1 AND connection_id = $2`, live.tenant.ID.UUID(), live.account.Connection)
	_, got := w.list(t, listForm(t, here, token))
	ended := 0
	for _, one := range got["accounts"].([]any) {
		if m := one.(map[string]any); m["ended"] == true && m["handle"] == live.account.handle {
			ended++
		}
	}
	if ended != 1 {
		t.Errorf("%v", got)
	}
}
