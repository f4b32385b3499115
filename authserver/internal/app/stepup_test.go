package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

var offeredScope = regexp.MustCompile(`name="scope" value="([^"]+)"`)

// groups are a consent page's scopes: those not allowed yet, and those that the page says are.
func groups(t *testing.T, p *browser.Page) (fresh, allowed string) {
	t.Helper()
	if p.Status != http.StatusOK {
		t.Fatalf("%d %s", p.Status, words(p))
	}
	names := func(s string) string {
		var out []string
		for _, m := range offeredScope.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		return strings.Join(out, " ")
	}
	before, after, marked := strings.Cut(string(p.Body), "<legend>Already allowed with")
	if n := strings.Count(before, ">New</strong>"); marked && n != len(offeredScope.FindAllString(before, -1)) || strings.Contains(after, ">New</strong>") {
		t.Errorf("%d marks: %s", n, words(p))
	}
	return names(before), names(after)
}

// wants is a visit of a client for scopes, with further parameters.
func wants(t *testing.T, s *authtest.Server, clientID, scopes string, more ...string) *authtest.Visit {
	t.Helper()
	v := s.VisitAs(t, clientID)
	v.Query.Set("scope", scopes)
	for i := 0; i+1 < len(more); i += 2 {
		v.Query.Set(more[i], more[i+1])
	}
	return v
}

// TestStepUp: MCP 2026-07-28, step-up: the page keeps apart what is new and what the app has, as long as the app has it: implied scopes
// are not new, what was unticked at Google is, and so is everything once access was taken away.
func TestStepUp(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	app := s.Register(t)
	row := func(name, scopes, fresh, allowed string) *browser.Page {
		t.Helper()
		page := page(t, s, p.b, wants(t, s, app, scopes))
		if gotFresh, gotAllowed := groups(t, page); gotFresh != fresh || gotAllowed != allowed {
			t.Errorf("%s: new %q, already allowed %q", name, gotFresh, gotAllowed)
		}
		return page
	}
	first := row("the first time", "gmail.organize", "gmail.organize", "")
	if strings.Contains(string(first.Body), "New") {
		t.Error("everything is new, and nothing is marked:", words(first))
	}
	q, _ := s.WalkWith(t, p.b, wants(t, s, app, "gmail.organize"))
	if q.Get("code") == "" {
		t.Fatal(q)
	}
	row("a code that nobody has redeemed", "gmail.organize", "gmail.organize", "")

	unticked := wants(t, s, app, "gmail.organize drive.read")
	unticked.Choice.Untick = []string{driveReadonly}
	p.allow(unticked)
	says(t, row("unticked at Google", "gmail.organize drive.read", "drive.read", "gmail.organize"), http.StatusOK,
		"Already allowed with <bdi>example.com</bdi>", "New: this app will also be able to", `<a href="/account">your account page</a>`)
	says(t, row("what it has implies it", "gmail.read", "", "gmail.read"), http.StatusOK, "Nothing is new")

	// The new box unticked: no more than before.
	step := page(t, s, p.b, wants(t, s, app, "gmail.organize tasks.read"))
	f, button, _ := step.Button("decision", "approve")
	f.Values["scope"] = []string{"gmail.organize"}
	at, err := p.b.Submit(t.Context(), step, f, button)
	if err != nil {
		t.Fatal(err)
	}
	p.google(at, fakegoogle.Choice{})
	row("the new one unticked", "gmail.organize tasks.read", "tasks.read", "gmail.organize")

	p.allow(wants(t, s, app, "tasks.read"))
	row("grants add up", "calendar.read gmail.read tasks.read", "calendar.read", "gmail.read tasks.read")
	if mine := string(p.account().Body); strings.Count(mine, ">With <bdi>example.com</bdi>, last allowed") != 1 {
		t.Error("the account page shows each time that the app asked:", words(p.account()))
	} else if _, app, _ := strings.Cut(mine, ">With <bdi>"); strings.Count(app, "<li>Gmail: search and read your mail, label it") != 1 || strings.Count(app, "<li>Google Tasks: ") != 1 {
		t.Error("the app has not all that it was allowed:", words(p.account()))
	}
	p.press(p.account(), "revoke", app)
	row("taken away", "gmail.read tasks.read", "gmail.read tasks.read", "")
}

