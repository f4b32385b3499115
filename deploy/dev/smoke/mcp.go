package smoke

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

const protocolVersion = "2025-11-25"

func mcpHeader(accessToken string) http.Header {
	h := http.Header{"Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {protocolVersion}}
	if accessToken != "" {
		h.Set("Authorization", "Bearer "+accessToken)
	}
	return h
}

// ToolResult is a tool's answer.
type ToolResult struct {
	Text       string          // all text content
	Structured json.RawMessage // structuredContent
}

// Initialize opens the protocol.
func (c *Client) Initialize(ctx context.Context) error {
	params := map[string]any{"protocolVersion": protocolVersion, "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "latchkey-smoke", "version": "1"}}
	var out struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if err := c.rpc(ctx, "initialize", params, &out); err != nil {
		return err
	}
	if out.ProtocolVersion == "" {
		return fmt.Errorf("initialize: the server names no protocol version")
	}
	resp, _, err := c.send(ctx, "initialized", http.MethodPost, c.config.MCPURL, "application/json",
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`, c.header())
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
		return fmt.Errorf("notifications/initialized: status %d", resp.StatusCode)
	}
	return nil
}

const sessionHeader = "Mcp-Session-Id"

// header is what every request after the sign-in has.
func (c *Client) header() http.Header {
	h := mcpHeader(c.accessToken)
	if c.session != "" { // MCP 2025-11-25, "Session Management": whoever got an id sends it
		h.Set(sessionHeader, c.session)
	}
	return h
}

// ListTools returns the names of the tools.
func (c *Client) ListTools(ctx context.Context) ([]string, error) {
	var out struct {
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	if err := c.rpc(ctx, "tools/list", map[string]any{}, &out); err != nil {
		return nil, err
	}
	var names []string
	for _, t := range out.Tools {
		names = append(names, t.Name)
	}
	c.note("tools", strings.Join(names, " "))
	return names, nil
}

// CallTool calls a tool, without arguments if there are none; an answer marked
// as an error is an error.
func (c *Client) CallTool(ctx context.Context, name string, arguments json.RawMessage) (*ToolResult, error) {
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	var out struct {
		IsError bool `json:"isError"`
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		Structured json.RawMessage `json:"structuredContent"`
	}
	if err := c.rpc(ctx, "tools/call", map[string]any{"name": name, "arguments": arguments}, &out); err != nil {
		return nil, err
	}
	var text []string
	for _, part := range out.Content {
		if part.Type == "text" {
			text = append(text, part.Text)
		}
	}
	result := &ToolResult{Text: strings.Join(text, "\n"), Structured: out.Structured}
	if out.IsError {
		return result, fmt.Errorf("tool %s: %s", name, result.Text)
	}
	first, _, _ := strings.Cut(result.Text, "\n")
	c.note(name, first)
	return result, nil
}

// rpc sends one request and reads its answer, as JSON or as an event stream.
func (c *Client) rpc(ctx context.Context, method string, params, into any) error {
	c.lastID++
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.lastID, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	resp, content, err := c.send(ctx, method, http.MethodPost, c.config.MCPURL, "application/json", string(body), c.header())
	if err != nil {
		return err
	}
	if method == "initialize" {
		c.session = resp.Header.Get(sessionHeader)
	}
	if resp.StatusCode != http.StatusOK {
		return &StatusError{Method: method, Status: resp.StatusCode, Challenge: resp.Header.Get("WWW-Authenticate")}
	}
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "text/event-stream" {
		content = lastEvent(content)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", method, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: error %d: %s", method, answer.Error.Code, answer.Error.Message)
	}
	if err := json.Unmarshal(answer.Result, into); err != nil {
		return fmt.Errorf("%s: reading the result: %w", method, err)
	}
	return nil
}

// StatusError is an MCP request that HTTP refused.
type StatusError struct {
	Method    string
	Status    int
	Challenge string // WWW-Authenticate
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d %s", e.Method, e.Status, e.Challenge)
}

// lastEvent returns the data of the last event: the answer to the request.
func lastEvent(stream []byte) []byte {
	var data, last []byte
	scanner := bufio.NewScanner(bytes.NewReader(stream))
	scanner.Buffer(nil, maxBody)
	for scanner.Scan() {
		line := scanner.Text()
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(value, " ")...)
		} else if line == "" && len(data) > 0 {
			last, data = data, nil
		}
	}
	if len(data) > 0 {
		last = data
	}
	return last
}
