package mcpserver

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"latchkey/resourceserver/internal/bearer"
)

// reading is a request for a resource: its answer is held back until it is known
// whether the resource is there. mcp-go v1.2.1 says "not found" without the address,
// and not at all for what the handler of a template finds missing.
type reading struct {
	kept
	uri     string
	unknown bool        // no resource has such an address
	missing atomic.Bool // the tool behind it says that there is nothing
}

type readingKey struct{}

// gone notes that there is nothing at the address that is read.
func gone(ctx context.Context) {
	if r, ok := ctx.Value(readingKey{}).(*reading); ok {
		r.missing.Store(true)
	}
}

// finish sends the answer. One that says that there is no such resource gets the
// code of its revision and the address: -32602 with data.uri (MCP 2026-07-28,
// server/resources, "Error Handling"), -32002 before.
func (r *reading) finish(modern bool) {
	body := r.body.Bytes()
	var m struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data,omitempty"`
		} `json:"error"`
	}
	code := mcp.RESOURCE_NOT_FOUND
	if modern {
		code = mcp.INVALID_PARAMS
	}
	if json.Unmarshal(body, &m) == nil && m.Error != nil && m.Error.Data == nil &&
		(r.missing.Load() || r.unknown && m.Error.Code == code && strings.HasSuffix(m.Error.Message, server.ErrResourceNotFound.Error())) { // -32602 is for more than this
		m.Error.Code = code
		m.Error.Data, _ = json.Marshal(map[string]string{"uri": r.uri})
		if changed, err := json.Marshal(m); err == nil {
			body = changed
		}
		if modern { // as the library answers an address that no resource has
			r.status = http.StatusBadRequest
		}
	}
	r.send(body)
}

// serveRead serves a request for a resource.
func (s *Server) serveRead(w http.ResponseWriter, r *http.Request) {
	uri := bearer.MessageOf(r.Context()).Target
	_, _, known := s.resource(uri)
	answer := &reading{kept: kept{ResponseWriter: w}, uri: uri, unknown: !known}
	s.handler.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), readingKey{}, answer)))
	answer.finish(modern(r))
}

// modern reports whether a request is of 2026-07-28, by its header.
func modern(r *http.Request) bool {
	return r.Header.Get(mcp.HeaderProtocolVersion) == mcp.ProtocolVersion20260728
}