// TestStepUpTellsNobodyElse: what somebody has allowed is shown in that person's own session only: not to whoever comes without one, not to
// another person, not for another registration of the same name, and not where the app wants the person to sign in anew.
func TestStepUpTellsNobodyElse(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	app, namesake := s.Register(t), s.Register(t)
	stranger := page(t, s, authtest.Browser(), wants(t, s, app, "gmail.read drive.read"))
	p := newPerson(t, s)
	p.allow(wants(t, s, app, "gmail.read"))
	mallory := signedIn(t, s, bob)
	const both = "drive.read gmail.read"
	row := func(name string, b *browser.Browser, v *authtest.Visit, fresh, allowed string) *browser.Page {
		t.Helper()
		page := page(t, s, b, v)
		if gotFresh, gotAllowed := groups(t, page); gotFresh != fresh || gotAllowed != allowed {
			t.Errorf("%s: new %q, already allowed %q", name, gotFresh, gotAllowed)
		}
		return page
	}
	row("the person", p.b, wants(t, s, app, both), "drive.read", "gmail.read")
	sealed := regexp.MustCompile(`name="request" value="[^"]*"`)
	anonymous := row("nobody", authtest.Browser(), wants(t, s, app, both), both, "")
	if a, b := sealed.ReplaceAllString(string(stranger.Body), ""), sealed.ReplaceAllString(string(anonymous.Body), ""); a != b {
		t.Errorf("a page without a session depends on what others did:\n%s\n%s", a, b)
	}
	row("nobody, with the person's address", authtest.Browser(), wants(t, s, app, both, "login_hint", alice), both, "")
	row("another person", mallory.b, wants(t, s, app, both, "login_hint", alice), both, "")
	row("another registration of that name", p.b, wants(t, s, namesake, both), both, "")
	row("sign in anew", p.b, wants(t, s, app, both, "prompt", "login"), both, "")
	row("not longer ago than", p.b, wants(t, s, app, both, "max_age", "0"), both, "")

	// It is the account's that the page suggests: the app's own, whichever is the default, unless the app names another.
	p.add(carol)
	p.press(p.account(), "default", handles(p.account())["personal"])
	row("another default", p.b, wants(t, s, app, both), "drive.read", "gmail.read")
	row("another account", p.b, wants(t, s, app, both, "login_hint", carol), both, "")
	row("no account of theirs", p.b, wants(t, s, app, both, "login_hint", bob), both, "")
	suggestion := row("a new app", p.b, wants(t, s, namesake, both), both, "")
	if f, _, _ := suggestion.Button("decision", "approve"); f.Values.Get("account") != handles(p.account())["personal"] {
		t.Errorf("a new app is suggested %q", f.Values.Get("account"))
	}
	ended := page(t, s, p.b, wants(t, s, app, both)) // a session that ended while the page was open
	p.press(p.account(), "everywhere", "")
	row("signed out", p.b, wants(t, s, app, both), both, "")
	f, button, _ := ended.Button("decision", "approve")
	if got, err := p.b.Submit(t.Context(), ended, f, button); err != nil || got.Status != http.StatusForbidden {
		t.Error(got.Status, err)
	}

	back := signedIn(t, s, alice)
	row("signed in again", back.b, wants(t, s, app, both), "drive.read", "gmail.read")
	back.press(back.account(), "disconnect", handles(back.account())["example.com"])
	row("the account is disconnected", back.b, wants(t, s, app, both), both, "")
}

// TestStepUpAtATenant: the same person at another tenant is somebody else, and the way to the account page is the tenant's.
func TestStepUpAtATenant(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	document := s.Host.PublishClient(t, "/oauth/app", nil) // one client id at both
	p := newPerson(t, s)
	p.allow(wants(t, s, document, "gmail.read"))
	at := &person{t: t, s: acme, b: p.b}
	at.google(at.press(at.account(), "sign-in", ""), fakegoogle.Choice{Account: alice})
	if fresh, allowed := groups(t, page(t, acme, p.b, wants(t, acme, document, "gmail.read"))); fresh != "gmail.read" || allowed != "" {
		t.Errorf("new %q, already allowed %q", fresh, allowed)
	}
	at.allow(wants(t, acme, document, "gmail.read"))
	got := page(t, acme, p.b, wants(t, acme, document, "gmail.read"))
	if fresh, allowed := groups(t, got); fresh != "" || allowed != "gmail.read" {
		t.Errorf("new %q, already allowed %q", fresh, allowed)
	}
	u, err := url.Parse(acme.URL + "/account")
	if err != nil {
		t.Fatal(err)
	}
	says(t, got, http.StatusOK, `<a href="`+u.Path+`">`)
}
