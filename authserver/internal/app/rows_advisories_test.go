package app_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/oauth"
)

// TestRowsGrants: what advisories of peers say about the life of a grant.
func TestRowsGrants(t *testing.T) {
	t.Parallel()
	t.Run("A2 a revocation among parallel refreshes leaves nothing alive", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		urls := []string{s.URL, s.Replica(t).URL}
		v := s.NewVisit(t)
		for range 5 {
			token := s.SignIn(t, v)["refresh_token"].(string)
			live := []string{token}
			var mu sync.Mutex
			at(urls, func(i int, base string) {
				if i == 7 {
					if status, _, out := post(t, base+"/revoke", url.Values{"token": {token}, "client_id": {v.Client}}, "", ""); status != http.StatusOK {
						t.Errorf("revoking: %d %v", status, out)
					}
					return
				}
				if status, _, out := post(t, base+"/token", v.Refresh(token), "", ""); status == http.StatusOK {
					mu.Lock()
					live = append(live, out["refresh_token"].(string))
					mu.Unlock()
				}
			})
			for _, one := range live {
				status, out := s.Token(t, v.Refresh(one))
				refused(t, "after the revocation", status, out, http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
	})
	t.Run("A3 a process that has just started knows what was used", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		v := s.NewVisit(t)
		q, _ := s.Walk(t, v)
		_, out := s.Token(t, v.Redeem(q.Get("code")))
		first := out["refresh_token"].(string)
		_, out = s.Token(t, v.Refresh(first))
		second := out["refresh_token"].(string)
		status, out := s.Replica(t).Token(t, v.Redeem(q.Get("code")))
		refused(t, "the code", status, out, http.StatusBadRequest, oauth.InvalidGrant)
		if status, out := s.Replica(t).Token(t, v.Refresh(first)); status != http.StatusOK || out["refresh_token"] != second {
			t.Errorf("a repeat within the grace forks the family: %d %v", status, out)
		}
		execSQL(t, s.DSN, `UPDATE grants SET rotated_at = rotated_at - interval '61 seconds'`)
		status, out = s.Replica(t).Token(t, v.Refresh(first))
		refused(t, "after the grace", status, out, http.StatusBadRequest, oauth.InvalidGrant)
		status, out = s.Replica(t).Token(t, v.Refresh(second))
		refused(t, "the family", status, out, http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("A4 a revoked grant stays dead when the person signs in again", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		v := s.NewVisit(t)
		old := s.SignIn(t, v)
		if status, _, out := post(t, s.URL+"/revoke", url.Values{"token": {old["access_token"].(string)}, "client_id": {v.Client}}, "", ""); status != http.StatusOK {
			t.Fatal(status, out)
		}
		fresh := s.SignIn(t, v)
		status, out := s.Token(t, v.Refresh(old["refresh_token"].(string)))
		refused(t, "the old refresh token", status, out, http.StatusBadRequest, oauth.InvalidGrant)
		x := s.Exchanger(t, s.Internal)
		if _, err := x.Exchange(t.Context(), request(old, gmailRead)); err == nil {
			t.Error("the old access token opens Google")
		}
		if _, err := x.Exchange(t.Context(), request(fresh, gmailRead)); err != nil {
			t.Errorf("the new grant: %v", err)
		}
	})
	t.Run("A4 a deleted client's grants are dead, at the exchange too", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		reg := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "none"})
		id := reg["client_id"].(string)
		tokens := s.SignIn(t, s.VisitAs(t, id))
		if status, _, _ := manage(t, s, http.MethodDelete, id, reg["registration_access_token"].(string), ""); status != http.StatusNoContent {
			t.Fatal(status)
		}
		if _, err := s.Exchanger(t, s.Replica(t).Internal).Exchange(t.Context(), request(tokens, gmailRead)); err == nil {
			t.Error("the access token of a deleted client opens Google")
		}
	})
	t.Run("A5 A30 codes and refresh tokens are refused alike, whatever is wrong with them", func(t *testing.T) {
		t.Parallel()
		s := authtest.Start(t)
		v := s.NewVisit(t)
		q, _ := s.Walk(t, v)
		other := s.Register(t)
		answers := map[string]string{}
		for name, form := range map[string]url.Values{
			"another client's": with(v.Redeem(q.Get("code")), "client_id", other), "wrong verifier": with(v.Redeem(q.Get("code")), "code_verifier", strings.Repeat("v", 43)),
			"invented": v.Redeem("lkc_invented"), "cut": v.Redeem(q.Get("code")[:30]), "refresh invented": v.Refresh("lkr_invented"),
		} {
			a := ask(t, http.MethodPost, s.URL+"/token", form.Encode(), "Content-Type", formType)
			answers[fmt.Sprint(a.Status, a.Body)] = name
		}
		if len(answers) != 1 {
			t.Errorf("answers differ: %v", answers)
		}
	})
}

