package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/app"
)

// samples are working arguments of every tool that calls Google. A product's
// tools are added here, and every test of this file holds for them.
func (r *rig) samples() map[string]map[string]any {
	minutes := r.message("subject:minutes")
	// Nobody else comes to the one, and bob invites to the other.
	alone, guests := r.event("Dentist"), r.event("Lunch with Alice")
	deck := r.google.AddFile(alice, fakegoogle.NewFile{Name: "deck", MimeType: presentationType, Content: []byte("Welcome\fPlan")})
	dana := r.contact("dana")
	notes, budget, plan := r.file("Meeting notes"), r.file("Budget 2027"), r.file("plan.txt")
	return map[string]map[string]any{
		"account_status": {}, "accounts_list": {}, "calendar_list_events": {}, "gmail_search_threads": {"page_size": 3},
		"gmail_get_thread": {"thread_id": r.thread("subject:autumn")}, "gmail_get_message": {"message_id": minutes},
		"gmail_get_attachment": {"message_id": minutes, "attachment_id": "1"}, "gmail_list_labels": {},
		"gmail_modify": {"message_ids": []string{minutes}, "actions": []string{"star"}}, "gmail_create_draft": {"to": []string{bob}, "text": "t", "reply_to_message_id": minutes},
		"gmail_send": {"draft_id": r.draft(bob, "s", "t")}, "gmail_manage_draft": {"action": "list"}, "gmail_list_filters": {}, "gmail_get_vacation": {},
		"drive_search": {}, "drive_get_file": {"file_id": plan}, "drive_read_file": {"file_id": plan}, "drive_create_file": {"name": "made", "type": "text", "text": "x"}, "drive_upload_file": {"name": "up.bin"},
		"drive_update": {"file_id": plan, "description": "d"}, "drive_copy": {"file_id": plan}, "drive_share": {"file_id": plan, "with": []string{bob}, "role": "reader"},
		"drive_shared_drives_list": {}, "drive_comments_list": {"file_id": plan}, "drive_comments_add": {"file_id": plan, "text": "c"},
		"drive_revisions_list": {"file_id": plan}, "drive_approvals_list": {"file_id": plan},
		"docs_get": {"document_id": notes}, "docs_edit": {"document_id": notes, "text": "# More"}, "sheets_read": {"spreadsheet_id": budget}, "sheets_info": {"spreadsheet_id": budget},
		"sheets_write":        {"spreadsheet_id": budget, "range": "Sheet1!D1", "values": [][]any{{"x"}}},
		"sheets_batch_update": {"spreadsheet_id": budget, "requests": []any{map[string]any{"appendDimension": map[string]any{"sheetId": 0, "dimension": "ROWS", "length": 1}}}},
		"gmail_create_filter": {"from": "x@y.test", "label": "projects"}, "gmail_delete_filter": {"filter_id": "f"}, "gmail_set_vacation": {"enabled": false},
		"calendar_list_calendars": {}, "calendar_get_event": {"event_id": alone}, "calendar_create_event": {"title": "t", "start": "2027-01-31"},
		"calendar_update_event": {"event_id": alone, "title": "Dentist"}, "calendar_freebusy": {}, "calendar_respond": {"event_id": guests, "response": "declined"},
		"calendar_delete_event": {"event_id": alone}, "calendar_set_focus_time": {"start": "2027-01-31T09:00"}, "calendar_set_out_of_office": {"start": "2027-01-31"},
		"contacts_search": {"query": "d"},
		"contacts_create": {"given_name": "Erik"}, "contacts_update": {"resource_name": dana["resource_name"], "etag": dana["etag"], "notes": "n"}, "directory_search": {"query": "example"},
		"meet_list_conferences": {}, "meet_get_transcript": {"conference_id": "conf1"},
		"chat_search": {"query": "build"}, "chat_list_messages": {"space_id": "spaces/TEAM"}, "chat_send": {"space_id": "TEAM", "text": "t"},
		"slides_get": {"presentation_id": deck}, "slides_create": {"title": "t", "text": "# One\n- a"}, "slides_update": {"presentation_id": deck, "text": "# Two"},
		"slides_thumbnail": {"presentation_id": deck, "slide_id": "p0"}, "slides_set_notes": {"presentation_id": deck, "slide_id": "p0", "text": "n"},
		"forms_get": {"form_id": "form11"}, "forms_list_responses": {"form_id": "form11"},
		"forms_publish": {"form_id": "form11"}, "forms_create": {"title": "t", "questions": []any{map[string]any{"title": "q", "type": "text"}}}, "tasks_list": {}, "tasks_manage": {"action": "add", "title": "t"},
	}
}

