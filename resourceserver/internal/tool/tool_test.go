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
