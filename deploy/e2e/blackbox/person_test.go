package blackbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
)

// bearer sends a client's access token as it is at the time of the request.
type bearer struct{ c *smoke.Client }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.c.AccessToken())
	return http.DefaultTransport.RoundTrip(r)
}

// assistant is the MCP client of the official Go SDK with a person behind it.
type assistant struct {
	t       *testing.T
	tokens  *smoke.Client
	session *mcp.ClientSession
}

// assist signs a person in, who answers at Google as the choice says, and opens a
// session.
func assist(t *testing.T, s *stack.Stack, b *browser.Browser, scope string, choice *fakegoogle.Choice) *assistant {
	t.Helper()
	a := &assistant{t: t}
	var err error
	a.tokens, err = smoke.New(smoke.Config{MCPURL: s.MCPURL, Scope: scope, Out: t.Output(), Person: func(authorizeURL string) {
		page, err := b.Get(t.Context(), authorizeURL)
		must(t, err)
		f, button, ok := page.Button("decision", "approve")
		if !ok {
			t.Fatalf("no consent page at %s: status %d", page.URL.Path, page.Status)
		}
		page, err = b.Submit(t.Context(), page, f, button)
		must(t, err)
		_, err = fakegoogle.Proceed(t.Context(), b, page, *choice)
		must(t, err)
	}})
	must(t, err)
	must(t, a.tokens.SignIn(t.Context()))
	a.session = a.connect(s, nil, "")
	return a
}

// connect opens a session of a client as the options say; version is the MCP revision,
// "" for the newest.
func (a *assistant) connect(s *stack.Stack, o *mcp.ClientOptions, version string) *mcp.ClientSession {
	a.t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "person", Version: "1"}, o)
	session, err := client.Connect(a.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: s.MCPURL, HTTPClient: &http.Client{Transport: bearer{a.tokens}}, DisableStandaloneSSE: true,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	must(a.t, err)
	a.t.Cleanup(func() { _ = session.Close() })
	return session
}

// call calls a tool and returns what every result of interest here has.
func (a *assistant) call(name string, arguments map[string]any) (out struct {
	Account struct{ Handle, Email string }
	Code    string
	Link    string
	Shared  []string `json:"shared_with"`
	Works   bool
	Warning string
	Access  []struct {
		Scope          string
		Allowed, Works bool
	}
}) {
	a.t.Helper()
	result, err := a.session.CallTool(a.t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	must(a.t, err)
	b, err := json.Marshal(result.StructuredContent)
	must(a.t, err)
	must(a.t, json.Unmarshal(b, &out))
	return out
}

// TestThroughAnMCPClient: issue 4: what people meet with their Google accounts, through
// an MCP client that others wrote and a browser.
func TestThroughAnMCPClient(t *testing.T) {
	t.Parallel()
	s := own(t, "TOOL_PRESET=extended")
	t.Run("partial consent", func(t *testing.T) { partialConsent(t, s) })
	t.Run("two accounts", func(t *testing.T) { twoAccounts(t, s) })
	t.Run("approval", func(t *testing.T) { approval(t, s) })
	t.Run("relink and disconnect", func(t *testing.T) { relinkAndDisconnect(t, s) })
	t.Run("testing mode", func(t *testing.T) { testingMode(t, s) }) // last: it changes Google's client
}

// press submits the form of a page that has the button.
func press(t *testing.T, b *browser.Browser, p *browser.Page, do string) *browser.Page {
	t.Helper()
	f, button, ok := p.Button("do", do)
	if !ok {
		t.Fatalf("no button %q at %s: status %d", do, p.URL.Path, p.Status)
	}
	next, err := b.Submit(t.Context(), p, f, button)
	must(t, err)
	return next
}

// connect presses the button of a link and answers at Google.
func connect(t *testing.T, b *browser.Browser, link string, account string) {
	t.Helper()
	page, err := b.Get(t.Context(), link)
	must(t, err)
	page, err = fakegoogle.Proceed(t.Context(), b, press(t, b, page, "connect"), fakegoogle.Choice{Account: account})
	must(t, err)
	if page.Status != http.StatusOK || !strings.Contains(string(page.Body), "Google is connected") {
		t.Fatalf("status %d at %s", page.Status, page.URL.Path)
	}
}

// relinkAndDisconnect: issue 4: a changed password ends the connection, the tool's answer has a link, the link repairs it,
// and the same client goes on; then the person disconnects the account, and the client is out here and at Google.
func relinkAndDisconnect(t *testing.T, s *stack.Stack) {
	const alice = "alice@example.com"
	b := browser.New()
	a := assist(t, s, b, "", &fakegoogle.Choice{Account: alice})
	if out := a.call("gmail_search_threads", nil); out.Account.Email != alice {
		t.Fatalf("%+v", out)
	}
	s.Google.RevokeUser(alice) // as a changed password does
	out := a.call("gmail_search_threads", nil)
	if out.Code != "reconnect_required" || !strings.HasPrefix(out.Link, s.Issuer+"/connect/") {
		t.Fatalf("%+v", out)
	}
	connect(t, browser.New(), out.Link, alice) // any browser: the account itself signs in
	if out := a.call("gmail_search_threads", nil); out.Account.Email != alice {
		t.Fatalf("%+v", out)
	}

	page, err := b.Get(t.Context(), s.Issuer+"/account") // the sign-in for the app signed the browser in
	must(t, err)
	if !strings.Contains(string(page.Body), "Latchkey smoke client") {
		t.Error("the page does not name the app")
	}
	revoked := s.Google.Count("POST /revoke")
	if page = press(t, b, page, "disconnect"); !strings.Contains(string(page.Body), "No Google account is connected.") {
		t.Error("the account is still there")
	}
	eventually(t, "the resource server refuses the token", func() bool {
		_, err := a.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "gmail_search_threads"})
		return err != nil && strings.Contains(err.Error(), "Unauthorized")
	})
	if err := a.tokens.Refresh(t.Context()); err == nil {
		t.Error("the refresh token lives")
	}
	eventually(t, "the access is withdrawn at Google", func() bool { return s.Google.Count("POST /revoke") > revoked })
}

