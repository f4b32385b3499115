package app_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

func claims(t *testing.T, token any) map[string]any {
	t.Helper()
	s, _ := token.(string)
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %v", token)
	}
	out := map[string]any{}
	for _, i := range []int{0, 1} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, &out) != nil {
			t.Fatal("JWT does not decode")
		}
	}
	return out
}

// TestWholeFlow: registration to refresh; every claim of RFC 9068 §2.2; iss and state on the response (RFC 9207).
func TestWholeFlow(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	q, _ := s.Walk(t, v)
	if q.Get("state") != "st-1" || q.Get("iss") != s.URL || q.Get("code") == "" || len(q) != 3 {
		t.Fatalf("authorization response: %v", q)
	}
	status, out := s.Token(t, v.Redeem(q.Get("code")))
	if status != http.StatusOK || out["token_type"] != "Bearer" || out["expires_in"] != 600.0 || out["scope"] != "accounts calendar.read drive.read gmail.read" {
		t.Fatalf("%d %v", status, out)
	}
	c := claims(t, out["access_token"])
	for name, want := range map[string]any{"iss": s.URL, "aud": authtest.Resource, "client_id": v.Client, "typ": "at+jwt", "alg": "ES256", "scope": out["scope"], "tid": "00000000-0000-7000-8000-000000000001"} {
		if c[name] != want {
			t.Errorf("%s: %v", name, c[name])
		}
	}
	for _, name := range []string{"sub", "exp", "iat", "jti", "gid", "kid"} {
		if c[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if b, _ := json.Marshal(c); strings.Contains(string(b), "alice") {
		t.Error("personal data in the access token (RFC 9068 §6)")
	}
	status, next := s.Token(t, v.Refresh(out["refresh_token"].(string)))
	if status != http.StatusOK || next["refresh_token"] == out["refresh_token"] || claims(t, next["access_token"])["jti"] == c["jti"] {
		t.Fatalf("%d %v", status, next)
	}
}

// TestAuthorizeErrors: RFC 6749 §4.1.2.1. While client and redirect URI are in doubt a page; then a redirect with error, state and iss.
func TestAuthorizeErrors(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	client := s.Register(t)
	for name, c := range map[string]struct {
		change func(q url.Values)
		want   string // error code of the redirect, "" for a page
	}{
		"AS-A3 no client":                      {func(q url.Values) { q.Del("client_id") }, ""},
		"AS-A3 A30 unknown client":             {func(q url.Values) { q.Set("client_id", "c_nobody") }, ""},
		"AS-A3 other redirect URI":             {func(q url.Values) { q.Set("redirect_uri", "https://evil.example/cb") }, ""},
		"AS-A3 two redirect URIs":              {func(q url.Values) { q.Add("redirect_uri", authtest.Redirect) }, ""},
		"AS-A2 other loopback path":            {func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:7/other") }, ""},
		"AS-A1 two scopes":                     {func(q url.Values) { q.Add("scope", "x") }, "invalid_request"},
		"AS-A6 no response_type":               {func(q url.Values) { q.Del("response_type") }, "invalid_request"},
		"AS-A6 AS-T14 A28 implicit":            {func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type"},
		"AS-A6 hybrid":                         {func(q url.Values) { q.Set("response_type", "code token") }, "unsupported_response_type"},
		"AS-A5 A7 no PKCE":                     {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"AS-A5 A7 plain":                       {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"AS-A5 A7 method left out":             {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"AS-A5 short challenge":                {func(q url.Values) { q.Set("code_challenge", "short") }, "invalid_request"},
		"AS-A5 challenge not base64":           {func(q url.Values) { q.Set("code_challenge", strings.Repeat("=", 43)) }, "invalid_request"},
		"AS-A11 unknown resource":              {func(q url.Values) { q.Set("resource", "https://other.example/mcp") }, "invalid_target"},
		"AS-A11 fragment":                      {func(q url.Values) { q.Set("resource", authtest.Resource+"#f") }, "invalid_target"},
		"AS-A11 two resources":                 {func(q url.Values) { q.Add("resource", "https://other.example/mcp") }, "invalid_target"},
		"RFC 6749 3.3 bad scope":               {func(q url.Values) { q.Set("scope", `gmail.read "x`) }, "invalid_scope"},
		"A28 request object":                   {func(q url.Values) { q.Set("request", "x") }, "request_not_supported"},
		"A28 A12 request URI":                  {func(q url.Values) { q.Set("request_uri", "https://evil.example/r") }, "request_uri_not_supported"},
		"AS-A19 A9 prompt none cannot be done": {func(q url.Values) { q.Set("prompt", "none") }, "interaction_required"},
		"AS-A24 prompt none and another":       {func(q url.Values) { q.Set("prompt", "none login") }, "invalid_request"},
		"AS-A24 max_age is no number":          {func(q url.Values) { q.Set("max_age", "soon") }, "invalid_request"},
		"AS-A24 max_age is negative":           {func(q url.Values) { q.Set("max_age", "-1") }, "invalid_request"},
		"AS-A24 max_age is empty":              {func(q url.Values) { q.Set("max_age", "") }, "invalid_request"},
		"AS-A24 max_age beyond every number":   {func(q url.Values) { q.Set("max_age", "99999999999999999999") }, "invalid_request"},
		"form_post is not offered":             {func(q url.Values) { q.Set("response_mode", "form_post") }, "invalid_request"},
		"state longer than its limit":          {func(q url.Values) { q.Set("state", strings.Repeat("s", 3000)) }, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &authtest.Visit{Query: url.Values{
				"response_type": {"code"}, "client_id": {client}, "redirect_uri": {authtest.Redirect}, "state": {"st-1"}, "resource": {authtest.Resource},
				"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
			}}
			v.Query.Set("scope", "gmail.read")
			c.change(v.Query)
			p, err := authtest.Browser().Get(t.Context(), s.AuthorizeURL(v))
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if p.Status != http.StatusBadRequest || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") || len(p.Forms) != 0 {
					t.Errorf("want a page, got %d at %s", p.Status, p.URL)
				}
				return
			}
			q := p.URL.Query()
			if p.Status != 0 || q.Get("error") != c.want || q.Get("iss") != s.URL || (len(v.Query.Get("state")) < 2048) != (q.Get("state") == "st-1") {
				t.Errorf("status %d, %v", p.Status, q)
			}
		})
	}
}

// TestLenientRequests: what real clients send must work (PROTOCOL 3.6).
func TestLenientRequests(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for name, c := range map[string]struct {
		change    func(q url.Values)
		wantScope string
	}{
		"no resource (no. 3)":               {func(q url.Values) { q.Del("resource") }, ""},
		"resource with a slash (no. 2)":     {func(q url.Values) { q.Set("resource", authtest.Resource+"/") }, ""},
		"resource in upper case (RS-P8)":    {func(q url.Values) { q.Set("resource", "HTTP://127.0.0.1:9/mcp") }, ""},
		"resource is the origin (no. 2)":    {func(q url.Values) { q.Set("resource", "http://127.0.0.1:9") }, ""},
		"unknown scopes (no. 13)":           {func(q url.Values) { q.Set("scope", "claudeai openid gmail.read offline_access") }, "gmail.read"},
		"AS-A9 no scope: the default":       {func(q url.Values) { q.Del("scope") }, "accounts calendar.read drive.read gmail.read"},
		"only unknown scopes":               {func(q url.Values) { q.Set("scope", "openid email profile") }, "accounts calendar.read drive.read gmail.read"},
		"no state":                          {func(q url.Values) { q.Del("state") }, ""},
		"AS-A24 prompt=consent":             {func(q url.Values) { q.Set("prompt", "consent") }, ""},
		"AS-A1 unknown parameters":          {func(q url.Values) { q.Set("foo", "1") }, ""},
		"the redirect URI as registered":    {func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:7/callback") }, ""},
		"login_hint skips Google's chooser": {func(q url.Values) { q.Set("login_hint", "bob@example.com") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.NewVisit(t)
			c.change(v.Query)
			out := s.SignIn(t, v)
			if got := claims(t, out["access_token"])["aud"]; got != authtest.Resource {
				t.Errorf("aud %v is not canonical", got)
			}
			if c.wantScope != "" && out["scope"] != c.wantScope {
				t.Errorf("scope %v", out["scope"])
			}
			if out["refresh_token"] == nil {
				t.Error("no refresh token")
			}
		})
	}
}

// TestConsentPage: PROTOCOL AS-A13, A17, C13: client, redirect host and scopes in words; headers; no state cookie before approval (AS-A16).
func TestConsentPage(t *testing.T) {
	t.Parallel()
	t.Run("AS-A13 AS-A17 AS-C13 AS-C15 the page says who wants what and where it leads, and loads nothing", consentPage)
}

func consentPage(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	p, err := authtest.Browser().Get(t.Context(), s.AuthorizeURL(v))
	if err != nil {
		t.Fatal(err)
	}
	body := string(p.Body)
	for _, want := range []string{"Test app", "Nobody has verified it", "an app on this computer, port 7", "search and read your mail", "View your e-mail messages", "180 days", "Cancel"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	csp := p.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self' " + s.Google.URL + " http://127.0.0.1:7"} {
		if !strings.Contains(csp, want) {
			t.Errorf("CSP lacks %q: %s", want, csp)
		}
	}
	if p.Header.Get("X-Frame-Options") != "DENY" || p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Access-Control-Allow-Origin") != "" || p.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers: %v", p.Header)
	}
	for _, c := range p.Header.Values("Set-Cookie") {
		if !strings.HasPrefix(c, "latchkey-csrf=") || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") {
			t.Errorf("cookie before approval: %s", c)
		}
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "http://www.") || strings.Index(body, `value="deny"`) > strings.Index(body, `value="approve"`) {
		t.Error("script, foreign content, or Cancel is not first")
	}
}

// TestHostileClientName: PEERS A11: self-asserted names are escaped and cleaned.
func TestHostileClientName(t *testing.T) {
	t.Parallel()
	t.Run("A11 AS-R9 AS-S2 a hostile name is shown clean and escaped", hostileClientName)
}

func hostileClientName(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for _, name := range []string{`<img src=x onerror=alert(1)>`, "</h1><script>alert(1)</script>", "Goo\u202egle", "A\u200bB", "x\x01y", `"><form action=//evil.example>`, "{{.}}"} {
		b, _ := json.Marshal(map[string]any{"redirect_uris": []string{authtest.Redirect}, "client_name": name})
		status, out := s.Post(t, "/register", "application/json", string(b))
		if status != http.StatusCreated {
			t.Fatalf("%q: %d %v", name, status, out)
		}
		v := s.NewVisit(t)
		v.Query.Set("client_id", out["client_id"].(string))
		p, err := authtest.Browser().Get(t.Context(), s.AuthorizeURL(v))
		if err != nil {
			t.Fatal(err)
		}
		body := string(p.Body)
		if len(p.Forms) != 1 || strings.Contains(body, "<img") || strings.Contains(body, "<script") || strings.ContainsAny(body, "\u202e\u200b\x01") {
			t.Errorf("%q reaches the page", name)
		}
	}
}

// TestDenyIsARedirect: at our page and at Google's; with iss and state, and nothing granted.
func TestDenyIsARedirect(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for name, change := range map[string]func(*authtest.Visit){
		"AS-A8 at the consent page": func(v *authtest.Visit) { v.Deny = true },
		"AS-A8 at Google":           func(v *authtest.Visit) { v.Choice.Deny = true },
		"nothing ticked":            func(v *authtest.Visit) { v.Untick = []string{"gmail.read", "drive.read", "calendar.read", "accounts"} },
		"Google: all access unticked": func(v *authtest.Visit) {
			v.Query.Set("scope", "gmail.read")
			v.Choice.Untick = []string{"https://www.googleapis.com/auth/gmail.readonly"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.NewVisit(t)
			change(v)
			q, p := s.Walk(t, v)
			if q == nil || q.Get("error") != "access_denied" || q.Get("iss") != s.URL || q.Get("state") != "st-1" || q.Has("code") {
				t.Errorf("%v (page %d)", q, p.Status)
			}
		})
	}
}

// TestPartialConsentNarrows: unticked at our page is not asked at Google; unticked at Google narrows the token.
func TestPartialConsentNarrows(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Untick = []string{"calendar.read"}
	v.Choice.Untick = []string{"https://www.googleapis.com/auth/drive.readonly"}
	if out := s.SignIn(t, v); out["scope"] != "accounts gmail.read" {
		t.Errorf("scope %v", out["scope"])
	}
}

// TestCallbackIsBoundToBrowser: PEERS A8, A22, CVE-2026-27124: another browser, a second time and a forged state are 403, and Google's code is not exchanged.
func TestCallbackIsBoundToBrowser(t *testing.T) {
	t.Parallel()
	t.Run("A8 A22 AS-A15 another browser cannot use the answer of Google", callbackIsBoundToBrowser)
}

func callbackIsBoundToBrowser(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	victim, attacker := browser.New(), browser.New()
	stop := func(u *url.URL) bool {
		return u.Path == "/google/callback" || strings.HasPrefix(u.String(), authtest.Redirect)
	}
	attacker.Stop = stop
	p, err := attacker.Get(t.Context(), s.AuthorizeURL(v))
	if err != nil {
		t.Fatal(err)
	}
	if p, err = authtest.Approve(t.Context(), attacker, p, v); err != nil {
		t.Fatal(err)
	}
	if p, err = fakegoogle.Proceed(t.Context(), attacker, p, v.Choice); err != nil || p.URL.Path != "/google/callback" {
		t.Fatal(p.URL, err)
	}
	callback := p.URL.String()
	if p, err = victim.Get(t.Context(), callback); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("another browser: %d %v", p.Status, err)
	}
	if n := s.Google.Count("POST /token"); n != 0 {
		t.Errorf("Google's code was exchanged %d times", n)
	}
	forged := strings.Replace(callback, "state=", "state=A", 1)
	if p, err = attacker.Get(t.Context(), forged); err != nil || p.Status == http.StatusOK && p.URL.Path != "/google/callback" {
		t.Errorf("forged state: %d %v", p.Status, err)
	}
	attacker.Stop = func(u *url.URL) bool { return strings.HasPrefix(u.String(), authtest.Redirect) }
	if p, err = attacker.Get(t.Context(), callback); err != nil || p.URL.Query().Get("code") == "" {
		t.Fatalf("the right browser: %d %v", p.Status, err)
	}
	if p, err = attacker.Get(t.Context(), callback); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("second use: %d %v", p.Status, err)
	}
}

