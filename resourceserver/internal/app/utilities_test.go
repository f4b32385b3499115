package app_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestUtilities: ping is answered in the revisions that have it. What was not
// declared is no method: no logging, no subscriptions (MCP 2025-11-25, Ping,
// Logging, Resources). A progress token asks for nothing that must come.
func TestUtilities(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	old := func(method, params string) reply {
		return r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+`}}`, "MCP-Protocol-Version", "2025-11-25")
	}
	if out := old("ping", ""); out.status != http.StatusOK || !strings.Contains(out.body, `"result":{}`) {
		t.Errorf("ping: %d %s", out.status, out.body)
	}
	out := old("initialize", `"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}`)
	for _, capability := range []string{`"logging"`, `"subscribe"`, `"listChanged"`} {
		if strings.Contains(out.body, capability) {
			t.Errorf("%s is declared: %s", capability, out.body)
		}
	}
	for method, params := range map[string]string{"logging/setLevel": `"level":"info"`, "resources/subscribe": `"uri":"gmail://thread/1"`, "resources/unsubscribe": `"uri":"gmail://thread/1"`} {
		if out := old(method, params); !strings.Contains(out.body, "-32601") {
			t.Errorf("%s: %d %s", method, out.status, out.body)
		}
	}
	if res := decode(t, old("tools/call", `"name":"account_status","arguments":{},"_meta":{"progressToken":"p"}`).body); res.IsError {
		t.Errorf("a call with a progress token: %+v", res)
	}
	for _, method := range []string{"ping", "logging/setLevel", "resources/subscribe"} {
		out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+modernMeta+`}}`, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method)
		if out.status != http.StatusNotFound || !strings.Contains(out.body, "-32601") {
			t.Errorf("2026-07-28 %s: %d %s", method, out.status, out.body)
		}
	}
}
