package app_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
)

// TestRowsGoogle: PROTOCOL 1.4: the way to Google and back.
func TestRowsGoogle(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.SignIn(t, s.NewVisit(t)) // Google sends whoever has no refresh token yet, because others are just getting it, round twice
	t.Run("AS-A8 iss stands on success and on every error", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(*authtest.Visit){
			"success": func(*authtest.Visit) {}, "denied here": func(v *authtest.Visit) { v.Deny = true }, "denied at Google": func(v *authtest.Visit) { v.Choice.Deny = true },
			"bad scope": func(v *authtest.Visit) { v.Query.Set("scope", `"`) }, "bad resource": func(v *authtest.Visit) { v.Query.Set("resource", "https://x.example/") },
			"no PKCE": func(v *authtest.Visit) { v.Query.Del("code_challenge") }, "nothing ticked": func(v *authtest.Visit) { v.Untick = []string{"gmail.read", "drive.read", "calendar.read", "accounts"} },
		} {
			v := s.NewVisit(t)
			change(v)
			q, p := s.Walk(t, v)
			if q == nil || !slices.Equal(q["iss"], []string{s.URL}) || q.Get("state") != "st-1" || q.Has("code") == q.Has("error") {
				t.Errorf("%s: %v, page %d", name, q, p.Status)
			}
		}
	})
	t.Run("AS-A15 AS-A14 state and cookie are fresh, random, and live ten minutes", func(t *testing.T) {
		t.Parallel()
		seen := map[string]bool{}
		for range 4 {
			a := decide(t, s, s.NewVisit(t), "approve")
			u, err := url.Parse(a.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			state, nonce, cookie := u.Query().Get("state"), u.Query().Get("nonce"), a.Header.Get("Set-Cookie")
			_, value, _ := strings.Cut(strings.SplitN(cookie, ";", 2)[0], "=")
			if len(state) < 43 || len(nonce) < 43 || len(value) < 43 || seen[state] || seen[nonce] || seen[value] || u.Query().Get("code_challenge_method") != "S256" {
				t.Errorf("%v, cookie %s", u.Query(), cookie)
			}
			seen[state], seen[nonce], seen[value] = true, true, true
			for _, want := range []string{"; Path=/", "; Max-Age=600", "; HttpOnly", "; SameSite=Lax"} {
				if !strings.Contains(cookie, want) {
					t.Errorf("cookie lacks %s: %s", want, cookie)
				}
			}
			if strings.Contains(u.String(), value) {
				t.Error("the browser's secret goes to Google")
			}
		}
	})
	t.Run("AS-A15 A22 an expired, used or foreign state is 403, and Google's code is not redeemed", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		refuse := func(name string, b *browser.Browser, u string) {
			t.Helper()
			before := own.Google.Count("POST /token")
			p := follow(t, b, u)
			if p.Status != http.StatusForbidden || own.Google.Count("POST /token") != before {
				t.Errorf("%s: %d, %d redemptions at Google", name, p.Status, own.Google.Count("POST /token")-before)
			}
		}
		late := authtest.Browser()
		u := callback(t, own, late, own.NewVisit(t))
		if n := rowsOf(t, own.DSN, `SELECT count(*) FROM flows WHERE expires_at <= now() + interval '10 minutes'`); n != 1 {
			t.Errorf("%d flows end within ten minutes", n)
		}
		execSQL(t, own.DSN, `UPDATE flows SET expires_at = now()`)
		refuse("after its time", late, u.String())

		b := authtest.Browser()
		v := own.NewVisit(t)
		v.Choice.Account = "bob@example.com" // who has not been at Google for us yet, so that one trip is enough
		u = callback(t, own, b, v)
		refuse("no cookie at all", authtest.Browser(), u.String())
		other := authtest.Browser()
		callback(t, own, other, own.NewVisit(t)) // has a flow cookie, of another flow
		refuse("another flow's cookie", other, u.String())
		for name, change := range map[string]func(url.Values){
			"no state": func(q url.Values) { q.Del("state") }, "empty state": func(q url.Values) { q.Set("state", "") },
			"cut state":        func(q url.Values) { q.Set("state", q.Get("state")[:40]) },
			"unsolicited":      func(q url.Values) { q.Set("state", strings.Repeat("A", len(q.Get("state")))) },
			"another tenant's": func(q url.Values) { q.Set("state", "AZ"+q.Get("state")[2:]) },
		} {
			forged := *u
			q := u.Query()
			change(q)
			forged.RawQuery = q.Encode()
			refuse(name, b, forged.String())
		}
		if p := follow(t, b, u.String()); p.Status != 0 || p.URL.Query().Get("code") == "" {
			t.Fatalf("the right answer is refused after the forged ones: %d", p.Status)
		}
		refuse("a second time", b, u.String())
	})
	t.Run("AS-A15 A8 A22 a planted cookie of the right name is no proof", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		a := decide(t, own, own.NewVisit(t), "approve")
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(strings.SplitN(a.Header.Get("Set-Cookie"), ";", 2)[0], "=")
		answer := own.URL + "/google/callback?" + url.Values{"state": {to.Query().Get("state")}, "code": {"4/0Ax"}}.Encode()
		for _, planted := range []string{strings.Repeat("A", len(value)), value[:len(value)-1], value + "A", ""} {
			if got := ask(t, http.MethodGet, answer, "", "Cookie", name+"="+planted); got.Status != http.StatusForbidden || own.Google.Count("POST /token") != 0 {
				t.Errorf("%d characters: %d, %d redemptions at Google", len(planted), got.Status, own.Google.Count("POST /token"))
			}
		}
		if got := ask(t, http.MethodGet, answer, "", "Cookie", name+"="+value); got.Status != http.StatusSeeOther || own.Google.Count("POST /token") != 1 {
			t.Errorf("the right cookie: %d", got.Status)
		}
	})
	t.Run("A8 AS-A14 Google's answer works in the browser that consented only", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		attacker, victim := authtest.Browser(), authtest.Browser()
		u := callback(t, own, attacker, own.NewVisit(t))
		page(t, own, victim, own.NewVisit(t)) // the victim has been here, too
		if p := follow(t, victim, u.String()); p.Status != http.StatusForbidden || own.Google.Count("POST /token") != 0 {
			t.Errorf("%d, %d redemptions at Google", p.Status, own.Google.Count("POST /token"))
		}
		if n := rowsOf(t, own.DSN, `SELECT count(*) FROM subjects`); n != 0 {
			t.Error("somebody is signed in")
		}
	})
	t.Run("AS-A23 Google's iss and code do not reach the client", func(t *testing.T) {
		t.Parallel()
		b := authtest.Browser()
		v := s.NewVisit(t)
		u := callback(t, s, b, v)
		googles := u.Query().Get("code")
		q := u.Query()
		answer := func(iss ...string) *browser.Page {
			q["iss"] = iss
			u.RawQuery = q.Encode()
			return follow(t, b, u.String())
		}
		for _, iss := range [][]string{{"https://evil.example"}, {""}, {s.Google.URL + "/"}, {s.Google.URL, "https://evil.example"}} { // RFC 9207 §2.4: not used, and nothing is used up
			before := s.Google.Count("POST /token")
			if p := answer(iss...); p.Status != http.StatusForbidden || p.URL.Path != "/google/callback" || s.Google.Count("POST /token") != before {
				t.Errorf("an answer of %q: %d at %s", iss, p.Status, p.URL.Path)
			}
		}
		p := answer(s.Google.URL)
		got := p.URL.Query()
		if got.Get("code") == "" || got.Get("code") == googles || !slices.Equal(got["iss"], []string{s.URL}) || strings.Contains(p.URL.String(), googles) || len(got) != 3 {
			t.Errorf("%v", got)
		}
	})
	for name, f := range map[string]fakegoogle.Fault{
		"nonce of another visit": {Nonce: "other"}, "token for another client": {Audience: "other"}, "token of another issuer": {Issuer: "https://evil.example"},
	} {
		t.Run("AS-A23 A22 "+name+" signs nobody in", func(t *testing.T) {
			t.Parallel()
			refusedIdentity(t, f)
		})
	}
	t.Run("A21 an unverified address signs nobody in", func(t *testing.T) {
		t.Parallel()
		refusedIdentity(t, fakegoogle.Fault{Unverified: true})
	})
	t.Run("AS-A9 AS-A10 without scope the default is granted, and said", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		v.Query.Del("scope")
		if out := s.SignIn(t, v); out["scope"] != "accounts calendar.read drive.read gmail.read" {
			t.Errorf("scope %v", out["scope"])
		}
	})
	t.Run("AS-A10 what was not granted is not said to be", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		v := own.NewVisit(t)
		v.Untick = []string{"calendar.read"}
		v.Choice.Untick = []string{"https://www.googleapis.com/auth/drive.readonly"}
		out := own.SignIn(t, v)
		if out["scope"] != "accounts gmail.read" || claims(t, out["access_token"])["scope"] != out["scope"] {
			t.Errorf("scope %v", out["scope"])
		}
		v = own.NewVisit(t)
		v.Query.Set("scope", "gmail.read openid unknown")
		if out := own.SignIn(t, v); out["scope"] != "gmail.read" {
			t.Errorf("scope %v", out["scope"])
		}
	})
	t.Run("AS-A11 AS-T7 AS-K3 A14 the resource of the request is the audience, in canonical form, of every token of the grant", func(t *testing.T) {
		t.Parallel()
		for _, spelled := range []string{authtest.Resource, authtest.Resource + "/", "HTTP://127.0.0.1:9/mcp", ""} {
			v := s.NewVisit(t)
			if v.Query.Set("resource", spelled); spelled == "" {
				v.Query.Del("resource")
			}
			out := s.SignIn(t, v)
			if got := claims(t, out["access_token"])["aud"]; got != authtest.Resource {
				t.Errorf("%q: aud %v", spelled, got)
			}
			status, next := s.Token(t, v.Refresh(out["refresh_token"].(string)))
			if status != http.StatusOK || claims(t, next["access_token"])["aud"] != authtest.Resource {
				t.Errorf("%q after refresh: %d %v", spelled, status, next)
			}
		}
	})
}

// refusedIdentity: with the fault nobody is signed in, and the client hears
// access_denied from us.
func refusedIdentity(t *testing.T, f fakegoogle.Fault) {
	t.Helper()
	s := authtest.Start(t)
	f.Prefix = "/token"
	s.Google.Inject(f)
	q, _ := s.Walk(t, s.NewVisit(t))
	if q.Get("error") != string(oauth.AccessDenied) || !slices.Equal(q["iss"], []string{s.URL}) || q.Has("code") {
		t.Errorf("%v", q)
	}
	if n := rowsOf(t, s.DSN, `SELECT (SELECT count(*) FROM subjects) + (SELECT count(*) FROM grants) + (SELECT count(*) FROM credentials)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
