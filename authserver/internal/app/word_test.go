package app_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/web"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// shareQuestion is a question as a tool asks it.
const shareQuestion = "Share “Plan <b>2027</b>” with carol@outsider.test?\nShe may change it.\n\n\n\nMessage: see \u202eyou\n| a\n| \n| \u200b\n|\n|\t\u3164\n| b"

// act is what a resource server asks about for the person of a token; which tells acts apart.
func act(out map[string]any, which string) exchange.ApprovalRequest {
	return exchange.ApprovalRequest{SubjectToken: secret.NewText(out["access_token"].(string)), Tool: "drive_share", Digest: strings.Repeat(which, 32), Question: shareQuestion}
}

// word is what the authorization server answers about an act.
func word(t *testing.T, s *authtest.Server, r exchange.ApprovalRequest) *exchange.Approval {
	t.Helper()
	got, err := s.Exchanger(t, s.Internal).Approval(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// asked is the link of a question that waits.
func asked(t *testing.T, s *authtest.Server, r exchange.ApprovalRequest) string {
	t.Helper()
	got := word(t, s, r)
	if got.Status != exchange.Pending || got.ExpiresIn != 600 || !strings.HasPrefix(got.InteractionURI, s.URL+"/approve/") {
		t.Fatalf("%+v", got)
	}
	return got.InteractionURI
}

// is fails when the answer about an act is another one.
func is(t *testing.T, s *authtest.Server, what string, r exchange.ApprovalRequest, want exchange.ApprovalStatus) {
	t.Helper()
	if got := word(t, s, r); got.Status != want {
		t.Errorf("%s: %s, want %s", what, got.Status, want)
	}
}

// TestPersonsWord: decision 0022: the person signs in, comes back to the link, sees app, tool, account and the whole question, and their word is
// good for one use; a no is told once. The link says nothing, and nothing of the question is in database, log or audit trail.
func TestPersonsWord(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	yes, no, back := act(out, "0a"), act(out, "0b"), act(out, "0c")
	link := asked(t, s, yes)
	u, _ := url.Parse(link)
	if len(u.Path) != len("/approve/")+43 || u.RawQuery != "" {
		t.Errorf("the link says more than it must: %s", link)
	}
	if again := asked(t, s, yes); again != link {
		t.Errorf("asked again, the link that the person has open is dead: %s, %s", link, again)
	}
	p := newPerson(t, s)
	page := p.get(link)
	says(t, page, http.StatusOK, "Sign in with Google")
	if strings.Contains(string(page.Body), "carol") || strings.Contains(string(page.Body), "Test app") {
		t.Error("the question is shown to somebody who is not signed in")
	}
	page = p.google(p.press(page, "sign-in", ""), fakegoogle.Choice{Account: alice})
	for range 2 { // looking answers nothing
		says(t, page, http.StatusOK, "“<bdi>Test app</bdi>” wants to do this", "<bdi>an app on this computer", "drive_share", alice, "example.com",
			"<p>Share “Plan &lt;b&gt;2027&lt;/b&gt;” with carol@outsider.test?</p><p>She may change it.</p><p></p><p>Message: see you</p><p>| a</p><p>|</p><p>| b</p></div>", "Do not allow")
		is(t, s, "looked at", yes, exchange.Pending)
		page = p.get(link)
	}
	csp := page.Header.Get("Content-Security-Policy")
	if body := string(page.Body); strings.Contains(body, "<script") || strings.Contains(body, "checked") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "form-action 'self';") ||
		page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v\n%s", page.Header, body)
	}
	pressed := page
	says(t, p.press(page, "allow", ""), http.StatusOK, "You have allowed it", "let it try again")
	says(t, p.get(link), http.StatusOK, "You have allowed it")

	page = p.get(asked(t, s, no))
	says(t, p.press(page, "refuse", ""), http.StatusOK, "You have not allowed it")
	says(t, p.press(page, "allow", ""), http.StatusOK, "You have not allowed it") // it counts no more; the page says what does
	page = p.press(p.get(asked(t, s, back)), "allow", "")
	says(t, page, http.StatusOK, "You have allowed it", "Take it back")
	says(t, p.press(page, "refuse", ""), http.StatusOK, "You have not allowed it")
	for _, secret := range []string{"carol", "She may change it", u.Path[len("/approve/"):]} {
		for where, text := range map[string]string{"log": s.Logs.String(), "database": approvalRows(t, s)} {
			if found := holds([]byte(text), map[string]string{"it": secret}); len(found) > 0 {
				t.Errorf("%q is in the %s", secret, where)
			}
		}
	}
	is(t, s, "allowed", yes, exchange.Approved)
	is(t, s, "used", yes, exchange.Pending)
	is(t, s, "declined", no, exchange.Declined)
	is(t, s, "told", no, exchange.Pending)
	is(t, s, "taken back", back, exchange.Declined)
	// Reloaded, or sent twice, when the app has used the word: it is not said that nothing was done, which would have it done again.
	for _, page := range []*browser.Page{p.get(link), p.press(pressed, "allow", "")} {
		says(t, page, http.StatusNotFound, "does not work any more", "If you allowed it, look whether it was done")
		if body := string(page.Body); strings.Contains(body, "Nothing was") || strings.Contains(body, "it gets a new one") {
			t.Error(body)
		}
	}
	if got := lines(auditOf(t, s)); strings.Count(got, "approval.asked") != 5 || strings.Count(got, "approval.approved") != 2 || strings.Count(got, "approval.declined") != 2 || strings.Count(got, "approval.used") != 1 {
		t.Errorf("the trail:\n%s", got)
	}
}

