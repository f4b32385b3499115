package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

// sessionCookie is the value of the browser's session cookie, as the last
// sign-in set it.
func sessionCookie(t *testing.T, set []string) string {
	t.Helper()
	for _, c := range set {
		if value, ok := strings.CutPrefix(c, "latchkey-session="); ok {
			value, attributes, _ := strings.Cut(value, ";")
			for _, want := range []string{"; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=86400"} {
				if !strings.Contains(";"+attributes, want) {
					t.Errorf("the cookie lacks %s: %s", want, attributes)
				}
			}
			return value
		}
	}
	t.Fatal("no session cookie")
	return ""
}

// comeBack plays a sign-in at the account page up to Google's answer and takes
// that with the given cookies besides the flow's.
func comeBack(t *testing.T, s *authtest.Server, cookies string) answer {
	t.Helper()
	return comeBackWith(t, s, cookies, alice)
}

func comeBackWith(t *testing.T, s *authtest.Server, cookies, email string) answer {
	t.Helper()
	b := browser.New()
	page := follow(t, b, s.URL+"/account")
	f, button := find(t, page, "sign-in", "")
	f.Values.Set(button.Name, button.Value)
	begun := ask(t, http.MethodPost, s.URL+"/account/sign-in", f.Values.Encode(), "Content-Type", formType, "Cookie", "latchkey-csrf="+cookieOf(t, page.Header, "latchkey-csrf"))
	if begun.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", begun.Status, begun.Body)
	}
	flow, _, _ := strings.Cut(begun.Header.Get("Set-Cookie"), ";")
	back, err := fakegoogle.SignIn(t.Context(), begun.Header.Get("Location"), fakegoogle.Choice{Account: email})
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, http.MethodGet, back.String(), "", "Cookie", flow+cookies)
}

func cookieOf(t *testing.T, h http.Header, name string) string {
	t.Helper()
	for _, c := range h.Values("Set-Cookie") {
		if value, ok := strings.CutPrefix(c, name+"="); ok {
			value, _, _ = strings.Cut(value, ";")
			return value
		}
	}
	t.Fatalf("no cookie %s", name)
	return ""
}

