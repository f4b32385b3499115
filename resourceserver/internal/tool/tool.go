package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Hints are the four MCP annotations; all are sent, so none takes a default
// that nobody meant.
type Hints struct {
	ReadOnly, Destructive, Idempotent, OpenWorld bool
}

// Read are the hints of a tool that only reads the person's own data.
var Read = Hints{ReadOnly: true, Idempotent: true}

// Description is what a product package says about a tool.
type Description struct {
	Name        string // service first: gmail_search_threads
	Title       string
	Description string       // for the model: what it does, when to use it
	Scopes      oauth.Scopes // MCP scopes, all of them needed
	Google      oauth.Scopes // least Google scopes; the MCP scopes must entitle to each
	Hints       Hints
}

// Tool is a checked description with its handler.
type Tool struct {
	Description
	input  json.RawMessage
	output json.RawMessage
	run    func(ctx context.Context, arguments json.RawMessage) (any, string, error)
}

// Output is a successful result: the structured value and a short text for
// clients that show only text.
type Output[T any] struct {
	Value T
	Text  string
}

// New makes a tool. In and Out are structs; their JSON names, `jsonschema`
// descriptions and `limit` tags (min, max, maxlen) make the schemas. An error
// is a mistake of the programmer.
func New[In, Out any](d Description, handler func(ctx context.Context, in In) (Output[Out], error)) (*Tool, error) {
	if d.Name == "" || d.Title == "" || d.Description == "" || d.Scopes.Empty() || handler == nil {
		return nil, fmt.Errorf("tool %q needs a name, a title, a description, scopes and a handler", d.Name)
	}
	for _, s := range d.Scopes.Slice() {
		if _, ok := scope.Lookup(s); !ok {
			return nil, fmt.Errorf("tool %s: there is no scope %q", d.Name, s)
		}
	}
	for _, s := range d.Google.Slice() {
		// The exchange would refuse it (DESIGN §1.1); say so at start.
		if !scope.AllowsGoogle(d.Scopes, s) {
			return nil, fmt.Errorf("tool %s: its scopes do not entitle to %s", d.Name, s)
		}
	}
	input, err := schemaOf[In]()
	if err != nil {
		return nil, fmt.Errorf("tool %s: input schema: %w", d.Name, err)
	}
	output, err := schemaOf[Out]()
	if err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	if err := admitErrors(output); err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	t := &Tool{Description: d}
	if t.input, err = json.Marshal(input); err != nil {
		return nil, fmt.Errorf("tool %s: input schema: %w", d.Name, err)
	}
	if t.output, err = json.Marshal(output); err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	t.run = func(ctx context.Context, arguments json.RawMessage) (any, string, error) {
		var in In
		if len(arguments) > 0 {
			d := json.NewDecoder(strings.NewReader(string(arguments)))
			d.DisallowUnknownFields()
			if err := d.Decode(&in); err != nil {
				return nil, "", Invalid("The arguments do not fit the tool's input schema.")
			}
		}
		out, err := handler(ctx, in)
		if err != nil {
			return nil, "", err
		}
		return out.Value, out.Text, nil
	}
	return t, nil
}

// admitErrors widens an output schema to the typed error. MCP excuses error
// results from the schema, but the TypeScript SDK (1.32) validates their
// structured content all the same and would throw the error away.
func admitErrors(s *jsonschema.Schema) error {
	if s.Type != "object" {
		return errors.New("the result must be an object")
	}
	e, err := schemaOf[Body]()
	if err != nil {
		return err
	}
	success := &jsonschema.Schema{Required: s.Required}
	failure := &jsonschema.Schema{Required: e.Required}
	for _, name := range e.PropertyOrder {
		if _, taken := s.Properties[name]; taken {
			return fmt.Errorf("the property %q is taken by errors", name)
		}
		s.Properties[name] = e.Properties[name]
	}
	s.PropertyOrder = append(s.PropertyOrder, e.PropertyOrder...)
	s.Required, s.AnyOf = nil, []*jsonschema.Schema{success, failure}
	return nil
}
