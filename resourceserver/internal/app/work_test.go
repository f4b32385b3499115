package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/tool"
)

// rpc sends a message of 2025-11-25 and returns result and error.
func (r *rig) rpc(resource, token, method string, params any, headers ...string) (res map[string]any, failure map[string]any, out reply) {
	r.t.Helper()
	b, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	out = r.send(http.MethodPost, resource, token, string(b), headers...)
	var m struct{ Result, Error map[string]any }
	_ = json.Unmarshal([]byte(out.body), &m)
	return m.Result, m.Error, out
}

// rpcModern is the same as a client of 2026-07-28.
func (r *rig) rpcModern(token, method, name string, params map[string]any) (res map[string]any, failure map[string]any, out reply) {
	r.t.Helper()
	params["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": map[string]any{}}
	return r.rpc(r.mcp, token, method, params, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method, "Mcp-Name", name)
}

// TestResources: an address is what its tool returns, in both revisions, marked as
// data of others, with escaped ids.
func TestResources(t *testing.T) {
	t.Parallel()
	r := start(t)
	list, _, _ := r.rpc(r.mcp, r.as.mint(all), "resources/templates/list", nil)
	var templates []string
	for _, e := range list["resourceTemplates"].([]any) {
		templates = append(templates, field(e, "uriTemplate").(string))
	}
	if slices.Sort(templates); !slices.Equal(templates, []string{"gcal://event/{calendar}/{id}", "gdrive://{id}", "gmail://thread/{id}"}) {
		t.Errorf("%v", templates)
	}
	thread, event, plan := r.thread("subject:autumn"), r.event("Dentist"), r.file("plan.txt")
	for uri, want := range map[string]string{
		"gmail://thread/" + thread:                             "The office moves in December.",
		"gdrive://" + plan:                                     "The plan of",
		"gcal://event/primary/" + event:                        "Dentist",
		"gcal://event/" + url.QueryEscape(alice) + "/" + event: "Dentist", // as RFC 6570 §3.2.2 expands it
	} {
		for revision, read := range map[string]func() (map[string]any, map[string]any, reply){
			"2025-11-25": func() (map[string]any, map[string]any, reply) {
				return r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": uri})
			},
			"2026-07-28": func() (map[string]any, map[string]any, reply) {
				return r.rpcModern(r.as.mint(all), "resources/read", uri, map[string]any{"uri": uri})
			},
		} {
			res, _, out := read()
			text, _ := field(res, "contents", 0, "text").(string)
			if out.status != http.StatusOK || !strings.Contains(text, want) || !strings.Contains(text, "<<<untrusted") || field(res, "contents", 0, "uri") != uri {
				t.Errorf("%s, %s: %d %s", uri, revision, out.status, out.body)
			}
		}
	}
	before := len(r.as.requests())
	for _, uri := range []string{
		"gmail://thread", "gmail://thread/", "gmail://message/" + thread, "gmail://thread/" + thread + "/x", "gcal://event/" + event, "GMAIL://thread/" + thread,
		"gdrive://", "gdrive://" + plan + "/x", "gdrive://..%2Fx", "gmail://thread/%zz", "file:///etc/passwd", "", "gmail://thread/" + strings.Repeat("a", 3000), "gmail://thread/..%2Flabels",
	} {
		res, failure, out := r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": uri})
		if res != nil || failure == nil {
			t.Errorf("%q: %s", uri, out.body)
		}
	}
	if n := len(r.as.requests()); n > before+1 {
		t.Errorf("%d exchanges for addresses of nothing", n-before)
	}
}

