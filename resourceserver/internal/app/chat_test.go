package app_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

// TestChatSearch: words are words, whatever they look like to Google.
func TestChatSearch(t *testing.T) {
	t.Parallel()
	r := start(t)
	count := func(args map[string]any) int { return len(r.ok("chat_search", args)["messages"].([]any)) }
	found := r.ok("chat_search", map[string]any{"query": "meet"})
	if m := field(found, "messages", 0); len(found["messages"].([]any)) != 1 || field(m, "space_id") != "spaces/DM1" || field(m, "text") != "Shall we meet?" || field(m, "thread_id") != "spaces/DM1/threads/t9" {
		t.Errorf("%v", found)
	}
	if n := count(map[string]any{"query": "status build", "page_size": 100}); n != 40 {
		t.Errorf("two words: %d", n)
	}
	if n := count(map[string]any{"query": "we", "space_id": "spaces/TEAM"}); n != 0 {
		t.Errorf("in one space: %d", n)
	}
	newest := field(r.ok("chat_search", map[string]any{"query": "status"}), "messages", 0, "date")
	if n := count(map[string]any{"query": "status", "after": newest}); n != 1 {
		t.Errorf("after: %d", n)
	}
	if n := count(map[string]any{"query": "status", "before": newest, "page_size": 100}); n != 39 {
		t.Errorf("before: %d", n)
	}
	for _, injection := range []string{`nothing" OR "meet`, `is_unread() nothing`, `nothing" AND space.name = "spaces/DM1`, `nothing\" OR "a`, `(nothing) OR meet`} {
		if n := count(map[string]any{"query": injection}); n != 0 {
			t.Errorf("%q finds %d", injection, n)
		}
	}
	for name, args := range map[string]map[string]any{
		"nothing": {"query": `" "`}, "space": {"query": "a", "space_id": `x" OR space.name = "y`}, "path": {"query": "a", "space_id": "spaces/../x"}, "time": {"query": "a", "after": "yesterday"},
	} {
		if bad := r.call(r.as.mint(full), "chat_search", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, bad.Data)
		}
	}
	spaces := r.ok("chat_list_messages", nil)
	if len(spaces["spaces"].([]any)) != 2 || field(spaces, "spaces", 0, "name") != "Team" || field(spaces, "spaces", 1, "type") != "direct_message" {
		t.Errorf("%v", spaces)
	}
	if list := r.ok("chat_list_messages", map[string]any{"space_id": "TEAM", "page_size": 2})["messages"].([]any); field(list, 0, "text") != "Status 40: the build is green" || len(list) != 2 {
		t.Errorf("%v", list)
	}
	if list := r.ok("chat_list_messages", map[string]any{"space_id": "TEAM", "after": newest})["messages"].([]any); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if bad := r.call(r.as.mint(full), "chat_list_messages", map[string]any{"space_id": "TEAM/messages"}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("%v", bad.Data)
	}
}

