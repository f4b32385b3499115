package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestListenIsAcknowledged: RS-M17: the first message of an answer to
// subscriptions/listen is the acknowledgement, of the request's own id, however many
// come at once. (The library loses about one in a hundred.)
func TestListenIsAcknowledged(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	var wg sync.WaitGroup
	for _, id := range []string{`7`, `"a\"b"`, `-1`, `"7"`, `1e2`, `"é"`} {
		wg.Go(func() {
			for range 120 {
				out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","id":`+id+`,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`,
					"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
				var messages []map[string]any
				for line := range strings.Lines(out.body) {
					if data, ok := strings.CutPrefix(line, "data: "); ok {
						var m map[string]any
						if err := json.Unmarshal([]byte(data), &m); err != nil {
							t.Error(err)
						}
						messages = append(messages, m)
					}
				}
				var want any
				_ = json.Unmarshal([]byte(id), &want)
				if out.status != http.StatusOK || len(messages) != 2 || messages[0]["method"] != "notifications/subscriptions/acknowledged" ||
					field(messages[0], "params", "_meta", "io.modelcontextprotocol/subscriptionId") != want || messages[1]["id"] != want || messages[1]["result"] == nil {
					t.Errorf("%s: %d %s", id, out.status, out.body)
					return
				}
				if notifications, ok := field(messages[0], "params", "notifications").(map[string]any); !ok || len(notifications) != 0 {
					t.Errorf("%s: %s", id, out.body)
				}
			}
		})
	}
	wg.Wait()
	if out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"); out.status != http.StatusBadRequest || strings.Contains(out.body, "acknowledged") {
		t.Errorf("a mistake: %d %s", out.status, out.body)
	}
}
