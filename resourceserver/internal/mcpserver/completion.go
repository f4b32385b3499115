package mcpserver

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/policy"
)

// Completion says what can be filled in: Values, or what a reading tool lists.
type Completion struct {
	Values []string
	// Tool lists entries in its member List; Value of an entry is filled in, and
	// Label is what the person may have typed instead.
	Tool               string
	Arguments          map[string]any
	List, Value, Label string
}

// maxCompletions is MCP's bound (2026-07-28, completion).
const maxCompletions = 100

// completer answers completion/complete. It fills in only what the app may read
// already: it never asks for more access, and what goes wrong is nothing to fill
// in, because a person is just typing.
type completer struct{ s *Server }

// CompletePromptArgument completes an argument of a prompt.
func (c completer) CompletePromptArgument(ctx context.Context, prompt string, a mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	for _, known := range c.s.prompts[prompt].Arguments {
		if known.Name == a.Name {
			return c.s.complete(ctx, known.Complete, a.Value), nil
		}
	}
	return &mcp.Completion{Values: []string{}}, nil
}

// CompleteResourceArgument completes a variable of a resource's address.
func (c completer) CompleteResourceArgument(ctx context.Context, template string, a mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	for _, r := range c.s.resources {
		if r.Template == template {
			return c.s.complete(ctx, r.Complete[a.Name], a.Value), nil
		}
	}
	return &mcp.Completion{Values: []string{}}, nil
}

func (s *Server) complete(ctx context.Context, c Completion, typed string) *mcp.Completion {
	out := &mcp.Completion{Values: []string{}}
	typed = strings.ToLower(content.Line(typed, maxArgument))
	begins := func(v string) bool { return strings.HasPrefix(strings.ToLower(v), typed) }
	for _, v := range c.Values {
		if begins(v) {
			out.Values = append(out.Values, v)
		}
	}
	for _, e := range s.entries(ctx, c) {
		value, _ := e[c.Value].(string)
		label, _ := e[c.Label].(string)
		if value == "" || slices.Contains(out.Values, value) || !begins(value) && !begins(label) {
			continue
		}
		if len(out.Values) == maxCompletions {
			out.HasMore = true
			break
		}
		out.Values = append(out.Values, value)
	}
	out.Total = len(out.Values)
	return out
}

// entries are what a tool lists, nil if it is not there or may not be used.
func (s *Server) entries(ctx context.Context, c Completion) []map[string]any {
	t, p := s.tools[c.Tool], bearer.From(ctx)
	if t == nil || p == nil || !t.Hints.ReadOnly || !scope.Satisfies(p.Scopes, t.Scopes) {
		return nil
	}
	result, failure := s.runWith(policy.With(ctx, s.policy), t, c.Arguments)
	if failure != nil {
		return nil
	}
	b, err := json.Marshal(result.StructuredContent)
	if err != nil {
		return nil
	}
	var members map[string]json.RawMessage
	var entries []map[string]any
	if json.Unmarshal(b, &members) != nil || json.Unmarshal(members[c.List], &entries) != nil {
		return nil
	}
	return entries
}
