package blackbox_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/smoke"
)

// press submits the form of a page that has the button.
func press(t *testing.T, b *browser.Browser, p *browser.Page, do string) *browser.Page {
	t.Helper()
	f, button, ok := p.Button("do", do)
	if !ok {
		t.Fatalf("no button %q at %s: status %d", do, p.URL.Path, p.Status)
	}
	next, err := b.Submit(t.Context(), p, f, button)
	must(t, err)
	return next
}

// TestRepairAndDisconnect: issue 4 through an MCP client and a browser: Google ends the connection, the tool's answer has a
// link, the link repairs it, the same client goes on; then the person disconnects the account, and the client is out
// here and at Google.
func TestRepairAndDisconnect(t *testing.T) {
	t.Parallel()
	s := running(t)
	const bob = "bob@example.com" // whom no other test signs in
	c, err := smoke.New(smoke.Config{MCPURL: s.MCPURL, Account: bob, Out: t.Output()})
	must(t, err)
	must(t, c.SignIn(t.Context()))
	must(t, c.Initialize(t.Context()))
	_, err = c.CallTool(t.Context(), "gmail_search_threads", nil)
	must(t, err)

	s.Google.RevokeUser(bob) // as a changed password does
	var told struct {
		Code string `json:"code"`
		Link string `json:"link"`
	}
	result, err := c.CallTool(t.Context(), "gmail_search_threads", nil)
	if err == nil || result == nil || json.Unmarshal(result.Structured, &told) != nil || told.Code != "reconnect_required" ||
		!strings.HasPrefix(told.Link, s.Issuer+"/connect/") || !strings.Contains(result.Text, told.Link) {
		t.Fatalf("%+v %v", told, err)
	}
	b := browser.New()
	page, err := b.Get(t.Context(), told.Link)
	must(t, err)
	page, err = fakegoogle.Proceed(t.Context(), b, press(t, b, page, "connect"), fakegoogle.Choice{Account: bob})
	must(t, err)
	if page.Status != http.StatusOK || !strings.Contains(string(page.Body), "Google is connected") {
		t.Fatalf("status %d at %s", page.Status, page.URL.Path)
	}
	result, err = c.CallTool(t.Context(), "gmail_search_threads", nil)
	if err != nil || !strings.Contains(string(result.Structured), bob) {
		t.Fatal(err)
	}

	page, err = b.Get(t.Context(), s.Issuer+"/account")
	must(t, err)
	page, err = fakegoogle.Proceed(t.Context(), b, press(t, b, page, "sign-in"), fakegoogle.Choice{Account: bob})
	must(t, err)
	if !strings.Contains(string(page.Body), "Latchkey smoke client") {
		t.Error("the page does not name the app")
	}
	if page = press(t, b, page, "disconnect"); !strings.Contains(string(page.Body), "No Google account is connected.") {
		t.Error("the account is still there")
	}
	eventually(t, "the resource server refuses the token", func() bool {
		_, err := c.CallTool(t.Context(), "gmail_search_threads", nil)
		var refused *smoke.StatusError
		return errors.As(err, &refused) && refused.Status == http.StatusUnauthorized
	})
	if err := c.Refresh(t.Context()); err == nil {
		t.Error("the refresh token lives")
	}
	eventually(t, "the access is withdrawn at Google", func() bool { return s.Google.Count("POST /revoke") > 0 })
}
