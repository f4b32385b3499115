package tool

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// schemaOf makes the JSON schema of a struct and applies `limit` and `enum` tags,
// the latter to the items of a list, and those of the structs in lists. Unknown
// properties are refused, so a misspelt argument is an error and not ignored.
func schemaOf[T any]() (*jsonschema.Schema, error) {
	s, err := jsonschema.For[T](nil)
	if err != nil {
		return nil, err
	}
	tidy(s)
	return s, tags(s, reflect.TypeFor[T]())
}

func tags(s *jsonschema.Schema, t reflect.Type) error {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		of := s.Properties[name]
		if limit := t.Field(i).Tag.Get("limit"); limit != "" {
			if err := apply(of, limit); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if of == nil {
			continue
		}
		if list := t.Field(i).Type; list.Kind() == reflect.Slice && list.Elem().Kind() == reflect.Struct && of.Items != nil {
			if err := tags(of.Items, list.Elem()); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if choice := t.Field(i).Tag.Get("enum"); choice != "" {
			if of.Items != nil {
				of = of.Items
			}
			for c := range strings.SplitSeq(choice, ",") {
				of.Enum = append(of.Enum, c)
			}
		}
	}
	return nil
}

// tidy makes lists plain arrays: Go's nil slice would make them nullable, which
// several clients cannot read, and no result of ours has one. What a list holds has
// a type: of anything, any single value, one type at a time, because clients that
// translate schemas know one type only (MCP Inspector, "type-union").
func tidy(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.Items != nil && untyped(s.Items) {
		s.Items = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}, {Type: "null"}}}
	}
	if len(s.Types) == 2 && s.Types[0] == "null" {
		s.Type, s.Types = s.Types[1], nil
	}
	tidy(s.Items)
	for _, p := range s.Properties {
		tidy(p)
	}
}

// untyped reports whether a schema is that of Go's any.
func untyped(s *jsonschema.Schema) bool { return reflect.DeepEqual(s, &jsonschema.Schema{}) }

func apply(s *jsonschema.Schema, limit string) error {
	for rule := range strings.SplitSeq(limit, ",") {
		name, value, _ := strings.Cut(rule, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("limit %q is not a number", rule)
		}
		number := float64(n)
		switch name {
		case "min":
			s.Minimum = &number
		case "max":
			s.Maximum = &number
		case "minlen":
			s.MinLength = &n
		case "maxlen":
			s.MaxLength = &n
		case "maxitems":
			s.MaxItems = &n
		default:
			return fmt.Errorf("there is no limit %q", name)
		}
	}
	return nil
}

// lists are the members of a result that are lists and always there.
type lists [][]int

// listsOf checks that every value of a result's type fits the schema made of it,
// so that no result has to be checked when it is sent: a member that is always
// there must not be one that Go writes as null, but for a list, which fill makes
// empty. Tags narrow arguments, not results.
func listsOf(t reflect.Type) (lists, error) {
	var out lists
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous {
			continue
		}
		if f.Tag.Get("limit") != "" || f.Tag.Get("enum") != "" {
			return nil, fmt.Errorf("%s has a limit or a choice, which only arguments have", f.Name)
		}
		switch f.Type.Kind() {
		case reflect.Slice:
			if !strings.Contains(options, "omit") {
				out = append(out, f.Index)
			}
		case reflect.Map, reflect.Pointer, reflect.Interface:
			if !strings.Contains(options, "omit") {
				return nil, fmt.Errorf("%s could be null", f.Name)
			}
		}
	}
	return out, nil
}

// fill makes the lists of a result that are nil empty.
func (l lists) fill(result reflect.Value) {
	for _, index := range l {
		if f, err := result.FieldByIndexErr(index); err == nil && f.IsNil() {
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		}
	}
}