// call sends a tools/call and reads what came, refusals of the HTTP level too.
func (r *rig) raw(token, name string, args map[string]any) reply {
	r.t.Helper()
	return r.send(http.MethodPost, r.mcp, token, callBody(name, args))
}

// TestScopeMatrix: generated from the registry: with each of its scopes missing a
// tool is refused with 403, which names all that the operation needs and all that
// the token has; with a scope that implies it, it runs; Google is not asked for
// more than the tool names.
func TestScopeMatrix(t *testing.T) {
	t.Parallel()
	r := start(t)
	samples := r.samples()
	tools, err := app.Tools(r.settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tools {
		args, ok := samples[d.Name]
		if !ok {
			t.Errorf("%s has no sample", d.Name)
			continue
		}
		for _, missing := range d.Scopes.Slice() {
			var held []string
			for _, s := range strings.Fields(full) {
				if s != missing && !scope.Satisfies(oauth.NewScopes(s), oauth.NewScopes(missing)) {
					held = append(held, s)
				}
			}
			have := oauth.NewScopes(held...)
			before := len(r.as.requests())
			out := r.raw(r.as.mint(have.String()), d.Name, args)
			want := `Bearer error="insufficient_scope", scope="` + have.Union(d.Scopes).String() + `", resource_metadata="`
			if out.status != http.StatusForbidden || !strings.HasPrefix(out.header.Get("WWW-Authenticate"), want) {
				t.Errorf("%s without %s: %d %s", d.Name, missing, out.status, out.header.Get("WWW-Authenticate"))
			}
			if len(r.as.requests()) != before {
				t.Errorf("%s without %s: the exchange was asked", d.Name, missing)
			}
			for _, broader := range scope.All() {
				if broader.Name == missing || !scope.Satisfies(oauth.NewScopes(broader.Name), oauth.NewScopes(missing)) {
					continue
				}
				if out := r.raw(r.as.mint(have.Union(oauth.NewScopes(broader.Name)).String()), d.Name, args); out.status != http.StatusOK {
					t.Errorf("%s with %s for %s: %d", d.Name, broader.Name, missing, out.status)
				}
			}
		}
		before := len(r.as.requests())
		out := r.raw(r.as.mint(d.Scopes.String()), d.Name, args)
		if out.status != http.StatusOK {
			t.Errorf("%s with exactly its scopes: %d %s", d.Name, out.status, out.body)
		}
		for _, asked := range r.as.requests()[before:] {
			if given, _ := oauth.ParseScopes(asked["scope"]); !d.Google.ContainsAll(given) {
				t.Errorf("%s asked for %s", d.Name, given)
			}
		}
		if res := decode(t, out.body); res.IsError && res.Data["code"] != "confirmation_required" && res.Data["code"] != "not_found" {
			t.Errorf("%s with exactly its Google scopes: %v", d.Name, res.Data)
		}
	}
}

// TestGoogleErrorClasses: every tool, every class of Google's errors: a typed
// error that says what to do, and nothing of Google's own words about the account.
func TestGoogleErrorClasses(t *testing.T) {
	t.Parallel()
	r := start(t)
	samples := r.samples()
	tools, err := app.Tools(r.settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tools {
		if d.Google.Empty() {
			continue
		}
		for name, c := range map[string]struct {
			fault     fakegoogle.Fault
			code      string
			retryable bool
		}{
			"forbidden":         {fakegoogle.Fault{Status: 403, Code: "forbidden"}, "permission_denied", false},
			"API not enabled":   {fakegoogle.Fault{Status: 403, Code: "accessNotConfigured"}, "server_misconfigured", false},
			"scope not granted": {fakegoogle.Fault{Status: 403, Code: "insufficientPermissions"}, "missing_google_scopes", false},
			"policy":            {fakegoogle.Fault{Status: 403, Code: "domainPolicy"}, "admin_policy_blocked", false},
			"gone":              {fakegoogle.Fault{Status: 404, Code: "notFound"}, "not_found", false},
			"bad request":       {fakegoogle.Fault{Status: 400, Code: "badRequest"}, "invalid_argument", false},
			"daily quota":       {fakegoogle.Fault{Status: 403, Code: "dailyLimitExceeded"}, "rate_limited", true},
			"refused":           {fakegoogle.Fault{Status: 401}, "reconnect_required", false},
		} {
			for _, prefix := range []string{"/gmail/", "/drive/", "/upload/drive/", "/v1/documents", "/v4/spreadsheets", "/calendar/", "/v1/people", "/v1/otherContacts", "/v2/conferenceRecords", "/tasks/", "/v1/spaces", "/v1/forms", "/v1/presentations"} {
				c.fault.Prefix = prefix
				r.google.Inject(c.fault)
			}
			out := r.call(r.as.mint(full), d.Name, samples[d.Name])
			r.google.Clear()
			if d.Name == "gmail_set_vacation" { // asks before it calls Google
				if out.Data["code"] != "confirmation_required" {
					t.Errorf("%s, %s: %v", d.Name, name, out.Data)
				}
				continue
			}
			if out.Data["code"] != c.code || out.Data["retryable"] != c.retryable || out.Data["next_action"] == nil && out.Data["code"] != "internal" {
				t.Errorf("%s, %s: %v", d.Name, name, out.Data)
			}
		}
	}
}

// TestHugeInput: arguments beyond every limit are refused, and nothing is asked
// of Google.
func TestHugeInput(t *testing.T) {
	t.Parallel()
	r := start(t)
	tools, err := app.Tools(r.settings)
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Type  string
		Items struct {
			Type       string
			Properties map[string]struct {
				Type  string
				Items struct{ Type string }
			}
			Required []string
		}
	}
	var m struct {
		Result struct {
			Tools []struct {
				Name        string
				InputSchema struct {
					Properties map[string]property
					Required   []string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(r.send(http.MethodPost, r.mcp, r.as.mint(full), list).body), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Result.Tools) != len(tools) {
		t.Fatalf("%d tools listed of %d", len(m.Result.Tools), len(tools))
	}
	before := len(r.as.requests())
	refused := func(tool, property string, value any, required []string) {
		t.Helper()
		args := map[string]any{property: value}
		for _, required := range required {
			if required != property {
				args[required] = "x"
			}
		}
		if out := r.call(r.as.mint(full), tool, args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s %s: %v", tool, property, out.Data)
		} else if text, _ := out.Data["message"].(string); len(text) > 2_000 {
			t.Errorf("%s %s: %d bytes of message", tool, property, len(text))
		}
	}
	inner := 0
	for _, d := range m.Result.Tools {
		for property, p := range d.InputSchema.Properties {
			refused(d.Name, property, hugeOf(property, p.Type, p.Items.Type), d.InputSchema.Required)
			for name, of := range p.Items.Properties { // of the objects in a list
				inner++
				object := map[string]any{}
				for _, required := range p.Items.Required {
					object[required] = "text"
				}
				object[name] = hugeOf(name, of.Type, of.Items.Type)
				refused(d.Name, property, []any{object}, d.InputSchema.Required)
			}
		}
	}
	if inner == 0 {
		t.Error("no list of objects was looked at")
	}
	if len(r.as.requests()) != before {
		t.Error("the exchange was asked for arguments that do not fit")
	}
}

// hugeOf is more of a type than any argument takes.
func hugeOf(name, kind, items string) any {
	switch kind {
	case "string":
		if name == "text" || name == "description" || name == "notes" { // what a person writes
			return strings.Repeat("a", 100_001)
		}
		return strings.Repeat("a", 3_000)
	case "integer":
		return 1 << 40
	case "array":
		list := make([]any, 6_000)
		for i := range list {
			switch list[i] = fmt.Sprint(i); items {
			case "array":
				list[i] = []any{1}
			case "object":
				list[i] = map[string]any{}
			}
		}
		return list
	}
	return "true"
}

// ofOne is a count of one with the noun of many, at the head of a result's text.
var ofOne = regexp.MustCompile(`^(0 [a-z ]+, )?1 ([a-z]+ )?([a-z]+s|people)\b`)

// TestCursorWalk: every list to its end, each entry once.
func TestCursorWalk(t *testing.T) {
	t.Parallel()
	r := start(t)
	for i := range 5 {
		r.draft(bob, fmt.Sprint("walk ", i), "x")
	}
	commented := r.file("plan.txt")
	for i := range 3 {
		r.confirm("drive_comments_add", map[string]any{"file_id": commented, "text": fmt.Sprint("walk ", i)})
	}
	for name, c := range map[string]struct {
		args     map[string]any
		list, id string
		least    int
	}{
		"gmail_search_threads":    {map[string]any{"page_size": 7}, "threads", "thread_id", 30},
		"gmail_manage_draft":      {map[string]any{"action": "list", "page_size": 2}, "drafts", "draft_id", 5},
		"drive_search":            {map[string]any{"page_size": 1}, "files", "file_id", 3},
		"calendar_list_events":    {map[string]any{"page_size": 1, "time_min": "2020-01-01", "time_max": "2040-01-01"}, "events", "event_id", 4},
		"chat_search":             {map[string]any{"query": "build", "page_size": 7}, "messages", "message_id", 40},
		"chat_list_messages":      {map[string]any{"space_id": "TEAM", "page_size": 9}, "messages", "message_id", 40},
		"forms_list_responses":    {map[string]any{"form_id": "form11", "page_size": 2}, "responses", "response_id", 7},
		"calendar_list_calendars": {map[string]any{"page_size": 1}, "calendars", "calendar_id", 2},
		"tasks_list":              {map[string]any{"page_size": 1, "completed": true}, "tasks", "task_id", 3},
		"meet_list_conferences":   {map[string]any{"page_size": 1}, "conferences", "conference_id", 2},
		"directory_search":        {map[string]any{"page_size": 1, "query": "ex"}, "people", "resource_name", 3},
		"drive_comments_list":     {map[string]any{"page_size": 1, "file_id": commented}, "comments", "comment_id", 3},
		"drive_revisions_list":    {map[string]any{"page_size": 2, "file_id": commented}, "revisions", "revision_id", 5},
		"drive_approvals_list":    {map[string]any{"page_size": 1, "file_id": commented}, "approvals", "approval_id", 3},
	} {
		seen := map[any]bool{}
		args := map[string]any{}
		for k, v := range c.args {
			args[k] = v
		}
		for pages := 0; ; pages++ {
			res := r.call(r.as.mint(full), name, args)
			if res.IsError {
				t.Fatalf("%s: %v", name, res.Data)
			}
			if many := ofOne.FindString(res.Content[0].Text); many != "" {
				t.Errorf("%s says %q", name, many)
			}
			out := res.Data
			for _, e := range out[c.list].([]any) {
				if id := field(e, c.id); seen[id] {
					t.Errorf("%s: %v twice", name, id)
				} else {
					seen[id] = true
				}
			}
			next, more := out["next_page_token"].(string)
			if !more {
				break
			}
			if args["page_token"] = next; pages > 100 {
				t.Fatalf("%s does not end", name)
			}
		}
		if len(seen) < c.least {
			t.Errorf("%s: %d entries", name, len(seen))
		}
		args["page_token"] = "forged"
		if bad := r.call(r.as.mint(full), name, args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s with a forged cursor: %v", name, bad.Data)
		}
	}
}

// event returns the id of alice's event of a title.
func (r *rig) event(title string) string {
	r.t.Helper()
	found := r.ok("calendar_list_events", map[string]any{"query": title, "time_min": "2020-01-01", "time_max": "2040-01-01"})
	id, ok := field(found, "events", 0, "event_id").(string)
	if !ok {
		r.t.Fatalf("no event %q", title)
	}
	return id
}
