package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/markdown"
	"latchkey/resourceserver/internal/markdown/generate"
)

const sample = `# Plan

Intro with **bold**, *italic*, ~~gone~~, ` + "`code`" + ` and a [link](https://x.test/a?b=1&c=2).

## Steps

1. first
   1. deeper
2. second with 🙂

And:

- a
  - b

> said

| Item | Cost |
| --- | --- |
| **Travel** | 1,200 |
| Hardware |  |

` + "```\nx := 1\n\ty\n```" + `

---

Bye.`

// document makes a document of Markdown and returns its id.
func (r *rig) document(text string) string {
	r.t.Helper()
	out := r.ok("drive_create_file", map[string]any{"name": "made", "text": text})
	return field(out, "file", "file_id").(string)
}

func (r *rig) markdown(id string) string {
	r.t.Helper()
	return r.ok("docs_get", map[string]any{"document_id": id, "max_chars": 30000})["markdown"].(string)
}

// TestDocument: a document is read as the Markdown that it was made of.
func TestDocument(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.document(sample)
	if got := r.markdown(id); got != strings.ReplaceAll(strings.ReplaceAll(sample, "\ty", "    y"), "&c", "&amp;c") {
		t.Errorf("read:\n%s", got)
	}
	out := r.ok("docs_get", map[string]any{"document_id": "https://docs.google.com/document/d/" + id + "/edit#heading=h.1"})
	if out["title"] != "made" || field(out, "account", "email") != alice || out["truncated"] != false || out["url"] != "https://docs.google.com/document/d/"+id+"/edit" {
		t.Errorf("document: %v", out)
	}
	for what, args := range map[string]map[string]any{
		"another tab": {"document_id": id, "tab_id": "t.9"}, "no such document": {"document_id": "1234567890"}, "a spreadsheet": {"document_id": r.file("Budget 2027")},
	} {
		if bad := r.call(r.as.mint(full), "docs_get", args); bad.Data["code"] != "not_found" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	for _, id := range []string{"../../v1/documents", "https://evil.test/document/d/" + id, "a?b", ""} {
		if bad := r.call(r.as.mint(full), "docs_get", map[string]any{"document_id": id}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%q: %v", id, bad.Data)
		}
	}
}

// TestDocumentRoundTrip: generated Markdown, made a document and read again, is
// the same. Nested lists of a numbered one are numbered, tabs are spaces.
func TestDocumentRoundTrip(t *testing.T) {
	t.Parallel()
	r := start(t)
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		// Only what Markdown itself can say is compared.
		want := markdown.Parse(markdown.Render(generate.Blocks(random)))
		id := r.document(markdown.Render(want))
		got := markdown.Parse(r.markdown(id))
		for i := range want {
			want[i].Text = strings.ReplaceAll(want[i].Text, "\t", "    ")
			for r := range want[i].Rows {
				for c := range want[i].Rows[r] {
					if r == 0 { // the head is bold by itself
						for s := range want[i].Rows[r][c] {
							want[i].Rows[r][c][s].Bold = false
						}
						want[i].Rows[r][c] = markdown.Tidy(want[i].Rows[r][c])
					}
				}
			}
			if want[i].Kind == markdown.Heading { // as is a heading
				for s := range want[i].Spans {
					want[i].Spans[s].Bold = false
				}
				want[i].Spans = markdown.Tidy(want[i].Spans)
			}
		}
		want = markdown.Parse(markdown.Render(want))
		if !reflect.DeepEqual(got, want) {
			for i := range min(len(got), len(want)) {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("block %d\n got %+v\nwant %+v", i, got[i], want[i])
				}
			}
			t.Fatalf("%d blocks of %d", len(got), len(want))
		}
	}
}

// TestDocumentCursor: a long document is read to its end, in parts of one version.
func TestDocumentCursor(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.document(strings.Repeat("A paragraph of words.\n\n", 300))
	whole := r.markdown(id)
	var read strings.Builder
	args := map[string]any{"document_id": id, "max_chars": 1000}
	var second any
	for {
		out := r.ok("docs_get", args)
		read.WriteString(out["markdown"].(string))
		next, more := out["next_page_token"].(string)
		if more != (out["truncated"] == true) {
			t.Fatalf("%v", out)
		}
		if !more {
			break
		}
		if second == nil {
			second = next
		}
		args["page_token"] = next
	}
	if read.String() != whole || len(whole) < 6_000 {
		t.Errorf("%d characters read of %d", read.Len(), len(whole))
	}
	r.ok("docs_edit", map[string]any{"document_id": id, "find": "words", "replace": "letters"})
	for _, token := range []any{second, "forged", "0123456789abcdef.1", "-1.5"} {
		if bad := r.call(r.as.mint(full), "docs_get", map[string]any{"document_id": id, "page_token": token}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("cursor %v: %v", token, bad.Data)
		}
	}
}

