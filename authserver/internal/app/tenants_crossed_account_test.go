package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/web"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
)

// sessionAt signs somebody in at a tenant's account page and returns name and value of the session's cookie.
func sessionAt(t *testing.T, of *authtest.Server, email string) (name, value string) {
	t.Helper()
	a := comeBackWith(t, of, "", email)
	for _, c := range a.Header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(c, ";")
		if name, value, _ = strings.Cut(pair, "="); strings.HasPrefix(name, "latchkey-session") && value != "" {
			return name, value
		}
	}
	t.Fatalf("no session at %s: %d %s", of.URL, a.Status, a.Body)
	return "", ""
}

// crossedSession: the cookie of one tenant's session is no session at another, under either's name, and its form token no form's; the
// session lives on at its own.
func crossedSession(t *testing.T, _ crossing, from, to *authtest.Server) {
	mine, value := sessionAt(t, from, alice)
	theirs, _ := sessionAt(t, to, bob)
	shows := func(at *authtest.Server, name string) bool {
		a := ask(t, http.MethodGet, at.URL+"/account", "", "Cookie", name+"="+value)
		return a.Status == http.StatusOK && strings.Contains(a.Body, "sign-out-everywhere") && !strings.Contains(a.Body, "Sign in with Google")
	}
	for _, name := range []string{mine, theirs} {
		if shows(to, name) {
			t.Errorf("a session elsewhere, as %s", name)
		}
		form := url.Values{"token": {web.FormToken(value, "account")}}.Encode()
		if a := ask(t, http.MethodPost, to.URL+"/account/sign-out-everywhere", form, "Content-Type", formType, "Cookie", name+"="+value); a.Status != http.StatusForbidden {
			t.Errorf("a form elsewhere, as %s: %d", name, a.Status)
		}
	}
	if !shows(from, mine) {
		t.Error("the session is over at its own tenant")
	}
}

// crossedLink: a link of one tenant is none at another, not even for the same person with a session there, and works at its own.
func crossedLink(t *testing.T, c crossing, from, to *authtest.Server, who, breaks string) {
	v := from.VisitAs(t, c.id)
	v.Choice.Account = who
	q, page := from.Walk(t, v)
	if q.Get("code") == "" {
		t.Fatalf("%v %s", q, page.Body)
	}
	status, out := c.post(t, from, "/token", v.Redeem(q.Get("code")))
	mustWork(t, status, out)
	asOwner(t, from.DSN, `SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '`+from.Tenant.String()+`', false)`, fmt.Sprintf(breaks, claim(t, out, "sub")))
	link := linkOf(t, from, out).InteractionURI
	value := link[strings.LastIndexByte(link, '/')+1:]

	foreign := to.URL + "/connect/" + value
	csrf := cookieOf(t, ask(t, http.MethodGet, to.URL+"/account", "").Header, "latchkey-csrf")
	name, session := sessionAt(t, to, who)
	cookies := "latchkey-csrf=" + csrf + "; " + name + "=" + session
	if a := ask(t, http.MethodGet, foreign, "", "Cookie", cookies); a.Status != http.StatusNotFound {
		t.Errorf("shown elsewhere: %d", a.Status)
	}
	form := url.Values{"token": {web.FormToken(csrf, "connect "+value)}}.Encode()
	if a := ask(t, http.MethodPost, foreign, form, "Content-Type", formType, "Cookie", cookies); a.Status != http.StatusNotFound {
		t.Errorf("used elsewhere: %d %s", a.Status, a.Header.Get("Location"))
	}
	p := newPerson(t, from)
	page = p.get(link)
	if strings.Contains(string(page.Body), "Sign in with Google") {
		page = p.google(p.press(page, "sign-in", ""), fakegoogle.Choice{Account: who})
	}
	says(t, p.google(p.press(page, "connect", ""), fakegoogle.Choice{Account: who}), http.StatusOK, "Google is connected")
	works(t, from, out)
}

// crossedQuestion: a link to a question of one tenant shows and answers nothing at another, for the same person with a session there; the word
// of one tenant's person about an act is none for the same act at another.
func crossedQuestion(t *testing.T, c crossing, from, to *authtest.Server) {
	_, mine := c.signIn(t, from)
	_, theirs := c.signIn(t, to)
	link := asked(t, from, act(mine, "0a"))
	value := link[strings.LastIndexByte(link, '/')+1:]
	name, session := sessionAt(t, to, alice)
	if a := ask(t, http.MethodGet, to.URL+"/approve/"+value, "", "Cookie", name+"="+session); a.Status != http.StatusNotFound {
		t.Errorf("shown elsewhere: %d", a.Status)
	}
	allow := func(at *authtest.Server, name, session string) answer {
		form := url.Values{"token": {web.FormToken(session, "approve "+value)}, "do": {"allow"}}.Encode()
		return ask(t, http.MethodPost, at.URL+"/approve/"+value, form, "Content-Type", formType, "Cookie", name+"="+session)
	}
	if a := allow(to, name, session); a.Status != http.StatusNotFound {
		t.Errorf("answered elsewhere: %d", a.Status)
	}
	name, session = sessionAt(t, from, alice)
	if a := allow(from, name, session); a.Status != http.StatusOK {
		t.Errorf("at its own tenant afterwards: %d %s", a.Status, a.Body)
	}
	is(t, to, "the same act elsewhere", act(theirs, "0a"), exchange.Pending)
	is(t, from, "at its own tenant afterwards", act(mine, "0a"), exchange.Approved)
}
