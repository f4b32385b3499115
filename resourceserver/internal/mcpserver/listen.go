package mcpserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/resourceserver/internal/bearer"
)

// kept is an answer that is held back: what the library says of it comes later. The
// library asks whether a response can stream by its Flush.
type kept struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// Flush does nothing.
func (k *kept) Flush() {}

// send sends the answer with a body.
func (k *kept) send(body []byte) {
	if k.status != 0 {
		k.ResponseWriter.WriteHeader(k.status)
	}
	_, _ = k.ResponseWriter.Write(body)
}

// serveListen serves subscriptions/listen. There is nothing here to subscribe to, so the
// answer ends at once, and its first message MUST be the acknowledgement (MCP
// 2026-07-28, patterns/subscriptions). mcp-go v1.2.1 loses that when the answer is ready
// while it is on its way: what is taken off a session's queue and has to wait for the
// lock is dropped (streamable_http.go, handlePost). Then it is put in its place.
func (s *Server) serveListen(w http.ResponseWriter, r *http.Request) {
	answer := &kept{ResponseWriter: w}
	s.handler.ServeHTTP(answer, r)
	body := answer.body.Bytes()
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") && !bytes.Contains(body, []byte(mcp.MethodNotificationSubscriptionsAcknowledged)) {
		ack, err := json.Marshal(map[string]any{"jsonrpc": mcp.JSONRPC_VERSION, "method": mcp.MethodNotificationSubscriptionsAcknowledged, "params": map[string]any{
			"_meta": map[string]any{mcp.MetaKeySubscriptionID: bearer.MessageOf(r.Context()).ID}, "notifications": mcp.SubscriptionFilter{},
		}})
		if err == nil {
			body = append([]byte("event: message\ndata: "+string(ack)+"\n\n"), body...)
		}
	}
	answer.send(body)
}
