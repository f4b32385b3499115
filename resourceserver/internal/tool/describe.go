package tool

import (
	"encoding/json"
	"slices"
)

// Argument describes an argument for people.
type Argument struct {
	Name     string
	Required bool
	Takes    string // type and limits
	Meaning  string // "" if the name says it
}

// Arguments are the tool's arguments, the required ones first, then by name.
func (t *Tool) Arguments() []Argument {
	out := make([]Argument, 0, len(t.input.properties))
	for name, p := range t.input.properties {
		out = append(out, Argument{Name: name, Required: slices.Contains(t.input.required, name), Takes: p.words(), Meaning: p.schema.Description})
	}
	slices.SortFunc(out, func(a, b Argument) int {
		switch {
		case a.Required != b.Required && a.Required:
			return -1
		case a.Required != b.Required:
			return 1
		case a.Name < b.Name:
			return -1
		}
		return 1
	})
	return out
}

// Results are the names of a result's members, sorted.
func (t *Tool) Results() []string {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	_ = json.Unmarshal(t.output, &schema) // New made it
	out := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
