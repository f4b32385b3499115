package tool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
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
	layered    bool // there are lists of objects, see twice
}

type property struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
	each     *input // of the objects in a list; nil: it is no list of objects with known members
}

func newInput(s *jsonschema.Schema) (*input, error) {
	in := &input{properties: map[string]property{}, required: s.Required}
	for name, p := range s.Properties {
		full, checked := p.CloneSchemas(), p.CloneSchemas()
		shallow(checked)
		if objects(full) { // members looks at what is in them, after their number
			checked.Items = &jsonschema.Schema{Type: "object"}
		}
		resolved, err := checked.Resolve(nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		one := property{schema: full, resolved: resolved}
		if objects(full) {
			if one.each, err = newInput(full.Items); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if one.each.layered {
				return nil, fmt.Errorf("%s: lists of objects are in its objects", name)
			}
		}
		in.layered = in.layered || full.Items != nil && full.Items.Type == "object"
		in.properties[name] = one
	}
	public := s.CloneSchemas()
	unlimited(public)
	var err error
	in.published, err = json.Marshal(public)
	return in, err
}

// objects reports whether a property is a list of objects with known members.
func objects(s *jsonschema.Schema) bool { return s.Items != nil && len(s.Items.Properties) > 0 }

// unlimited takes away the limits that are not published.
func unlimited(s *jsonschema.Schema) {
	for _, p := range s.Properties {
		p.MinLength, p.MaxLength, p.MaxItems, p.Minimum = nil, nil, nil, nil
		if p.Items != nil {
			unlimited(p.Items)
		}
	}
}

// shallow takes away what lists of single values hold: validating each against four
// schemas takes 10 µs, and a request has room for half a million (single).
func shallow(s *jsonschema.Schema) {
	if s.Items == nil {
		return
	}
	if len(s.Items.AnyOf) > 0 {
		s.Items = nil
		return
	}
	shallow(s.Items)
}

// single reports whether lists of single values hold no others.
func single(s *jsonschema.Schema, value any) bool {
	list, _ := value.([]any)
	if s.Items == nil {
		return true
	}
	for _, v := range list {
		if len(s.Items.AnyOf) == 0 {
			if !single(s.Items, v) {
				return false
			}
			continue
		}
		switch v.(type) {
		case string, float64, bool, nil:
		default:
			return false
		}
	}
	return true
}

// check returns the first mistake in words that repeat nothing of the value.
func (in *input) check(arguments json.RawMessage) error {
	var given map[string]any // stays nil for null, which some clients send for none
	if err := json.Unmarshal(arguments, &given); err != nil && len(bytes.TrimSpace(arguments)) > 0 {
		return Invalid("The arguments must be an object.")
	}
	if err := in.members("", given); err != nil || !in.layered {
		return err
	}
	return twice(arguments)
}

// twice refuses a member that is given twice: here the second counts, but where it is
// a list of objects Go's decoder lays it over the first, which nobody checked. All
// others are replaced whole.
func twice(arguments json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(arguments))
	if _, err := d.Token(); err != nil { // the brace, or null
		return nil
	}
	seen := map[json.Token]bool{}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return Invalid("The arguments must be an object.")
		}
		if seen[name] {
			return Invalid("%s is given twice.", name)
		}
		seen[name] = true
	}
	return nil
}

// names are what an object may have.
func (in *input) names() string {
	return strings.Join(slices.Sorted(maps.Keys(in.properties)), ", ")
}

// members checks an object: the arguments themselves, or one in a list, whose place
// begins with the list's name.
func (in *input) members(place string, given map[string]any) error {
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, known := in.properties[name]
		if !known && place == "" {
			return Invalid("There is no argument %s. There are: %s.", quoted(name), in.names())
		}
		if !known {
			return Invalid("There is no %s in %s. There are: %s.", quoted(name), strings.TrimSuffix(place, "."), in.names())
		}
		list, _ := given[name].([]any)
		if p.schema.MaxItems != nil && len(list) > *p.schema.MaxItems { // before anything looks at each
			return Invalid("%s must be %s.", place+name, p.words())
		}
		if p.resolved.Validate(given[name]) != nil || !single(p.schema, given[name]) {
			return Invalid("%s must be %s.", place+name, p.words())
		}
		if err := p.inside(place+name, list); err != nil {
			return err
		}
	}
	for _, name := range in.required {
		if _, ok := given[name]; !ok {
			return Invalid("%s is missing.", place+name)
		}
	}
	return nil
}

// inside returns the first mistake in the objects of a list.
func (p property) inside(place string, list []any) error {
	if p.each == nil {
		return nil
	}
	for i, v := range list {
		object, _ := v.(map[string]any)
		if err := p.each.members(fmt.Sprintf("%s[%d].", place, i), object); err != nil {
			return err
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
		switch {
		case len(choices) > 0:
		case s.Items.Items != nil && len(s.Items.Items.AnyOf) > 0:
			parts = append(parts, "each a list of texts, numbers, true, false or null")
		case s.Items.Type != "":
			parts = append(parts, "each of type "+s.Items.Type)
		}
	}
	if len(choices) > 0 {
		parts = append(parts, fmt.Sprintf("of %v", choices))
	}
	return strings.Join(parts, ", ")
}
