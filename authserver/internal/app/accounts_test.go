package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const driveReadonly = "https://www.googleapis.com/auth/drive.readonly"

// TestAccountSignInAsksForIdentityOnly: the page learns who the person is, and gets no access to anything.
func TestAccountSignInAsksForIdentityOnly(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	got := p.asked[0]
	if got.Get("scope") != "email openid profile" || got.Has("access_type") || got.Get("nonce") == "" || got.Get("code_challenge_method") != "S256" {
		t.Errorf("asked at Google: %v", got)
	}
	if n := rowsOf(t, s.DSN, `SELECT (SELECT count(*) FROM connections) + (SELECT count(*) FROM credentials)`); n != 0 {
		t.Error("something was connected")
	}
	page := p.account()
	csp := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "form-action 'self' "+s.Google.URL) ||
		page.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(page.Body), "<script") {
		t.Error(page.Header)
	}
	b := newPerson(t, s)
	says(t, b.google(b.press(b.account(), "sign-in", ""), fakegoogle.Choice{Account: bob}), http.StatusOK)
	denied := newPerson(t, s)
	denied.google(denied.press(denied.account(), "sign-in", ""), fakegoogle.Choice{Account: carol, Deny: true})
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM subjects`); n != 2 {
		t.Errorf("%d persons", n)
	}
	s.Google.Inject(fakegoogle.Fault{Prefix: "/token", Nonce: "other", Times: 1})
	forged := newPerson(t, s)
	says(t, forged.google(forged.press(forged.account(), "sign-in", ""), fakegoogle.Choice{Account: carol}), http.StatusForbidden, "proof of who signed in was refused")
	if n := rowsOf(t, s.DSN, `SELECT (SELECT count(*) FROM subjects) + (SELECT count(*) FROM sessions)`); n != 4 {
		t.Errorf("%d rows", n)
	}
}

// TestTwoAccounts: issue 4, GOOGLE §4 nos. 3, 6: a second account is linked under a name of its own; calls get the one they name, without a name the one the
// app was allowed; nothing of it belongs to the linked account's own person.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	out := p.allow(s.NewVisit(t))
	p.add(bob)
	p.add(carol)
	page := p.account()
	all := handles(page)
	if len(all) != 3 || all["example.com"] == "" || all["example.com-2"] == "" || all["personal"] == "" {
		t.Fatal(all)
	}
	x := s.Exchanger(t, s.Internal)
	email := func(account string) string {
		t.Helper()
		r := request(out, gmailRead)
		r.Account = account
		got, err := x.Exchange(t.Context(), r)
		if err != nil {
			t.Fatalf("%q: %v", account, err)
		}
		return got.AccountEmail
	}
	for account, want := range map[string]string{"": alice, "example.com": alice, all["example.com-2"]: bob, "Example.COM-2": bob, "personal": carol, all["personal"]: carol} {
		if got := email(account); got != want {
			t.Errorf("%q is %s", account, got)
		}
	}
	says(t, p.press(page, "rename", all["personal"], "alias", "Carol’s mail"), http.StatusOK, "new name", "Carol’s mail")
	if email("Carol’s mail") != carol {
		t.Error("the new name does not work")
	}
	for _, bad := range []string{"", strings.Repeat("x", 41), "a\u202eb", all["example.com"], "two\nlines"} {
		if got := p.press(p.account(), "rename", all["personal"], "alias", bad); got.Status != http.StatusBadRequest {
			t.Errorf("alias %q: %d", bad, got.Status)
		}
	}
	if got := p.press(p.account(), "rename", all["personal"], "alias", "EXAMPLE.com"); got.Status != http.StatusConflict {
		t.Errorf("a name twice: %d", got.Status)
	}
	// Another default changes nothing for an app that was allowed with alice.
	says(t, p.press(p.account(), "default", all["personal"]), http.StatusOK, "New apps start with that account")
	if email("") != alice {
		t.Error("the default took the place of the app's account")
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM connections WHERE is_default`); n != 1 {
		t.Errorf("%d defaults", n)
	}
	r := request(out, gmailRead)
	r.Account = "nobody"
	_, err := x.Exchange(t.Context(), r)
	e := failure(t, err)
	if e.Code != exchange.AccountSelectionRequired || len(e.Accounts) != 3 || e.Accounts[0].MaskedEmail != "a***@example.com" || e.Accounts[2].Alias != "Carol’s mail" || e.InteractionURI != "" {
		t.Errorf("%+v", e)
	}
	// Bob himself is another person: with his own account and no word of alice's.
	b := newPerson(t, s)
	v := s.NewVisit(t)
	v.Choice.Account = bob
	his := b.allow(v)
	if claims(t, his["access_token"])["sub"] == claims(t, out["access_token"])["sub"] {
		t.Fatal("bob is alice")
	}
	page = b.account()
	if got := handles(page); len(got) != 1 || got["example.com"] == "" || got["example.com"] == all["example.com-2"] || strings.Contains(string(page.Body), alice) {
		t.Errorf("bob sees %v", got)
	}
	r = request(his, gmailRead)
	r.Account = all["example.com-2"] // alice's handle of his account
	_, err = x.Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != exchange.AccountSelectionRequired || len(e.Accounts) != 1 {
		t.Errorf("%+v", e)
	}
}

