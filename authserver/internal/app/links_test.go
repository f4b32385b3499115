package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/web"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// broken is a person whose Google connection has ended, with the link that the
// exchange answers.
func broken(t *testing.T, s *authtest.Server, email string) (map[string]any, *exchange.Error) {
	t.Helper()
	v := s.NewVisit(t)
	v.Choice.Account = email
	out := s.SignIn(t, v)
	s.Google.RevokeUser(email) // a changed password does it
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	return out, linkOf(t, s, out)
}

// linkOf is the answer of the exchange to a call that needs the person.
func linkOf(t *testing.T, s *authtest.Server, out map[string]any) *exchange.Error {
	t.Helper()
	_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead))
	e := failure(t, err)
	if e.Code != oauth.InteractionRequired || !strings.HasPrefix(e.InteractionURI, s.URL+"/connect/") {
		t.Fatalf("%+v", e)
	}
	return e
}

func works(t *testing.T, s *authtest.Server, out map[string]any) *exchange.Response {
	t.Helper()
	got, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestRelink: issue 4: after invalid_grant the call answers a link, and that link repairs the connection: the same grant and token go on.
func TestRelink(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out, e := broken(t, s, alice)
	if e.Reason != exchange.ReauthRequired {
		t.Errorf("%+v", e)
	}
	u, _ := url.Parse(e.InteractionURI)
	if len(u.Path) != len("/connect/")+43 || u.RawQuery != "" || strings.Contains(e.InteractionURI, "alice") {
		t.Errorf("the link says more than it must: %s", e.InteractionURI)
	}
	p := newPerson(t, s)
	for range 3 { // looking does not use it up
		says(t, p.get(e.InteractionURI), http.StatusOK, "Test app", "example.com", "Gmail: ", "The connection to Google has ended")
	}
	page := p.google(p.press(p.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{})
	says(t, page, http.StatusOK, "Google is connected", "go back to the app")
	last := p.asked[len(p.asked)-1]
	if last.Get("login_hint") != "" || // the link may be in other hands, and says no address
		last.Get("prompt") != "consent" || !strings.Contains(last.Get("scope"), "gmail.readonly") || !strings.Contains(last.Get("scope"), "drive.readonly") {
		t.Errorf("asked at Google: %v", last)
	}
	if got := works(t, s, out); got.AccountEmail != alice {
		t.Errorf("%+v", got)
	}
	says(t, p.get(e.InteractionURI), http.StatusNotFound, "does not work any more")
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 { // of the first sign-in
		t.Errorf("a link has signed somebody in: %d sessions", n)
	}
	for _, secret := range []string{u.Path[len("/connect/"):], "alice@"} {
		if strings.Contains(s.Logs.String(), secret) {
			t.Error("the link's secret or the address is in the log")
		}
	}
}

// TestRelinkNeedsTheSameAccount: PROTOCOL RS-X3: whoever follows the link, another Google account than the one that is to be repaired changes nothing.
func TestRelinkNeedsTheSameAccount(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out, e := broken(t, s, alice)
	before := snapshot(t, s.DSN)
	mallory := signedIn(t, s, bob)                                // signed in or not makes no difference
	execSQL(t, s.DSN, `UPDATE connections SET email = ''::bytea`) // no login_hint, so that the wrong account can be chosen
	page := mallory.google(mallory.press(mallory.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{Account: bob})
	says(t, page, http.StatusForbidden, "That was another Google account", "example.com")
	if strings.Contains(string(page.Body), alice) {
		t.Error("the page tells a stranger the address")
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM credentials WHERE status = 'active'`); n != 0 {
		t.Errorf("%d credentials were stored", n)
	}
	if after := snapshot(t, s.DSN); strings.Count(after, "\n") != strings.Count(before, "\n")+1 { // bob's subject
		t.Errorf("rows were added:\n%s", after)
	}
	// The link is used up; the next one works for the right account.
	p := newPerson(t, s)
	page = p.google(p.press(p.get(linkOf(t, s, out).InteractionURI), "connect", ""), fakegoogle.Choice{})
	says(t, page, http.StatusOK, "Google is connected")
	works(t, s, out)
}

// TestLinkWorksOnce: DESIGN §1.4: of 16 browsers that press the button at once one gets on; a second time, after ten minutes, or for a made-up link, nobody.
func TestLinkWorksOnce(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out, e := broken(t, s, alice)
	var wg sync.WaitGroup
	statuses := make([]int, 16)
	start := make(chan struct{})
	for i := range statuses {
		page := ask(t, http.MethodGet, e.InteractionURI, "")
		_, rest, _ := strings.Cut(page.Body, `name="token" value="`)
		token, _, _ := strings.Cut(rest, `"`)
		cookie := "latchkey-csrf=" + cookieOf(t, page.Header, "latchkey-csrf")
		wg.Go(func() {
			<-start
			statuses[i] = ask(t, http.MethodPost, e.InteractionURI, "token="+token, "Content-Type", formType, "Cookie", cookie).Status
		})
	}
	close(start)
	wg.Wait()
	won := 0
	for _, st := range statuses {
		if st == http.StatusSeeOther {
			won++
		} else if st != http.StatusNotFound {
			t.Errorf("status %d", st)
		}
	}
	if won != 1 {
		t.Errorf("%d browsers went to Google", won)
	}
	says(t, newPerson(t, s).get(e.InteractionURI), http.StatusNotFound)

	late := linkOf(t, s, out)
	p := newPerson(t, s)
	page := p.get(late.InteractionURI)
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM links WHERE used_at IS NULL AND expires_at <= now() + interval '10 minutes'`); n != 1 {
		t.Errorf("%d links end within ten minutes", n)
	}
	moveTime(t, s.DSN, `UPDATE links SET expires_at = now()`)
	says(t, p.get(late.InteractionURI), http.StatusNotFound)
	says(t, p.press(page, "connect", ""), http.StatusNotFound)
	for _, made := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 42) + "B", late.InteractionURI[len(s.URL+"/connect/"):] + "A"} {
		if page := p.get(s.URL + "/connect/" + made); page.Status != http.StatusNotFound {
			t.Errorf("%q: %d", made, page.Status)
		}
	}
	if n := s.Google.Count("GET /o/oauth2/v2/auth"); n != 1 { // of the first sign-in
		t.Errorf("%d visits at Google", n)
	}
}

// TestLinkFormIsBound: RFC 9700 §4.7: the button works in the browser that was shown it, not without its token and not from another site.
func TestLinkFormIsBound(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	_, e := broken(t, s, alice)
	page := ask(t, http.MethodGet, e.InteractionURI, "")
	_, rest, _ := strings.Cut(page.Body, `name="token" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	cookie := "latchkey-csrf=" + cookieOf(t, page.Header, "latchkey-csrf")
	post := func(token string, header ...string) int {
		return ask(t, http.MethodPost, e.InteractionURI, "token="+token, append([]string{"Content-Type", formType}, header...)...).Status
	}
	for name, status := range map[string]int{
		"no token": post("", "Cookie", cookie), "no cookie": post(token), "another browser": post(token, "Cookie", "latchkey-csrf="+strings.Repeat("A", 43)),
		"another site": post(token, "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), "another origin": post(token, "Cookie", cookie, "Origin", "https://evil.example"),
	} {
		if status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	if got := post(token, "Cookie", cookie); got != http.StatusSeeOther {
		t.Errorf("the refused posts have used it up: %d", got)
	}
	if strings.Contains(page.Body, "<script") || !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") || page.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Error("the page's headers", page.Header)
	}
}

// TestLinkAddsAccount: PROTOCOL RS-X3: a link that adds an account is for the session of its person: nobody else uses it up, and signing in leads back to it.
func TestLinkAddsAccount(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	execSQL(t, s.DSN, `UPDATE connections SET status = 'unlinked', is_default = false`)
	e := linkOf(t, s, out)
	if e.Reason != exchange.NotLinked {
		t.Fatalf("%+v", e)
	}
	mallory := signedIn(t, s, bob)
	says(t, mallory.get(e.InteractionURI), http.StatusForbidden, "for somebody else")
	p := newPerson(t, s)
	page := p.get(e.InteractionURI)
	says(t, page, http.StatusOK, "Sign in with Google")
	page = p.google(p.press(page, "sign-in", ""), fakegoogle.Choice{Account: alice})
	says(t, page, http.StatusOK, "asks you to connect a Google account", "Test app")
	// The same form in a browser that is signed in as another: the link stays.
	f, button := find(t, page, "connect", "")
	f.Values.Set(button.Name, button.Value)
	csrf := cookieOf(t, page.Header, "latchkey-csrf")
	stranger := sessionCookie(t, comeBackWith(t, s, "", carol).Header.Values("Set-Cookie"))
	if a := ask(t, http.MethodPost, e.InteractionURI, f.Values.Encode(), "Content-Type", formType, "Cookie", "latchkey-csrf="+csrf+"; latchkey-session="+stranger); a.Status != http.StatusNotFound {
		t.Errorf("another person's session: %d", a.Status)
	}
	if a := ask(t, http.MethodPost, e.InteractionURI, f.Values.Encode(), "Content-Type", formType, "Cookie", "latchkey-csrf="+csrf); a.Status != http.StatusNotFound {
		t.Errorf("no session: %d", a.Status)
	}
	page = p.google(p.press(page, "connect", ""), fakegoogle.Choice{Account: alice})
	says(t, page, http.StatusOK, "Google is connected")
	works(t, s, out)
}

// TestFurtherAccountNeedsItsPerson: decision 0011: a link that repairs a further account is for its person's session, when it is used and when
// Google has answered: the mailbox may have another holder by now, who signs in there as the very same account.
func TestFurtherAccountNeedsItsPerson(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t)) // alice
	p := signedIn(t, s, alice)
	page := p.account()
	f, button := find(t, page, "add", "")
	f.Values["scope"] = []string{"gmail.read"}
	page, err := p.b.Submit(t.Context(), page, f, button)
	if err != nil {
		t.Fatal(err)
	}
	says(t, p.google(page, fakegoogle.Choice{Account: bob}), http.StatusOK, "Google is connected")
	s.Google.RevokeUser(bob)
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	r := request(out, gmailRead)
	r.Account = "example.com-2"
	link := func() string {
		t.Helper()
		_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), r)
		e := failure(t, err)
		if e.Reason != exchange.ReauthRequired || e.InteractionURI == "" {
			t.Fatalf("%+v", e)
		}
		return e.InteractionURI
	}
	uri := link()
	holder := signedIn(t, s, bob) // the mailbox's own person here is not the one who linked it
	says(t, holder.get(uri), http.StatusForbidden, "for somebody else")
	nobody := newPerson(t, s)
	page = nobody.get(uri)
	says(t, page, http.StatusOK, "Sign in with Google")
	if strings.Contains(string(page.Body), "example.com-2") {
		t.Error("the page tells a stranger which account it is")
	}
	says(t, nobody.google(nobody.press(page, "sign-in", ""), fakegoogle.Choice{Account: bob}), http.StatusForbidden, "for somebody else")
	csrf := cookieOf(t, ask(t, http.MethodGet, s.URL+"/account", "").Header, "latchkey-csrf")
	form := "token=" + url.QueryEscape(web.FormToken(csrf, "connect "+uri[strings.LastIndexByte(uri, '/')+1:]))
	for name, cookies := range map[string]string{
		"no session":               "latchkey-csrf=" + csrf,
		"the mailbox's new holder": "latchkey-csrf=" + csrf + "; latchkey-session=" + sessionCookie(t, comeBackWith(t, s, "", bob).Header.Values("Set-Cookie")),
	} {
		if a := ask(t, http.MethodPost, uri, form, "Content-Type", formType, "Cookie", cookies); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, a.Status, a.Header.Get("Location"))
		}
	}
	// Signed out between the button and Google's answer: nothing is stored.
	page = p.press(p.get(uri), "connect", "")
	execSQL(t, s.DSN, `UPDATE sessions SET ended_at = now()`)
	says(t, p.google(page, fakegoogle.Choice{Account: bob}), http.StatusForbidden, "not signed in any more")
	_, err = s.Exchanger(t, s.Internal).Exchange(t.Context(), r)
	if e := failure(t, err); e.Reason != exchange.ReauthRequired {
		t.Fatalf("%+v", e)
	}
	// Its person signs in, is led back to the link, and repairs the account.
	uri = link()
	p = newPerson(t, s)
	page = p.google(p.press(p.get(uri), "sign-in", ""), fakegoogle.Choice{Account: alice})
	says(t, page, http.StatusOK, "example.com-2", "The connection to Google has ended")
	says(t, p.google(p.press(page, "connect", ""), fakegoogle.Choice{Account: bob}), http.StatusOK, "Google is connected")
	got, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), r)
	if err != nil || got.AccountEmail != bob {
		t.Errorf("%+v %v", got, err)
	}
}

