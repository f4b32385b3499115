package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
)

// TestRowsRequest: PROTOCOL 1.4: what a client may send, beside what
// TestAuthorizeErrors and TestLenientRequests show.
func TestRowsRequest(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	t.Run("AS-A2 the port of a loopback redirect may differ, nothing else", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t, "http://127.0.0.1/callback", "https://a.example/cb")
		for uri, ok := range map[string]bool{
			"http://127.0.0.1:7/callback": true, "http://127.0.0.1:51234/callback": true, "http://127.0.0.1/callback": true, "https://a.example/cb": true,
			"http://127.0.0.1:7/callback/": false, "http://127.0.0.2:7/callback": false, "https://a.example:443/cb": false, "https://a.example/cb?x": false,
		} {
			redirects(t, s, client, uri, ok)
		}
	})
	t.Run("AS-A4 localhost counts as loopback for the port", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t, "http://localhost/callback") // as Claude Code registers it
		for uri, ok := range map[string]bool{
			"http://localhost:3118/callback": true, "http://localhost/callback": true,
			"http://127.0.0.1:3118/callback": false, "http://localhost.:3118/callback": false, "http://localhost.evil.example/callback": false, "https://localhost/callback": false,
		} {
			redirects(t, s, client, uri, ok)
		}
	})
	t.Run("AS-A3 a redirect URI is never followed before it is matched, whatever else is wrong", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t)
		for _, query := range []string{
			"", "client_id=", "client_id=" + client + "&redirect_uri=https://evil.example/", "redirect_uri=https://evil.example/&response_type=token",
			"client_id=" + client + "&client_id=x&redirect_uri=" + authtest.Redirect, "client_id=c_gone&redirect_uri=https://evil.example/&error=x",
			"client_id=" + client + "&redirect_uri=", "client_id=" + client + "&redirect_uri=%zz", "%", "client_id=" + strings.Repeat("c", 20_000),
		} {
			a := ask(t, http.MethodGet, s.URL+"/authorize?"+query, "")
			if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || strings.Contains(a.Body, "evil.example") || strings.Contains(strings.ToLower(a.Body), "http-equiv") {
				t.Errorf("%.80s: %d, to %q", query, a.Status, a.Header.Get("Location"))
			}
		}
	})
	t.Run("AS-A1 the authorization endpoint takes GET only", func(t *testing.T) {
		t.Parallel()
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			if a := ask(t, method, s.URL+"/authorize", "", "Content-Type", formType); a.Status == 200 || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d", method, a.Status)
			}
		}
	})
	t.Run("AS-A7 AS-S2 state comes back once and unchanged", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t)
		for _, state := range []string{"plain", "a b+c", "%26code=theirs&iss=x", "é😀", "<script>", "\r\nSet-Cookie: x=y", "#fragment", strings.Repeat("s", 2048)} {
			v := visit(client, authtest.Redirect)
			v.Query.Set("state", state)
			v.Query.Set("scope", `"`) // the quickest answer that is a redirect
			a := ask(t, http.MethodGet, s.AuthorizeURL(v), "")
			u, err := url.Parse(a.Header.Get("Location"))
			if err != nil || !slices.Equal(u.Query()["state"], []string{state}) || len(u.Query()["iss"]) != 1 || a.Header.Get("Set-Cookie") != "" || u.Fragment != "" {
				t.Errorf("%.40q: %v", state, a.Header)
			}
		}
		v := visit(client, authtest.Redirect)
		v.Query.Del("state")
		v.Query.Set("scope", `"`)
		if u, _ := url.Parse(ask(t, http.MethodGet, s.AuthorizeURL(v), "").Header.Get("Location")); u.Query().Has("state") || !u.Query().Has("iss") {
			t.Errorf("a state out of nothing: %v", u)
		}
	})
	t.Run("AS-A1 a repeated parameter is refused, an unknown one may repeat", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t)
		for name, code := range map[string]string{
			"state": "invalid_request", "scope": "invalid_request", "code_challenge": "invalid_request", "code_challenge_method": "invalid_request", "response_type": "invalid_request",
			"prompt": "invalid_request", "login_hint": "invalid_request", "nonce": "invalid_request", "response_mode": "invalid_request", "max_age": "invalid_request",
			"request": "invalid_request", "request_uri": "invalid_request", "display": "invalid_request", "ui_locales": "invalid_request", "resource": "invalid_target", "unknown": "",
		} {
			v := visit(client, authtest.Redirect)
			v.Query[name] = []string{v.Query.Get(name), v.Query.Get(name)}
			a := ask(t, http.MethodGet, s.AuthorizeURL(v), "")
			u, _ := url.Parse(a.Header.Get("Location"))
			if u.Query().Get("error") != code || (code == "") != (a.Status == 200) {
				t.Errorf("%s twice: %d %v", name, a.Status, u)
			}
		}
	})
	t.Run("AS-A24 prompt and login_hint are taken, and the hint reaches Google", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		v.Query.Set("prompt", "consent select_account")
		v.Query.Set("login_hint", "bob@example.com")
		b := authtest.Browser()
		b.Stop = func(u *url.URL) bool { return !strings.HasPrefix(u.String(), s.URL) }
		p, err := authtest.Approve(t.Context(), b, page(t, s, b, v), v)
		if err != nil || p.URL.Query().Get("login_hint") != "bob@example.com" {
			t.Error(p, err)
		}
	})
	t.Run("AS-A24 prompt and max_age let the person choose the account at Google again, and nothing else does", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			name, value string
			again       bool
		}{
			{"prompt", "login", true}, {"prompt", "consent login", true}, {"prompt", "select_account", true}, {"prompt", "consent", false}, {"prompt", "", false}, {"prompt", "unknown", false},
			{"max_age", "0", true}, {"max_age", "3600", true}, {"max_age", "2147483648", true}, {"unknown", "login", false},
		} {
			v := s.NewVisit(t)
			v.Query.Set(c.name, c.value)
			u, err := url.Parse(decide(t, s, v, "approve").Header.Get("Location"))
			if err != nil || !strings.HasPrefix(u.String(), s.Google.URL) || slices.Contains(strings.Fields(u.Query().Get("prompt")), "select_account") != c.again {
				t.Errorf("%s=%s: %v", c.name, c.value, u)
			}
		}
	})
	t.Run("AS-A22 a client cannot have its answer sent over plain http", func(t *testing.T) {
		t.Parallel()
		for _, uri := range []string{"http://a.example/cb", "http://10.0.0.1/cb", "http://127.0.0.1.evil.example/cb", "HTTP://a.example/cb", "http://[::2]/cb", "http://0.0.0.0/cb"} {
			status, out := s.Post(t, "/register", "application/json", fmt.Sprintf(`{"redirect_uris":[%q]}`, uri))
			if status != http.StatusBadRequest || out["error"] != "invalid_redirect_uri" {
				t.Errorf("%s: %d %v", uri, status, out)
			}
		}
	})
}