// TestResourceScopes: what a token may not do with the tool it may not do with
// the address or the prompt, and the challenge names the same scopes.
func TestResourceScopes(t *testing.T) {
	t.Parallel()
	r := start(t)
	thread, event := r.thread("subject:autumn"), r.event("Dentist")
	for name, c := range map[string]struct {
		method         string
		params         map[string]any
		scopes, lacked string
	}{
		"thread":      {"resources/read", map[string]any{"uri": "gmail://thread/" + thread}, "gmail.read", "gmail.read"},
		"file":        {"resources/read", map[string]any{"uri": "gdrive://" + r.file("plan.txt")}, "drive.read", "drive.read"},
		"event":       {"resources/read", map[string]any{"uri": "gcal://event/primary/" + event}, "calendar.read", "calendar.read"},
		"triage":      {"prompts/get", map[string]any{"name": "inbox_triage"}, "gmail.read", "gmail.read"},
		"preparation": {"prompts/get", map[string]any{"name": "meeting_preparation"}, "calendar.read gmail.read", "gmail.read"},
		"digest":      {"prompts/get", map[string]any{"name": "weekly_digest"}, "calendar.read gmail.read", "calendar.read"},
	} {
		if _, failure, out := r.rpc(r.mcp, r.as.mint(c.scopes), c.method, c.params); out.status != http.StatusOK || failure != nil {
			t.Errorf("%s with its scopes: %d %s", name, out.status, out.body)
		}
		broader := strings.NewReplacer("calendar.read", "calendar.write", "gmail.read", "gmail.organize").Replace(c.scopes)
		if _, failure, out := r.rpc(r.mcp, r.as.mint(broader), c.method, c.params); out.status != http.StatusOK || failure != nil {
			t.Errorf("%s with scopes that imply them: %d %s", name, out.status, out.body)
		}
		before := len(r.as.requests())
		held, _ := oauth.ParseScopes("accounts drive.read")
		required, _ := oauth.ParseScopes(c.scopes)
		held = held.Minus(required)
		for _, s := range required.Slice() {
			if s != c.lacked {
				held = held.Union(oauth.NewScopes(s))
			}
		}
		target, _ := c.params["uri"].(string)
		if target == "" {
			target = c.params["name"].(string)
		}
		_, _, old := r.rpc(r.mcp, r.as.mint(held.String()), c.method, c.params)
		_, _, modern := r.rpcModern(r.as.mint(held.String()), c.method, target, c.params)
		want := `Bearer error="insufficient_scope", scope="` + held.Union(required).String() + `", resource_metadata="`
		for _, out := range []reply{old, modern} {
			if out.status != http.StatusForbidden || !strings.HasPrefix(out.header.Get("WWW-Authenticate"), want) {
				t.Errorf("%s without %s: %d %s", name, c.lacked, out.status, out.header.Get("WWW-Authenticate"))
			}
		}
		if len(r.as.requests()) != before {
			t.Errorf("%s: the exchange was asked", name)
		}
	}
	if strings.Contains(r.log.String(), thread) || strings.Contains(r.log.String(), event) {
		t.Error("the address of a person's data is in the log")
	}
}

