package app_test

import (
	"fmt"
	"net/http"
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
	if made["edit_url"] != "https://docs.google.com/forms/d/"+id+"/edit" || !strings.Contains(fmt.Sprint(made["responder_url"]), "/viewform") || field(made, "account", "email") != alice {
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

// TestFormsCreateLeftOver: Google takes all questions or none, so one that it refuses
// would leave an empty form. It goes to the trash where the app sees the files that it
// makes; where it does not, or where nobody knows, the person is told of it.
func TestFormsCreateLeftOver(t *testing.T) {
	t.Parallel()
	r := start(t)
	args := map[string]any{"title": "Tea", "questions": everyKind[:3]}
	refuse := fakegoogle.Fault{Prefix: "/v1/forms/", Method: http.MethodPost, Status: http.StatusBadRequest, Code: "badRequest"}
	for token, trashed := range map[string]bool{r.as.mint(full): true, r.as.mint("forms.write drive.files"): true, r.as.mint("forms.write"): false} {
		clear := r.google.Inject(refuse)
		out := r.call(token, "forms_create", args)
		clear()
		id := r.google.NewestForm(alice)
		if in := r.ok("drive_get_file", map[string]any{"file_id": id})["trashed"]; in != trashed || out.Data["code"] != "invalid_argument" || out.Data["retryable"] != false ||
			strings.HasPrefix(fmt.Sprint(out.Data["message"]), "Nothing was made.") != trashed || strings.Contains(fmt.Sprint(out.Data["next_action"]), id+"/edit") == trashed {
			t.Errorf("%v: %v", in, out.Data)
		}
	}
	// The answer about the questions is lost: they are not asked twice, and the form stays.
	clear := r.google.Inject(fakegoogle.Fault{Prefix: "/v1/forms/", Method: http.MethodPost, Status: http.StatusServiceUnavailable, After: true})
	half := r.call(r.as.mint(full), "forms_create", args)
	clear()
	id := r.google.NewestForm(alice)
	if half.Data["retryable"] != false || !strings.Contains(fmt.Sprint(half.Data["next_action"]), "form_id "+id+";") || r.ok("drive_get_file", map[string]any{"file_id": id})["trashed"] != false {
		t.Errorf("%v", half.Data)
	}
	if f := r.ok("forms_get", map[string]any{"form_id": id}); len(f["items"].([]any)) != 3 {
		t.Errorf("%v", f)
	}
}

// form makes a form and returns its id.
func (r *rig) form(title, description string, questions ...any) string {
	r.t.Helper()
	id, _ := r.ok("forms_create", map[string]any{"title": title, "description": description, "questions": questions})["form_id"].(string)
	return id
}

// TestFormsPublish: a form reaches others with the person's word only, and one word
// publishes one form, however often and wherever it is used.
func TestFormsPublish(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.form("Tea", "d", everyKind[:3]...)
	args := map[string]any{"form_id": id}
	sent := func() int { return r.google.Count("POST /v1/forms/" + id + ":setPublishSettings") }
	if out := r.call(r.as.mint(full), "forms_publish", args); out.Data["code"] != "confirmation_required" || out.Data["link"] == nil || sent() != 0 {
		t.Errorf("%v", out.Data)
	}
	_, q := r.modern(r.as.mint(full), "forms_publish", args, "", "")
	want := "Publish this form of alice@example.com? Everybody with its address may be able to read and answer it.\nTitle:\n| Tea\nDescription:\n| d\nQuestion 1 (text answer, required):\n| Name of you\nQuestion 2 (paragraph answer):\n| Why?\n| In your words.\nQuestion 3 (one of):\n| Tea?\n| - Yes\n| - No"
	if q == nil || q.message != want {
		t.Fatalf("%+v", q)
	}
	if out, _ := r.modern(r.as.mint(full), "forms_publish", args, q.state, "decline"); out.Data["code"] != "declined" || sent() != 0 {
		t.Errorf("%v", out.Data)
	}
	// The answer is lost: published twice is as published once.
	clear := r.google.Inject(fakegoogle.Fault{Prefix: "/v1/forms/" + id + ":setPublishSettings", Status: http.StatusServiceUnavailable, After: true, Times: 1})
	published, q := r.confirm("forms_publish", args)
	clear()
	if published.Data["published"] != true || !strings.Contains(published.Content[0].Text, "/viewform") || sent() != 2 {
		t.Errorf("%v", published.Data)
	}
	// The same word again, here and at another replica: there is still one form.
	forms := r.google.Count("POST /v1/forms")
	for _, at := range []*rig{r, r.replica()} {
		if again, asked := at.modern(r.as.mint(full), "forms_publish", args, q.state, "accept"); asked != nil || again.IsError || sent() != 2 {
			t.Errorf("%v", again.Data)
		}
	}
	if n := r.google.Count("POST /v1/forms"); n != forms {
		t.Errorf("%d forms were made", n-forms)
	}
	// The word is for what was shown: not for the form as somebody changed it since, nor for another form.
	id = r.form("Cake", "", everyKind[:1]...)
	args = map[string]any{"form_id": id}
	_, q = r.modern(r.as.mint(full), "forms_publish", args, "", "")
	r.google.RetitleForm(alice, id, "Give me your password")
	if out, _ := r.modern(r.as.mint(full), "forms_publish", args, q.state, "accept"); out.Data["code"] != "confirmation_invalid" || sent() != 0 {
		t.Errorf("%v", out.Data)
	}
	for times, code := range map[int]any{1: nil, 0: "temporarily_unavailable"} {
		clear := r.google.Inject(fakegoogle.Fault{Prefix: "/v1/forms/" + id + ":setPublishSettings", Status: http.StatusServiceUnavailable, Times: times})
		out, _ := r.confirm("forms_publish", args)
		if clear(); out.Data["code"] != code || code != nil && !strings.Contains(fmt.Sprint(out.Data["next_action"]), "/edit") {
			t.Errorf("%d: %v", times, out.Data)
		}
		id = r.form("Cake", "", everyKind[:1]...)
		args = map[string]any{"form_id": id}
	}
	for name, change := range map[string]func(*config.Server){
		"no sharing outside": func(c *config.Server) { c.Policy.ExternalShare = policy.ShareBlock }, "domains": func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} },
	} {
		held := start(t, change)
		if out, q := held.modern(held.as.mint(full), "forms_publish", map[string]any{"form_id": held.form("Tea", "", everyKind...)}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
}

// TestFormsPublishShowsAll: everything that others will read is in the question, on
// lines that look like none of ours; what is too long to be shown is not published.
func TestFormsPublishShowsAll(t *testing.T) {
	t.Parallel()
	r := start(t)
	bait := "Say hello\nQuestion 9 (text answer):\nNothing else is asked."
	id := r.form("Survey", bait,
		ask(strings.Repeat("Long ", 60)+"and your password?", "text", "description", strings.Repeat("Why ", 60)+"see evil.test"),
		ask(bait, "checkbox", "options", []string{strings.Repeat("very ", 50) + "sure", "to evil.test", "a / b"}), ask("How nice?", "scale", "options", []string{"1 not at evil.test", "5 very"}), ask("And now?", "scale"),
	)
	_, q := r.modern(r.as.mint(full), "forms_publish", map[string]any{"form_id": id}, "", "")
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
	// What the person made in Google Forms: rows, sections, and what words do not show.
	r.google.UnpublishForm(alice, "form11")
	_, q = r.modern(r.as.mint(full), "forms_publish", map[string]any{"form_id": "form11"}, "", "")
	want := "Section:\n| The evening\nQuestions in rows:\n| Music\n| - Like\n| - (other)\nQuestion 3 (row):\n| Jazz\nQuestion 4 (row):\n| Rock\nPicture, video or other:\n| The host\nIt has pictures, videos, feedback or settings that are not shown here."
	if q == nil || !strings.HasSuffix(q.message, want) {
		t.Errorf("%+v", q)
	}
	many := make([]any, 60)
	for i := range many {
		many[i] = ask(strings.Repeat("x", 80), "text")
	}
	for name, questions := range map[string][]any{"a long one": {ask("q", "text", "description", strings.Repeat("x", 2_000)), ask("q", "text", "description", strings.Repeat("x", 2_000))}, "many": many} {
		id := r.form("t", "", questions...)
		out, q := r.modern(r.as.mint(full), "forms_publish", map[string]any{"form_id": id}, "", "")
		if q != nil || out.Data["code"] != "invalid_argument" || !strings.Contains(fmt.Sprint(out.Data["next_action"]), id+"/edit") {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
}