// TestConsentIsBoundToBrowser: PEERS A10: a valid form of the attacker's, posted by a victim's browser, is refused; so is a cross-site post.
func TestConsentIsBoundToBrowser(t *testing.T) {
	t.Parallel()
	t.Run("A10 AS-A13 a form of the attacker does not work for the victim", consentIsBoundToBrowser)
}

func consentIsBoundToBrowser(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	attacker := authtest.Browser()
	page, err := attacker.Get(t.Context(), s.AuthorizeURL(v))
	if err != nil {
		t.Fatal(err)
	}
	victim := authtest.Browser()
	if _, err := victim.Get(t.Context(), s.AuthorizeURL(s.NewVisit(t))); err != nil { // the victim has a cookie of its own
		t.Fatal(err)
	}
	if p, err := authtest.Approve(t.Context(), victim, page, v); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("forged form: %v %v", p, err)
	}
	if p, err := authtest.Approve(t.Context(), browser.New(), page, v); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("no cookie: %v %v", p, err)
	}
	foreign := *page
	foreign.URL, _ = url.Parse("https://evil.example/")
	if p, err := authtest.Approve(t.Context(), attacker, &foreign, v); err != nil || p.Status != http.StatusForbidden {
		t.Errorf("cross-site post: %v %v", p, err)
	}
	// Two renders stay valid: a prefetch must not break the page a person sees.
	if _, err := attacker.Get(t.Context(), s.AuthorizeURL(v)); err != nil {
		t.Fatal(err)
	}
	if p, err := authtest.Approve(t.Context(), attacker, page, v); err != nil || p.Status != http.StatusOK || !strings.Contains(string(p.Body), "Choose an account") {
		t.Errorf("the first of two renders: %v %v", p, err)
	}
	page.Forms[0].Values.Set("request", page.Forms[0].Values.Get("request")[1:])
	if p, err := authtest.Approve(t.Context(), attacker, page, v); err != nil || p.Status != http.StatusBadRequest {
		t.Errorf("changed form: %v %v", p, err)
	}
}

