package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
)

// coreGmail are the Gmail tools of the core, in the order of tools/list.
var coreGmail = []string{
	"gmail_create_draft", "gmail_get_attachment", "gmail_get_message", "gmail_get_thread", "gmail_list_labels", "gmail_modify", "gmail_search_threads", "gmail_send",
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

func names(t *testing.T, body string) []string {
	t.Helper()
	var m struct {
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, tool := range m.Result.Tools {
		out = append(out, tool.Name)
	}
	return out
}

// TestLegacyRevisions: initialize, tools/list and tools/call, without a session
// (MCP 2025-06-18 and 2025-11-25, Lifecycle and Streamable HTTP).
func TestLegacyRevisions(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	for _, version := range []string{"2025-06-18", "2025-11-25"} {
		out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
		if out.status != http.StatusOK || !strings.Contains(out.body, `"protocolVersion":"`+version+`"`) || out.header.Get("Mcp-Session-Id") != "" {
			t.Errorf("%s initialize: %d %s", version, out.status, out.body)
		}
		if out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "MCP-Protocol-Version", version); out.status != http.StatusAccepted {
			t.Errorf("%s initialized: %d", version, out.status)
		}
		if out := r.send(http.MethodPost, r.mcp, token, list, "MCP-Protocol-Version", version); !slices.IsSorted(names(t, out.body)) || !slices.Contains(names(t, out.body), "gmail_send") {
			t.Errorf("%s tools/list: %v", version, names(t, out.body))
		}
		out = r.send(http.MethodPost, r.mcp, token, callBody("account_status", map[string]any{}), "MCP-Protocol-Version", version, "Mcp-Session-Id", "of-an-older-server")
		if res := decode(t, out.body); res.IsError || res.Data["works"] != true {
			t.Errorf("%s tools/call: %s", version, out.body)
		}
		out = r.send(http.MethodPost, r.mcp, token, callBody("nope", nil), "MCP-Protocol-Version", version)
		if out.status != http.StatusOK || !strings.Contains(out.body, "-32602") {
			t.Errorf("%s unknown tool: %d %s", version, out.status, out.body)
		}
	}
	if out := r.send(http.MethodPost, r.mcp, token, list, "MCP-Protocol-Version", "1900-01-01"); out.status != http.StatusBadRequest {
		t.Errorf("unknown version: %d", out.status)
	}
	if out := r.send(http.MethodPost, r.mcp, token, "["+list+"]"); out.status != http.StatusBadRequest {
		t.Errorf("batch: %d", out.status)
	}
}

// TestModernRevision: MCP 2026-07-28: discover, list, call, headers against body.
func TestModernRevision(t *testing.T) {
	t.Parallel()
	r := start(t)
	send := func(method, params string, headers ...string) reply {
		return r.send(http.MethodPost, r.mcp, r.as.mint(all), `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+modernMeta+`}}`,
			append([]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method}, headers...)...)
	}
	out := send("server/discover", "")
	for _, want := range []string{`"2026-07-28"`, `"2025-11-25"`, `"2025-06-18"`} {
		if !strings.Contains(out.body, want) {
			t.Errorf("discover lacks %s: %s", want, out.body)
		}
	}
	if strings.Contains(out.body, "2024-11-05") {
		t.Error("discover offers a revision that is not served")
	}
	out = send("tools/list", "")
	if !slices.IsSorted(names(t, out.body)) || !slices.Contains(names(t, out.body), "gmail_send") || !strings.Contains(out.body, `"cacheScope":"private"`) {
		t.Errorf("list: %v", names(t, out.body))
	}
	call := `"name":"account_status","arguments":{},`
	if out := send("tools/call", call, "Mcp-Name", "account_status", "Last-Event-ID", "7"); out.status != http.StatusOK || decode(t, out.body).IsError {
		t.Errorf("call: %d %s", out.status, out.body)
	}
	if out := send("tools/call", call, "Mcp-Name", "drive_search"); out.status != http.StatusBadRequest || !strings.Contains(out.body, "-32020") {
		t.Errorf("Mcp-Name that is not the body's: %d %s", out.status, out.body)
	}
	if out := send("tools/call", `"name":"nope",`, "Mcp-Name", "nope"); out.status != http.StatusBadRequest || !strings.Contains(out.body, "-32602") {
		t.Errorf("unknown tool: %d %s", out.status, out.body)
	}
	if out := send("logging/setLevel", ""); out.status != http.StatusNotFound {
		t.Errorf("removed method: %d", out.status)
	}
	narrow := r.send(http.MethodPost, r.mcp, r.as.mint("accounts"), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"drive_search",`+modernMeta+`}}`,
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "drive_search")
	if narrow.status != http.StatusForbidden {
		t.Errorf("step-up: %d", narrow.status)
	}
}