// visit is a valid request of a client for one redirect URI.
func visit(client, uri string) *authtest.Visit {
	v := &authtest.Visit{Client: client, Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
	v.Query = url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {uri}, "state": {"st-1"}, "resource": {authtest.Resource}, "scope": {"gmail.read accounts"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636 appendix B
	}
	return v
}

// redirects asks with a redirect URI, once well and once with a fault that the
// client hears of: ok decides whether either leads there. An https site that
// nobody vouches for gets a link on a page, not a redirect (AS-A20).
func redirects(t *testing.T, s *authtest.Server, client, uri string, ok bool) {
	t.Helper()
	v := visit(client, uri)
	if a := ask(t, http.MethodGet, s.AuthorizeURL(v), ""); (a.Status == 200) != ok || a.Header.Get("Location") != "" {
		t.Errorf("%s: %d", uri, a.Status)
	}
	v.Query.Set("response_type", "token")
	a := ask(t, http.MethodGet, s.AuthorizeURL(v), "")
	to, asked := a.Header.Get("Location"), strings.HasPrefix(uri, "https://")
	if leads := strings.HasPrefix(to, uri+"?") || strings.Contains(a.Body, `href="`+uri+"?"); ok != leads || (!ok || asked) && (to != "" || a.Status != http.StatusBadRequest) {
		t.Errorf("%s: an error leads to %q, %d", uri, to, a.Status)
	}
}

// TestRowsConsent: PROTOCOL 1.4: the page before Google.
func TestRowsConsent(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	t.Run("AS-A12 AS-A19 every client and every visit asks, before Google hears anything", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		b := authtest.Browser()
		var calls []string
		b.Visited = func(_ string, u *url.URL, _ int) {
			if !strings.HasPrefix(u.String(), own.URL) {
				calls = append(calls, u.Path)
			}
		}
		first, second := own.NewVisit(t), own.NewVisit(t)
		if q, p := own.WalkWith(t, b, first); q.Get("code") == "" {
			t.Fatal(q, p)
		}
		for name, v := range map[string]*authtest.Visit{"another client": second, "the same client again": first} {
			calls = nil
			p := page(t, own, b, v)
			if _, _, ok := p.Button("decision", "approve"); p.Status != 200 || !ok || len(calls) != 0 {
				t.Errorf("%s: no consent page (%d at %s), Google visited %v", name, p.Status, p.URL, calls)
			}
		}
		if n := rowsOf(t, own.DSN, `SELECT count(*) FROM consents`); n != 1 {
			t.Errorf("%d consents are kept for one decision", n)
		}
	})
	t.Run("AS-A13 the page names the client, Google's access and the destination", func(t *testing.T) {
		t.Parallel()
		body := string(page(t, s, authtest.Browser(), s.NewVisit(t)).Body)
		for _, want := range []string{"Test app", "Nobody has verified it", "an app on this computer, port 7", "search and read your mail", "View your e-mail messages", "180 days"} {
			if !strings.Contains(body, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
	})
	t.Run("AS-A16 no state cookie, no flow and no word to Google before the decision", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		a := ask(t, http.MethodGet, own.AuthorizeURL(own.NewVisit(t)), "")
		for _, c := range a.Header.Values("Set-Cookie") {
			if strings.Contains(c, "flow") || strings.Contains(c, "state") {
				t.Errorf("cookie %s", c)
			}
		}
		if n := rowsOf(t, own.DSN, `SELECT count(*) FROM flows`); n != 0 || a.Status != 200 {
			t.Errorf("%d flows, status %d", n, a.Status)
		}
	})
	t.Run("AS-A17 AS-A13 nothing can be framed", func(t *testing.T) {
		t.Parallel()
		for _, target := range []string{s.AuthorizeURL(s.NewVisit(t)), s.URL + "/authorize", s.URL + "/google/callback", s.URL + "/nothing", s.URL + "/t/nobody"} {
			a := ask(t, http.MethodGet, target, "")
			if !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%.60s: %d %v", target, a.Status, a.Header)
			}
		}
	})
	t.Run("AS-A18 after a form comes 303", func(t *testing.T) {
		t.Parallel()
		for _, decision := range []string{"approve", "deny"} {
			v := s.NewVisit(t)
			a := decide(t, s, v, decision)
			if a.Status != http.StatusSeeOther || a.Header.Get("Location") == "" {
				t.Errorf("%s: %d", decision, a.Status)
			}
		}
	})
	t.Run("AS-A13 AS-A14 A10 a form without this browser's cookie, or from another site, is 403", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(form url.Values, header map[string]string){
			"no cookie":         func(_ url.Values, h map[string]string) { delete(h, "Cookie") },
			"another cookie":    func(_ url.Values, h map[string]string) { h["Cookie"] = "latchkey-csrf=" + strings.Repeat("A", 43) },
			"an empty cookie":   func(_ url.Values, h map[string]string) { h["Cookie"] = "latchkey-csrf=" },
			"cross-site origin": func(_ url.Values, h map[string]string) { h["Origin"], h["Sec-Fetch-Site"] = "https://evil.example", "" },
			"cross-site fetch":  func(_ url.Values, h map[string]string) { h["Sec-Fetch-Site"] = "cross-site" },
			"sibling site":      func(_ url.Values, h map[string]string) { h["Sec-Fetch-Site"] = "same-site" },
			"null origin":       func(_ url.Values, h map[string]string) { h["Origin"], h["Sec-Fetch-Site"] = "null", "" },
		} {
			form, header := consentForm(t, s, s.NewVisit(t), "approve")
			change(form, header)
			if a := postForm(t, s, form, header); a.Status != http.StatusForbidden || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d %s", name, a.Status, a.Header.Get("Location"))
			}
		}
		for name, change := range map[string]func(form url.Values){
			"no request":      func(f url.Values) { f.Del("request") },
			"changed request": func(f url.Values) { f.Set("request", f.Get("request")[1:]+"A") },
			"request of ours in the clear": func(f url.Values) {
				f.Set("request", "eyJyZXF1ZXN0Ijp7ImNsaWVudF9pZCI6ImMifX0")
			},
		} {
			form, header := consentForm(t, s, s.NewVisit(t), "approve")
			change(form)
			if a := postForm(t, s, form, header); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d", name, a.Status)
			}
		}
	})
	t.Run("A28 parameters beside the form change nothing", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		v.Query.Set("scope", "gmail.read")
		form, header := consentForm(t, s, v, "approve")
		other := s.Register(t, "https://evil.example/cb")
		for name, value := range map[string]string{"client_id": other, "redirect_uri": "https://evil.example/cb", "response_type": "token", "state": "theirs", "resource": "https://evil.example/mcp", "code_challenge": strings.Repeat("A", 43)} {
			form.Set(name, value)
		}
		form["scope"] = []string{"gmail.read", "drive.read", "https://mail.google.com/"}
		a := postForm(t, s, form, header)
		u, err := url.Parse(a.Header.Get("Location"))
		if err != nil || !strings.HasPrefix(u.String(), s.Google.URL) || strings.Contains(u.Query().Get("scope"), "drive") || strings.Contains(u.Query().Get("scope"), "mail.google.com") {
			t.Fatalf("%d to %v", a.Status, u)
		}
		form.Set("decision", "deny")
		if u, _ = url.Parse(postForm(t, s, form, header).Header.Get("Location")); !strings.HasPrefix(u.String(), authtest.Redirect+"?") || u.Query().Get("state") != "st-1" {
			t.Errorf("a denial leads to %v", u)
		}
	})
	t.Run("AS-A20 A29 AS-A8 nobody is bounced to an https site that nobody vouches for: it is shown, with a link", func(t *testing.T) {
		t.Parallel()
		dynamic, document := s.Register(t, "https://site.example/cb"), s.Host.PublishClient(t, "/a20.json", map[string]any{"redirect_uris": []string{"https://site.example/cb"}})
		for _, client := range []string{dynamic, document} {
			for name, change := range map[string]func(url.Values){
				"scope": func(q url.Values) { q.Set("scope", `"`) }, "response_type": func(q url.Values) { q.Set("response_type", "token") },
				"resource": func(q url.Values) { q.Set("resource", "https://x.example/") }, "prompt": func(q url.Values) { q.Set("prompt", "none") }, "state": func(q url.Values) { q.Add("state", "x") },
			} {
				v := visit(client, "https://site.example/cb")
				change(v.Query)
				a := ask(t, http.MethodGet, s.AuthorizeURL(v), "")
				if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || a.Header.Get("Refresh") != "" || strings.Contains(strings.ToLower(a.Body), "http-equiv") || strings.Contains(a.Body, "<script") {
					t.Errorf("%s: %d to %q", name, a.Status, a.Header.Get("Location"))
				}
				if !strings.Contains(a.Body, "<strong><bdi>site.example</bdi></strong>") || !strings.Contains(a.Body, `href="https://site.example/cb?error=`) || !strings.Contains(a.Body, "iss="+url.QueryEscape(s.URL)) {
					t.Errorf("%s: the page does not say where to: %s", name, a.Body)
				}
			}
		}
	})
	t.Run("AS-A20 A29 an error goes only where the client registered, a stranger's page nowhere", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		v.Query.Set("response_type", "token")
		for _, uri := range []string{"https://evil.example/", "//evil.example", "https:evil.example", `https://evil.example\@127.0.0.1:7/callback`, "javascript:alert(1)", "http://127.0.0.1:7/callback/../../evil", authtest.Redirect + "#@evil.example", "http://127.0.0.1:7\t/callback"} {
			v.Query.Set("redirect_uri", uri)
			if a := ask(t, http.MethodGet, s.AuthorizeURL(v), ""); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
				t.Errorf("%q: %d to %q", uri, a.Status, a.Header.Get("Location"))
			}
		}
	})
}

