package app_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
)

// asksByPage calls a tool for a client that cannot ask and returns the link of the
// page where the person is asked.
func (r *rig) asksByPage(name string, args map[string]any) string {
	r.t.Helper()
	out := r.call(r.as.mint(full), name, args)
	link, _ := out.Data["link"].(string)
	if !out.IsError || out.Data["code"] != "confirmation_required" || link == "" || !strings.HasSuffix(out.Content[0].Text, "exactly the same arguments: "+link) {
		r.t.Fatalf("%s did not ask: %v %v", name, out.Data, out.Content)
	}
	return link
}

// TestSendByPage: decision 0022: mail of a client that cannot ask goes out after the
// person's word on their page; until then, and when it is changed, it stays a draft.
func TestSendByPage(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.draft(bob, "By page", "At noon?")
	args := map[string]any{"draft_id": id}
	link := r.asksByPage("gmail_send", args)
	if shown := r.as.page.Shown(link); shown.Tool != "gmail_send" || shown.Account != "acc_1" || shown.Question != "Send this mail from alice@example.com?\nTo: bob@example.com\nSubject: By page\n| At noon?" {
		t.Errorf("shown: %+v", shown)
	}
	unsent := func(when string) {
		t.Helper()
		if text := field(r.ok("gmail_manage_draft", map[string]any{"action": "get", "draft_id": id}), "drafts", 0, "subject"); text != "By page" || r.found("in:sent subject:page") != 0 {
			t.Fatalf("%s: %v", when, text)
		}
	}
	if again := r.asksByPage("gmail_send", args); again != link {
		t.Error("the model asks twice and the person has two pages")
	}
	unsent("nobody has said anything")
	r.as.page.Say(link, exchange.Approved)
	r.ok("gmail_manage_draft", map[string]any{"action": "update", "draft_id": id, "to": []string{"evil@evil.test"}})
	changed := r.asksByPage("gmail_send", args)
	unsent("it is not what they were shown")
	r.as.page.Say(changed, exchange.Declined)
	if out := r.call(r.as.mint(full), "gmail_send", args); out.Data["code"] != "declined" {
		t.Errorf("declined: %v", out.Data)
	}
	unsent("they did not want it")
	r.ok("gmail_manage_draft", map[string]any{"action": "update", "draft_id": id, "to": []string{bob}, "text": "At one?"})
	r.as.page.Say(r.asksByPage("gmail_send", args), exchange.Approved)
	if out := r.call(r.as.mint(full), "gmail_send", args); out.Data["sent"] != true || fmt.Sprint(out.Data["to"]) != "[bob@example.com]" || r.found("in:sent subject:page") != 1 {
		t.Errorf("approved: %v", out.Data)
	}
	if out := r.call(r.as.mint(full), "gmail_send", args); out.Data["code"] != "not_found" || r.found("in:sent subject:page") != 1 {
		t.Errorf("repeated: %v", out.Data)
	}
	// What cannot be shown as a whole stays a draft, with its place in Gmail.
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("%s%d@example.com", strings.Repeat("a", 60), i)
	}
	long := r.ok("gmail_create_draft", map[string]any{"to": many, "subject": "Long page", "text": strings.Repeat("語", 4_000)})
	if out := r.call(r.as.mint(full), "gmail_send", map[string]any{"draft_id": long["draft_id"]}); out.Data["sent"] != false || !strings.Contains(fmt.Sprint(out.Data["reason"]), "too long") || !strings.HasPrefix(fmt.Sprint(out.Data["url"]), "https://mail.google.com/") {
		t.Errorf("too long: %v", out.Data)
	}
}

// TestShareByPageOnce: of sixteen repetitions at two replicas after one word one
// shares, and a file that was renamed meanwhile is asked about anew.
func TestShareByPageOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	other := r.replica()
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "Plan", MimeType: "text/plain"})
	shared := func() int { return r.google.Count("POST /drive/v3/files/" + id + "/permissions") }
	args := map[string]any{"file_id": id, "with": []string{bob}, "role": "reader"}
	link := r.asksByPage("drive_share", args)
	if there := other.asksByPage("drive_share", args); there != link {
		t.Error("each replica has a page of its own")
	}
	r.as.page.Say(link, exchange.Approved)
	r.ok("drive_update", map[string]any{"file_id": id, "name": "Salaries"})
	renamed := other.asksByPage("drive_share", args)
	if !strings.Contains(r.as.page.Shown(renamed).Question, "| Salaries") || shared() != 0 {
		t.Fatalf("shown: %+v, shared %d times", r.as.page.Shown(renamed), shared())
	}
	r.as.page.Say(renamed, exchange.Approved)
	var acted, waiting atomic.Int64
	var wg sync.WaitGroup
	token := r.as.mint(full)
	for i := range 16 {
		at := r
		if i%2 == 1 {
			at = other
		}
		wg.Go(func() {
			switch out := at.call(token, "drive_share", args); {
			case !out.IsError:
				acted.Add(1)
			case out.Data["code"] == "confirmation_required":
				waiting.Add(1)
			default:
				t.Errorf("%v", out.Data)
			}
		})
	}
	wg.Wait()
	if acted.Load() != 1 || waiting.Load() != 15 || shared() != 1 {
		t.Errorf("%d say they shared, %d wait, %d shared", acted.Load(), waiting.Load(), shared())
	}
}
