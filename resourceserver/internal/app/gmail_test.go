package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

const bob = "bob@example.com"

// asked is a question to the person.
type asked struct {
	message string
	state   string
}

// modern calls a tool as a client of 2026-07-28 that can show forms. answer is
// the person's, "" before they were asked.
func (r *rig) modern(token, name string, args map[string]any, state, answer string) (result, *asked) {
	r.t.Helper()
	params := map[string]any{"name": name, "arguments": args, "_meta": map[string]any{
		"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": map[string]any{"elicitation": map[string]any{"form": map[string]any{}}},
	}}
	if answer != "" {
		params["requestState"], params["inputResponses"] = state, map[string]any{"confirm": map[string]any{"action": answer}}
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
	out := r.send(http.MethodPost, r.mcp, token, string(body), "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", name)
	if out.status != http.StatusOK {
		r.t.Fatalf("%s: status %d: %s", name, out.status, out.body)
	}
	var m struct {
		Result struct {
			ResultType, RequestState string
			InputRequests            map[string]struct{ Params struct{ Message string } }
		}
	}
	if err := json.Unmarshal([]byte(out.body), &m); err != nil {
		r.t.Fatal(err)
	}
	if m.Result.ResultType == "input_required" {
		return result{}, &asked{m.Result.InputRequests["confirm"].Params.Message, m.Result.RequestState}
	}
	return decode(r.t, out.body), nil
}

// confirm lets the person accept what a tool asks.
func (r *rig) confirm(name string, args map[string]any) (result, *asked) {
	r.t.Helper()
	return r.confirmAs(r.as.mint(full), name, args)
}

// confirmAs lets the person of a token accept.
func (r *rig) confirmAs(token, name string, args map[string]any) (result, *asked) {
	r.t.Helper()
	_, q := r.modern(token, name, args, "", "")
	if q == nil {
		r.t.Fatalf("%s did not ask", name)
	}
	out, again := r.modern(token, name, args, q.state, "accept")
	if again != nil {
		r.t.Fatalf("%s asked twice", name)
	}
	return out, q
}

func (r *rig) found(query string) int {
	r.t.Helper()
	return len(r.ok("gmail_search_threads", map[string]any{"query": query})["threads"].([]any))
}

// TestAttachmentText: an attachment is read as the same file in Drive is: text in
// any charset, Office, PDF, by its ending where its type says nothing; and what is
// said of the rest.
func TestAttachmentText(t *testing.T) {
	t.Parallel()
	compiled(t)
	r := start(t)
	word := packed(t, "word/document.xml", fmt.Appendf(nil, w, "Good &amp; cheap"))
	for what, c := range map[string]struct {
		attachment fakegoogle.NewAttachment
		text, said string
	}{
		"UTF-8":                       {fakegoogle.NewAttachment{Name: "a.txt", MimeType: "text/plain", Content: []byte("über\r\nx")}, "über\nx", ""},
		"named":                       {fakegoogle.NewAttachment{Name: "a.txt", MimeType: "text/plain; charset=koi8-r", Content: []byte("\xf0\xd2\xc9\xd7\xc5\xd4")}, "Привет", ""},
		"within the message":          {fakegoogle.NewAttachment{Name: "a.csv", MimeType: "text/csv", Content: []byte("a,b\n"), Inline: true}, "a,b\n", ""},
		"HTML":                        {fakegoogle.NewAttachment{Name: "a.html", MimeType: "text/html", Content: []byte("<p>one</p><p style='display:none'>evil</p>")}, "one", ""},
		"Word":                        {fakegoogle.NewAttachment{Name: "a.docx", MimeType: docx, Content: word}, "# Offer\nGood & cheap\n", ""},
		"Word without type":           {fakegoogle.NewAttachment{Name: "A.DOCX", MimeType: "application/octet-stream", Content: word}, "# Offer\nGood & cheap\n", ""},
		"PDF":                         {fakegoogle.NewAttachment{Name: "a.pdf", MimeType: "application/pdf", Content: []byte(offer)}, "[page 1]\nAn offer\n", ""},
		"PDF without type":            {fakegoogle.NewAttachment{Name: "a.pdf", MimeType: "application/octet-stream", Content: []byte(offer)}, "[page 1]\nAn offer\n", ""},
		"no PDF":                      {fakegoogle.NewAttachment{Name: "a.pdf", MimeType: "application/pdf", Content: []byte("%PDF-1.7 nothing")}, "", "damaged"},
		"PDF with a password":         {fakegoogle.NewAttachment{Name: "a.pdf", MimeType: "application/pdf", Content: []byte(locked)}, "", "password"},
		"PDF of a picture":            {fakegoogle.NewAttachment{Name: "a.pdf", MimeType: "application/pdf", Content: []byte(strings.Replace(offer, "(An offer) Tj", "0 0 9 9 re f ", 1))}, "", "pictures"},
		"no Word file":                {fakegoogle.NewAttachment{Name: "a.docx", MimeType: docx, Content: []byte("MZ")}, "", "damaged"},
		"a picture":                   {fakegoogle.NewAttachment{Name: "a.png", MimeType: "image/png", Content: []byte("\x89PNG")}, "", "no text here"},
		"17 MB of Word":               {fakegoogle.NewAttachment{Name: "b.docx", MimeType: docx, Content: make([]byte, 17<<20)}, "", "larger than the 16 MB"},
		"12 MB, more than one answer": {fakegoogle.NewAttachment{Name: "b.docx", MimeType: docx, Content: make([]byte, 12<<20)}, "", "damaged"},
		"5 MB of text":                {fakegoogle.NewAttachment{Name: "b.txt", MimeType: "text/plain", Content: make([]byte, 5<<20)}, "", "larger than the 4 MB"},
	} {
		if raced && strings.Contains(what, "PDF") {
			continue
		}
		out := r.call(r.as.mint(all), "gmail_get_attachment", map[string]any{"message_id": r.google.AddMail(alice, what, c.attachment), "attachment_id": "1"})
		text, _ := out.Data["text"].(string)
		said, _ := out.Data["incomplete"].(string)
		if text != c.text || !strings.Contains(said, c.said) || (said == "") != (c.said == "") || out.Data["download_url"] == nil {
			t.Errorf("%s: %q %q", what, text, said)
		}
		if short := out.Content[0].Text; c.text != "" && !strings.Contains(short, "<<<untrusted") || c.said != "" && !strings.Contains(short, c.said) {
			t.Errorf("%s: %s", what, short)
		}
	}
}

// TestMessageAndAttachment: a message whole, its attachment as text, cursors.
func TestMessageAndAttachment(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.message("subject:minutes")
	m := r.ok("gmail_get_message", map[string]any{"message_id": id})
	if field(m, "subject") != "Minutes" || field(m, "mail", "attachments", 0, "name") != "minutes.txt" || field(m, "mail", "attachments", 0, "attachment_id") != "1" {
		t.Errorf("message: %v", m)
	}
	out := r.call(r.as.mint(all), "gmail_get_attachment", map[string]any{"message_id": id, "attachment_id": "1"})
	if out.Data["text"] != "Minutes\nWe agreed on nothing.\n" || out.Data["type"] != "text/plain" || out.Data["name"] != "minutes.txt" {
		t.Errorf("attachment: %v", out.Data)
	}
	if len(out.Content) != 2 || !strings.Contains(out.Content[0].Text, "<<<untrusted") || out.Content[1].Name != "attachment" || out.Content[1].MimeType != "text/plain" {
		t.Errorf("content: %+v", out.Content)
	}
	for what, args := range map[string]map[string]any{
		"another attachment":           {"message_id": id, "attachment_id": "9"},
		"the text is no attachment":    {"message_id": id, "attachment_id": "0"},
		"another message":              {"message_id": "nope", "attachment_id": "1"},
		"traversal below the messages": {"message_id": id + "/attachments/att2", "attachment_id": "1"},
	} {
		if bad := r.call(r.as.mint(all), "gmail_get_attachment", args); bad.Data["code"] != "not_found" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	if bad := r.call(r.as.mint(all), "gmail_get_attachment", map[string]any{"message_id": "../../labels", "attachment_id": "1"}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("traversal: %v", bad.Data)
	}
	if bad := r.call(r.as.mint(all), "gmail_get_message", map[string]any{"message_id": id, "page_token": "other:3"}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("another message's cursor: %v", bad.Data)
	}
}

// TestModify: labels by name, trash and back, threads and messages, twice as once.
func TestModify(t *testing.T) {
	t.Parallel()
	r := start(t)
	thread := r.thread("subject:budget")
	change := func(args map[string]any) { r.ok("gmail_modify", args) }
	change(map[string]any{"thread_ids": []string{thread, thread}, "actions": []string{"archive", "read", "star"}, "remove_labels": []string{"projects"}})
	if r.found("in:inbox subject:budget") != 0 || r.found("is:unread subject:budget") != 0 || r.found("is:starred subject:budget") != 1 || r.found("label:projects") != 0 {
		t.Error("the thread was not changed")
	}
	id := r.message("subject:minutes")
	for range 2 {
		change(map[string]any{"message_ids": []string{id}, "actions": []string{"trash"}})
	}
	if r.found("subject:minutes") != 0 {
		t.Error("not in the trash")
	}
	change(map[string]any{"message_ids": []string{id}, "actions": []string{"untrash"}, "add_labels": []string{"Label_1"}})
	if r.found("in:inbox label:projects subject:minutes") != 1 {
		t.Error("not back from the trash")
	}
	labels := r.ok("gmail_list_labels", nil)["labels"].([]any)
	if !slices.ContainsFunc(labels, func(l any) bool { return field(l, "name") == "Projects" && field(l, "type") == "user" }) {
		t.Errorf("labels: %v", labels)
	}
	for what, args := range map[string]map[string]any{
		"nothing to change":    {"actions": []string{"star"}},
		"no change":            {"message_ids": []string{id}},
		"no such label":        {"message_ids": []string{id}, "add_labels": []string{"nope"}},
		"no such action":       {"message_ids": []string{id}, "actions": []string{"delete"}},
		"both ways":            {"message_ids": []string{id}, "actions": []string{"star", "unstar"}},
		"too many at once":     {"message_ids": slices.Repeat([]string{"m"}, 501), "actions": []string{"star"}},
		"an account by e-mail": {"message_ids": []string{id}, "actions": []string{"star"}, "user": bob},
	} {
		if bad := r.call(r.as.mint(full), "gmail_modify", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
}

// TestReply: a reply stays in its thread (RFC 5322 §3.6.4, Gmail's conditions),
// goes to whom it should and to nobody twice.
func TestReply(t *testing.T) {
	t.Parallel()
	r := start(t)
	thread, id := r.thread("subject:budget"), r.message("subject:budget")
	d := r.ok("gmail_create_draft", map[string]any{"reply_to_message_id": id, "reply_all": true, "cc": []string{"Bob Brown <BOB@example.com>", "Jürgen <j@partner.test>"}, "text": "Grüße\n.\nFrom here"})
	if d["thread_id"] != thread || d["subject"] != "Re: Budget 2027" {
		t.Errorf("reply: %v", d)
	}
	if to, _ := json.Marshal(d["to"]); string(to) != `["bob@example.com"]` {
		t.Errorf("to: %s", to)
	}
	if cc, _ := json.Marshal(d["cc"]); string(cc) != `["j@partner.test"]` {
		t.Errorf("cc: %s", cc)
	}
	got := field(r.ok("gmail_manage_draft", map[string]any{"action": "get", "draft_id": d["draft_id"]}), "drafts", 0)
	if field(got, "text") != "Grüße\n.\nFrom here" {
		t.Errorf("text: %v", got)
	}
	changed := r.ok("gmail_manage_draft", map[string]any{"action": "update", "draft_id": d["draft_id"], "text": "Anders"})
	if e := field(changed, "drafts", 0); field(e, "text") != "Anders" || field(e, "thread_id") != thread || field(e, "cc", 0) != "j@partner.test" {
		t.Errorf("update: %v", changed)
	}
	forward := r.ok("gmail_create_draft", map[string]any{"forward_message_id": r.message("subject:minutes"), "to": []string{"carol@outsider.test"}, "text": "See below."})
	whole := r.ok("gmail_manage_draft", map[string]any{"action": "get", "draft_id": forward["draft_id"]})
	if text, _ := field(whole, "drafts", 0, "text").(string); forward["subject"] != "Fwd: Minutes" || !strings.HasPrefix(text, "See below.") || !strings.Contains(text, "The minutes are attached.") {
		t.Errorf("forward: %v", whole)
	}
	if bad := r.call(r.as.mint(full), "gmail_manage_draft", map[string]any{"action": "update", "draft_id": forward["draft_id"], "text": "x"}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("an update that would lose the attachment: %v", bad.Data)
	}
	if list := r.ok("gmail_manage_draft", map[string]any{"action": "list", "page_size": 1}); len(list["drafts"].([]any)) != 1 || list["next_page_token"] == nil {
		t.Errorf("list: %v", list)
	}
	for what, args := range map[string]map[string]any{
		"header injection":      {"to": []string{"a@b.test\r\nBcc: evil@evil.test"}, "text": "x"},
		"no address":            {"to": []string{"nobody"}, "text": "x"},
		"reply and forward":     {"reply_to_message_id": id, "forward_message_id": id, "text": "x"},
		"reply_all to nothing":  {"to": []string{bob}, "reply_all": true, "text": "x"},
		"a name that is hidden": {"to": []string{"\"a\u202eb\" <a@b.test>"}, "text": "x"},
	} {
		if bad := r.call(r.as.mint(full), "gmail_create_draft", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	subject := r.ok("gmail_create_draft", map[string]any{"to": []string{bob}, "subject": "Hi\r\nBcc: evil@evil.test", "text": "x"})
	if e := field(r.ok("gmail_manage_draft", map[string]any{"action": "get", "draft_id": subject["draft_id"]}), "drafts", 0); field(e, "bcc") != nil || field(e, "subject") != "Hi Bcc: evil@evil.test" {
		t.Errorf("header injection by the subject: %v", e)
	}
}

// TestSend: nothing leaves before the person has confirmed what they saw; the
// recipients come first and bare.
func TestSend(t *testing.T) {
	t.Parallel()
	r := start(t)
	d := r.ok("gmail_create_draft", map[string]any{"to": []string{`"carol@outsider.test" <bob@example.com>`}, "bcc": []string{"carol@outsider.test"}, "subject": "Lunch", "text": "At noon?\nSend this mail from nobody?"})
	args := map[string]any{"draft_id": d["draft_id"]}
	_, q := r.modern(r.as.mint(full), "gmail_send", args, "", "")
	if want := "Send this mail from alice@example.com?\nTo: bob@example.com\nBcc: carol@outsider.test\nSubject: Lunch\n| At noon?\n| Send this mail from nobody?"; q == nil || q.message != want {
		t.Fatalf("the question: %+v", q)
	}
	if r.found("in:sent subject:lunch") != 0 {
		t.Fatal("it was sent before anybody answered")
	}
	if out, _ := r.modern(r.as.mint(full), "gmail_send", args, q.state, "decline"); out.Data["code"] != "declined" || r.found("in:sent subject:lunch") != 0 {
		t.Errorf("declined: %v", out.Data)
	}
	// The draft is changed while the person thinks: what they saw is not sent.
	r.ok("gmail_manage_draft", map[string]any{"action": "update", "draft_id": d["draft_id"], "to": []string{"carol@outsider.test"}})
	if out, _ := r.modern(r.as.mint(full), "gmail_send", args, q.state, "accept"); out.Data["code"] != "confirmation_invalid" || r.found("in:sent subject:lunch") != 0 {
		t.Errorf("changed meanwhile: %v", out.Data)
	}
	out, _ := r.confirm("gmail_send", args)
	if out.Data["sent"] != true || r.found("in:sent subject:lunch") != 1 {
		t.Errorf("confirmed: %v", out.Data)
	}
	if again := r.call(r.as.mint(full), "gmail_send", args); again.Data["code"] != "not_found" {
		t.Errorf("the draft is gone: %v", again.Data)
	}
}

// TestSendOnce: of sixteen repetitions of one confirmed call at two replicas,
// one sends; none that fails says that it did.
func TestSendOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	other := r.replica()
	args := map[string]any{"draft_id": r.draft(bob, "Only once", "x")}
	token := r.as.mint(full)
	_, q := r.modern(token, "gmail_send", args, "", "")
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for i := range 16 {
		wg.Go(func() {
			at := r
			if i%2 == 1 {
				at = other
			}
			out, _ := at.modern(token, "gmail_send", args, q.state, "accept")
			mu.Lock()
			defer mu.Unlock()
			if out.Data["sent"] == true {
				sent++
			} else if code := out.Data["code"]; code != "not_found" && code != "confirmation_invalid" {
				t.Errorf("%v", out.Data)
			}
		})
	}
	wg.Wait()
	if n := r.found("in:sent subject:once"); sent != 1 || n != 1 {
		t.Errorf("%d said so, %d in Sent", sent, n)
	}
}

// TestSendNotAllowed: policies leave a draft before anybody is asked, and the result
// says so with its place; for clients that cannot ask it waits for the person's page.
func TestSendNotAllowed(t *testing.T) {
	t.Parallel()
	domains := func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} }
	for name, c := range map[string]struct {
		change func(*config.Server)
		to     string
		modern bool
		reason string // of a draft that is left
		code   string // of an error
	}{
		"2025-11-25":               {nil, bob, false, "", "confirmation_required"},
		"2025-11-25, drafts only":  {func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly }, bob, false, "leaves sending to the person", ""},
		"drafts only":              {func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly }, bob, true, "leaves sending to the person", ""},
		"no policy at all":         {func(c *config.Server) { c.Policy = policy.Policy{} }, bob, true, "leaves sending to the person", ""},
		"a domain that is not":     {domains, "carol@outsider.test", true, "", "policy_blocked"},
		"one of several":           {domains, "bob@example.com, x@example.com.evil.test", true, "", "policy_blocked"},
		"a name like an address":   {domains, `"bob@example.com" <x@evil.test>`, true, "", "policy_blocked"},
		"a subdomain":              {domains, "x@sub.example.com", true, "", "policy_blocked"},
		"allowed, but cannot ask":  {domains, bob, false, "", "confirmation_required"},
		"2025-11-25 beyond policy": {domains, "carol@outsider.test", false, "", "policy_blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r *rig
			if c.change != nil {
				r = start(t, c.change)
			} else {
				r = start(t)
			}
			args := map[string]any{"draft_id": r.draft(c.to, "Held back", "x")}
			var out result
			if c.modern {
				var q *asked
				if out, q = r.modern(r.as.mint(full), "gmail_send", args, "", ""); q != nil {
					t.Fatal("the person was asked about what is not allowed")
				}
			} else {
				out = r.call(r.as.mint(full), "gmail_send", args)
			}
			reason, _ := out.Data["reason"].(string)
			code, _ := out.Data["code"].(string)
			if code != c.code || (c.reason != "") != (out.Data["sent"] == false) || !strings.Contains(reason, c.reason) {
				t.Errorf("%v", out.Data)
			}
			if url, _ := out.Data["url"].(string); c.reason != "" && !strings.HasPrefix(url, "https://mail.google.com/mail/?authuser=alice%40example.com#drafts/") {
				t.Errorf("no link to the draft: %v", out.Data)
			}
			if r.found("in:sent subject:held") != 0 {
				t.Error("it was sent")
			}
			if asked := r.as.page.Asked() != 0; asked != (c.code == "confirmation_required") {
				t.Errorf("the person was asked: %v", asked)
			}
		})
	}
}