// TestGoogleIdentityIsChecked: PROTOCOL AS-A23, PEERS A21: nonce, aud, iss and verified e-mail, or nothing is granted.
func TestGoogleIdentityIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fakegoogle.Fault
		want  string
	}{
		"nonce":            {fakegoogle.Fault{Nonce: "other"}, "access_denied"},
		"audience":         {fakegoogle.Fault{Audience: "other"}, "access_denied"},
		"issuer":           {fakegoogle.Fault{Issuer: "https://evil.example"}, "access_denied"},
		"unverified":       {fakegoogle.Fault{Unverified: true}, "access_denied"},
		"Google away":      {fakegoogle.Fault{Status: 503}, "temporarily_unavailable"},
		"our secret wrong": {fakegoogle.Fault{Status: 401, Code: "invalid_client"}, "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t)
			c.fault.Prefix = "/token"
			s.Google.Inject(c.fault)
			q, _ := s.Walk(t, s.NewVisit(t))
			if q.Get("error") != c.want || q.Get("iss") != s.URL || q.Get("state") != "st-1" {
				t.Errorf("%v", q)
			}
			if c.want == "access_denied" { // and it stands in the audit trail
				if e := auditOf(t, s); e[len(e)-1].Kind != audit.Login || e[len(e)-1].Outcome != "access_denied" || e[len(e)-1].Actor != audit.Google {
					t.Errorf("%+v", e[len(e)-1])
				}
			}
		})
	}
}

