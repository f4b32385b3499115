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

// Arguments are the tool's arguments, the required ones first, then by name. What the
// objects of a list have follows the list, as list[].member.
func (t *Tool) Arguments() []Argument { return t.input.arguments("") }

func (in *input) arguments(place string) []Argument {
	own := make([]Argument, 0, len(in.properties))
	for name, p := range in.properties {
		own = append(own, Argument{Name: name, Required: slices.Contains(in.required, name), Takes: p.words(), Meaning: p.schema.Description})
	}
	slices.SortFunc(own, func(a, b Argument) int {
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
	var out []Argument
	for _, a := range own {
		name := a.Name
		a.Name = place + name
		out = append(out, a)
		if each := in.properties[name].each; each != nil {
			out = append(out, each.arguments(a.Name+"[].")...)
		}
	}
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
