package app_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

func ask(title, kind string, more ...any) map[string]any {
	q := map[string]any{"title": title, "type": kind}
	for i := 0; i < len(more); i += 2 {
		q[more[i].(string)] = more[i+1]
	}
	return q
}

// everyKind has a question of each type.
var everyKind = []any{
	ask("Name\u200b\nof you", "text", "required", true), ask("Why?", "paragraph", "description", "In your words."),
	ask("Tea?", "choice", "options", []string{"Yes", "No"}), ask("Cakes", "checkbox", "options", []string{"Plum", "Apple"}),
	ask("Town", "dropdown", "options", []string{"Köln"}), ask("How nice?", "scale", "options", []string{"0 not", "10 very much"}),
	ask("And how sure?", "scale"), ask("Which day?", "date"), ask("At what time?", "time"),
}

// TestFormsCreate: every kind of question in its order, in one call; nobody can
// answer the form, and nobody was asked.
func TestFormsCreate(t *testing.T) {
	t.Parallel()
	r := start(t)
	made := r.ok("forms_create", map[string]any{"title": "Tea", "description": "Please\nanswer.", "questions": everyKind})
	id, _ := made["form_id"].(string)
	if made["published"] != false || made["edit_url"] != "https://docs.google.com/forms/d/"+id+"/edit" || !strings.Contains(fmt.Sprint(made["responder_url"]), "/viewform") || field(made, "account", "email") != alice {
		t.Errorf("%v", made)
	}
	f := r.ok("forms_get", map[string]any{"form_id": id})
	var shown []string
	for n, i := range f["items"].([]any) {
		shown = append(shown, fmt.Sprint(field(i, "title"), "|", field(i, "type"), "|", field(i, "required"), "|", field(i, "options")))
		if field(i, "question_id") != field(made, "questions", n, "question_id") {
			t.Errorf("%v", i)
		}
	}
	want := "Name of you|text_answer|true|<nil>\nWhy?|paragraph_answer|<nil>|<nil>\nTea?|radio|<nil>|[Yes No]\nCakes|checkbox|<nil>|[Plum Apple]\nTown|drop_down|<nil>|[Köln]\n" +
		"How nice?|scale|<nil>|[0 not 10 very much]\nAnd how sure?|scale|<nil>|[1  5 ]\nWhich day?|date|<nil>|<nil>\nAt what time?|time|<nil>|<nil>"
	if got := strings.Join(shown, "\n"); got != want || f["title"] != "Tea" || f["description"] != "Please\nanswer." {
		t.Errorf("%s\n%v", got, f)
	}
	if n := r.google.Count("POST /v1/forms/" + id + ":setPublishSettings"); n != 0 {
		t.Error("published without a word")
	}
	// An app with drive.file alone makes forms and reads its own, and no other.
	own := r.call(r.as.mint("drive.files"), "forms_create", map[string]any{"title": "Own", "questions": []any{ask("q", "text")}})
	if got := r.call(r.as.mint("drive.files"), "forms_get", map[string]any{"form_id": own.Data["form_id"]}); got.Data["title"] != "Own" {
		t.Errorf("%v", got.Data)
	}
	if got := r.call(r.as.mint("drive.files"), "forms_get", map[string]any{"form_id": "form11"}); got.Data["code"] != "not_found" {
		t.Errorf("%v", got.Data)
	}
}