// approvalRows are the questions under way and the audit trail as they are stored.
func approvalRows(t *testing.T, s *authtest.Server) string {
	t.Helper()
	var out strings.Builder
	for _, e := range auditOf(t, s) {
		out.WriteString(e.Detail + e.Tool + e.Client + "\n")
	}
	out.WriteString(snapshotOf(t, s.DSN, "approvals"))
	return out.String()
}

// TestNobodyElsesWord: decision 0022, RFC 9700 §4.7: each way to a yes that is not the person's own button leaves the question unanswered.
func TestNobodyElsesWord(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	mine := sessionCookie(t, comeBack(t, s, "").Header.Values("Set-Cookie"))
	elsewhere := sessionCookie(t, comeBack(t, s, "").Header.Values("Set-Cookie")) // the same person at another browser
	ended := sessionCookie(t, comeBack(t, s, "").Header.Values("Set-Cookie"))
	theirs := sessionCookie(t, comeBackWith(t, s, "", bob).Header.Values("Set-Cookie"))
	r, another := act(out, "0a"), act(out, "0b")
	link, other := asked(t, s, r), asked(t, s, another)
	tokenOf := func(cookie, link string) string {
		return web.FormToken(cookie, "approve "+link[len(s.URL+"/approve/"):])
	}
	execSQL(t, s.DSN, `UPDATE sessions SET ended_at = now() WHERE secret_hash = sha256('`+ended+`')`)
	before := snapshotOf(t, s.DSN, "approvals")
	post := func(link, token, do string, header ...string) int {
		t.Helper()
		return ask(t, http.MethodPost, link, url.Values{"token": {token}, "do": {do}}.Encode(), append([]string{"Content-Type", formType}, header...)...).Status
	}
	const session = "latchkey-session="
	for name, row := range map[string]struct{ got, want int }{
		"no session":                  {post(link, tokenOf(mine, link), "allow"), 403},
		"a session of nobody":         {post(link, tokenOf(strings.Repeat("A", 43), link), "allow", "Cookie", session+strings.Repeat("A", 43)), 403},
		"an ended session":            {post(link, tokenOf(ended, link), "allow", "Cookie", session+ended), 403},
		"another person":              {post(link, tokenOf(theirs, link), "allow", "Cookie", session+theirs), 403},
		"another person's form":       {post(link, tokenOf(theirs, link), "allow", "Cookie", session+mine), 403},
		"another browser's form":      {post(link, tokenOf(elsewhere, link), "allow", "Cookie", session+mine), 403},
		"the form of another link":    {post(link, tokenOf(mine, other), "allow", "Cookie", session+mine), 403},
		"no token":                    {post(link, "", "allow", "Cookie", session+mine), 403},
		"the token of the page":       {post(link, web.FormToken(mine, "account"), "allow", "Cookie", session+mine), 403},
		"another site":                {post(link, tokenOf(mine, link), "allow", "Cookie", session+mine, "Sec-Fetch-Site", "cross-site"), 403},
		"another origin":              {post(link, tokenOf(mine, link), "allow", "Cookie", session+mine, "Origin", "https://evil.example"), 403},
		"no answer":                   {post(link, tokenOf(mine, link), "", "Cookie", session+mine), 400},
		"an answer that is none":      {post(link, tokenOf(mine, link), "approved", "Cookie", session+mine), 400},
		"a made-up link":              {post(s.URL+"/approve/"+strings.Repeat("A", 43), web.FormToken(mine, "approve "+strings.Repeat("A", 43)), "allow", "Cookie", session+mine), 404},
		"no link":                     {post(s.URL+"/approve/x", web.FormToken(mine, "approve x"), "allow", "Cookie", session+mine), 404},
		"a link that repairs":         {post(strings.Replace(link, "/approve/", "/connect/", 1), tokenOf(mine, link), "allow", "Cookie", session+mine), 403},
		"a GET that answers":          {ask(t, http.MethodGet, link+"?do=allow&token="+tokenOf(mine, link), "", "Cookie", session+mine).Status, 200},
		"a GET with a form":           {ask(t, http.MethodGet, link, "do=allow&token="+tokenOf(mine, link), "Content-Type", formType, "Cookie", session+mine).Status, 200},
		"another person looks":        {ask(t, http.MethodGet, link, "", "Cookie", session+theirs).Status, 403},
		"PUT":                         {ask(t, http.MethodPut, link, "do=allow&token="+tokenOf(mine, link), "Content-Type", formType, "Cookie", session+mine).Status, 404},
		"the resource server's token": {ask(t, http.MethodPost, link, "do=allow", "Content-Type", formType, "Authorization", "Bearer "+out["access_token"].(string)).Status, 403},
	} {
		if row.got != row.want {
			t.Errorf("%s: %d, want %d", name, row.got, row.want)
		}
	}
	if after := snapshotOf(t, s.DSN, "approvals"); after != before {
		t.Errorf("a refused answer has changed something:\n%s\n%s", before, after)
	}
	if a := ask(t, http.MethodGet, link, "", "Cookie", session+theirs); !strings.Contains(a.Body, "for somebody else") || !strings.Contains(a.Body, "sign out on your account page") || strings.Contains(a.Body, "carol") {
		t.Error("another person is not told, or shown the question:", a.Body)
	}
	// A sign-in leads to links of ours and nowhere else.
	for _, next := range []string{"https://evil.example", "//evil.example", "/approve/../account", "/approve/x", "/account/erase", "/approve/" + strings.Repeat("A", 43) + "/x"} {
		p := newPerson(t, s)
		if page := p.google(p.press(p.get(link), "sign-in", "", "next", next), fakegoogle.Choice{Account: alice}); page.URL.Path != "/account" {
			t.Errorf("next=%s leads to %s", next, page.URL)
		}
	}
	// Replicas of the version before, while they are being replaced, know the secret of a link alone.
	older, connect := newPerson(t, s), strings.Repeat("A", 43)
	if page := older.google(older.press(older.get(link), "sign-in", "", "next", connect), fakegoogle.Choice{Account: alice}); page.URL.Path != "/connect/"+connect {
		t.Errorf("a sign-in begun at the version before leads to %s", page.URL)
	}
	if status := post(link, tokenOf(mine, link), "allow", "Cookie", session+mine); status != http.StatusOK {
		t.Fatalf("the person's own button: %d", status)
	}
	// The word is for this act, this grant, this person.
	further := s.SignIn(t, s.NewVisit(t))
	v := s.NewVisit(t)
	v.Choice.Account = bob
	somebody := s.SignIn(t, v)
	for name, wrong := range map[string]exchange.ApprovalRequest{"another act": another, "another grant": act(further, "0a"), "another person's grant": act(somebody, "0a")} {
		is(t, s, name, wrong, exchange.Pending)
	}
	tool := r
	tool.Tool = "drive_trash"
	is(t, s, "another tool", tool, exchange.Pending)
	is(t, s, "and the word about the first one is gone with it", r, exchange.Pending)
}

