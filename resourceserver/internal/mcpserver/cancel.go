package mcpserver

import (
	"context"
	"encoding/json"
	"sync"

	"latchkey/resourceserver/internal/bearer"
)

// methodCancelled is the notification with which a client of 2025-06-18 or
// 2025-11-25 takes a request back. In 2026-07-28 it goes away instead.
const methodCancelled = "notifications/cancelled"

// caller is whose requests a notification may cancel: one app of one person.
type caller struct{ tenant, subject, client, grant string }

// request names a running request; id is its JSON, so that 1 is not "1".
type request struct {
	caller
	id string
}

// cancels are the running requests of older clients. mcp-go v1.2.1 has the same by
// session id (server.go, inflightKey); without sessions that is one list for
// everybody, in which people could cancel each other's requests. So it must never
// find a request there: ServeHTTP gives each a session id of its own, and keeps from
// it the notifications of 2026-07-28, where it takes no session id.
type cancels struct {
	mu      sync.Mutex
	running map[request]map[*context.CancelFunc]struct{} // a function cannot be compared, its place can
}

// target is the id that a notification cancels, nil if there is none.
func target(m *bearer.Message) json.RawMessage {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if m.Method != methodCancelled || len(m.ID) > 0 || json.Unmarshal(m.Params, &p) != nil {
		return nil
	}
	return p.RequestID
}

// begin cancels what a notification names, or notes that cancel ends the request
// of ctx until end is called.
func (c *cancels) begin(ctx context.Context, cancel context.CancelFunc) (end func()) {
	m, p := bearer.MessageOf(ctx), bearer.From(ctx)
	if p == nil || m == nil { // mcp-go refuses what is no message
		return func() {}
	}
	who := caller{p.Tenant, p.Subject, p.ClientID, p.Grant}
	if id := target(m); id != nil {
		c.cancel(request{who, string(id)})
		return func() {}
	}
	// MCP 2025-11-25, cancellation: initialize MUST NOT be cancelled.
	if !m.IsRequest() || m.Method == "initialize" {
		return func() {}
	}
	return c.note(request{who, string(m.ID)}, cancel)
}

// note remembers a request until end.
func (c *cancels) note(r request, cancel context.CancelFunc) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[r] == nil {
		c.running[r] = map[*context.CancelFunc]struct{}{}
	}
	c.running[r][&cancel] = struct{}{}
	return func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running[r], &cancel)
		if len(c.running[r]) == 0 {
			delete(c.running, r)
		}
	}
}

// cancel ends the request. Two windows of one app may count alike: which of two is
// meant nobody knows, and then none is (a receiver may ignore a notification). So
// it is if the request runs in another replica.
func (c *cancels) cancel(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running[r]) != 1 {
		return
	}
	for one := range c.running[r] {
		(*one)()
	}
}
