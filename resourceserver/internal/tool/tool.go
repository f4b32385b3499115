package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Hints are the four MCP annotations; all are sent, so none takes a default
// that nobody meant.
type Hints struct {
	ReadOnly, Destructive, Idempotent, OpenWorld bool
}

// The hints of the usual kinds of tools.
var (
	// Read only reads the person's own data.
	Read = Hints{ReadOnly: true, Idempotent: true}
	// Create adds something that the person can take away again.
	Create = Hints{}
	// Change changes something in a way that can be undone; twice is as once.
	Change = Hints{Idempotent: true}
	// Destroy takes something away for good.
	Destroy = Hints{Destructive: true}
	// Send reaches other people and cannot be called back.
	Send = Hints{Destructive: true, OpenWorld: true}
)

// MaxParameters is the most that a tool may take: beyond that models guess.
const MaxParameters = 10

// Description is what a product package says about a tool.
type Description struct {
	Name        string // service first: gmail_search_threads
	Title       string
	Description string       // for the model: what it does, when to use it
	Scopes      oauth.Scopes // MCP scopes, all of them needed
	Google      oauth.Scopes // least Google scopes; the MCP scopes must entitle to each
	// Also are Google scopes that the tool uses where they are to be had, and does
	// without where the app was not given them (googleapi.API.OpenAlso).
	Also  oauth.Scopes
	Hints Hints
	Tier  Tier
	// Asks says that the tool does nothing before the person has confirmed
	// (elicit.Confirm). What destroys or reaches other people must.
	Asks bool
}

// Tool is a checked description with its handler.
type Tool struct {
	Description
	input  *input
	output json.RawMessage
	run    func(ctx context.Context, arguments json.RawMessage) (any, string, error)
}

// Output is a successful result: the structured value and a short text for
// clients that show only text. Text of others stands in the text between
// content.Fence only. A value with the method Link() (uri, name, mediaType
// string) gets a resource link beside the text.
type Output[T any] struct {
	Value T
	Text  string
}

// Set collects the tools of a product and its first mistake.
type Set struct {
	tools []*Tool
	err   error
}

// Add makes a tool and adds it.
func Add[In, Out any](s *Set, d Description, handler func(ctx context.Context, in In) (Output[Out], error)) {
	if s.err != nil {
		return
	}
	var t *Tool
	if t, s.err = New(d, handler); s.err == nil {
		s.tools = append(s.tools, t)
	}
}

// Tools returns what was added, or the mistake.
func (s *Set) Tools() ([]*Tool, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.tools, nil
}

// New makes a tool. In and Out are structs; their JSON names, `jsonschema`
// descriptions, `limit` tags (min, max, minlen, maxlen, maxitems) and `enum` tags
// (comma separated) make the schemas. An error
// is a mistake of the programmer.
func New[In, Out any](d Description, handler func(ctx context.Context, in In) (Output[Out], error)) (*Tool, error) {
	if d.Name == "" || d.Title == "" || d.Description == "" || d.Scopes.Empty() || handler == nil {
		return nil, fmt.Errorf("tool %q needs a name, a title, a description, scopes and a handler", d.Name)
	}
	if (d.Hints.Destructive || d.Hints.OpenWorld) && !d.Asks {
		return nil, fmt.Errorf("tool %s destroys or reaches other people and does not ask the person", d.Name)
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
	for _, s := range d.Also.Slice() {
		if scope.Needed(s).Empty() {
			return nil, fmt.Errorf("tool %s: no scope entitles to %s", d.Name, s)
		}
	}
	input, err := schemaOf[In]()
	if err != nil {
		return nil, fmt.Errorf("tool %s: input schema: %w", d.Name, err)
	}
	if n := len(input.Properties); n > MaxParameters {
		return nil, fmt.Errorf("tool %s has %d parameters, more than %d", d.Name, n, MaxParameters)
	}
	output, err := schemaOf[Out]()
	if err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	lists, err := listsOf(reflect.TypeFor[Out]())
	if err != nil {
		return nil, fmt.Errorf("tool %s: result: %w", d.Name, err)
	}
	if err := compact(output); err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	t := &Tool{Description: d}
	if t.input, err = newInput(input); err != nil {
		return nil, fmt.Errorf("tool %s: input schema: %w", d.Name, err)
	}
	if t.output, err = json.Marshal(output); err != nil {
		return nil, fmt.Errorf("tool %s: output schema: %w", d.Name, err)
	}
	t.run = func(ctx context.Context, arguments json.RawMessage) (any, string, error) {
		var in In
		if err := t.input.check(arguments); err != nil {
			return nil, "", err
		}
		if len(arguments) > 0 {
			if err := json.Unmarshal(arguments, &in); err != nil { // the schema has refused all else
				return nil, "", Invalid("Write whole numbers without a point or an exponent, such as 20, and none that is larger than 64 bits.")
			}
		}
		if r, ok := ctx.Value(currentKey{}).(*running); ok {
			r.in = in
		}
		out, err := handler(ctx, in)
		if err != nil {
			return nil, "", err
		}
		lists.fill(reflect.ValueOf(&out.Value).Elem())
		return out.Value, out.Text, nil
	}
	return t, nil
}

// compact leaves of an output schema what a model needs before it has a result:
// the members and their types, not what is inside of them, and that a result has
// either the first member or the code of a typed error. The latter, because the
// TypeScript SDK (1.32) validates error results too, which MCP excuses, and would
// throw the error away. The members of errors stand in the server's instructions:
// in every tool they would be half of the catalogue. A result must not give them
// another meaning.
func compact(s *jsonschema.Schema) error {
	if s.Type != "object" || len(s.Required) == 0 {
		return errors.New("the result must be an object with a member that is always there")
	}
	e, err := schemaOf[Body]()
	if err != nil {
		return err
	}
	for _, name := range e.PropertyOrder {
		if _, taken := s.Properties[name]; taken {
			return fmt.Errorf("the property %q is taken by errors", name)
		}
	}
	s.AnyOf = []*jsonschema.Schema{{Required: s.Required[:1]}, {Required: []string{"code"}}}
	s.Required, s.AdditionalProperties = nil, nil
	for _, p := range s.Properties {
		p.Items, p.Properties, p.PropertyOrder, p.Required, p.AdditionalProperties = nil, nil, nil, nil, nil
	}
	return nil
}