// TestOtherPersonsIDs: DESIGN §1.3: whatever ids of another person a form names, nothing is found and nothing changes.
func TestOtherPersonsIDs(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	a := newPerson(t, s)
	v := s.NewVisit(t)
	a.allow(v)
	a.add(carol)
	hers := handles(a.account())
	mallory := signedIn(t, s, bob)
	before := snapshot(t, s.DSN)
	page := mallory.account()
	f, _ := find(t, page, "sign-out", "")
	token := f.Values.Get("token")
	ids := []string{"00000000-0000-7000-8000-000000000000", "x", ""}
	ids = append(ids, textOf(t, s.DSN, `SELECT id::text FROM sessions s WHERE subject_id <> (SELECT id FROM subjects WHERE google_sub LIKE '%22') LIMIT 1`))
	post := func(path string, form url.Values) int {
		form.Set("token", token)
		f := *page.Forms[0]
		u := *page.URL
		u.Path = "/account/" + path
		f.Action, f.Method, f.Values = &u, http.MethodPost, form
		out, err := mallory.b.Submit(t.Context(), page, &f, f.Buttons[0])
		if err != nil {
			t.Fatal(err)
		}
		return out.Status
	}
	for alias, handle := range hers {
		for _, path := range []string{"default", "rename", "repair", "disconnect", "add"} {
			if got := post(path, url.Values{"account": {handle}, "alias": {"mine"}, "scope": {"gmail.read"}}); got != http.StatusNotFound {
				t.Errorf("%s of %s: %d", path, alias, got)
			}
		}
	}
	for _, bad := range []string{"", "acc_", "acc_x", strings.ToUpper(hers["personal"]), strings.TrimPrefix(hers["personal"], "acc_")} {
		if got := post("disconnect", url.Values{"account": {bad}}); got != http.StatusNotFound {
			t.Errorf("%q: %d", bad, got)
		}
	}
	if got := post("apps/revoke", url.Values{"client": {v.Client}}); got != http.StatusNotFound {
		t.Errorf("another person's app: %d", got)
	}
	for _, id := range ids {
		post("sessions/end", url.Values{"session": {id}})
	}
	if after := snapshot(t, s.DSN); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	if !strings.Contains(string(a.account().Body), "Where you are signed in") {
		t.Error("another person's session was ended")
	}
}