// TestFormsCreateRefused: what Google would refuse makes no form, and the place of
// the mistake is named.
func TestFormsCreateRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, c := range []struct {
		question map[string]any
		want     string
	}{
		{ask("q", "choice"), "questions[0]: options go with"}, {ask("q", "text", "options", []string{"a"}), "questions[0]: options go with"},
		{ask("q", "dropdown", "options", []string{"a", "a\u200b"}), "questions[0].options must be different"}, {ask("q", "checkbox", "options", []string{" "}), "questions[0].options"},
		{ask("q", "date", "options", []string{"a"}), "only with these"}, {ask("q", "scale", "options", []string{"2", "5"}), "0 or 1, and 2 to 10"}, {ask("q", "scale", "options", []string{"1", "11"}), "ends"},
		{ask("q", "scale", "options", []string{"1 bad"}), "ends"}, {ask("q", "scale", "options", []string{"bad", "good"}), "ends"}, {ask("q", "essay"), "questions[0].type must be"},
		{ask("\u200b", "text"), "questions[0].title is empty"}, {ask("q", "text", "colour", "red"), `There is no "colour" in questions[0]`},
	} {
		out := r.call(r.as.mint(full), "forms_create", map[string]any{"title": "t", "questions": []any{c.question}})
		if message, _ := out.Data["message"].(string); out.Data["code"] != "invalid_argument" || !strings.Contains(message, c.want) {
			t.Errorf("%v: %v", c.question, out.Data)
		}
	}
	for _, args := range []map[string]any{{"title": "t", "questions": []any{}}, {"title": "\u200b", "questions": everyKind}} {
		if out := r.call(r.as.mint(full), "forms_create", args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%v", out.Data)
		}
	}
	if n := r.google.Count("POST /v1/forms"); n != 0 || len(r.as.requests()) != 0 {
		t.Errorf("%d forms, %d exchanges", n, len(r.as.requests()))
	}
}

// TestFormsPublish: a form reaches others with the person's word only.
func TestFormsPublish(t *testing.T) {
	t.Parallel()
	r := start(t)
	args := map[string]any{"title": "Tea", "description": "d", "questions": everyKind[:3], "publish": true}
	if out := r.call(r.as.mint(full), "forms_create", args); out.Data["code"] != "confirmation_required" || out.Data["link"] == nil || r.google.Count("POST /v1/forms") != 0 {
		t.Errorf("%v", out.Data)
	}
	_, q := r.modern(r.as.mint(full), "forms_create", args, "", "")
	want := "Create and publish this form of alice@example.com? Everybody with its address may be able to read and answer it.\nTitle:\n| Tea\nDescription:\n| d\nQuestion 1 (text, required):\n| Name of you\nQuestion 2 (paragraph):\n| Why?\n| In your words.\nQuestion 3 (choice):\n| Tea?\n| - Yes\n| - No"
	if q == nil || q.message != want {
		t.Fatalf("%+v", q)
	}
	if out, _ := r.modern(r.as.mint(full), "forms_create", args, q.state, "decline"); out.Data["code"] != "declined" {
		t.Errorf("%v", out.Data)
	}
	if n := r.google.Count("POST /v1/forms"); n != 0 {
		t.Fatalf("%d forms before the word", n)
	}
	published, q := r.confirm("forms_create", args)
	if published.Data["published"] != true || !strings.Contains(published.Content[0].Text, "It is published") {
		t.Errorf("%v", published.Data)
	}
	// The same word makes no second form.
	made := r.google.Count("POST /v1/forms")
	if again, _ := r.modern(r.as.mint(full), "forms_create", args, q.state, "accept"); again.Data["code"] != "confirmation_invalid" || r.google.Count("POST /v1/forms") != made {
		t.Errorf("%v", again.Data)
	}
	// The answer about the questions is lost: they are not asked twice, and nothing is published.
	clear := r.google.Inject(fakegoogle.Fault{Prefix: "/v1/forms/", Method: "POST", Status: 503, After: true})
	half, _ := r.confirm("forms_create", args)
	clear()
	_, id, _ := strings.Cut(fmt.Sprint(half.Data["next_action"]), "form_id ")
	id, _, _ = strings.Cut(id, ";")
	if half.Data["retryable"] != false || !strings.Contains(fmt.Sprint(half.Data["message"]), "was made") || r.google.Count("POST /v1/forms/"+id+":setPublishSettings") != 0 {
		t.Errorf("%v", half.Data)
	}
	if f := r.ok("forms_get", map[string]any{"form_id": id}); len(f["items"].([]any)) != 3 {
		t.Errorf("%v", f)
	}
	// The answer to publishing is lost: published twice is as published once. If all are, the person is told where to look.
	for times, code := range map[int]any{1: nil, 0: "temporarily_unavailable"} {
		r.google.OnRequest("POST /v1/forms", 1, func() {
			next := r.google.NewestForm(alice)
			r.google.Inject(fakegoogle.Fault{Prefix: "/v1/forms/" + next + ":setPublishSettings", Status: 503, After: true, Times: times})
		})
		out, _ := r.confirm("forms_create", args)
		if r.google.Clear(); out.Data["code"] != code || code != nil && (out.Data["retryable"] != false || !strings.Contains(fmt.Sprint(out.Data["next_action"]), "/edit")) {
			t.Errorf("%d: %v", times, out.Data)
		}
	}
	for name, change := range map[string]func(*config.Server){
		"no sharing outside": func(c *config.Server) { c.Policy.ExternalShare = policy.ShareBlock }, "domains": func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} },
	} {
		held := start(t, change)
		if out, q := held.modern(held.as.mint(full), "forms_create", args, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: %v", name, out.Data)
		}
		args := map[string]any{"title": "Tea", "questions": everyKind}
		if held.ok("forms_create", args)["published"] != false {
			t.Errorf("%s: published", name)
		}
	}
}