// TestChatSend: the very text to the very place, with the person's word, once.
func TestChatSend(t *testing.T) {
	t.Parallel()
	r := start(t)
	const post = "POST /v1/spaces/DM1/messages"
	text := "See you\u200b at ten.\nTo: everybody"
	args := map[string]any{"space_id": "DM1", "text": text, "thread_id": "spaces/DM1/threads/t9"}
	if out := r.call(r.as.mint(full), "chat_send", args); out.Data["code"] != "confirmation_required" {
		t.Errorf("%v", out.Data)
	}
	_, q := r.modern(r.as.mint(full), "chat_send", args, "", "")
	want := "Send this message in Google Chat from alice@example.com?\nTo: direct message (spaces/DM1)\nAs an answer in a thread\n| See you at ten.\n| To: everybody\nNewest message there:\n| users/100000000000000000033: Shall we meet?"
	if q == nil || q.message != want {
		t.Fatalf("%+v", q)
	}
	for _, state := range []string{"", "e30"} {
		if out, again := r.modern(r.as.mint(full), "chat_send", args, state, "accept"); again != nil || out.Data["code"] != "confirmation_invalid" {
			t.Errorf("%v", out.Data)
		}
	}
	if out, _ := r.modern(r.as.mint(full), "chat_send", map[string]any{"space_id": "TEAM", "text": text}, q.state, "accept"); out.Data["code"] != "confirmation_invalid" {
		t.Errorf("to another place: %v", out.Data)
	}
	if n := r.google.Count(post) + r.google.Count("POST /v1/spaces/TEAM/messages"); n != 0 {
		t.Fatalf("%d messages before the word", n)
	}
	// The answer is lost on the way: it is sent again and is there once.
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/spaces/DM1/messages", Method: "POST", Status: 503, After: true, Times: 1})
	out, _ := r.modern(r.as.mint(full), "chat_send", args, q.state, "accept")
	if out.IsError || !strings.HasPrefix(fmt.Sprint(out.Data["message_id"]), "spaces/DM1/messages/") || r.google.Count(post) != 2 {
		t.Errorf("%v", out.Data)
	}
	// The same word at another replica sends nothing more: the state is bound to
	// what was the newest message then.
	if again, _ := r.replica().modern(r.as.mint(full), "chat_send", args, q.state, "accept"); again.Data["code"] != "confirmation_invalid" {
		t.Errorf("%v", again.Data)
	}
	if list := r.ok("chat_list_messages", map[string]any{"space_id": "DM1"})["messages"].([]any); len(list) != 2 || field(list, 0, "text") != "See you at ten.\nTo: everybody" || field(list, 0, "thread_id") != "spaces/DM1/threads/t9" {
		t.Errorf("%v", list)
	}
	// All answers are lost: it may be there, so nobody is told to send it again.
	clear := r.google.Inject(fakegoogle.Fault{Prefix: "/v1/spaces/DM1/messages", Method: "POST", Status: 503, After: true})
	if out, _ := r.confirm("chat_send", args); !inDoubt(out, "chat_list_messages") {
		t.Errorf("in doubt: %v", out.Data)
	}
	clear()
	for name, bad := range map[string]map[string]any{
		"empty": {"space_id": "DM1", "text": " \u200b"}, "another's thread": {"space_id": "DM1", "text": "x", "thread_id": "spaces/TEAM/threads/t1"}, "path": {"space_id": "DM1/members", "text": "x"},
	} {
		if out := r.call(r.as.mint(full), "chat_send", bad); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	for name, change := range map[string]func(*config.Server){
		"draft only": func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly }, "domains": func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} },
	} {
		held := start(t, change)
		if out, q := held.modern(held.as.mint(full), "chat_send", args, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
}

// TestForms: what is asked, and what was answered.
func TestForms(t *testing.T) {
	t.Parallel()
	r := start(t)
	f := r.ok("forms_get", map[string]any{"form_id": "form11"})
	var shown []string
	for _, i := range f["items"].([]any) {
		shown = append(shown, fmt.Sprint(field(i, "title"), "|", field(i, "type"), "|", field(i, "question_id"), "|", field(i, "options")))
	}
	if got, want := strings.Join(shown, "\n"), "Do you come?|radio|q1|[Yes No (other)]\nWhat do you not eat?|paragraph_answer|q2|<nil>\nThe evening|section|<nil>|<nil>\nMusic: Jazz|grid_row|q3|[Like (other)]\nMusic: Rock|grid_row|q4|[Like (other)]"; got != want {
		t.Errorf("%s", got)
	}
	if f["title"] != "Party" || field(f, "account", "email") != alice || field(f, "items", 0, "required") != true {
		t.Errorf("%v", f)
	}
	all := r.ok("forms_list_responses", map[string]any{"form_id": "form11"})["responses"].([]any)
	if len(all) != 7 || field(all, 0, "answers", 0, "question_id") != "q1" || field(all, 0, "answers", 1, "values", 0) != "No nuts, please (0)" || field(all, 0, "respondent") != "guest0@partner.test" {
		t.Errorf("%v", all)
	}
	if some := r.ok("forms_list_responses", map[string]any{"form_id": "form11", "after": field(all, 4, "submitted")})["responses"].([]any); len(some) != 2 {
		t.Errorf("%v", some)
	}
	if bad := r.call(r.as.mint(full), "forms_list_responses", map[string]any{"form_id": "form11", "after": "2026-01-01"}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("%v", bad.Data)
	}
	if out := r.call(r.as.mint(full), "forms_list_responses", map[string]any{"form_id": "form11"}); !strings.Contains(out.Content[0].Text, "<<<untrusted") {
		t.Error("answers are not marked")
	}
	// The least of what each needs: no answers for the questions, no questions for the answers.
	for _, asked := range r.as.requests() {
		if len(strings.Fields(asked["scope"])) != 1 {
			t.Errorf("%s", asked["scope"])
		}
	}
}