// TestDocumentEdit: each place, and what is around it stays as it was.
func TestDocumentEdit(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.document("# A\n\none **two**\n\n## B\n\n| x |\n| --- |\n| y |\n\n- item")
	edit := func(args map[string]any) map[string]any {
		args["document_id"] = id
		return r.ok("docs_edit", args)
	}
	edit(map[string]any{"text": "*first*", "position": "start"})
	edit(map[string]any{"text": "- after\n- B", "position": "after_heading", "heading": " b "})
	edit(map[string]any{"text": "| last |\n| --- |\n| z |"})
	edit(map[string]any{"text": "end"})
	if out := edit(map[string]any{"find": "two", "replace": "2\n3"}); out["replaced"] != 1.0 {
		t.Errorf("replace: %v", out)
	}
	if out := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": id, "find": "TWO", "replace": "2"}); out.Data["code"] != "not_found" {
		t.Errorf("replace in another case: %v", out.Data)
	}
	want := "*first*\n\n# A\n\none **2\\\n3**\n\n## B\n\n- after\n- B\n\n| x |\n| --- |\n| y |\n\n- item\n\n| last |\n| --- |\n| z |\n\nend"
	if got := r.markdown(id); got != want {
		t.Errorf("edited:\n%s\nwant\n%s", got, want)
	}
	for what, args := range map[string]map[string]any{
		"nothing": {}, "both": {"find": "a", "text": "b"}, "a heading elsewhere": {"text": "b", "heading": "A"}, "after nothing": {"text": "b", "position": "after_heading"},
		"no text": {"text": " \n\n "}, "an unknown place": {"text": "b", "position": "middle"},
	} {
		args["document_id"] = id
		if bad := r.call(r.as.mint(full), "docs_edit", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	if bad := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": id, "text": "b", "position": "after_heading", "heading": "C"}); bad.Data["code"] != "not_found" {
		t.Errorf("no such heading: %v", bad.Data)
	}
}

// TestDocumentConflict: an edit of somebody else is neither lost nor overwritten.
func TestDocumentConflict(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.file("Meeting notes")
	read := r.ok("docs_get", map[string]any{"document_id": id})
	r.google.SetDocument(alice, "Meeting notes", "Somebody was faster.\n")
	stale := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": id, "text": "mine", "revision_id": read["revision_id"]})
	if stale.Data["code"] != "conflict" || stale.Data["next_action"] == nil {
		t.Errorf("stale: %v", stale.Data)
	}
	if got := r.markdown(id); got != "Somebody was faster." {
		t.Errorf("after a stale edit: %q", got)
	}
	// Between the reading and the writing of one call: the call does it again.
	done := make(chan struct{})
	r.google.OnRequest("GET /v1/documents/"+id, 1, func() {
		r.google.SetDocument(alice, "Meeting notes", "Changed in between.\n")
		close(done)
	})
	out := r.ok("docs_edit", map[string]any{"document_id": id, "text": "mine"})
	<-done
	if got := r.markdown(id); got != "Changed in between.\n\nmine" || out["revision_id"] == "" {
		t.Errorf("after a race: %q %v", got, out)
	}
}

// inDoubt reports whether a result says that something may have been done, and
// with which tool to look before it is done again.
func inDoubt(out result, look string) bool {
	return out.IsError && out.Data["retryable"] == false && strings.Contains(fmt.Sprint(out.Data["message"]), " may ") && strings.Contains(fmt.Sprint(out.Data["next_action"]), "Look with "+look)
}

// TestDocumentInDoubt: what was written when the answer was lost is not written
// again by a model that was told to try again.
func TestDocumentInDoubt(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.file("Meeting notes")
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/documents/", Method: http.MethodPost, Status: 503, After: true})
	if out := r.call(r.as.mint(full), "docs_edit", map[string]any{"document_id": id, "text": "once"}); !inDoubt(out, "docs_get") || strings.Count(r.markdown(id), "once") != 1 {
		t.Errorf("edited: %v %q", out.Data, r.markdown(id))
	}
	out := r.call(r.as.mint(full), "drive_create_file", map[string]any{"name": "new", "text": "once"})
	if made := r.file("new"); !inDoubt(out, "docs_get, document_id "+made) || r.markdown(made) != "once" {
		t.Errorf("created: %v", out.Data)
	}
}

