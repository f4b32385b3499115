package app_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
)

// TestDirectorySearch: people of the organization by the beginning of what is
// known of them, those that it shares told apart, and nobody of another one.
func TestDirectorySearch(t *testing.T) {
	t.Parallel()
	r := start(t)
	for query, want := range map[string]string{
		"bob": "[Bob Brown]", "engineer": "[Alice Adams Bob Brown]", "tools": "[Alice Adams Bob Brown]", "fac": "[Reception Desk]", "ex": "[Alice Adams Bob Brown Reception Desk]",
		"lice": "[]", "carol": "[]", "person01": "[]", // not a beginning, nobody's, another organization's
	} {
		var names []any
		out := r.ok("directory_search", map[string]any{"query": query})
		for _, p := range out["people"].([]any) {
			names = append(names, field(p, "name"))
		}
		if fmt.Sprint(names) != want || field(out, "account", "email") != alice || !strings.Contains(fmt.Sprint(out["notice"]), "Untrusted") {
			t.Errorf("%s: %v", query, out)
		}
	}
	for query, want := range map[string]map[string]any{
		"bob": {"emails": []any{"bob@example.com"}, "phones": []any{"+49 30 10022"}, "title": "Engineer", "department": "Tools", "organization": "Example Works", "source": "directory", "etag": nil},
		"rec": {"emails": []any{"reception@building.test"}, "title": nil, "department": "Facilities", "source": "shared_contact"},
	} {
		p := field(r.ok("directory_search", map[string]any{"query": query}), "people", 0)
		for name, value := range want {
			if fmt.Sprint(field(p, name)) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v", query, name, field(p, name))
			}
		}
	}
	// A page belongs to its search.
	first := r.ok("directory_search", map[string]any{"query": "ex", "page_size": 1})
	if out := r.call(r.as.mint(full), "directory_search", map[string]any{"query": "bob", "page_size": 1, "page_token": first["next_page_token"]}); out.Data["code"] != "invalid_argument" {
		t.Errorf("a token of another search: %v", out.Data)
	}
	if bad := r.call(r.as.mint(full), "directory_search", map[string]any{"query": "  "}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("a blank: %v", bad.Data)
	}
}

// TestNoDirectory: an account of no organization is told so; a request that is
// wrong is not taken for that.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	r := start(t)
	const outsider = "0198f000-0000-7000-8000-0000000000c2"
	r.as.set(func() { r.as.people[outsider] = carol })
	c := r.as.claims("directory.read")
	c["sub"], c["gid"] = outsider, "0198f000-0000-7000-8000-0000000000c3"
	out := r.call(r.as.sign(c, r.as.key, "at+jwt"), "directory_search", map[string]any{"query": "bob"})
	if out.Data["code"] != "permission_denied" || !strings.Contains(fmt.Sprint(out.Data["message"]), "organization") || !strings.Contains(fmt.Sprint(out.Data["next_action"]), "contacts_search") {
		t.Errorf("%v", out.Data)
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/people:searchDirectoryPeople", Status: 400, Code: "badRequest"})
	if out := r.call(r.as.mint(full), "contacts_search", map[string]any{"query": "dan"}); out.Data["code"] != "invalid_argument" {
		t.Errorf("wrong: %v", out.Data)
	}
}
