package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// Resource is what a reading tool returns at an address of its own: it needs the
// same scopes, and everything else that holds for the tool holds for it.
type Resource struct {
	Template    string // gmail://thread/{id}: literals and variables between slashes
	Name, Title string
	Description string
	Tool        string
	Arguments   map[string]string     // of the tool, by variable
	Complete    map[string]Completion // by variable
}

// maxURI bounds an address, in bytes.
const maxURI = 2_000

// match returns the variables of an address, false if it is no such resource. It
// decides here and for the guard; that the library picks the handler by a reading
// of its own is no matter, because the handler asks match again.
func (r Resource) match(uri string) (map[string]string, bool) {
	if len(uri) > maxURI {
		return nil, false
	}
	want, given := strings.Split(r.Template, "/"), strings.Split(uri, "/")
	if len(want) != len(given) {
		return nil, false
	}
	vars := map[string]string{}
	for i, w := range want {
		name, variable := variableOf(w)
		if !variable {
			if w != given[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(given[i])
		if err != nil || value == "" {
			return nil, false
		}
		vars[name] = value
	}
	return vars, true
}

func variableOf(segment string) (name string, ok bool) {
	name, ok = strings.CutPrefix(segment, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}

// resource finds the resource of an address.
func (s *Server) resource(uri string) (Resource, map[string]string, bool) {
	for _, r := range s.resources {
		if vars, ok := r.match(uri); ok {
			return r, vars, true
		}
	}
	return Resource{}, nil, false
}

func (s *Server) addResources(m *server.MCPServer, all []Resource) error {
	for _, r := range all {
		t, ok := s.tools[r.Tool]
		if !ok {
			continue
		}
		if !t.Hints.ReadOnly || t.Asks {
			return fmt.Errorf("resource %s: reading must only read", r.Template)
		}
		s.resources = append(s.resources, r)
		m.AddResourceTemplate(mcp.NewResourceTemplate(r.Template, r.Name, mcp.WithTemplateTitle(r.Title), mcp.WithTemplateDescription(r.Description), mcp.WithTemplateMIMEType("text/plain")),
			func(ctx context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
				return s.read(ctx, request.Params.URI)
			})
	}
	return nil
}

// read runs the tool behind an address. A failure is the library's internal error
// (-32603), which is the only one it lets a template's handler choose beside -32042;
// the sentence says what is the matter. What is not there: see reading.
func (s *Server) read(ctx context.Context, uri string) ([]mcp.ResourceContents, error) {
	r, vars, ok := s.resource(uri)
	if !ok { // the library's reading of the template takes it
		gone(ctx)
		return nil, server.ErrResourceNotFound
	}
	args := map[string]any{}
	for name, value := range vars {
		args[r.Arguments[name]] = value
	}
	client, _ := ctx.Value(olderKey{}).(elicit.Client)
	ctx = s.elicit.Begin(policy.With(ctx, s.policy), client, mcp.MultiRoundTripParams{})
	result, failure := s.runWith(ctx, s.tools[r.Tool], args)
	if failure != nil {
		var page mcp.URLElicitationRequiredError
		if errors.As(elicit.Interaction(ctx, failure), &page) {
			return nil, page
		}
		if failure.Code == tool.CodeNotFound {
			gone(ctx)
		}
		return nil, sentence(failure)
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "text/plain", Text: textOf(result)}}, nil
}

// runWith runs a tool with arguments that are not a client's.
func (s *Server) runWith(ctx context.Context, t *tool.Tool, args map[string]any) (*mcp.CallToolResult, *tool.Error) {
	b, err := json.Marshal(args)
	if err != nil {
		return nil, &tool.Error{Code: tool.CodeInternal, Message: "Something went wrong in the server.", Cause: err}
	}
	return s.run(ctx, t, b)
}

// sentence is a typed error for where there is only a message.
func sentence(e *tool.Error) error {
	return errors.New(textOf(tool.ErrorResult(e)))
}

func textOf(r *mcp.CallToolResult) string {
	for _, c := range r.Content {
		if t, ok := c.(mcp.TextContent); ok {
			return t.Text
		}
	}
	return ""
}
