package blackbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/smoke"
)

// TestWholeFlow: 401, discovery, registration, consent, Google, tools, refresh.
func TestWholeFlow(t *testing.T) {
	t.Parallel()
	s := running(t)
	for _, account := range []string{"alice@example.com", "carol@outsider.test"} {
		result, err := smoke.Run(t.Context(), smoke.Config{MCPURL: s.MCPURL, Account: account, Out: t.Output()})
		must(t, err)
		if result.Issuer != s.Issuer || !strings.Contains(result.Call.Text, account) || len(result.Call.Structured) == 0 {
			t.Errorf("issuer %q, answer %q", result.Issuer, result.Call.Text)
		}
	}
}

// TestEveryTool: each tool answers, from Google's data of the person signed in.
func TestEveryTool(t *testing.T) {
	t.Parallel()
	c := signedIn(t, running(t))
	must(t, c.Initialize(t.Context()))
	tools, err := c.ListTools(t.Context())
	must(t, err)
	found, err := c.CallTool(t.Context(), "gmail_search_threads", nil)
	must(t, err)
	var threads struct {
		Threads []struct {
			ID string `json:"thread_id"`
		} `json:"threads"`
	}
	if err := json.Unmarshal(found.Structured, &threads); err != nil || len(threads.Threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	id, err := json.Marshal(map[string]string{"thread_id": threads.Threads[0].ID})
	must(t, err)
	arguments := map[string]json.RawMessage{"gmail_get_thread": id}
	for _, name := range []string{"account_status", "calendar_list_events", "drive_search", "gmail_get_thread", "gmail_search_threads"} {
		if !slices.Contains(tools, name) {
			t.Errorf("%s is not listed", name)
			continue
		}
		result, err := c.CallTool(t.Context(), name, arguments[name])
		if err != nil || !bytes.Contains(result.Structured, []byte("alice@example.com")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAuthorizeErrors: RFC 6749 §4.1.2.1: while client or redirect URI are in
// doubt a page and no redirect; after that an error redirect with iss and state.
func TestAuthorizeErrors(t *testing.T) {
	t.Parallel()
	s := running(t)
	c := client(t, s)
	must(t, c.Discover(t.Context()))
	must(t, c.Register(t.Context()))
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, row := range map[string]struct {
		change func(url.Values)
		want   string // error code, "" for a page
	}{
		"unknown client":          {func(q url.Values) { q.Set("client_id", "c_nobody") }, ""},
		"foreign redirect URI":    {func(q url.Values) { q.Set("redirect_uri", "https://evil.example/callback") }, ""},
		"other path on loopback":  {func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:1/other") }, ""},
		"no PKCE":                 {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"PKCE plain":              {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"unknown resource":        {func(q url.Values) { q.Set("resource", "https://other.example/mcp") }, "invalid_target"},
		"scope of bad characters": {func(q url.Values) { q.Set("scope", `gmail.read "`) }, "invalid_scope"},
	} {
		target, state, err := c.AuthorizeURL("http://127.0.0.1:1/callback")
		must(t, err)
		q := target.Query()
		row.change(q)
		target.RawQuery = q.Encode()
		resp, err := browser.Get(target.String())
		must(t, err)
		_ = resp.Body.Close()
		location, _ := resp.Location()
		if row.want == "" {
			if resp.StatusCode != http.StatusBadRequest || location != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: status %d, location %v", name, resp.StatusCode, location)
			}
			continue
		}
		if location == nil || location.Query().Get("error") != row.want || location.Query().Get("iss") != s.Issuer || location.Query().Get("state") != state {
			t.Errorf("%s: status %d, location %v", name, resp.StatusCode, location)
		}
	}
}

// TestTokenErrors: RFC 6749 §5.2, never stored by anybody on the way (§5.1). A
// wrong guess does not use the code up.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	s := running(t)
	c := client(t, s)
	must(t, c.Discover(t.Context()))
	must(t, c.Register(t.Context()))
	must(t, c.Authorize(t.Context()))
	for name, row := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"wrong verifier":      {func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 43)) }, "invalid_grant"},
		"no verifier":         {func(f url.Values) { f.Del("code_verifier") }, "invalid_grant"},
		"wrong redirect URI":  {func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:1/callback") }, "invalid_grant"},
		"invented code":       {func(f url.Values) { f.Set("code", "lkc_invented") }, "invalid_grant"},
		"unknown grant type":  {func(f url.Values) { f.Set("grant_type", "password") }, "unsupported_grant_type"},
		"no grant type":       {func(f url.Values) { f.Del("grant_type") }, "invalid_request"},
		"code twice":          {func(f url.Values) { f.Add("code", "x") }, "invalid_request"},
		"unknown client":      {func(f url.Values) { f.Set("client_id", "c_nobody") }, "invalid_client"},
		"another resource":    {func(f url.Values) { f.Set("resource", "https://other.example/mcp") }, "invalid_target"},
		"code to refresh":     {func(f url.Values) { f.Set("grant_type", "refresh_token"); f.Set("refresh_token", f.Get("code")) }, "invalid_grant"},
		"client credentials":  {func(f url.Values) { f.Set("grant_type", "client_credentials") }, "unauthorized_client"},
		"secret that is none": {func(f url.Values) { f.Set("client_secret", "guess") }, "invalid_client"},
	} {
		form := c.RedeemForm()
		row.change(form)
		answer, err := c.Token(t.Context(), name, form)
		must(t, err)
		if answer.Error != row.want || answer.Status < 400 || answer.Status > 401 || answer.Header.Get("Cache-Control") != "no-store" || answer.AccessToken != "" {
			t.Errorf("%s: %d %s (%s), Cache-Control %q", name, answer.Status, answer.Error, answer.Description, answer.Header.Get("Cache-Control"))
		}
	}
	must(t, c.Redeem(t.Context()))
	works(t, c)
}

// TestResourceServerRefusals: what reaches no tool: a foreign token, an evil
// origin, too much.
func TestResourceServerRefusals(t *testing.T) {
	t.Parallel()
	s := running(t)
	for name, row := range map[string]struct {
		header http.Header
		body   string
		want   int
	}{
		"Google's kind of token": {http.Header{"Authorization": {"Bearer ya29.invented"}}, "{}", http.StatusUnauthorized},
		"no token":               {nil, "{}", http.StatusUnauthorized},
		"no token, no JSON":      {nil, "<", http.StatusUnauthorized},
		"evil origin":            {http.Header{"Origin": {"https://evil.example"}}, "{}", http.StatusForbidden},
		"20 MB":                  {http.Header{"Authorization": {"Bearer " + signedIn(t, s).AccessToken()}}, "x", http.StatusRequestEntityTooLarge},
	} {
		rest, end := io.Pipe() // who goes on sending to a server that has answered and closed may learn of that alone
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.MCPURL, io.MultiReader(strings.NewReader(row.body), rest))
		must(t, err)
		if req.ContentLength = 20 << 20; row.want != http.StatusRequestEntityTooLarge {
			req.ContentLength = int64(len(row.body))
			must(t, end.Close())
		}
		req.Header = row.header.Clone()
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultTransport.RoundTrip(req)
		must(t, err)
		_ = resp.Body.Close()
		_ = end.Close()
		if resp.StatusCode != row.want || (row.want == 401) != strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: %d, challenge %q", name, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

// TestTrustBoundary: the resource server's process holds no secret of the other
// side (DESIGN §1.1), whatever the environment of its starter.
func TestTrustBoundary(t *testing.T) {
	t.Parallel()
	s := own(t, "GOOGLE_CLIENT_SECRET_FILE=", "DATABASE_MIGRATE_URL=")
	b, err := os.ReadFile("/proc/" + itoa(s.RS.PID()) + "/environ")
	must(t, err)
	for _, name := range []string{"DATABASE", "KEK_FILE", "CLIENT_SECRET", "GOOGLE_CLIENT"} {
		if bytes.Contains(b, []byte(name)) {
			t.Errorf("the resource server's environment has %s", name)
		}
	}
	links, err := os.ReadDir("/proc/" + itoa(s.RS.PID()) + "/fd")
	must(t, err)
	for _, l := range links {
		to, _ := os.Readlink("/proc/" + itoa(s.RS.PID()) + "/fd/" + l.Name())
		if strings.Contains(to, "kek") || strings.Contains(to, "dev-pg") {
			t.Errorf("the resource server has %s open", to)
		}
	}
}