// TestDocumentTabs: one tab at a time; edits go where they are told.
func TestDocumentTabs(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.SetDocument(alice, "Meeting notes", "first tab\n", "Second", "second tab\n")
	out := r.ok("docs_get", map[string]any{"document_id": id, "tab_id": "t.1"})
	if out["markdown"] != "second tab" || len(out["tabs"].([]any)) != 2 || field(out, "tabs", 1, "title") != "Second" {
		t.Errorf("tabs: %v", out)
	}
	r.ok("docs_edit", map[string]any{"document_id": id, "tab_id": "t.1", "text": "- more"})
	r.ok("docs_edit", map[string]any{"document_id": id, "tab_id": "t.1", "find": "tab", "replace": "part"})
	if got := r.markdown(id); got != "first tab" {
		t.Errorf("the other tab: %q", got)
	}
	if got := r.ok("drive_read_file", map[string]any{"file_id": id})["text"]; got != "[tab: Tab 1]\n\nfirst tab\n\n[tab: Second]\n\nsecond part\n\n- more" {
		t.Errorf("as a file: %q", got)
	}
}

// TestDocumentFetchesNothing: images are links: Google is never told to fetch an
// address that a text names.
func TestDocumentFetchesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.document("![secret](https://evil.test/?q=1)\n\n[x](javascript:alert(1)) <img src=https://evil.test/2>")
	if got := r.markdown(id); got != "[secret](https://evil.test/?q=1)\n\nx \\<img src=https://evil.test/2>" {
		t.Errorf("read: %q", got)
	}
}

// TestOwnFiles: with access to its own files only, an app makes, reads and edits
// documents (scope.Ask), and does not read Drive.
func TestOwnFiles(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint("drive.files")
	made := r.call(token, "drive_create_file", map[string]any{"name": "own", "text": "# Own"})
	id := field(made.Data, "file", "file_id")
	if out := r.call(token, "docs_edit", map[string]any{"document_id": id, "text": "more"}); out.IsError {
		t.Errorf("edit: %v", out.Data)
	}
	if out := r.call(token, "docs_get", map[string]any{"document_id": id}); out.Data["markdown"] != "# Own\n\nmore" {
		t.Errorf("get: %v", out.Data)
	}
	for _, asked := range r.as.requests() {
		if asked["scope"] != "https://www.googleapis.com/auth/drive.file" {
			t.Errorf("asked for %s", asked["scope"])
		}
	}
	if out := r.raw(token, "drive_read_file", map[string]any{"file_id": id}); out.status != 403 {
		t.Errorf("read: %d", out.status)
	}
}

// TestCreateFile: each kind; a repeated upload makes one file.
func TestCreateFile(t *testing.T) {
	t.Parallel()
	r := start(t)
	folder := field(r.ok("drive_create_file", map[string]any{"name": "Folder", "type": "folder"}), "file", "file_id")
	for kind, mime := range map[string]string{"text": "text/plain", "markdown": "text/markdown", "csv": "text/csv", "json": "application/json"} {
		out := r.ok("drive_create_file", map[string]any{"name": kind + ".x", "type": kind, "text": "ünïcode 1", "folder_id": folder})
		read := r.ok("drive_read_file", map[string]any{"file_id": field(out, "file", "file_id")})
		if field(out, "file", "mime_type") != mime || read["text"] != "ünïcode 1" {
			t.Errorf("%s: %v %v", kind, out, read)
		}
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/upload/drive/", Status: 503, Times: 1})
	r.ok("drive_create_file", map[string]any{"name": "again", "type": "text", "text": "x", "folder_id": folder})
	if n := len(r.ok("drive_search", map[string]any{"folder_id": folder})["files"].([]any)); n != 5 {
		t.Errorf("%d files in the folder", n)
	}
	for what, args := range map[string]map[string]any{
		"a folder with text": {"name": "x", "type": "folder", "text": "y"}, "an unknown type": {"name": "x", "type": "exe"}, "a path as folder": {"name": "x", "folder_id": "../x"},
	} {
		if bad := r.call(r.as.mint(full), "drive_create_file", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	// A document that cannot be filled is not passed over in silence.
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/documents", Status: 403, Code: "forbidden"})
	out := r.call(r.as.mint(full), "drive_create_file", map[string]any{"name": "half", "text": "x"})
	if out.Data["code"] != "permission_denied" || !strings.Contains(fmt.Sprint(out.Data["message"], out.Data["next_action"]), "docs_edit, document_id") {
		t.Errorf("half made: %v", out.Data)
	}
}
