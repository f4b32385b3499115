package blackbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/stack"
)

// approval: decision 0022: a client of MCP 2025-11-25, which cannot ask, shares a file
// after its person has said so on their page, once; nobody else can say it.
func approval(t *testing.T, s *stack.Stack) {
	const alice, bob = "alice@example.com", "bob@example.com"
	b := browser.New() // the sign-in for the app signs the browser in
	a := assist(t, s, b, "accounts drive.write", &fakegoogle.Choice{Account: alice})
	a.session = a.connect(s, nil, "2025-11-25")
	if v := a.session.InitializeResult().ProtocolVersion; v != "2025-11-25" {
		t.Fatalf("MCP %s", v)
	}
	file := s.Google.AddFile(alice, fakegoogle.NewFile{Name: "Plan <b>4711</b>", MimeType: "text/plain"})
	shared := func() int { return s.Google.Count("POST /drive/v3/files/" + file + "/permissions") }
	arguments := map[string]any{"file_id": file, "with": []string{bob}, "role": "reader"}
	asks := func() string {
		t.Helper()
		out := a.call("drive_share", arguments)
		if out.Code != "confirmation_required" || !strings.HasPrefix(out.Link, s.Issuer+"/approve/") {
			t.Fatalf("%+v", out)
		}
		return out.Link
	}
	link := asks()
	if again := asks(); again != link || shared() != 0 { // the model does not wait for anybody
		t.Fatalf("%s, then %s, shared %d times without a word", link, again, shared())
	}

	// Somebody else who has the link learns nothing and can say nothing.
	others := browser.New()
	assist(t, s, others, "", &fakegoogle.Choice{Account: bob})
	for who, c := range map[string]struct {
		b    *browser.Browser
		sign bool
	}{"nobody": {browser.New(), true}, "bob": {others, false}} {
		page, err := c.b.Get(t.Context(), link)
		must(t, err)
		_, _, signs := page.Button("do", "sign-in")
		_, _, allows := page.Button("do", "allow")
		if signs != c.sign || allows || strings.Contains(string(page.Body), "4711") || !c.sign && page.Status != http.StatusForbidden {
			t.Errorf("%s at the page of alice: status %d, sign-in %v, allow %v", who, page.Status, signs, allows)
		}
	}

	page, err := b.Get(t.Context(), link)
	must(t, err)
	for _, shown := range []string{"Latchkey smoke client", "drive_share", "With: " + bob, "| Plan &lt;b&gt;4711&lt;/b&gt;"} {
		if !strings.Contains(string(page.Body), shown) {
			t.Errorf("the page does not show %q", shown)
		}
	}
	if shared() != 0 {
		t.Error("looking at the page is a word")
	}
	press(t, b, page, "allow")
	if shared() != 0 {
		t.Error("shared by the page")
	}
	if out := a.call("drive_share", arguments); len(out.Shared) != 1 || out.Shared[0] != bob || shared() != 1 {
		t.Fatalf("allowed: %+v, shared %d times", out, shared())
	}
	again := asks()
	if again == link || shared() != 1 {
		t.Errorf("one word, shared %d times", shared())
	}
	page, err = b.Get(t.Context(), again)
	must(t, err)
	press(t, b, page, "refuse")
	if out := a.call("drive_share", arguments); out.Code != "declined" || shared() != 1 {
		t.Errorf("not allowed: %+v, shared %d times", out, shared())
	}

	// A client that opens pages is given it as one, in the form of its revision.
	pages := &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(ctx context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			page, err := b.Get(ctx, r.Params.URL)
			if err != nil {
				return nil, err
			}
			press(t, b, page, "allow")
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	}
	call := &mcp.CallToolParams{Name: "drive_share", Arguments: arguments}
	_, err = a.connect(s, pages, "2025-11-25").CallTool(t.Context(), call)
	var required *jsonrpc.Error
	var data struct{ Elicitations []*mcp.ElicitParams }
	if !errors.As(err, &required) || required.Code != mcp.CodeURLElicitationRequired || json.Unmarshal(required.Data, &data) != nil || len(data.Elicitations) != 1 || data.Elicitations[0].Mode != "url" || !strings.HasPrefix(data.Elicitations[0].URL, s.Issuer+"/approve/") {
		t.Errorf("2025-11-25: %v", err)
	}
	result, err := a.connect(s, pages, "").CallTool(t.Context(), call) // asks and repeats by itself
	must(t, err)
	if result.IsError || shared() != 2 {
		t.Errorf("2026-07-28: %+v, shared %d times", result.StructuredContent, shared())
	}
}
