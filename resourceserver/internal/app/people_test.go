package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
)

// TestContactsSearch: found in the first call, by the beginning of a word, in
// what the app was given and nowhere else, with a credential for each.
func TestContactsSearch(t *testing.T) {
	t.Parallel()
	r := start(t)
	names := func(out map[string]any) []string {
		var list []string
		for _, p := range out["people"].([]any) {
			list = append(list, fmt.Sprint(field(p, "name"), " (", field(p, "source"), ")"))
		}
		return list
	}
	for scopes, c := range map[string]struct{ people, sources []string }{
		"contacts.read":                                    {[]string{"Dana Diaz (contacts)"}, []string{"contacts"}},
		"contacts.read contacts.other.read":                {[]string{"Dana Diaz (contacts)", "Danilo Drake (other_contacts)"}, []string{"contacts", "other_contacts"}},
		"contacts.read directory.read":                     {[]string{"Dana Diaz (contacts)"}, []string{"contacts", "directory"}},
		"contacts.write contacts.other.read gmail.send":    {[]string{"Dana Diaz (contacts)", "Danilo Drake (other_contacts)"}, []string{"contacts", "other_contacts"}},
		"contacts.read contacts.other.read directory.read": {[]string{"Dana Diaz (contacts)", "Danilo Drake (other_contacts)"}, []string{"contacts", "other_contacts", "directory"}},
	} {
		fresh := start(t) // nobody has searched yet: without the preparing request there is nothing
		out := fresh.call(fresh.as.mint(scopes), "contacts_search", map[string]any{"query": "dan"})
		if out.IsError || !slices.Equal(names(out.Data), c.people) || fmt.Sprint(out.Data["sources"]) != fmt.Sprint(c.sources) || field(out.Data, "account", "email") != alice {
			t.Errorf("%s: %v", scopes, out.Data)
		}
		for _, asked := range fresh.as.requests() {
			if len(strings.Fields(asked["scope"])) != 1 {
				t.Errorf("%s: one credential for %s", scopes, asked["scope"])
			}
		}
	}
	found := r.ok("contacts_search", map[string]any{"query": "bob"})
	if list := names(found); !slices.Equal(list, []string{"Bob Brown (contacts)"}) { // in the directory as well, once
		t.Errorf("%v", list)
	}
	dana := r.ok("contacts_search", map[string]any{"query": "partner"})
	if p := field(dana, "people", 0); field(p, "emails", 0) != "dana@partner.test" || field(p, "phones", 0) != "+49 30 123456" || field(p, "organization") != "Partner Ltd" {
		t.Errorf("%v", p)
	}
	// Nothing is there, and a blank is no question.
	if none := r.ok("contacts_search", map[string]any{"query": "zz"}); len(none["people"].([]any)) != 0 {
		t.Errorf("%v", none)
	}
	if bad := r.call(r.as.mint(full), "contacts_search", map[string]any{"query": "  "}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("%v", bad.Data)
	}
}