// TestAppIsRevoked: issue 4, ASVS 10.7.3: an app loses its access by one button; the account and other apps stay.
func TestAppIsRevoked(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	v, w := s.NewVisit(t), s.NewVisit(t)
	out, kept := p.allow(v), p.allow(w)
	says(t, p.press(p.account(), "revoke", v.Client), http.StatusOK, "no access any more")
	if status, _ := s.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusBadRequest {
		t.Errorf("refresh after the revocation: %d", status)
	}
	_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("%+v", e)
	}
	works(t, s, kept)
	if status, _ := s.Token(t, w.Refresh(kept["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("the other app: %d", status)
	}
}

// TestKnownPersonIsAskedForLittle: DESIGN §5: with a session only what is missing is asked at Google, with login_hint; its consent page is wanted only when scopes grow.
func TestKnownPersonIsAskedForLittle(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read")
	p.allow(v)
	if first := p.asked[0]; first.Has("login_hint") || first.Has("prompt") || !strings.Contains(first.Get("scope"), "gmail.readonly") {
		t.Errorf("the first visit: %v", first)
	}
	again := s.NewVisit(t)
	again.Query.Set("scope", "gmail.read")
	p.allow(again)
	if got := p.asked[1]; got.Get("login_hint") != alice || got.Has("prompt") || got.Get("scope") != "email openid profile" || got.Get("include_granted_scopes") != "true" {
		t.Errorf("the same scopes: %v", got)
	}
	more := s.NewVisit(t)
	more.Query.Set("scope", "gmail.read drive.read")
	out := p.allow(more)
	if got := p.asked[2]; got.Get("login_hint") != alice || got.Get("prompt") != "consent" || got.Get("scope") != "email "+driveReadonly+" openid profile" {
		t.Errorf("more scopes: %v", got)
	}
	if out["scope"] != "drive.read gmail.read" || len(p.asked) != 3 {
		t.Errorf("scope %v after %d visits", out["scope"], len(p.asked))
	}
	works(t, s, out)
	// Another account, chosen at Google, is asked for everything and is its own person.
	other := s.NewVisit(t)
	page := page(t, s, p.b, other)
	says(t, page, http.StatusOK, "Your Google account for this app", "Another account")
	f, button, _ := page.Button("decision", "approve")
	f.Values.Set("account", "")
	at, err := p.b.Submit(t.Context(), page, f, button)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.asked[3]; got.Has("login_hint") || !strings.Contains(got.Get("scope"), "gmail.readonly") {
		t.Errorf("another account: %v", got)
	}
	if end := p.google(at, fakegoogle.Choice{Account: bob}); end.URL.Query().Get("code") == "" {
		t.Errorf("no code: %v", end.URL)
	}
	says(t, p.account(), http.StatusOK, bob)
}

// TestLinkedAccountForAnApp: an app can be allowed with any of the person's accounts; the person stays the same, and at Google it must be that very account.
func TestLinkedAccountForAnApp(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	first := p.allow(s.NewVisit(t))
	p.add(bob)
	choose := func(handle string, account string) *url.URL {
		t.Helper()
		v := s.NewVisit(t)
		page := page(t, s, p.b, v)
		f, button, _ := page.Button("decision", "approve")
		f.Values.Set("account", handle)
		at, err := p.b.Submit(t.Context(), page, f, button)
		if err != nil {
			t.Fatal(err)
		}
		end := p.google(at, fakegoogle.Choice{Account: account})
		if end.URL.Query().Get("code") != "" {
			_, out := s.Token(t, v.Redeem(end.URL.Query().Get("code")))
			if claims(t, out["access_token"])["sub"] != claims(t, first["access_token"])["sub"] {
				t.Error("the person changed")
			}
			if got := works(t, s, out); got.AccountEmail != bob {
				t.Errorf("the app works with %s", got.AccountEmail)
			}
		}
		return end.URL
	}
	hers := handles(p.account())
	if u := choose(hers["example.com-2"], bob); u.Query().Get("code") == "" {
		t.Errorf("no code: %v", u)
	}
	execSQL(t, s.DSN, `UPDATE connections SET google_sub = '100000000000000000099' WHERE alias = 'example.com-2'`) // as if another account answered
	if u := choose(hers["example.com-2"], bob); u.Query().Get("error") != "access_denied" || u.Query().Get("iss") != s.URL {
		t.Errorf("another account at Google: %v", u)
	}
	// A handle of somebody else, and one after signing out.
	if u := choose("acc_00000000-0000-7000-8000-000000000000", bob); u.Query().Has("code") {
		t.Errorf("a foreign handle: %v", u)
	}
	v := s.NewVisit(t)
	page := page(t, s, p.b, v)
	p.press(p.account(), "everywhere", "")
	f, button, _ := page.Button("decision", "approve")
	if end, err := p.b.Submit(t.Context(), page, f, button); err != nil || end.Status != http.StatusForbidden {
		t.Error("signed out meanwhile:", end.Status, err)
	}
}

// TestPartialConsentIsExplained: GOOGLE §4 no. 5: what was unticked at Google narrows the token, and the page says what is missing and how to add it.
func TestPartialConsentIsExplained(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read drive.read")
	v.Choice.Untick = []string{driveReadonly}
	if out := p.allow(v); out["scope"] != "gmail.read" {
		t.Errorf("scope %v", out["scope"])
	}
	says(t, p.account(), http.StatusOK, "You did not allow at Google: Google Drive: find and read your files", "To add it, connect the app again")
	again := s.VisitAs(t, v.Client)
	again.Query.Set("scope", "gmail.read drive.read")
	if out := p.allow(again); out["scope"] != "drive.read gmail.read" {
		t.Errorf("scope %v", out["scope"])
	}
	if strings.Contains(string(p.account().Body), "You did not allow at Google") {
		t.Error("still said to be missing")
	}
}

// TestRepair: the page repairs a connection, and says first that it is broken.
func TestRepair(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out, _ := broken(t, s, alice)
	p := signedIn(t, s, alice)
	page := p.account()
	says(t, page, http.StatusOK, "Google has ended the connection. Repair it")
	says(t, p.google(p.press(page, "repair", ""), fakegoogle.Choice{}), http.StatusOK, "Google is connected")
	works(t, s, out)
	says(t, p.account(), http.StatusOK, "Works.")
}

// TestGoogleForgot: what the row says of a known account is not what Google says any more: the tenant has another Google client, or
// the person withdrew everything at Google without a word to us. The next sign-in with that account asks for all of it.
func TestGoogleForgot(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "first"}})
	p := newPerson(t, acme)
	v := acme.NewVisit(t)
	p.allow(v)
	works := func(what string, out map[string]any) {
		t.Helper()
		if got, err := acme.Exchanger(t, acme.Internal).Exchange(t.Context(), request(out, gmailRead)); err != nil || got.AccountEmail != alice {
			t.Errorf("%s: %+v %v", what, got, err)
		}
	}
	if _, err := s.Operator(t).SetGoogleClient(t.Context(), "acme", tenancy.GoogleClient{ID: "acme-other", Secret: secret.NewText("second"), Publishing: tenancy.Production}); err != nil {
		t.Fatal(err)
	}
	s.Google.AddClient(fakegoogle.Client{ID: "acme-other", Secret: "second", RedirectURIs: []string{acme.Issuer(t).Origin() + tenancy.CallbackPath}})
	s.Reload(t)
	says(t, p.account(), http.StatusOK, "registered anew at Google. Repair the connection")
	works("another client", p.allow(acme.VisitAs(t, v.Client)))
	says(t, p.account(), http.StatusOK, "Works.")

	s.Google.RevokeUser(alice)
	works("withdrawn at Google", p.allow(acme.VisitAs(t, v.Client)))
}

// TestAllowedScopesHoldOnThePage: what a tenant does not allow is neither offered on the page nor asked for at Google.
func TestAllowedScopesHoldOnThePage(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Policy: tenant.Policy{AllowedScopes: []string{"gmail.read"}}})
	p := newPerson(t, acme)
	page := p.google(p.press(p.account(), "sign-in", ""), fakegoogle.Choice{Account: alice})
	if strings.Contains(string(page.Body), `value="gmail.organize"`) {
		t.Error("offered")
	}
	f, button := find(t, page, "add", "")
	f.Values["scope"] = []string{"gmail.organize"}
	refused, err := p.b.Submit(t.Context(), page, f, button)
	if err != nil {
		t.Fatal(err)
	}
	says(t, refused, http.StatusBadRequest, "Nothing was chosen", `<a href="/t/acme/account">Your account page</a>`)
	says(t, p.get(acme.URL+"/connect/x"), http.StatusNotFound, `<a href="/t/acme/account">Your account page</a>`)
}