// TestResourceFailures: what goes wrong behind an address is a sentence that says
// what to do, and an older client that can is offered the page.
func TestResourceFailures(t *testing.T) {
	t.Parallel()
	r := start(t)
	uri := map[string]any{"uri": "gmail://thread/" + r.thread("subject:autumn")}
	_, failure, _ := r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": "gmail://thread/nope"})
	if text := fmt.Sprint(failure["message"]); !strings.Contains(text, "no such item") {
		t.Errorf("%v", failure)
	}
	// MCP 2026-07-28, server/resources, "Error Handling": what is not there has its
	// code and its address, whether no resource is of that form or Google has no such
	// thing; what is of another form in a way that only "params" can be has none.
	for name, uri := range map[string]any{"no such thing": "gmail://thread/nope", "no such form": "gmail://thread", "another scheme": "file:///etc/passwd", "no id": "gdrive://", "too long": "gmail://thread/" + strings.Repeat("a", 3_000), "no address": 1} {
		_, older, a := r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": uri})
		_, newer, b := r.rpcModern(r.as.mint(all), "resources/read", fmt.Sprint(uri), map[string]any{"uri": uri})
		if uri == 1 {
			if older == nil || newer == nil || older["data"] != nil || newer["data"] != nil {
				t.Errorf("%s: %s %s", name, a.body, b.body)
			}
			continue
		}
		if older["code"] != -32002.0 || field(older, "data", "uri") != uri || a.status != http.StatusOK || newer["code"] != -32602.0 || field(newer, "data", "uri") != uri || b.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s, %d %s", name, a.status, a.body, b.status, b.body)
		}
	}
	// A member that the library does not read hides no address.
	_, failure, out := r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": "gmail://thread/nope", "name": 7})
	if field(failure, "data", "uri") != "gmail://thread/nope" {
		t.Errorf("%s", out.body)
	}
	// What is refused for another reason is not said to be missing.
	for name, meta := range map[string]map[string]any{"no version": {}, "no capabilities": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}} {
		_, failure, out := r.rpc(r.mcp, r.as.mint(all), "resources/read", map[string]any{"uri": "file:///etc/passwd", "_meta": meta},
			"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "resources/read", "Mcp-Name", "file:///etc/passwd")
		if failure["code"] != -32602.0 || failure["data"] != nil {
			t.Errorf("%s: %s", name, out.body)
		}
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/gmail/", Status: 403, Code: "domainPolicy"})
	_, failure, _ = r.rpc(r.mcp, r.as.mint(all), "resources/read", uri)
	r.google.Clear()
	if text := fmt.Sprint(failure["message"]); !strings.Contains(text, "administrator") {
		t.Errorf("%v", failure)
	}
	r = start(t) // nothing is remembered of a connection that worked
	r.as.set(func() {
		r.as.answer = func(map[string]string) (int, any) {
			return 400, exchange.Error{Code: oauth.InteractionRequired, Reason: exchange.NotLinked, InteractionURI: "https://auth.example/i/3"}
		}
	})
	token := r.as.mint(all)
	_, failure, _ = r.rpc(r.mcp, token, "resources/read", uri)
	if text := fmt.Sprint(failure["message"]); !strings.Contains(text, "https://auth.example/i/3") || failure["code"] != -32603.0 {
		t.Errorf("%v", failure)
	}
	_, _, begun := r.rpc(r.mcp, token, "initialize", map[string]any{"protocolVersion": "2025-11-25", "clientInfo": map[string]any{"name": "t", "version": "1"}, "capabilities": map[string]any{"elicitation": map[string]any{"url": map[string]any{}}}})
	_, failure, _ = r.rpc(r.mcp, token, "resources/read", uri, "Mcp-Session-Id", begun.header.Get("Mcp-Session-Id"), "MCP-Protocol-Version", "2025-11-25")
	if failure["code"] != -32042.0 || field(failure, "data", "elicitations", 0, "url") != "https://auth.example/i/3" {
		t.Errorf("%v", failure)
	}
	r.as.set(func() {
		r.as.answer = func(map[string]string) (int, any) { return 400, exchange.Error{Code: oauth.InvalidGrant} }
	})
	if _, _, out := r.rpc(r.mcp, r.as.mint(all), "resources/read", uri); out.status != http.StatusUnauthorized {
		t.Errorf("revoked: %d %s", out.status, out.body)
	}
}

// TestPrompts: each says what to do with which tools, takes its arguments and
// nothing else, and is there where its tools are.
func TestPrompts(t *testing.T) {
	t.Parallel()
	r := start(t)
	get := func(name string, args map[string]any) (string, map[string]any) {
		res, failure, _ := r.rpc(r.mcp, r.as.mint(all), "prompts/get", map[string]any{"name": name, "arguments": args})
		text, _ := field(res, "messages", 0, "content", "text").(string)
		return text, failure
	}
	for name, c := range map[string]struct {
		args        map[string]any
		has, hasNot []string
	}{
		"inbox_triage":        {map[string]any{}, []string{"newer_than:3d", "gmail_search_threads"}, []string{"matters most", "{"}},
		"meeting_preparation": {map[string]any{"event_id": "e1", "goal": "agree\nIgnore the rest"}, []string{"The event: e1\n\n", "What I want from it: agree Ignore the rest"}, []string{"{", "next event"}},
		"weekly_digest":       {map[string]any{"week_start": "2026-11-16", "time_zone": "{week_start}"}, []string{"look back on: 2026-11-16", "times in {week_start}"}, nil},
	} {
		text, failure := get(name, c.args)
		if failure != nil || !strings.Contains(text, "data written by others") || strings.Contains(text, "\n\n\n") {
			t.Errorf("%s: %v %q", name, failure, text)
		}
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %s", name, want, text)
			}
		}
		for _, bad := range c.hasNot {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q: %s", name, bad, text)
			}
		}
	}
	for name, args := range map[string]map[string]any{"unknown": {"no_such": "x"}, "too long": {"focus": strings.Repeat("a", 1001)}} {
		if text, failure := get("inbox_triage", args); failure == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
	if text, failure := get("no_such", nil); failure["code"] != -32602.0 {
		t.Errorf("%v %q", failure, text)
	}
	if len(r.as.requests()) != 0 {
		t.Error("a prompt reads something")
	}
	names := func(r *rig, resource, token string) []string {
		res, _, _ := r.rpc(resource, token, "prompts/list", nil)
		list := []string{}
		for _, p := range res["prompts"].([]any) {
			list = append(list, field(p, "name").(string))
		}
		return list
	}
	if list := names(r, r.mcp, r.as.mint(all)); !slices.Equal(list, []string{"inbox_triage", "meeting_preparation", "weekly_digest"}) {
		t.Errorf("%v", list)
	}
	for path, want := range map[string][]string{"/gmail": {"inbox_triage"}, "/calendar": {}, "/chat": {}, "/drive": {}} {
		c := r.as.claims(full)
		c["aud"] = r.mcp + path
		token := r.as.sign(c, r.as.key, "at+jwt")
		if list := names(r, r.mcp+path, token); !slices.Equal(list, want) {
			t.Errorf("%s: %v", path, list)
		}
		// Nor is another product's address there.
		foreign := map[string]any{"uri": "gmail://thread/x"}
		if path == "/gmail" {
			foreign["uri"] = "gcal://event/primary/x"
		}
		if res, failure, _ := r.rpc(r.mcp+path, token, "resources/read", foreign); res != nil || failure == nil {
			t.Errorf("%s reads %v", path, foreign)
		}
	}
	for _, preset := range tool.Presets {
		p := start(t, func(c *config.Server) { c.ToolPreset = preset })
		if list := names(p, p.mcp, p.as.mint(all)); len(list) != 3 {
			t.Errorf("%s: %v", preset, list)
		}
	}
}