// TestContactsElsewhereFail: a directory that is closed, or was not granted at
// Google, keeps nobody from finding contacts; an outage is told.
func TestContactsElsewhereFail(t *testing.T) {
	t.Parallel()
	r := start(t)
	const outsider = "0198f000-0000-7000-8000-0000000000c0"
	r.as.set(func() { r.as.people[outsider] = carol })
	c := r.as.claims("contacts.read directory.read")
	c["sub"], c["gid"] = outsider, "0198f000-0000-7000-8000-0000000000c1"
	out := r.call(r.as.sign(c, r.as.key, "at+jwt"), "contacts_search", map[string]any{"query": "dan"})
	if out.IsError || len(out.Data["people"].([]any)) != 1 || fmt.Sprint(out.Data["sources"]) != "[contacts]" {
		t.Errorf("an account without an organization: %v", out.Data)
	}
	for name, f := range map[string]fakegoogle.Fault{
		"closed": {Status: 403, Code: "forbidden"}, "not granted": {Status: 403, Code: "insufficientPermissions"},
	} {
		f.Prefix = "/v1/people:searchDirectoryPeople"
		r.google.Inject(f)
		out := r.call(r.as.mint(full), "contacts_search", map[string]any{"query": "dan"})
		r.google.Clear()
		if out.IsError || len(out.Data["people"].([]any)) != 2 {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/people:searchDirectoryPeople", Status: 500})
	if out := r.call(r.as.mint(full), "contacts_search", map[string]any{"query": "dan"}); out.Data["code"] != "temporarily_unavailable" {
		t.Errorf("outage: %v", out.Data)
	}
}

// TestTasks: dates, lists, and a task through its life.
func TestTasks(t *testing.T) {
	t.Parallel()
	r := start(t)
	open := r.ok("tasks_list", nil)
	if len(open["tasks"].([]any)) != 2 || len(open["task_lists"].([]any)) != 2 || field(open, "tasks", 0, "status") != "open" || len(field(open, "tasks", 0, "due").(string)) != 10 {
		t.Errorf("%v", open)
	}
	if all := r.ok("tasks_list", map[string]any{"completed": true}); len(all["tasks"].([]any)) != 3 {
		t.Errorf("%v", all)
	}
	made := r.ok("tasks_manage", map[string]any{"action": "add", "title": "Water\u200b plants", "notes": "the tall ones", "due": "2027-01-31", "task_list_id": "list2"})
	id := field(made, "task", "task_id")
	if field(made, "task", "title") != "Water plants" || field(made, "task", "due") != "2027-01-31" {
		t.Errorf("%v", made)
	}
	change := func(args map[string]any) map[string]any {
		args["task_id"], args["task_list_id"] = id, "list2"
		return r.ok("tasks_manage", args)["task"].(map[string]any)
	}
	if done := change(map[string]any{"action": "complete"}); done["status"] != "completed" || done["completed"] == nil || done["notes"] != "the tall ones" {
		t.Errorf("%v", done)
	}
	if again := change(map[string]any{"action": "reopen"}); again["status"] != "open" || again["completed"] != nil {
		t.Errorf("%v", again)
	}
	if moved := change(map[string]any{"action": "update", "due": "2027-02-01", "notes": ""}); moved["due"] != "2027-02-01" || moved["notes"] != nil || moved["title"] != "Water plants" {
		t.Errorf("%v", moved)
	}
	if free := change(map[string]any{"action": "update", "due": "none"}); free["due"] != nil {
		t.Errorf("%v", free)
	}
	if soon := r.ok("tasks_list", map[string]any{"due_before": "2020-01-01"}); len(soon["tasks"].([]any)) != 0 {
		t.Errorf("%v", soon)
	}
	for name, args := range map[string]map[string]any{
		"no title": {"action": "add"}, "no task": {"action": "complete"}, "nothing": {"action": "update", "task_id": "t"}, "a time": {"action": "add", "title": "t", "due": "2027-01-31T09:00:00Z"},
		"delete": {"action": "delete", "task_id": "t"}, "two things": {"action": "complete", "task_id": "t", "title": "x"}, "an id for a new one": {"action": "add", "title": "t", "task_id": "t"},
	} {
		if bad := r.call(r.as.mint(full), "tasks_manage", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, bad.Data)
		}
	}
	// A lost answer: completing twice is as once, adding is not repeated.
	r.google.Inject(fakegoogle.Fault{Prefix: "/tasks/", Status: 503, After: true, Times: 1})
	if done := change(map[string]any{"action": "complete"}); done["status"] != "completed" {
		t.Errorf("%v", done)
	}
	before := r.google.Count("POST /tasks/v1/lists/list2/tasks")
	r.google.Inject(fakegoogle.Fault{Prefix: "/tasks/", Status: 503, After: true, Times: 1})
	if out := r.call(r.as.mint(full), "tasks_manage", map[string]any{"action": "add", "title": "once", "task_list_id": "list2"}); !inDoubt(out, "tasks_list") {
		t.Errorf("in doubt: %v", out.Data)
	}
	if n := r.google.Count("POST /tasks/v1/lists/list2/tasks") - before; n != 1 {
		t.Errorf("%d times", n)
	}
}

// TestMeet: which meetings were, and what was said in one, to its end, each word
// once.
func TestMeet(t *testing.T) {
	t.Parallel()
	r := start(t)
	all := r.ok("meet_list_conferences", nil)["conferences"].([]any)
	if len(all) != 2 || field(all, 1, "conference_id") != "conf1" || field(all, 0, "time_zone") != "UTC" || !strings.HasSuffix(field(all, 0, "start").(string), "Z") {
		t.Errorf("%v", all)
	}
	if some := r.ok("meet_list_conferences", map[string]any{"before": field(all, 0, "start")})["conferences"].([]any); len(some) != 1 || field(some, 0, "conference_id") != "conf1" {
		t.Errorf("%v", some)
	}
	if none := r.ok("meet_list_conferences", map[string]any{"after": "2040-01-01"})["conferences"].([]any); len(none) != 0 {
		t.Errorf("%v", none)
	}
	for _, injection := range []string{`2026-01-01" OR space.name="x`, "yesterday"} {
		if bad := r.call(r.as.mint(full), "meet_list_conferences", map[string]any{"after": injection}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", injection, bad.Data)
		}
	}
	if none := r.ok("meet_get_transcript", map[string]any{"conference_id": "conf2"}); none["available"] != false || none["text"] != "" {
		t.Errorf("%v", none)
	}
	text, args := "", map[string]any{"conference_id": "conf1", "max_chars": 500}
	for page := 0; ; page++ {
		out := r.ok("meet_get_transcript", args)
		if part := out["text"].(string); len(part) > 500 || part == "" {
			t.Fatalf("%d characters", len(part))
		} else {
			text += part
		}
		if fmt.Sprint(out["participants"]) != "[Alice Adams Bob Brown]" || out["state"] != "file_generated" || !strings.HasPrefix(out["document_url"].(string), "https://docs.google.com/") {
			t.Errorf("%v", out)
		}
		next, more := out["next_page_token"]
		if more != out["truncated"].(bool) {
			t.Errorf("%v", out)
		}
		if args["page_token"] = next; !more {
			break
		}
		if page > 50 {
			t.Fatal("does not end")
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf("Z %s: Point %d of the budget.", []string{"Alice Adams", "Bob Brown"}[i%2], i+1); !strings.HasSuffix(line, want) {
			t.Fatalf("%q, not %q", line, want)
		}
	}
	if len(lines) != 120 {
		t.Errorf("%d lines", len(lines))
	}
	for _, id := range []string{"conf1/transcripts/t1", "../spaces/x", "conferenceRecords/conf1/participants", "conf1?alt=media", "%2e%2e"} {
		if bad := r.call(r.as.mint(full), "meet_get_transcript", map[string]any{"conference_id": id}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", id, bad.Data)
		}
	}
	for _, token := range []string{"x", "1:0:", "-1:0:", "0:9999:x", "0:0:forged"} {
		if bad := r.call(r.as.mint(full), "meet_get_transcript", map[string]any{"conference_id": "conf1", "page_token": token}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", token, bad.Data)
		}
	}
	out := r.call(r.as.mint(full), "meet_get_transcript", map[string]any{"conference_id": "conf1"})
	if !strings.Contains(out.Content[0].Text, "<<<untrusted") {
		t.Error("what people said is not marked")
	}
}