// partialConsent: GOOGLE §4 no. 5: a box that was unticked at Google narrows what the app may do, the rest works, and the
// next sign-in asks for what was left out and adds it.
func partialConsent(t *testing.T, s *stack.Stack) {
	b := browser.New()
	choice := fakegoogle.Choice{Account: "carol@outsider.test", Untick: []string{"https://www.googleapis.com/auth/drive.readonly"}}
	a := assist(t, s, b, "accounts gmail.read drive.read", &choice)
	if out := a.call("gmail_search_threads", nil); out.Account.Email != choice.Account {
		t.Errorf("mail of %q, %q", out.Account.Email, out.Code)
	}
	for _, x := range a.call("account_status", nil).Access {
		if x.Scope == "gmail.read" && !x.Allowed || x.Scope == "drive.read" && x.Allowed {
			t.Errorf("%+v", x)
		}
	}
	if _, err := a.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "drive_search"}); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("a tool of a scope that was left out: %v", err)
	}
	choice.Untick = nil
	again := assist(t, s, b, "accounts gmail.read drive.read", &choice)
	if out := again.call("drive_search", nil); out.Account.Email != choice.Account {
		t.Errorf("files of %q, %q", out.Account.Email, out.Code)
	}
}

// twoAccounts: GOOGLE §4 nos. 3, 6: the person adds a second Google account on their page; a call names the one it wants
// by alias or handle, every result names the one it used, and without a name it is the one the app was allowed.
func twoAccounts(t *testing.T, s *stack.Stack) {
	b := browser.New()
	const first, second = "bob@example.com", "carol@outsider.test"
	a := assist(t, s, b, "", &fakegoogle.Choice{Account: first})
	page, err := b.Get(t.Context(), s.Issuer+"/account") // the sign-in for the app signed the browser in
	must(t, err)
	page, err = fakegoogle.Proceed(t.Context(), b, press(t, b, page, "add"), fakegoogle.Choice{Account: second})
	must(t, err)
	if page.Status != http.StatusOK || !strings.Contains(string(page.Body), "Google is connected") {
		t.Fatalf("status %d at %s", page.Status, page.URL.Path)
	}
	handle := ""
	for account, email := range map[string]string{"": first, "personal": second, "example.com": first} {
		arguments := map[string]any{}
		if account != "" {
			arguments["account"] = account
		}
		out := a.call("gmail_search_threads", arguments)
		if out.Account.Email != email {
			t.Errorf("account %q: mail of %q, %q", account, out.Account.Email, out.Code)
		}
		if email == second {
			handle = out.Account.Handle
		}
	}
	if out := a.call("gmail_search_threads", map[string]any{"account": handle}); out.Account.Email != second {
		t.Errorf("by handle: mail of %q, %q", out.Account.Email, out.Code)
	}
	if out := a.call("gmail_search_threads", map[string]any{"account": "nobody"}); out.Code != "account_selection_required" {
		t.Errorf("an account that is not there: %+v", out)
	}
	// The second account is repaired by its person, not by whoever has the mailbox now.
	s.Google.RevokeUser(second)
	link := a.call("gmail_search_threads", map[string]any{"account": handle}).Link
	page, err = browser.New().Get(t.Context(), link)
	must(t, err)
	if _, _, ok := page.Button("do", "sign-in"); !ok {
		t.Fatalf("a stranger is not asked who they are: status %d", page.Status)
	}
	connect(t, b, link, second)
	if out := a.call("gmail_search_threads", map[string]any{"account": handle}); out.Account.Email != second {
		t.Errorf("repaired: %+v", out)
	}
}

// testingMode: GOOGLE §4 no. 7: a Google client in testing mode ends the connection; the person is told a day before and
// in other words than after a revocation, and the link repairs it.
func testingMode(t *testing.T, s *stack.Stack) {
	s.Google.SetTesting(stack.ClientID, 4*time.Minute) // within what the server takes Google's clock to be off, so it need not pass
	b := browser.New()
	a := assist(t, s, b, "", &fakegoogle.Choice{})
	if out := a.call("account_status", nil); !out.Works || !strings.Contains(out.Warning, "testing") {
		t.Errorf("before: %+v", out)
	}
	s.Google.Advance(5 * time.Minute)
	s.Google.ExpireAccessTokens()
	out := a.call("gmail_search_threads", nil)
	if out.Code != "testing_expired" || !strings.HasPrefix(out.Link, s.Issuer+"/connect/") {
		t.Fatalf("after: %+v", out)
	}
	connect(t, b, out.Link, "")
	if out := a.call("gmail_search_threads", nil); out.Account.Email != "alice@example.com" {
		t.Errorf("repaired: %+v", out)
	}
}