// TestRefreshTokenIsFetchedAgain: Google gives a refresh token once; when we have none, it is asked again with consent, once and not for ever.
func TestRefreshTokenIsFetchedAgain(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.Google.Inject(fakegoogle.Fault{Prefix: "/token", NoRefresh: true, Times: 1})
	s.SignIn(t, s.NewVisit(t))
	if n := s.Google.Count("POST /token"); n != 2 {
		t.Errorf("%d trips to Google for the first sign-in", n)
	}
	s.SignIn(t, s.NewVisit(t)) // now one is stored
	if n := s.Google.Count("POST /token"); n != 3 {
		t.Errorf("%d trips to Google after the second sign-in", n)
	}
	// Scopes that grow without a new refresh token need one (DESIGN §5).
	growing := authtest.Start(t)
	v := growing.NewVisit(t)
	v.Query.Set("scope", "gmail.read")
	growing.SignIn(t, v)
	growing.Google.Inject(fakegoogle.Fault{Prefix: "/token", NoRefresh: true, Times: 1})
	growing.SignIn(t, growing.NewVisit(t))
	if n := growing.Google.Count("POST /token"); n != 3 {
		t.Errorf("%d trips to Google when scopes grow", n)
	}
	other := authtest.Start(t)
	other.Google.Inject(fakegoogle.Fault{Prefix: "/token", NoRefresh: true})
	other.SignIn(t, other.NewVisit(t))
	if n := other.Google.Count("POST /token"); n != 2 {
		t.Errorf("%d trips when Google never gives one", n)
	}
}

// TestNothingSecretIsLogged: DESIGN §1.7 over a whole flow, at debug level.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	t.Run("A26 AS-S3 a whole flow leaves log lines and no secret in them", nothingSecretIsLogged)
}

func nothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Query.Set("login_hint", "alice@example.com")
	q, _ := s.Walk(t, v)
	_, out := s.Token(t, v.Redeem(q.Get("code")))
	refresh := out["refresh_token"].(string)
	s.Token(t, v.Refresh(refresh))
	s.Token(t, v.Refresh("lkr_garbage-canary"))
	logs := s.Logs.String()
	for name, canary := range map[string]string{
		"code": q.Get("code"), "refresh token": refresh, "access token": out["access_token"].(string), "verifier": v.Verifier, "e-mail": "alice@", "state": "st-1",
		"Google token": "ya29.", "Google refresh token": "1//0", "client secret": "google-secret", "cookie": "latchkey-csrf", "garbage": "garbage-canary",
	} {
		if strings.Contains(logs, canary) {
			t.Errorf("%s is in the log", name)
		}
	}
	if !strings.Contains(logs, `"path":"/token"`) {
		t.Error("no canonical log line")
	}
}
