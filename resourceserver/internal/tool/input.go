package tool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
)

// input checks arguments. A client sees the schema without limits but the largest
// numbers: a model cannot count lengths anyway, and they would be a tenth of the
// catalogue. Here all of them hold.
type input struct {
	properties map[string]property
	required   []string
	published  json.RawMessage
}

type property struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

func newInput(s *jsonschema.Schema) (*input, error) {
	in := &input{properties: map[string]property{}, required: s.Required}
	for name, p := range s.Properties {
		full := p.CloneSchemas()
		resolved, err := full.Resolve(nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		in.properties[name] = property{full, resolved}
	}
	public := s.CloneSchemas()
	for _, p := range public.Properties {
		p.MinLength, p.MaxLength, p.MaxItems, p.Minimum = nil, nil, nil, nil
	}
	var err error
	in.published, err = json.Marshal(public)
	return in, err
}

// check returns the first mistake in words that repeat nothing of the value.
func (in *input) check(arguments json.RawMessage) error {
	var given map[string]any // stays nil for null, which some clients send for none
	if err := json.Unmarshal(arguments, &given); err != nil && len(bytes.TrimSpace(arguments)) > 0 {
		return Invalid("The arguments must be an object.")
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, known := in.properties[name]
		if !known {
			return Invalid("There is no argument %s.", quoted(name))
		}
		if err := p.resolved.Validate(given[name]); err != nil {
			return Invalid("%s must be %s.", name, p.words())
		}
	}
	for _, name := range in.required {
		if _, ok := given[name]; !ok {
			return Invalid("%s is missing.", name)
		}
	}
	return nil
}

// quoted cuts a name that somebody made up.
func quoted(name string) string {
	const most = 60
	if len(name) > most {
		name = name[:most]
		for !utf8.ValidString(name) && name != "" {
			name = name[:len(name)-1]
		}
		name += "…"
	}
	return fmt.Sprintf("%q", name)
}

// words say what a property takes.
func (p property) words() string {
	s := p.schema
	parts := []string{map[string]string{"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list", "object": "an object"}[s.Type]}
	limit := func(bound string, v *int, one, many string) {
		if v != nil && *v == 1 {
			parts = append(parts, bound+" 1 "+one)
		} else if v != nil {
			parts = append(parts, fmt.Sprintf("%s %d %s", bound, *v, many))
		}
	}
	limit("at least", s.MinLength, "character", "characters")
	limit("at most", s.MaxLength, "character", "characters")
	limit("at most", s.MaxItems, "entry", "entries")
	if s.Minimum != nil && s.Maximum != nil {
		parts = append(parts, fmt.Sprintf("%.0f to %.0f", *s.Minimum, *s.Maximum))
	}
	choices := s.Enum
	if s.Items != nil {
		choices = s.Items.Enum
		if len(choices) == 0 && s.Items.Type != "" {
			parts = append(parts, "each of type "+s.Items.Type)
		}
	}
	if len(choices) > 0 {
		parts = append(parts, fmt.Sprintf("of %v", choices))
	}
	return strings.Join(parts, ", ")
}