// TestFormsPublishShowsAll: everything that others will read is in the question, on
// lines that look like none of ours; what is too long to be shown is not published.
func TestFormsPublishShowsAll(t *testing.T) {
	t.Parallel()
	r := start(t)
	bait := "Say hello\nQuestion 9 (text):\nNothing else is asked."
	args := map[string]any{"title": "Survey", "description": bait, "publish": true, "questions": []any{
		ask(strings.Repeat("Long ", 60)+"and your password?", "text", "description", strings.Repeat("Why ", 60)+"see evil.test"),
		ask(bait, "checkbox", "options", []string{strings.Repeat("very ", 50) + "sure", "to evil.test", "a / b"}), ask("How nice?", "scale", "options", []string{"1 not at evil.test", "5 very"}), ask("And now?", "scale"),
	}}
	_, q := r.modern(r.as.mint(full), "forms_create", args, "", "")
	if q == nil {
		t.Fatal("did not ask")
	}
	for _, want := range []string{"and your password?\n", "see evil.test\n", "very sure\n", "| - to evil.test\n", "| - a / b\n", "Question 3 (scale, 1 to 5):\n| How nice?\n| - not at evil.test\n| - very\n", "Question 4 (scale, 1 to 5):\n| And now?"} {
		if !strings.Contains(q.message, want) {
			t.Errorf("%q lacks %q", q.message, want)
		}
	}
	for i, line := range strings.Split(q.message, "\n")[1:] {
		if ours := strings.HasPrefix(line, "Title:") || strings.HasPrefix(line, "Description:") || strings.HasPrefix(line, "Question ") && strings.HasSuffix(line, ":"); !ours && !strings.HasPrefix(line, "| ") {
			t.Errorf("line %d: %q", i, line)
		}
	}
	if strings.Contains(q.message, "\nQuestion 9") {
		t.Errorf("%q", q.message)
	}
	many := make([]any, 60)
	for i := range many {
		many[i] = ask(strings.Repeat("x", 80), "text")
	}
	for name, questions := range map[string][]any{"a long one": {ask("q", "text", "description", strings.Repeat("x", 2_000)), ask("q", "text", "description", strings.Repeat("x", 2_000))}, "many": many} {
		args := map[string]any{"title": "t", "questions": questions, "publish": true}
		out, q := r.modern(r.as.mint(full), "forms_create", args, "", "")
		if q != nil || out.Data["code"] != "invalid_argument" || !strings.Contains(fmt.Sprint(out.Data["next_action"]), "without publish") {
			t.Errorf("%s: %v", name, out.Data)
		}
		if delete(args, "publish"); r.ok("forms_create", args)["published"] != false {
			t.Errorf("%s: published", name)
		}
	}
}
