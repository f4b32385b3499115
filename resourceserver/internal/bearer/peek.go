package bearer

import (
	"context"
	"encoding/json"
)

// The methods whose scopes the guard checks.
const (
	MethodCallTool     = "tools/call"
	MethodReadResource = "resources/read"
	MethodGetPrompt    = "prompts/get"
)

// Message is what is read of a JSON-RPC message before mcp-go reads it. It is
// decoded as mcp-go v1.2.1 decodes it (encoding/json; every member replaces the
// one before), so that duplicate and case-variant keys name the same tool here and
// there. The tool layer checks the scopes once more on what it really runs.
type Message struct {
	ID     json.RawMessage `json:"id"` // as it was sent, so that 1 is not "1"; nil if there is none
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Target string          `json:"-"` // what it asks for: the name of a tool or prompt, the address of a resource
}

// IsRequest reports whether somebody waits for an answer: mcp-go takes null for no id.
func (m *Message) IsRequest() bool { return len(m.ID) > 0 && string(m.ID) != "null" }

// messageOf reads a body. What cannot be decoded is no message, and mcp-go refuses
// it; one whose params cannot be decoded asks for nothing.
func messageOf(body []byte) *Message {
	m := &Message{}
	if json.Unmarshal(body, m) != nil {
		return nil
	}
	switch m.Method {
	case MethodCallTool:
		var p struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(m.Params, &p) == nil {
			m.Target = p.Name
		}
	// Of these the library decodes the params the plain way: a second "params" member
	// is laid over the first. What it does not read is not read here either, so that
	// no member of another type makes the message one that asks for nothing.
	case MethodReadResource:
		var r struct {
			Params struct {
				URI string `json:"uri"`
			} `json:"params"`
		}
		if json.Unmarshal(body, &r) == nil {
			m.Target = r.Params.URI
		}
	case MethodGetPrompt:
		var p struct {
			Params struct {
				Name string `json:"name"`
			} `json:"params"`
		}
		if json.Unmarshal(body, &p) == nil {
			m.Target = p.Params.Name
		}
	}
	return m
}

// MessageOf returns the message of a request that the guard let pass, nil if its
// body is none.
func MessageOf(ctx context.Context) *Message {
	if l, ok := ctx.Value(lateKey{}).(*late); ok {
		return l.message
	}
	return nil
}

// BodyOf returns the body of a request that the guard let pass, so that it is not
// read twice; nil without a guard. It must not be changed.
func BodyOf(ctx context.Context) []byte {
	if l, ok := ctx.Value(lateKey{}).(*late); ok {
		return l.body
	}
	return nil
}
