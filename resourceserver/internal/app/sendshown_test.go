package app_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// asGoogle makes a request to Google as alice, without the server in between.
func (r *rig) asGoogle(method, path, scope string, in, out any) {
	r.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.settings.GoogleAPIURL+path+"&quotaUser="+strings.Repeat("0", 32), strings.NewReader(string(b)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.as.tokenOf(alice, "https://www.googleapis.com/auth/"+scope, false).AccessToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(b, out) != nil {
		r.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
	}
}

// rawDraft is a draft that another app wrote.
func (r *rig) rawDraft(header string) string {
	r.t.Helper()
	var made struct{ ID string }
	raw := base64.URLEncoding.EncodeToString([]byte(header + "Subject: Hi\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHi"))
	r.asGoogle(http.MethodPost, "/gmail/v1/users/me/drafts?fields=id", "gmail.compose", map[string]any{"message": map[string]any{"raw": raw}}, &made)
	return made.ID
}

// TestSendShowsWhoGetsIt: no address in the question passes for another or for several,
// whoever wrote the draft, and where answers go is in it.
func TestSendShowsWhoGetsIt(t *testing.T) {
	t.Parallel()
	r := start(t)
	question := func(draft string) string {
		t.Helper()
		out, q := r.modern(r.as.mint(full), "gmail_send", map[string]any{"draft_id": draft}, "", "")
		if q == nil {
			return fmt.Sprint("refused: ", out.Data["code"])
		}
		return q.message
	}
	const begin, end = "Send this mail from alice@example.com?\n", "\nSubject: Hi\n| Hi"
	for header, want := range map[string]string{
		"From: Alice <Alice@example.com>\r\nTo: bob@example.com\r\n": begin + "To: bob@example.com" + end,
		// A reader takes these for two addresses, and for one of example.com.
		"To: \"bob@example.com, x\"@evil.test\r\n":           "refused: invalid_argument",
		"To: \"bob@example.com\"@evil.test\r\n":              "refused: invalid_argument",
		"Cc: \"bob@example.com \\\" \"@evil.test\r\n":        "refused: invalid_argument",
		"To: b\u202eob@example.com\r\n":                      "refused: invalid_argument",
		"To: bob@example.com\r\nBcc : carol@evil.test\r\n":   "refused: invalid_argument",
		"To: bob@example.com\r\nReply-To: nobody\r\n":        "refused: invalid_argument",
		"To: bob@ex\u0430mple.com, j\u00fcrgen@a.test\r\n":   begin + "To: bob@ex\u0430mple.com [not all of it is ASCII: bob@xn--exmple-4nf.com], j\u00fcrgen@a.test [not all of it is ASCII: j\\u00fcrgen@a.test]" + end,
		"To: bob@example.com\r\nReply-To: x@evil.test\r\n":   begin + "To: bob@example.com\nAnswers go to: x@evil.test" + end,
		"From: sales@example.com\r\nTo: bob@example.com\r\n": begin + "To: bob@example.com\nAs: sales@example.com" + end,
	} {
		if got := question(r.rawDraft(header)); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
	for _, to := range []string{`"bob@example.com, x"@evil.test`, `"bob@example.com"@evil.test`, `"a b"@evil.test`} {
		if out := r.call(r.as.mint(full), "gmail_create_draft", map[string]any{"to": []string{to}, "text": "x"}); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", to, out.Data)
		}
	}
	// The same in the other questions.
	const lookalike, shown = "bob@ex\u0430mple.com", "bob@ex\u0430mple.com [not all of it is ASCII: bob@xn--exmple-4nf.com]"
	for tool, args := range map[string]map[string]any{
		"drive_share":           {"file_id": r.ok("drive_create_file", map[string]any{"name": "n", "type": "text"})["file"].(map[string]any)["file_id"], "with": []string{lookalike}, "role": "reader"},
		"calendar_create_event": {"title": "t", "start": "2027-01-31", "attendees": []string{lookalike}},
		"contacts_create":       {"given_name": "Bob", "emails": []string{lookalike}},
	} {
		if _, q := r.modern(r.as.mint(full), tool, args, "", ""); q == nil || !strings.Contains(q.message, shown) {
			t.Errorf("%s: %+v", tool, q)
		}
	}
}

// TestForwardTellsNoBcc: whom a mail was sent to unseen stays unseen when it is sent on
// with its attachments. (Of what the person sent, Gmail keeps the field.)
func TestForwardTellsNoBcc(t *testing.T) {
	t.Parallel()
	r := start(t)
	first := r.ok("gmail_create_draft", map[string]any{"forward_message_id": r.message("subject:minutes"), "to": []string{bob}, "bcc": []string{"carol@outsider.test", "dora@outsider.test"}, "subject": "Secretly", "text": "x"})
	sent, _ := r.confirm("gmail_send", map[string]any{"draft_id": first["draft_id"]})
	forward := r.ok("gmail_create_draft", map[string]any{"forward_message_id": sent.Data["message_id"], "to": []string{bob}, "text": "y"})
	var d struct{ Message struct{ Raw string } }
	r.asGoogle(http.MethodGet, fmt.Sprint("/gmail/v1/users/me/drafts/", forward["draft_id"], "?format=raw&fields=message/raw"), "gmail.compose", nil, &d)
	raw, err := base64.URLEncoding.DecodeString(d.Message.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(raw); !strings.Contains(s, "Subject: Secretly\r\n") || !strings.Contains(s, "forwarded.eml") || strings.Contains(s, "outsider") {
		t.Errorf("%s", s)
	}
}