// TestSessionIsNewAtLogin: OWASP ASVS 7.2.4: a session id that somebody planted, or that lived before, is none after a sign-in.
func TestSessionIsNewAtLogin(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	planted := strings.Repeat("A", 43)
	first := sessionCookie(t, comeBack(t, s, "; latchkey-session="+planted).Header.Values("Set-Cookie"))
	if first == planted || len(first) != 43 {
		t.Fatal("the planted id is in use")
	}
	signedInWith := func(value string) bool {
		a := ask(t, http.MethodGet, s.URL+"/account", "", "Cookie", "latchkey-session="+value)
		return a.Status == http.StatusOK && strings.Contains(a.Body, "Where you are signed in")
	}
	if signedInWith(planted) || !signedInWith(first) {
		t.Error("the planted id signs in, or the real one does not")
	}
	second := sessionCookie(t, comeBack(t, s, "; latchkey-session="+first).Header.Values("Set-Cookie"))
	if second == first || signedInWith(first) || !signedInWith(second) {
		t.Error("the id before the second sign-in still works")
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM sessions WHERE secret_hash = sha256($1::bytea)`, []byte(second)); n != 1 {
		t.Error("the id is not stored as its hash")
	}
	for name, value := range map[string]string{"cut": second[:42], "long": second + "A", "empty": "", "hash": strings.Repeat("B", 43)} {
		if signedInWith(value) {
			t.Errorf("%s: signed in", name)
		}
	}
}

// TestSessionEnds: issue 5: one hour idle, a day at most, at sign-out; what has ended does not come back.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	in := func(p *person) bool {
		return strings.Contains(string(p.account().Body), "Where you are signed in")
	}
	p := signedIn(t, s, alice)
	moveTime(t, s.DSN, `UPDATE sessions SET last_used_at = last_used_at - interval '50 minutes'`)
	if !in(p) {
		t.Error("over before an hour")
	}
	moveTime(t, s.DSN, `UPDATE sessions SET last_used_at = last_used_at - interval '50 minutes'`) // its use was noted
	if !in(p) {
		t.Error("a use does not keep it alive")
	}
	moveTime(t, s.DSN, `UPDATE sessions SET last_used_at = last_used_at - interval '1 hour'`)
	if in(p) || in(p) {
		t.Error("an idle session lives")
	}
	p = signedIn(t, s, alice)
	moveTime(t, s.DSN, `UPDATE sessions SET created_at = created_at - interval '23 hours 50 minutes'`)
	if !in(p) {
		t.Error("over before a day")
	}
	moveTime(t, s.DSN, `UPDATE sessions SET created_at = created_at - interval '10 minutes'`)
	if in(p) {
		t.Error("a session lives longer than a day")
	}

	p, other := signedIn(t, s, alice), signedIn(t, s, alice)
	if page := p.press(p.account(), "sign-out", ""); !strings.Contains(string(page.Body), "Sign in with Google") {
		t.Error("not signed out")
	}
	if in(p) || !in(other) {
		t.Error("signing out here ended the other session, or not this one")
	}
	p = signedIn(t, s, alice)
	says(t, p.press(p.account(), "end", ""), http.StatusOK, "That session is over.")
	if in(other) || !in(p) {
		t.Error("the other session was not ended")
	}
	other = signedIn(t, s, alice)
	p.press(p.account(), "everywhere", "")
	if in(p) || in(other) {
		t.Error("still signed in somewhere")
	}
}

// TestSessionsAreBounded: a person has at most 20 sessions; beginning one more ends the oldest, not the newest.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	first := signedIn(t, s, alice)
	var last *person
	for range 20 {
		last = signedIn(t, s, alice)
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 20 {
		t.Errorf("%d sessions", n)
	}
	if strings.Contains(string(first.account().Body), "signed in") && !strings.Contains(string(first.account().Body), "Sign in with Google") || !strings.Contains(string(last.account().Body), "this one") {
		t.Error("the wrong session ended")
	}
}

// TestAuthorizationSignsIn: who signs in at Google for an app is signed in in that browser; under a new id each time.
func TestAuthorizationSignsIn(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	p.allow(s.NewVisit(t))
	page := p.account()
	says(t, page, http.StatusOK, "Where you are signed in", alice, "Test app", "an app on this computer, port 7")
	v := s.NewVisit(t)
	v.Query.Set("prompt", "select_account")
	v.Choice.Account = bob
	p.allow(v)
	page = p.account()
	says(t, page, http.StatusOK, bob)
	if strings.Contains(string(page.Body), alice) {
		t.Error("the page of one person shows another's account")
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
		t.Errorf("%d sessions in one browser", n)
	}
}

// formPaths are all forms of the account page.
var formPaths = []string{"sign-out", "sign-out-everywhere", "add", "default", "rename", "repair", "disconnect", "apps/revoke", "sessions/end"}

// TestAccountFormsAreBound: RFC 9700 §4.7: no form works without the session's own token, from another site, or signed out.
func TestAccountFormsAreBound(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	value := sessionCookie(t, comeBack(t, s, "").Header.Values("Set-Cookie"))
	stranger := sessionCookie(t, comeBack(t, s, "").Header.Values("Set-Cookie"))
	tokenOf := func(cookie string) string {
		a := ask(t, http.MethodGet, s.URL+"/account", "", "Cookie", "latchkey-session="+cookie)
		_, rest, _ := strings.Cut(a.Body, `name="token" value="`)
		token, _, _ := strings.Cut(rest, `"`)
		if len(token) != 43 {
			t.Fatalf("no token: %s", a.Body)
		}
		return token
	}
	token, foreign := tokenOf(value), tokenOf(stranger)
	if token == foreign {
		t.Fatal("two sessions share a token")
	}
	before, live := snapshot(t, s.DSN), `SELECT count(*) FROM sessions WHERE ended_at IS NULL`
	sessions := rowsOf(t, s.DSN, live)
	for _, path := range formPaths {
		body := url.Values{"scope": {"gmail.read"}, "alias": {"x"}, "client": {"c"}, "account": {"acc_00000000-0000-7000-8000-000000000000"}, "session": {"00000000-0000-7000-8000-000000000000"}}
		for name, c := range map[string]struct {
			token  string
			header []string
		}{
			"no token":                 {"", []string{"Cookie", "latchkey-session=" + value}},
			"another session's token":  {foreign, []string{"Cookie", "latchkey-session=" + value}},
			"the token cut":            {token[:42], []string{"Cookie", "latchkey-session=" + value}},
			"signed out":               {token, nil},
			"posted by another site":   {token, []string{"Cookie", "latchkey-session=" + value, "Sec-Fetch-Site", "cross-site"}},
			"posted by another origin": {token, []string{"Cookie", "latchkey-session=" + value, "Origin", "https://evil.example"}},
			"posted by a sibling site": {token, []string{"Cookie", "latchkey-session=" + value, "Sec-Fetch-Site", "same-site"}},
		} {
			body.Set("token", c.token)
			a := ask(t, http.MethodPost, s.URL+"/account/"+path, body.Encode(), append([]string{"Content-Type", formType}, c.header...)...)
			if a.Status != http.StatusForbidden {
				t.Errorf("%s, %s: %d", path, name, a.Status)
			}
		}
		if a := ask(t, http.MethodGet, s.URL+"/account/"+path, "", "Cookie", "latchkey-session="+value); a.Status == http.StatusOK {
			t.Errorf("%s: a GET does it", path)
		}
	}
	if after := snapshot(t, s.DSN); after != before || rowsOf(t, s.DSN, live) != sessions {
		t.Errorf("a refused form changed something:\n%s\n%s", before, after)
	}
	// The sign-in form belongs to the browser.
	for name, cookie := range map[string]string{"no cookie": "", "another browser": "latchkey-csrf=" + strings.Repeat("A", 43)} {
		if a := ask(t, http.MethodPost, s.URL+"/account/sign-in", "token="+token, "Content-Type", formType, "Cookie", cookie); a.Status != http.StatusForbidden {
			t.Errorf("sign-in, %s: %d", name, a.Status)
		}
	}
}
