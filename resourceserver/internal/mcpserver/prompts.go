package mcpserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/content"
)

// Prompt is a piece of work that a person begins by its name. Its text is ours and
// the person's; nothing of mail, files or events is in it.
type Prompt struct {
	Name, Title string
	Description string
	Tools       []string // it works with these; their scopes are needed
	Arguments   []PromptArgument
	// Text is what the model is told; {name} stands for an argument.
	Text string
}

// PromptArgument is an argument of a prompt.
type PromptArgument struct {
	Name, Description string
	Required          bool
	Default           string // of one that is not required; "" leaves out the lines with it
	Complete          Completion
}

// maxArgument bounds an argument, in characters.
const maxArgument = 1_000

func (s *Server) scopesOf(p Prompt) oauth.Scopes {
	var out oauth.Scopes
	for _, name := range p.Tools {
		out = out.Union(s.tools[name].Scopes)
	}
	return out
}

func (s *Server) addPrompts(m *server.MCPServer, all []Prompt) error {
	for _, p := range all {
		if len(p.Tools) == 0 {
			return fmt.Errorf("prompt %s works with no tool", p.Name)
		}
		if slices.ContainsFunc(p.Tools, func(name string) bool { return s.tools[name] == nil }) {
			continue
		}
		if _, twice := s.prompts[p.Name]; twice {
			return fmt.Errorf("there are two prompts %s", p.Name)
		}
		s.prompts[p.Name] = p
		options := []mcp.PromptOption{mcp.WithPromptTitle(p.Title), mcp.WithPromptDescription(p.Description)}
		for _, a := range p.Arguments {
			more := []mcp.ArgumentOption{mcp.ArgumentDescription(a.Description)}
			if a.Required {
				more = append(more, mcp.RequiredArgument())
			}
			options = append(options, mcp.WithArgument(a.Name, more...))
		}
		m.AddPrompt(mcp.NewPrompt(p.Name, options...), func(ctx context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return s.prompt(ctx, p, r.Params.Arguments)
		})
	}
	return nil
}

func (s *Server) prompt(ctx context.Context, p Prompt, given map[string]string) (*mcp.GetPromptResult, error) {
	who := bearer.From(ctx)
	if who == nil {
		return nil, errors.New("no principal: the guard is not in front of this prompt")
	}
	// Second of two checks, as for a tool.
	if required := s.scopesOf(p); !scope.Satisfies(who.Scopes, required) {
		bearer.Refuse(ctx, bearer.InsufficientScope(required))
		return nil, errors.New("the app was not given the access this prompt needs")
	}
	text, err := p.fill(given)
	if err != nil {
		return nil, err
	}
	return &mcp.GetPromptResult{Description: p.Description, Messages: []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(text))}}, nil
}

// fill puts the arguments into the text, each on one line; a line whose argument
// is not there is left out. A blank line stands between two, because clients that
// take the text for Markdown would run them together.
func (p Prompt) fill(given map[string]string) (string, error) {
	values := map[string]string{}
	for name, value := range given {
		if !slices.ContainsFunc(p.Arguments, func(a PromptArgument) bool { return a.Name == name }) {
			return "", errors.New("there is no such argument")
		}
		if value = content.Line(value, maxArgument+1); len([]rune(value)) > maxArgument {
			return "", fmt.Errorf("%s is too long", name)
		}
		values[name] = value
	}
	var lines []string
	for line := range strings.SplitSeq(p.Text, "\n") {
		for _, a := range p.Arguments {
			if !strings.Contains(line, "{"+a.Name+"}") {
				continue
			}
			value := values[a.Name]
			switch {
			case value == "" && a.Required:
				return "", fmt.Errorf("%s is missing", a.Name)
			case value == "":
				value = a.Default
			}
			if value == "" {
				line = ""
				break
			}
			// One argument a line: a value that looks like another argument stays.
			line = strings.Replace(line, "{"+a.Name+"}", value, 1)
			break
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n\n"), nil
}