// consentForm opens the page of a visit and returns what a browser would post:
// the form and the headers.
func consentForm(t *testing.T, s *authtest.Server, v *authtest.Visit, decision string) (url.Values, map[string]string) {
	t.Helper()
	a := ask(t, http.MethodGet, s.AuthorizeURL(v), "")
	b := browser.New()
	p := page(t, s, b, v) // only to read the form; its cookie is another
	f, _, ok := p.Button("decision", decision)
	if !ok {
		t.Fatalf("no consent page: %d", p.Status)
	}
	form := url.Values{"decision": {decision}, "scope": f.Values["scope"]}
	_, rest, found := strings.Cut(a.Body, `name="request" value="`)
	value, _, closed := strings.Cut(rest, `"`)
	if !found || !closed {
		t.Fatal("the page has no request")
	}
	form.Set("request", value)
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	return form, map[string]string{"Cookie": cookie, "Origin": s.URL, "Sec-Fetch-Site": "same-origin", "Content-Type": formType}
}

func postForm(t *testing.T, s *authtest.Server, form url.Values, header map[string]string) answer {
	t.Helper()
	var flat []string
	for name, value := range header {
		flat = append(flat, name, value)
	}
	return ask(t, http.MethodPost, s.URL+"/authorize/consent", form.Encode(), flat...)
}

func decide(t *testing.T, s *authtest.Server, v *authtest.Visit, decision string) answer {
	t.Helper()
	form, header := consentForm(t, s, v, decision)
	return postForm(t, s, form, header)
}
