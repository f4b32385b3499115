package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/tool"
)

type in struct {
	Name string `json:"name" jsonschema:"a name" limit:"maxlen=5"`
	N    int    `json:"n,omitempty" limit:"min=1,max=10"`
}

type out struct {
	List []string `json:"list"`
}

type nullable struct {
	List  []string       `json:"list"`
	Other map[string]int `json:"other"`
}

type clash struct {
	Code string `json:"code"`
}

func description(change func(*tool.Description)) tool.Description {
	d := tool.Description{Name: "x_y", Title: "X", Description: "x", Scopes: oauth.NewScopes("gmail.read"), Hints: tool.Read}
	if change != nil {
		change(&d)
	}
	return d
}

func run(context.Context, in) (tool.Output[out], error) { return tool.Output[out]{}, nil }

// TestNew: mistakes of the programmer are found at start.
func TestNew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tool.Description){
		"no name":                       func(d *tool.Description) { d.Name = "" },
		"no scopes":                     func(d *tool.Description) { d.Scopes = oauth.Scopes{} },
		"destroys without asking":       func(d *tool.Description) { d.Hints = tool.Destroy },
		"reaches others without asking": func(d *tool.Description) { d.Hints = tool.Hints{OpenWorld: true} },
		"unknown scope":                 func(d *tool.Description) { d.Scopes = oauth.NewScopes("gmail.raed") },
		"Google scope that the scopes do not entitle to": func(d *tool.Description) { d.Google = oauth.NewScopes("https://mail.google.com/") },
	} {
		if _, err := tool.New(description(change), run); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := tool.New(description(nil), func(context.Context, in) (tool.Output[clash], error) { return tool.Output[clash]{}, nil }); err == nil {
		t.Error("a result that looks like an error: accepted")
	}
	if _, err := tool.New(description(nil), func(context.Context, in) (tool.Output[nullable], error) { return tool.Output[nullable]{}, nil }); err == nil {
		t.Error("a member that is always there and may be null: accepted")
	}
	if _, err := tool.New(description(nil), func(context.Context, in) (tool.Output[in], error) { return tool.Output[in]{}, nil }); err == nil {
		t.Error("a result with limits, which nothing checks: accepted")
	}
	made, err := tool.New(description(nil), run)
	if err != nil {
		t.Fatal(err)
	}
	m := made.MCP()
	if s := string(m.RawInputSchema); strings.Contains(s, `"maxLength"`) || !strings.Contains(s, `"additionalProperties":false`) || !strings.Contains(s, `"maximum":10`) || !strings.Contains(s, `"description":"a name"`) {
		t.Errorf("input schema: %s", s)
	}
	if s := string(m.RawOutputSchema); !strings.Contains(s, `"list":{"type":"array"}`) || !strings.Contains(s, `"anyOf":[{"required":["list"]},{"required":["code"]}]`) || strings.Contains(s, "additionalProperties") {
		t.Errorf("output schema: %s", s)
	}
}

type order struct {
	Lines []orderLine `json:"lines" limit:"maxitems=3"`
}

type orderLine struct {
	Kind string   `json:"kind" enum:"tea,cake"`
	N    int      `json:"n,omitempty" limit:"min=1,max=10"`
	Tags []string `json:"tags,omitempty" limit:"maxitems=2"`
}