// TestRowsStrangers: what somebody without an account and without a client sees.
func TestRowsStrangers(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	t.Run("A9 AS-A19 no header and no earlier consent makes the page go away", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		b := authtest.Browser()
		v := own.VisitAs(t, own.Host.PublishClient(t, "/client.json", nil))
		if q, p := own.WalkWith(t, b, v); q.Get("code") == "" {
			t.Fatal(q, p.Status)
		}
		for _, site := range []string{"", "cross-site", "same-site", "same-origin", "none", "nonsense"} {
			headers := []string{"Sec-Fetch-Mode", "navigate", "Cookie", "latchkey-csrf=" + strings.Repeat("A", 43)}
			if site != "" {
				headers = append(headers, "Sec-Fetch-Site", site)
			}
			for _, extra := range []url.Values{{}, {"prompt": {"login"}}, {"decision": {"approve"}}, {"max_age": {"999999"}}} {
				q := with(v.Query)
				for name, values := range extra {
					q[name] = values
				}
				a := ask(t, http.MethodGet, own.URL+"/authorize?"+q.Encode(), "", headers...)
				if a.Status != http.StatusOK || a.Header.Get("Location") != "" || !strings.Contains(a.Body, `value="approve"`) {
					t.Errorf("%q, %v: %d to %q", site, extra, a.Status, a.Header.Get("Location"))
				}
			}
		}
	})
	t.Run("A11 AS-S2 what stands in a link does not become a page's markup", func(t *testing.T) {
		t.Parallel()
		client := s.Register(t, "https://a.example/cb", authtest.Redirect)
		const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
		for name, q := range map[string]url.Values{
			"client_id": {"client_id": {evil}}, "redirect_uri": {"client_id": {client}, "redirect_uri": {evil}}, "document": {"client_id": {"https://a.example/" + evil}},
			"login_hint": with(visit(client, authtest.Redirect).Query, "login_hint", evil), "state": with(visit(client, "https://a.example/cb").Query, "state", evil, "scope", `"`),
			"scope": with(visit(client, "https://a.example/cb").Query, "scope", evil), "request_uri": {"client_id": {client}, "request_uri": {"urn:ietf:params:oauth:request_uri:" + evil}},
		} {
			a := ask(t, http.MethodGet, s.URL+"/authorize?"+q.Encode(), "")
			if strings.Contains(a.Body, "<script") || strings.Contains(a.Body, "<img") || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(a.Header.Get("Content-Security-Policy"), "unsafe") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
			}
		}
		for _, target := range []string{"/google/callback?error=" + url.QueryEscape(evil), "/google/callback?error_description=" + url.QueryEscape(evil) + "&state=x", "/" + url.PathEscape(evil)} {
			if a := ask(t, http.MethodGet, s.URL+target, ""); strings.Contains(a.Body, "<script") || strings.Contains(a.Body, "onerror") {
				t.Errorf("%s: %s", target, a.Body)
			}
		}
	})
	t.Run("A25 AS-D2 neither Host nor forwarding headers reach a document, a page or a redirect", func(t *testing.T) {
		t.Parallel()
		lies := []string{"Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Forwarded-For", "127.0.0.1", "Forwarded", "host=evil.example;proto=https", "X-Original-URL", "/internal/exchange", "X-Forwarded-Prefix", "/evil"}
		v := visit(s.Register(t), authtest.Redirect)
		broken := visit(v.Client, authtest.Redirect)
		broken.Query.Set("scope", `"`)
		for what, a := range map[string]answer{
			"metadata": ask(t, http.MethodGet, s.URL+wellKnown[0], "", lies...), "OpenID metadata": ask(t, http.MethodGet, s.URL+wellKnown[1], "", lies...),
			"consent page": ask(t, http.MethodGet, s.AuthorizeURL(v), "", lies...), "error redirect": ask(t, http.MethodGet, s.AuthorizeURL(broken), "", lies...),
			"registration": ask(t, http.MethodPost, s.URL+"/register", `{"redirect_uris":["https://a.example/cb"]}`, append(lies, "Content-Type", "application/json")...),
		} {
			said := a.Body + fmt.Sprint(a.Header) // with much that is random, perhaps those four letters
			if strings.Contains(said, "evil.example") || strings.Contains(said, "/evil") || a.Status == http.StatusNotFound {
				t.Errorf("%s: %d %v %s", what, a.Status, a.Header, a.Body)
			}
			if what != "consent page" && !strings.Contains(a.Body+a.Header.Get("Location"), strings.TrimPrefix(s.URL, "http://")) && !strings.Contains(a.Header.Get("Location"), url.QueryEscape(s.URL)) {
				t.Errorf("%s does not name the issuer: %s", what, a.Body)
			}
		}
	})
	t.Run("A26 AS-T1 secrets in a URL are not taken", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		token := s.SignIn(t, v)["refresh_token"].(string)
		for _, path := range []string{"/token", "/revoke", "/introspect", "/par"} {
			a := ask(t, http.MethodPost, s.URL+path+"?"+with(v.Refresh(token), "token", token).Encode(), "", "Content-Type", formType)
			if a.Status != http.StatusUnauthorized && a.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
		if status, out := s.Token(t, v.Refresh(token)); status != http.StatusOK {
			t.Errorf("something was done with it: %d %v", status, out)
		}
		if strings.Contains(s.Logs.String(), token) {
			t.Error("the token is in the log")
		}
	})
	t.Run("A27 A16 costly and malformed JOSE is refused at once", func(t *testing.T) {
		t.Parallel()
		encode := base64.RawURLEncoding.EncodeToString
		client := s.RegisterWith(t, nil)
		id, secret := client["client_id"].(string), client["client_secret"].(string)
		for name, token := range map[string]string{
			"PBES2 with two thousand million rounds": encode([]byte(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2000000000,"p2s":"AAAAAAAAAAA"}`)) + ".AA.AA.AA.AA",
			"encrypted":                              encode([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + "...AA.AA", "no key, compressed": encode([]byte(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`)) + "..AA.AA.AA",
			"alg none": encode([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + encode([]byte(`{"iss":"`+s.URL+`"}`)) + ".", "its own key": encode([]byte(`{"alg":"ES256","jwk":{"kty":"EC"},"typ":"at+jwt"}`)) + ".e30.AA",
			"key from elsewhere": encode([]byte(`{"alg":"ES256","jku":"`+s.Host.URL+`/keys","kid":"x","typ":"at+jwt"}`)) + ".e30.AA", "critical": encode([]byte(`{"alg":"ES256","crit":["b64"],"b64":false,"kid":"x"}`)) + ".e30.AA",
			"a thousand dots": strings.Repeat(".", 1000), "deep JSON": encode([]byte(strings.Repeat(`{"a":`, 500)+"1"+strings.Repeat("}", 500))) + ".e30.AA", "four kilobytes": strings.Repeat("A", 4000), "NUL": "a.b.\x00",
		} {
			start := time.Now()
			if _, _, out := post(t, s.URL+"/introspect", url.Values{"token": {token}}, id, secret); out["active"] != false {
				t.Errorf("%s at the introspection: %v", name, out)
			}
			f := request(map[string]any{"access_token": token}, gmailRead).Form()
			f.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
			f.Set("client_assertion", token)
			if status, _, out := post(t, s.Internal+"/internal/exchange", f, "", ""); status != http.StatusUnauthorized && status != http.StatusBadRequest {
				t.Errorf("%s at the exchange: %d %v", name, status, out)
			}
			if took := time.Since(start); took > time.Minute { // the rounds alone would take a quarter of an hour
				t.Errorf("%s took %v", name, took)
			}
		}
		if n := s.Host.Hits("/keys"); n != 0 {
			t.Error("a token's own key was fetched")
		}
	})
	t.Run("A27 the JOSE libraries are past their advisories", func(t *testing.T) {
		t.Parallel()
		b, err := os.ReadFile("../../go.mod")
		if err != nil {
			t.Fatal(err)
		}
		for module, least := range map[string][3]int{"github.com/go-jose/go-jose/v3": {3, 0, 5}, "github.com/go-jose/go-jose/v4": {4, 1, 4}, "golang.org/x/oauth2": {0, 27, 0}} {
			m := regexp.MustCompile(regexp.QuoteMeta(module) + ` v(\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(string(b))
			if m == nil {
				t.Errorf("%s is not pinned", module)
				continue
			}
			var have [3]int
			for i := range have {
				have[i], _ = strconv.Atoi(m[i+1])
			}
			if have[0] < least[0] || have[0] == least[0] && (have[1] < least[1] || have[1] == least[1] && have[2] < least[2]) {
				t.Errorf("%s is %v, at least %v", module, have, least)
			}
		}
	})
	t.Run("A29 no path of ours redirects to another host", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{
			"//evil.example", "//evil.example/..", "///evil.example/%2e%2e", `/\evil.example/..`, "/%5cevil.example/../x", "/.//evil.example", "/t//evil.example", "/authorize//evil.example", "/google/callback//evil.example",
			"/%2f%2fevil.example/..", "/https://evil.example", "/authorize/../\\evil.example", "/;@evil.example/..", "/register//evil.example", "/.well-known/..//evil.example",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.URL.Opaque = path // as it stands, past every cleaning of our client
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				_ = resp.Body.Close()
				to := resp.Header.Get("Location")
				u, err := url.Parse(to)
				if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || resp.StatusCode >= 500 {
					t.Errorf("%s %s: %d to %q", method, path, resp.StatusCode, to)
				}
			}
		}
	})
	t.Run("A30 AS-T16 an unknown client and a wrong secret get the same answer", func(t *testing.T) {
		t.Parallel()
		known := s.RegisterWith(t, nil)["client_id"].(string)
		for _, path := range []string{"/token", "/revoke", "/introspect", "/par"} {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "token": {"x"}, "client_secret": {"guess"}}
			a := ask(t, http.MethodPost, s.URL+path, with(form, "client_id", known).Encode(), "Content-Type", formType)
			b := ask(t, http.MethodPost, s.URL+path, with(form, "client_id", "c_nobody").Encode(), "Content-Type", formType)
			if a.Status != b.Status || a.Body != b.Body || a.Status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s, but %d %s", path, a.Status, a.Body, b.Status, b.Body)
			}
		}
	})
	t.Run("A30 A23 an unknown registration and a wrong token get the same answer", func(t *testing.T) {
		t.Parallel()
		known := s.RegisterWith(t, nil)["client_id"].(string)
		seen := map[string]bool{}
		for _, id := range []string{known, "c_nobody", "https:a", strings.Repeat("c", 600)} {
			a := ask(t, http.MethodGet, s.URL+"/register/"+id, "", "Authorization", "Bearer "+strings.Repeat("A", 47))
			seen[fmt.Sprint(a.Status, a.Body, a.Header.Get("WWW-Authenticate"))] = true
		}
		if len(seen) != 1 {
			t.Errorf("answers differ: %v", seen)
		}
	})
	t.Run("A30 an unknown tenant looks like any unknown path", func(t *testing.T) {
		t.Parallel()
		number := regexp.MustCompile(`<code>[^<]*</code>`)
		seen := map[string]bool{}
		for _, path := range []string{"/t/nobody/token", "/t/default/token", "/nothing"} {
			a := ask(t, http.MethodPost, s.URL+path, "", "Content-Type", formType)
			seen[fmt.Sprint(a.Status, number.ReplaceAllString(a.Body, ""))] = true
		}
		if len(seen) != 1 {
			t.Errorf("answers differ: %v", seen)
		}
	})
}