// TestWordEnds: the word is good while grant, session, account and tenant are, and for five minutes: what has ended is never a yes, and asks
// anew or is refused.
func TestWordEnds(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	allowed := func(which string) (exchange.ApprovalRequest, string) {
		t.Helper()
		r := act(p.allow(s.NewVisit(t)), which)
		link := asked(t, s, r)
		says(t, p.press(p.get(link), "allow", ""), http.StatusOK, "You have allowed it")
		return r, link
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM approvals WHERE expires_at > now() + interval '10 minutes'`); n != 0 {
		t.Errorf("%d questions are open for longer than ten minutes", n)
	}
	r, link := allowed("0a")
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM approvals WHERE status = 'approved' AND expires_at <= now() + interval '5 minutes'`); n != 1 {
		t.Errorf("%d approvals end within five minutes", n)
	}
	moveTime(t, s.DSN, `UPDATE approvals SET expires_at = now()`)
	says(t, p.get(link), http.StatusNotFound)
	is(t, s, "five minutes later", r, exchange.Pending)

	// The question itself, ten minutes later: neither seen nor answered, and the next one has another link.
	r = act(p.allow(s.NewVisit(t)), "0b")
	old := asked(t, s, r)
	page := p.get(old)
	moveTime(t, s.DSN, `UPDATE approvals SET expires_at = now()`)
	says(t, p.press(page, "allow", ""), http.StatusNotFound, "does not work any more")
	if fresh := asked(t, s, r); fresh == old {
		t.Error("a link that is over works again")
	}
	says(t, p.press(page, "allow", ""), http.StatusNotFound)
	is(t, s, "answered by the link of an older question", r, exchange.Pending)

	r, _ = allowed("0c")
	execSQL(t, s.DSN, `UPDATE sessions SET ended_at = now()`)
	is(t, s, "signed out", r, exchange.Pending)
	p = signedIn(t, s, alice)

	r, _ = allowed("0d")
	execSQL(t, s.DSN, `UPDATE connections SET status = 'unlinked', is_default = false`)
	_, err := s.Exchanger(t, s.Internal).Approval(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.NotLinked || !strings.HasPrefix(e.InteractionURI, s.URL+"/connect/") {
		t.Errorf("without an account: %+v", e)
	}
	execSQL(t, s.DSN, `UPDATE connections SET status = 'linked', is_default = true`)
	is(t, s, "the refusal has used it up", r, exchange.Approved)

	r, link = allowed("0e")
	execSQL(t, s.DSN, `UPDATE grants SET revoked_at = now()`)
	says(t, p.get(link), http.StatusNotFound)
	_, err = s.Exchanger(t, s.Internal).Approval(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("revoked: %+v", e)
	}
	execSQL(t, s.DSN, `UPDATE grants SET revoked_at = NULL`)
	is(t, s, "the refusal has used it up", r, exchange.Approved)

	r, link = allowed("0f")
	page = p.press(p.get(s.URL+"/account/erase"), "erase", "", "word", "erase")
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM approvals`); n != 0 {
		t.Errorf("%d questions after an erasure: %s", n, words(page))
	}
	says(t, p.get(link), http.StatusNotFound)
	_, err = s.Exchanger(t, s.Internal).Approval(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("erased: %+v", e)
	}
}

// TestWordIsUsedOnce: DESIGN §1.4 [law], over two replicas: of 16 that ask at once all get one link, of 16 that fetch the person's yes one does.
func TestWordIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	out := p.allow(s.NewVisit(t))
	replica := s.Replica(t)
	clients := map[string]*exchange.Client{s.Internal: s.Exchanger(t, s.Internal), replica.Internal: s.Exchanger(t, replica.Internal)}
	race := func(r exchange.ApprovalRequest) (links map[string]int, approved int) {
		t.Helper()
		var mu sync.Mutex
		links = map[string]int{}
		at([]string{s.Internal, replica.Internal}, func(_ int, base string) {
			got, err := clients[base].Approval(context.Background(), r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case got.Status == exchange.Approved:
				approved++
			default:
				links[got.InteractionURI]++
			}
		})
		return links, approved
	}
	for i := range rounds(t) {
		r := act(out, "a"+string(rune('0'+i%10)))
		links, approved := race(r)
		if len(links) != 1 || approved != 0 {
			t.Fatalf("%v, %d approved", links, approved)
		}
		for link := range links {
			says(t, p.press(p.get(link), "allow", ""), http.StatusOK, "You have allowed it")
		}
		if links, approved = race(r); approved != 1 || len(links) != 1 {
			t.Fatalf("%d uses of one word, %v", approved, links)
		}
	}
}

// TestWordNamesTheAccount: decision 0011: the page names the account that the call will use, and the word is for that one, whatever the name comes
// to stand for.
func TestWordNamesTheAccount(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	out := p.allow(s.NewVisit(t))
	p.add(bob)
	r := act(out, "0a")
	r.Account = "example.com-2"
	page := p.get(asked(t, s, r))
	says(t, page, http.StatusOK, bob, "example.com-2")
	says(t, p.press(page, "allow", ""), http.StatusOK, "You have allowed it")
	execSQL(t, s.DSN, `UPDATE connections SET alias = CASE alias WHEN 'example.com' THEN 'x' ELSE alias || '-old' END`)
	execSQL(t, s.DSN, `UPDATE connections SET alias = 'example.com-2' WHERE alias = 'x'`)
	is(t, s, "the name of another account now", r, exchange.Pending)
	r.Account = "example.com-3"
	_, err := s.Exchanger(t, s.Internal).Approval(t.Context(), r)
	if e := failure(t, err); e.Code != exchange.AccountSelectionRequired || len(e.Accounts) != 2 {
		t.Errorf("%+v", e)
	}
	other := act(out, "0b")
	asked(t, s, other)
	other.Question = "Do you like cats?"
	_, err = s.Exchanger(t, s.Internal).Approval(t.Context(), other)
	if e := failure(t, err); e.Code != oauth.InvalidRequest {
		t.Errorf("another question under the same digest: %+v", e)
	}
}
