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

// permit gives somebody access to a file, behind the server's back.
func (r *rig) permit(file string, permission map[string]any) {
	r.t.Helper()
	var out map[string]any
	r.asGoogle(http.MethodPost, "/drive/v3/files/"+file+"/permissions?fields=id&sendNotificationEmail=false", "drive", permission, &out)
}

// TestWritingOutside: where the operator lets nobody share outside, a mail cannot have
// its reader write into a file of the sender's either: every tool that writes into files,
// whoever is outside, and where nobody can tell.
func TestWritingOutside(t *testing.T) {
	t.Parallel()
	block := func(c *config.Server) { c.Policy.ExternalShare = policy.ShareBlock }
	r := start(t, block)
	file := func(kind string) string {
		id, _ := field(r.ok("drive_create_file", map[string]any{"name": "n", "type": kind}), "file", "file_id").(string)
		return id
	}
	doc, sheet := file("document"), file("spreadsheet")
	deck, _ := r.ok("slides_create", map[string]any{"title": "Deck", "text": "# One"})["presentation_id"].(string)
	slide := fmt.Sprint(field(r.ok("slides_update", map[string]any{"presentation_id": deck, "text": "# Two"}), "slide_ids", 0))
	writes := []struct {
		tool, file string
		args       map[string]any
	}{
		{"docs_edit", doc, map[string]any{"document_id": doc, "text": "secret"}},
		{"sheets_write", sheet, map[string]any{"spreadsheet_id": sheet, "range": "A1", "values": [][]any{{"secret"}}}},
		{"sheets_batch_update", sheet, map[string]any{"spreadsheet_id": sheet, "requests": []any{map[string]any{"appendDimension": map[string]any{"sheetId": 0, "dimension": "ROWS", "length": 1}}}}},
		{"slides_update", deck, map[string]any{"presentation_id": deck, "text": "# secret"}},
		{"slides_set_notes", deck, map[string]any{"presentation_id": deck, "slide_id": slide, "text": "secret"}},
		{"drive_update", doc, map[string]any{"file_id": doc, "name": "secret"}},
	}
	all := func(what, code string) {
		t.Helper()
		for _, w := range writes {
			if out := r.call(r.as.mint(full+" slides.write"), w.tool, w.args); code == "" && out.IsError || code != "" && out.Data["code"] != code {
				t.Errorf("%s, %s: %v", what, w.tool, out.Data)
			}
		}
	}
	share := func(permission map[string]any) {
		for _, file := range []string{doc, sheet, deck} {
			r.permit(file, permission)
		}
	}
	all("the person's own", "")
	share(map[string]any{"type": "user", "role": "writer", "emailAddress": bob})
	share(map[string]any{"type": "domain", "role": "reader", "domain": "example.com"})
	all("seen within the organization", "")
	share(map[string]any{"type": "user", "role": "reader", "emailAddress": "carol@outsider.test"})
	all("seen outside", "policy_blocked")
	if out, q := r.modern(r.as.mint(full), "drive_comments_add", map[string]any{"file_id": doc, "text": "secret"}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
		t.Errorf("a comment: %v", out.Data)
	}
	for what, permission := range map[string]map[string]any{
		"by everybody": {"type": "anyone", "role": "reader"}, "by another organization": {"type": "domain", "role": "reader", "domain": "outsider.test"}, "by a group": {"type": "group", "role": "reader", "emailAddress": "all@outsider.test"},
	} {
		id := file("document")
		r.permit(id, permission)
		if out := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": id, "text": "secret"}); out.Data["code"] != "policy_blocked" || !strings.Contains(fmt.Sprint(out.Data["message"]), "others outside") {
			t.Errorf("%s: %v", what, out.Data)
		}
	}
	if out := r.call(r.as.mint(full), "drive_update", map[string]any{"file_id": r.google.AddFile(alice, fakegoogle.NewFile{Name: "theirs", MimeType: "text/plain", Owner: "carol@outsider.test"}), "name": "secret"}); out.Data["code"] != "policy_blocked" {
		t.Errorf("somebody's: %v", out.Data)
	}
	// An app that sees no files cannot tell; of those that it made it can.
	private := r.file("Meeting notes")
	if out := r.call(r.as.mint("docs.write"), "docs_edit", map[string]any{"document_id": private, "text": "x"}); out.Data["code"] != "policy_blocked" || !strings.Contains(fmt.Sprint(out.Data["message"]), "cannot be told") {
		t.Errorf("without Drive: %v", out.Data)
	}
	made := field(r.call(r.as.mint("drive.files"), "drive_create_file", map[string]any{"name": "Own"}).Data, "file", "file_id")
	for id, code := range map[any]any{made: nil, private: "policy_blocked"} {
		if out := r.call(r.as.mint("docs.write drive.files"), "docs_edit", map[string]any{"document_id": id, "text": "x"}); out.Data["code"] != code {
			t.Errorf("with the files that it made: %v", out.Data)
		}
	}
	clear := r.google.Inject(fakegoogle.Fault{Prefix: "/drive/v3/files/" + private + "/permissions", Status: http.StatusServiceUnavailable})
	if out := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": private, "text": "x"}); out.Data["code"] != "temporarily_unavailable" {
		t.Errorf("Google does not say: %v", out.Data)
	}
	clear()
}