// TestNested: what stands in the objects of a list is held to its limits too, and a
// mistake is named by its place.
func TestNested(t *testing.T) {
	t.Parallel()
	made, err := tool.New(description(nil), func(context.Context, order) (tool.Output[out], error) { return tool.Output[out]{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if s := string(made.MCP().RawInputSchema); strings.Contains(s, `"minimum"`) || strings.Contains(s, `"maxItems"`) || !strings.Contains(s, `"enum":["tea","cake"]`) || strings.Count(s, `"additionalProperties":false`) != 2 {
		t.Errorf("input schema: %s", s)
	}
	var names []string
	for _, a := range made.Arguments() {
		names = append(names, a.Name)
	}
	if s := strings.Join(names, " "); s != "lines lines[].kind lines[].n lines[].tags" {
		t.Errorf("arguments: %s", s)
	}
	for arguments, want := range map[string]string{
		`{"lines":[{"kind":"tea"},{"kind":"soup"}]}`:             "lines[1].kind must be a text, of [tea cake].",
		`{"lines":[{"kind":"tea","n":11}]}`:                      "lines[0].n must be a whole number, 1 to 10.",
		`{"lines":[{"n":1}]}`:                                    "lines[0].kind is missing.",
		`{"lines":[{"kind":"tea","x":1}]}`:                       `There is no "x" in lines[0]. There are: kind, n, tags.`,
		`{"lines":[{"kind":"tea","tags":["a","b","c"]}]}`:        "lines[0].tags must be a list, at most 2 entries, each of type string.",
		`{"lines":["tea"]}`:                                      "lines must be a list, at most 3 entries, each of type object.",
		`{"lines":[{"kind":"x"},{"kind":"x"},{"kind":"x"},{}]}`:  "lines must be a list, at most 3 entries, each of type object.",
		`{"lines":{"kind":"tea"}}`:                               "lines must be a list, at most 3 entries, each of type object.",
		`{"lines":[{"kind":"tea","n":2,"tags":["a"]}],"more":1}`: `There is no argument "more". There are: lines.`,
		// Go's decoder lays the second over the first, whose rest nobody checked.
		`{"lines":[{"kind":"tea","n":4711}],"lines":[{"kind":"tea"}]}`:             "lines is given twice.",
		`{"lines":[{"kind":"tea","x":1}],"line\u0073":[{"kind":"cake"}]}`:          "lines is given twice.",
		`{"lines":[{"kind":"tea","tags":["a","b","c"]}],"lines":[{"kind":"tea"}]}`: "lines is given twice.",
	} {
		var failure *tool.Error
		if !errors.As(made.Check(json.RawMessage(arguments)), &failure) || failure.Code != tool.CodeInvalidArgument || failure.Message != want {
			t.Errorf("%s: %+v", arguments, failure)
		}
	}
	if err := made.Check(json.RawMessage(`{"lines":[{"kind":"cake","n":2,"tags":["a"]}]}`)); err != nil {
		t.Error(err)
	}
}

type nested struct {
	Orders []order `json:"orders"`
}

// TestNestedOnce: lists in lists would have to be read more closely.
func TestNestedOnce(t *testing.T) {
	t.Parallel()
	if _, err := tool.New(description(nil), func(context.Context, nested) (tool.Output[out], error) { return tool.Output[out]{}, nil }); err == nil {
		t.Error("a list of objects in another: accepted")
	}
}

type grid struct {
	Rows [][]any `json:"rows" limit:"maxitems=3"`
}

// TestValues: what a list may hold of any kind is single values, each with its type.
func TestValues(t *testing.T) {
	t.Parallel()
	made, err := tool.New(description(nil), func(context.Context, grid) (tool.Output[out], error) { return tool.Output[out]{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if s := string(made.MCP().RawInputSchema); !strings.Contains(s, `"items":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"number"},{"type":"boolean"},{"type":"null"}]}}`) {
		t.Errorf("input schema: %s", s)
	}
	if err := made.Check(json.RawMessage(`{"rows":[["a",1,-0.5,true,null],[]]}`)); err != nil {
		t.Error(err)
	}
	for _, arguments := range []string{`{"rows":[[{}]]}`, `{"rows":[[["a"]]]}`, `{"rows":["a"]}`} {
		var failure *tool.Error
		if !errors.As(made.Check(json.RawMessage(arguments)), &failure) || failure.Message != "rows must be a list, at most 3 entries, each a list of texts, numbers, true, false or null." {
			t.Errorf("%s: %+v", arguments, failure)
		}
	}
}

// BenchmarkValues: as many values as a request has room for.
func BenchmarkValues(b *testing.B) {
	made, err := tool.New(description(nil), func(context.Context, grid) (tool.Output[out], error) { return tool.Output[out]{}, nil })
	if err != nil {
		b.Fatal(err)
	}
	args := json.RawMessage(`{"rows":[[` + strings.Repeat("1,", 500_000) + `1]]}`)
	for b.Loop() {
		if err := made.Check(args); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWithoutGuard: a tool that is reached around the guard runs nothing.
func TestWithoutGuard(t *testing.T) {
	t.Parallel()
	ran := false
	made, err := tool.New(description(nil), func(context.Context, in) (tool.Output[out], error) {
		ran = true
		return tool.Output[out]{}, errors.New("canary")
	})
	if err != nil {
		t.Fatal(err)
	}
	r, failure := made.Call(t.Context(), json.RawMessage(`{"name":"a"}`))
	if b, _ := json.Marshal(r); ran || !r.IsError || failure == nil || strings.Contains(string(b), "canary") || strings.Contains(string(b), "guard") {
		t.Errorf("%v %s", ran, b)
	}
}