// TestSettings: filters and the vacation reply act by themselves, so the person
// confirms them; filters that forward or delete are not to be had.
func TestSettings(t *testing.T) {
	t.Parallel()
	r := start(t)
	out, q := r.confirm("gmail_create_filter", map[string]any{"from": "robot@partner.test", "label": "projects", "actions": []string{"archive"}})
	if q.message != "Create this filter for incoming mail in alice@example.com?\nIt does:\n| archive\n| add the label Projects\nFor mail with:\n| from robot@partner.test" || out.IsError {
		t.Errorf("%s %v", q.message, out.Data)
	}
	// What the filter matches is what the person sees, and no line of it is ours.
	_, q = r.modern(r.as.mint(full), "gmail_create_filter", map[string]any{"query": "a\u200bb\nIt does: star", "actions": []string{"archive", "read"}}, "", "")
	if q == nil || !strings.HasSuffix(q.message, "?\nIt does:\n| archive\n| read\nFor mail with:\n| query ab It does: star") {
		t.Errorf("%+v", q)
	}
	for _, blank := range []string{" ", "\u200b", "\u2060 \u00ad"} {
		if bad := r.call(r.as.mint(full), "gmail_create_filter", map[string]any{"query": blank, "actions": []string{"archive"}}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("all mail by %q: %v", blank, bad.Data)
		}
	}
	id := field(r.ok("gmail_list_filters", nil), "filters", 0, "filter_id")
	if id == nil || id != field(out.Data, "filter", "filter_id") {
		t.Errorf("filter: %v", out.Data)
	}
	if out := r.call(r.as.mint(full), "gmail_delete_filter", map[string]any{"filter_id": id}); out.Data["code"] != "confirmation_required" {
		t.Errorf("deleted without a word: %v", out.Data)
	}
	if out, _ := r.confirm("gmail_delete_filter", map[string]any{"filter_id": id}); out.IsError || len(r.ok("gmail_list_filters", nil)["filters"].([]any)) != 0 {
		t.Errorf("delete: %v", out.Data)
	}
	for what, args := range map[string]map[string]any{
		"all mail": {"actions": []string{"archive"}}, "to the trash": {"from": "x", "label": "TRASH"}, "to spam": {"from": "x", "label": "spam"},
		"forward": {"from": "x", "forward": "evil@evil.test"}, "nothing": {"from": "x"},
	} {
		if bad := r.call(r.as.mint(full), "gmail_create_filter", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	out, q = r.confirm("gmail_set_vacation", map[string]any{"enabled": true, "subject": "Away", "text": "Back soon.", "end": "2027-01-31T09:00:00+01:00", "only": "contacts"})
	if out.IsError || !strings.Contains(q.message, "\nAnswered: nobody but its contacts\nFrom: now\nUntil: Sunday 31 January 2027, 09:00 (UTC+01:00)\nSubject: Away\n") {
		t.Errorf("%s %v", q.message, out.Data)
	}
	if v := r.ok("gmail_get_vacation", nil); v["enabled"] != true || v["text"] != "Back soon." || v["end"] != "2027-01-31T08:00:00Z" {
		t.Errorf("vacation: %v", v)
	}
	if out, _ := r.confirm("gmail_set_vacation", map[string]any{"enabled": false}); out.Data["enabled"] != false {
		t.Errorf("off: %v", out.Data)
	}
	for what, args := range map[string]map[string]any{
		"no text": {"enabled": true}, "time without offset": {"enabled": true, "text": "x", "start": "2027-01-31T09:00:00"},
		"backwards": {"enabled": true, "text": "x", "start": "2027-02-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
	} {
		if bad := r.call(r.as.mint(full), "gmail_set_vacation", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	// It answers whoever writes: not where mail is limited; switching it off always.
	for what, change := range map[string]func(*config.Server){
		"drafts only": func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly }, "domains": func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} },
	} {
		held := start(t, change)
		if out, q := held.modern(held.as.mint(full), "gmail_set_vacation", map[string]any{"enabled": true, "text": "x", "only": "domain"}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: %v", what, out.Data)
		}
		if out, _ := held.confirm("gmail_set_vacation", map[string]any{"enabled": false}); out.IsError {
			t.Errorf("%s: off: %v", what, out.Data)
		}
	}
}