// TestLinksAreBounded: however often a program calls in vain, ten unused links are left, and the last one works.
func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out, first := broken(t, s, alice)
	var last *exchange.Error
	for range 12 {
		last = linkOf(t, s, out)
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM links`); n != 10 {
		t.Errorf("%d links", n)
	}
	p := newPerson(t, s)
	says(t, p.get(first.InteractionURI), http.StatusNotFound)
	says(t, p.google(p.press(p.get(last.InteractionURI), "connect", ""), fakegoogle.Choice{}), http.StatusOK, "Google is connected")
}

// TestTestingExpiry: GOOGLE §4 no. 7: a refresh token of Google's testing mode dies after seven days; the link repairs it, for seven more.
func TestTestingExpiry(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.Google.SetTesting("google-id", 7*24*time.Hour)
	out := s.SignIn(t, s.NewVisit(t))
	const day = 24 * time.Hour
	pass := func(d time.Duration) { // at Google, and for what is stored here
		s.Google.Advance(d)
		execSQL(t, s.DSN, fmt.Sprintf(`UPDATE credentials SET access_expires_at = now(), refresh_expires_at = refresh_expires_at - interval '%d seconds'`, d/time.Second))
	}
	pass(6 * day)
	works(t, s, out)
	pass(day + time.Hour)
	e := linkOf(t, s, out)
	if e.Reason != exchange.TestingExpired {
		t.Errorf("%+v", e)
	}
	p := newPerson(t, s)
	says(t, p.get(e.InteractionURI), http.StatusOK, "every seven days")
	says(t, p.google(p.press(p.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{}), http.StatusOK, "Google is connected")
	pass(6 * day)
	works(t, s, out)
}

// TestMissingScopesLink: DESIGN §5: where scopes are missing at Google only these are asked for, with consent, and left-out ones are told.
func TestMissingScopesLink(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	p := signedIn(t, s, alice)
	// Bob's account is added for mail only; the app's token allows Drive as well.
	page := p.account()
	f, button := find(t, page, "add", "")
	f.Values["scope"] = []string{"gmail.read"}
	page, err := p.b.Submit(t.Context(), page, f, button)
	if err != nil {
		t.Fatal(err)
	}
	says(t, p.google(page, fakegoogle.Choice{Account: bob}), http.StatusOK, "Google is connected")
	const drive = "https://www.googleapis.com/auth/drive.readonly"
	r := request(out, drive)
	r.Account = "example.com-2"
	x := s.Exchanger(t, s.Internal)
	_, err = x.Exchange(t.Context(), r)
	e := failure(t, err)
	if e.Reason != exchange.MissingGoogleScopes || len(e.MissingScopes) != 1 || e.InteractionURI == "" {
		t.Fatalf("%+v", e)
	}
	says(t, p.get(e.InteractionURI), http.StatusOK, "example.com-2", "Google Drive: ")
	page = p.google(p.press(p.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{Untick: []string{drive}})
	says(t, page, http.StatusOK, "did not allow everything", "Google Drive: ")
	last := p.asked[len(p.asked)-1]
	if last.Get("scope") != "email "+drive+" openid profile" || last.Get("prompt") != "consent" || last.Get("login_hint") != bob || last.Get("include_granted_scopes") != "true" {
		t.Errorf("asked at Google: %v", last)
	}
	_, err = x.Exchange(t.Context(), r)
	e = failure(t, err)
	page = p.google(p.press(p.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{})
	says(t, page, http.StatusOK, "Google is connected")
	if strings.Contains(string(page.Body), "did not allow everything") {
		t.Error("something is said to be left out")
	}
	if got, err := x.Exchange(t.Context(), r); err != nil || got.AccountEmail != bob {
		t.Error(got, err)
	}
	r.Scopes = oauth.NewScopes(gmailRead) // what was granted before is still there
	if _, err := x.Exchange(t.Context(), r); err != nil {
		t.Error(err)
	}
}
