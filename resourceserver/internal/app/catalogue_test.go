package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/tool"
)

const (
	coreBudget = 6_000 // tokens (bytes/4) of the core's tools/list
	toolBudget = 1_200 // bytes of one tool
)

// TestCatalogueBudget: what a model pays before it has done anything.
func TestCatalogueBudget(t *testing.T) {
	t.Parallel()
	for _, preset := range tool.Presets {
		r := start(t, func(c *config.Server) { c.ToolPreset = preset })
		var m struct {
			Result struct{ Tools []json.RawMessage }
		}
		body := r.send(http.MethodPost, r.mcp, r.as.mint(all), list).body
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, raw := range m.Result.Tools {
			var d struct {
				Name        string
				Annotations map[string]any
				Output      json.RawMessage `json:"outputSchema"`
			}
			if err := json.Unmarshal(raw, &d); err != nil {
				t.Fatal(err)
			}
			if preset == tool.PresetComplete {
				t.Logf("%5d %s", len(raw), d.Name)
			}
			if total += len(raw); len(raw) > toolBudget {
				t.Errorf("%s has %d bytes, more than %d", d.Name, len(raw), toolBudget)
			}
			if len(d.Annotations) != 4 || len(d.Output) == 0 {
				t.Errorf("%s lacks annotations or an output schema", d.Name)
			}
			if preset == tool.PresetReadOnly && d.Annotations["readOnlyHint"] != true {
				t.Errorf("%s in read-only", d.Name)
			}
		}
		t.Logf("%s: %d tools, %d bytes, %d tokens", preset, len(m.Result.Tools), total, total/4)
		if preset == tool.PresetCore && len(body)/4 > coreBudget {
			t.Errorf("the core has %d tokens, more than %d", len(body)/4, coreBudget)
		}
	}
}

// TestSchemasTravel: clients that translate schemas for a model or refuse what they do
// not know (MCP Inspector, "Schema portability"; VS Code) read each of ours: one type
// at every place, never a list of types or a bare true, and lists say what they hold.
func TestSchemasTravel(t *testing.T) {
	t.Parallel()
	r := start(t)
	var m struct {
		Result struct {
			Tools []struct {
				Name        string
				InputSchema map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(r.send(http.MethodPost, r.mcp, r.as.mint(all), list).body), &m); err != nil {
		t.Fatal(err)
	}
	lists := 0
	var look func(place string, schema any)
	look = func(place string, schema any) {
		s, ok := schema.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, no schema", place, schema)
			return
		}
		if choices, ok := s["anyOf"].([]any); ok {
			for i, one := range choices {
				look(fmt.Sprintf("%s|%d", place, i), one)
			}
		} else if _, one := s["type"].(string); !one {
			t.Errorf("%s has the type %v", place, s["type"])
		}
		if s["type"] == "array" {
			lists++
			look(place+"[]", s["items"])
		}
		properties, _ := s["properties"].(map[string]any)
		for name, p := range properties {
			look(place+"."+name, p)
		}
	}
	for _, d := range m.Result.Tools {
		look(d.Name, d.InputSchema)
	}
	if len(m.Result.Tools) < 50 || lists < 10 {
		t.Errorf("%d tools with %d lists looked at", len(m.Result.Tools), lists)
	}
}

// TestProductResources: each product is a resource of its own, with its own
// metadata, audience and tools: a Gmail token opens no Drive.
func TestProductResources(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := func(resource string) string {
		c := r.as.claims(full)
		c["aud"] = resource
		return r.as.sign(c, r.as.key, "at+jwt")
	}
	with := map[string][]string{"calendar": {"contacts", "directory", "meet", "tasks"}, "drive": {"docs", "forms", "sheets", "slides"}} // what else a resource has
	for path, service := range map[string]string{"/gmail": "gmail", "/drive": "drive", "/calendar": "calendar", "/chat": "chat"} {
		resource := r.mcp + path
		out := r.send(http.MethodGet, r.origin+"/.well-known/oauth-protected-resource/mcp"+path, "", "")
		var document struct {
			Resource string
			Scopes   []string `json:"scopes_supported"`
		}
		if err := json.Unmarshal([]byte(out.body), &document); err != nil || document.Resource != resource || !slices.Equal(document.Scopes, []string{"accounts", service + ".read"}) {
			t.Errorf("%s: metadata %s", path, out.body)
		}
		out = r.send(http.MethodPost, resource, token(resource), list)
		for _, name := range names(t, out.body) {
			own, _, _ := strings.Cut(name, "_")
			if own != "account" && own != "accounts" && own != service && !slices.Contains(with[service], own) {
				t.Errorf("%s has %s", path, name)
			}
		}
		for _, other := range []string{r.mcp, r.mcp + "/gmail", r.mcp + "/drive", r.mcp + "/calendar", r.mcp + "/chat"} {
			out := r.send(http.MethodPost, other, token(resource), list)
			if (out.status == http.StatusOK) != (other == resource) || out.status != http.StatusOK && out.status != http.StatusUnauthorized {
				t.Errorf("a token for %s at %s: %d", resource, other, out.status)
			}
			want := `resource_metadata="` + r.origin + "/.well-known/oauth-protected-resource" + other[len(r.origin):] + `"`
			if refused := r.send(http.MethodPost, other, "", list).header.Get("WWW-Authenticate"); !strings.Contains(refused, want) {
				t.Errorf("%s challenges with %s", other, refused)
			}
		}
		foreign := "drive_search"
		if service == "drive" {
			foreign = "gmail_search_threads"
		}
		if out := r.send(http.MethodPost, resource, token(resource), callBody(foreign, map[string]any{})); !strings.Contains(out.body, "-32602") {
			t.Errorf("%s at %s: %d %s", foreign, path, out.status, out.body)
		}
	}
	if len(r.as.requests()) != 0 {
		t.Error("the exchange was asked")
	}
}

// TestEveryToolHasAProduct: what the whole has is at a product's resource too, at one.
func TestEveryToolHasAProduct(t *testing.T) {
	t.Parallel()
	r := start(t)
	places := map[string]int{}
	for _, product := range exchange.Products() {
		c := r.as.claims(full)
		c["aud"] = r.mcp + "/" + product
		for _, name := range names(t, r.send(http.MethodPost, r.mcp+"/"+product, r.as.sign(c, r.as.key, "at+jwt"), list).body) {
			places[name]++
		}
	}
	for _, name := range names(t, r.send(http.MethodPost, r.mcp, r.as.mint(full), list).body) {
		if service, _, _ := strings.Cut(name, "_"); service != "account" && service != "accounts" && places[name] != 1 {
			t.Errorf("%s is at %d products", name, places[name])
		}
	}
}