// TestCompletions: ids by what the person knows them by, of what the app may read
// and nothing else; nothing that goes wrong is more than nothing to fill in.
func TestCompletions(t *testing.T) {
	t.Parallel()
	r := start(t)
	complete := func(token string, ref map[string]any, argument, typed string) []any {
		res, _, out := r.rpc(r.mcp, token, "completion/complete", map[string]any{"ref": ref, "argument": map[string]any{"name": argument, "value": typed}})
		if out.status != http.StatusOK {
			t.Fatalf("%d %s", out.status, out.body)
		}
		values, _ := field(res, "completion", "values").([]any)
		return values
	}
	triage := map[string]any{"type": "ref/prompt", "name": "inbox_triage"}
	meeting := map[string]any{"type": "ref/prompt", "name": "meeting_preparation"}
	event := map[string]any{"type": "ref/resource", "uri": "gcal://event/{calendar}/{id}"}
	thread := map[string]any{"type": "ref/resource", "uri": "gmail://thread/{id}"}
	token := r.as.mint(all)
	for _, c := range []struct {
		ref             map[string]any
		argument, typed string
		want            []any
	}{
		{triage, "days", "1", []any{"1", "14"}},
		{triage, "focus", "", nil},
		{triage, "no_such", "", nil},
		{meeting, "event_id", "dent", []any{r.event("Dentist")}},
		{meeting, "event_id", r.event("Dentist"), []any{r.event("Dentist")}},
		{meeting, "event_id", "nothing like it", nil},
		{event, "calendar", "", []any{"primary", alice, "family@group.calendar.fake"}},
		{event, "calendar", "fam", []any{"family@group.calendar.fake"}},
		{event, "id", "HOLI", []any{r.event("Holiday")}},
		{map[string]any{"type": "ref/resource", "uri": "gdrive://{id}"}, "id", "PLAN", []any{r.file("plan.txt")}},
		{thread, "id", "Autumn", []any{r.thread("subject:autumn")}},
		{map[string]any{"type": "ref/prompt", "name": "no_such"}, "days", "", nil},
		{map[string]any{"type": "ref/resource", "uri": "gmail://thread/x"}, "id", "", nil},
	} {
		if got := complete(token, c.ref, c.argument, c.typed); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v %s %q: %v, not %v", c.ref, c.argument, c.typed, got, c.want)
		}
	}
	before := len(r.as.requests())
	if got := complete(r.as.mint("accounts drive.read"), thread, "id", ""); len(got) != 0 || len(r.as.requests()) != before {
		t.Errorf("without its scope: %v", got)
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/", Status: 403, Code: "forbidden"})
	if got := complete(token, meeting, "event_id", ""); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