// TestForeignClient: mcp-go's own client, in both eras.
func TestForeignClient(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, options := range map[string][]client.ClientOption{"modern": nil, "legacy": {client.WithLegacyProtocolOnly()}} {
		tr, err := transport.NewStreamableHTTP(r.mcp, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + r.as.mint(all)}))
		if err != nil {
			t.Fatal(err)
		}
		c := client.NewClient(tr, options...)
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		init, err := c.Initialize(t.Context(), mcp.InitializeRequest{Params: mcp.InitializeParams{ProtocolVersion: mcp.LATEST_PROTOCOL_VERSION, ClientInfo: mcp.Implementation{Name: "t", Version: "1"}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if (init.ProtocolVersion == "2026-07-28") != (name == "modern") {
			t.Errorf("%s: negotiated %s", name, init.ProtocolVersion)
		}
		tools, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
		if err != nil || len(tools.Tools) < len(coreGmail) {
			t.Errorf("%s: %v", name, err)
		}
		out, err := c.CallTool(t.Context(), mcp.CallToolRequest{Params: mcp.CallToolParams{Name: "gmail_search_threads", Arguments: map[string]any{"query": "subject:budget"}}})
		if err != nil || out.IsError || out.StructuredContent == nil {
			t.Errorf("%s: %v %+v", name, err, out)
		}
		_ = c.Close()
	}
}

// TestDescriptions: every tool has both schemas, all four hints, and its results
// and errors fit its output schema as strict clients check it (the TypeScript
// SDK validates error results too).
func TestDescriptions(t *testing.T) {
	t.Parallel()
	r := start(t)
	var m struct {
		Result struct {
			Tools []struct {
				Name, Title, Description string
				InputSchema              json.RawMessage
				OutputSchema             json.RawMessage
				Annotations              map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(r.send(http.MethodPost, r.mcp, r.as.mint(all), list).body), &m); err != nil {
		t.Fatal(err)
	}
	good := r.samples()
	// What deletes would take away what others are tried with, or has nothing to delete.
	untried := map[string]bool{"calendar_delete_event": true, "gmail_delete_filter": true}
	for _, tool := range m.Result.Tools {
		for _, hint := range []string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} {
			if _, ok := tool.Annotations[hint].(bool); !ok {
				t.Errorf("%s leaves %s to a default", tool.Name, hint)
			}
		}
		if tool.Title == "" || !strings.Contains(string(tool.InputSchema), `"additionalProperties":false`) || strings.Contains(string(tool.OutputSchema), `"null"`) {
			t.Errorf("%s: %s %s", tool.Name, tool.InputSchema, tool.OutputSchema)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(tool.OutputSchema)))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:///out", doc); err != nil {
			t.Fatal(err)
		}
		schema, err := c.Compile("mem:///out")
		if err != nil {
			t.Fatalf("%s: %v", tool.Name, err)
		}
		bad := r.call(r.as.mint(full), tool.Name, map[string]any{"no_such_argument": 1})
		results := map[string]result{"error": bad}
		if args, listed := good[tool.Name]; !listed {
			t.Errorf("%s is not tried", tool.Name)
		} else if !untried[tool.Name] {
			results["result"] = r.call(r.as.mint(full), tool.Name, args)
			if link, _ := results["result"].Data["link"].(string); results["result"].Data["code"] == "confirmation_required" {
				r.as.page.Say(link, exchange.Approved)
				results["result"] = r.call(r.as.mint(full), tool.Name, args)
			}
		}
		for what, res := range results {
			if res.IsError != (what == "error") || res.Content[0].Text == "" {
				t.Errorf("%s: %s: %+v", tool.Name, what, res)
			}
			if err := schema.Validate(map[string]any(res.Data)); err != nil {
				t.Errorf("%s: %s does not fit the output schema: %v", tool.Name, what, err)
			}
		}
		if bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", tool.Name, bad.Data)
		}
		if err := schema.Validate(map[string]any{}); err == nil {
			t.Errorf("%s: the schema admits anything", tool.Name)
		}
	}
}

// message returns the id of the newest message of the first thread a search finds.
func (r *rig) message(query string) string {
	r.t.Helper()
	return field(r.ok("gmail_get_thread", map[string]any{"thread_id": r.thread(query)}), "messages", 0, "message_id").(string)
}

// draft writes a draft and returns its id.
func (r *rig) draft(to, subject, text string) string {
	r.t.Helper()
	return r.ok("gmail_create_draft", map[string]any{"to": []string{to}, "subject": subject, "text": text})["draft_id"].(string)
}

// thread returns the id of the first thread a search finds.
func (r *rig) thread(query string) string {
	r.t.Helper()
	threads := r.ok("gmail_search_threads", map[string]any{"query": query})["threads"].([]any)
	if len(threads) == 0 {
		r.t.Fatalf("no thread for %s", query)
	}
	return threads[0].(map[string]any)["thread_id"].(string)
}

// TestCancellation: when the client of 2026-07-28 goes away, the request to
// Google ends with it (Streamable HTTP, "Cancellation").
func TestCancellation(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.ok("gmail_list_labels", nil) // the credential is there
	r.google.Inject(fakegoogle.Fault{Prefix: "/gmail/", Hang: true})
	ctx, leave := context.WithCancel(t.Context())
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gmail_list_labels","arguments":{},` + modernMeta + `}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.mcp, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + r.as.mint(full), "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "gmail_list_labels",
	} {
		req.Header.Set(name, value)
	}
	before := r.google.Count("GET /gmail/v1/users/me/labels")
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	eventually(t, "the request to reach Google", func() bool { return r.google.Count("GET /gmail/v1/users/me/labels") > before })
	leave()
	if err := <-done; err == nil {
		t.Error("the call was answered")
	}
	eventually(t, "the request at Google to end", func() bool { return r.google.Count("given up") == 1 })
}
