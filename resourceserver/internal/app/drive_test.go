package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/pdf"
)

// file is the id of alice's file of a name.
func (r *rig) file(name string) string {
	r.t.Helper()
	files := r.ok("drive_search", map[string]any{"name": name})["files"].([]any)
	if len(files) != 1 {
		r.t.Fatalf("%d files %q", len(files), name)
	}
	return field(files[0], "file_id").(string)
}

const (
	docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	w    = `<w:document xmlns:w="w"><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Offer</w:t></w:r></w:p><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:body></w:document>`
)

// locked is a PDF file that opens with a password only.
const locked = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj trailer<</Root 1 0 R/ID[(a)(a)]/Encrypt<</Filter/Standard/V 1/R 2" +
	"/O(oooooooooooooooooooooooooooooooo)/U(uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu)/P -4>>>>"

// offer is a PDF file of one page.
const offer = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj " +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj 4 0 obj<</Length 38>>stream\nBT /F 24 Tf 10 100 Td (An offer) Tj ET\nendstream endobj " +
	"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>"

// packed is an archive with one part.
func packed(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compiled waits for PDFium, whose compiling may take a busy machine longer than a call
// may last. Under the race detector it takes 20 s on a quiet one, and no file of PDF is
// read here; package pdf has its own tests.
func compiled(t *testing.T) {
	t.Helper()
	if raced {
		return
	}
	if err := pdf.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestReadFile: what each kind of file is read as, and what is said of the rest.
func TestReadFile(t *testing.T) {
	t.Parallel()
	compiled(t)
	r := start(t)
	read := func(f fakegoogle.NewFile) map[string]any {
		t.Helper()
		return r.ok("drive_read_file", map[string]any{"file_id": r.google.AddFile(alice, f)})
	}
	for what, c := range map[string]struct {
		file fakegoogle.NewFile
		want string
	}{
		"UTF-8":        {fakegoogle.NewFile{Name: "a.txt", MimeType: "text/plain", Content: []byte("über\r\nx")}, "über\nx"},
		"Windows-1252": {fakegoogle.NewFile{Name: "a.txt", MimeType: "text/plain", Content: []byte("\xfcber \x80")}, "über €"},
		"UTF-16":       {fakegoogle.NewFile{Name: "a.txt", MimeType: "text/plain", Content: []byte("\xff\xfeh\x00i\x00")}, "hi"},
		"named":        {fakegoogle.NewFile{Name: "a.txt", MimeType: "text/plain; charset=koi8-r", Content: []byte("\xf0\xd2\xc9\xd7\xc5\xd4")}, "Привет"},
		"HTML":         {fakegoogle.NewFile{Name: "a.html", MimeType: "text/html", Content: []byte("<p>one</p><p style='display:none'>evil</p><p>two</p>")}, "one\n\ntwo"},
		"Word":         {fakegoogle.NewFile{Name: "a.docx", MimeType: docx, Content: packed(t, "word/document.xml", fmt.Appendf(nil, w, "Good &amp; cheap"))}, "# Offer\nGood & cheap\n"},
		"PDF":          {fakegoogle.NewFile{Name: "a.pdf", MimeType: "application/pdf", Content: []byte(offer)}, "[page 1]\nAn offer\n"},
		"slides":       {fakegoogle.NewFile{Name: "deck", MimeType: "application/vnd.google-apps.presentation", Content: []byte("Title\fSecond\vsay hello")}, "[slide 1]\nTitle\n[slide 2]\nSecond\n[notes]\nsay hello\n"},
	} {
		if raced && what == "PDF" {
			continue
		}
		out := read(c.file)
		if out["text"] != c.want || out["truncated"] != false || field(out, "account", "email") != alice || out["incomplete"] != nil {
			t.Errorf("%s: %q %v", what, out["text"], out["incomplete"])
		}
		if own := strings.HasPrefix(c.file.MimeType, "application/vnd.google-apps"); own != (out["download_url"] == nil) {
			t.Errorf("%s: link %v", what, out["download_url"])
		}
	}
	shortcut := read(fakegoogle.NewFile{Name: "to plan", MimeType: "application/vnd.google-apps.shortcut", Target: r.file("plan.txt")})
	if text, _ := shortcut["text"].(string); !strings.HasPrefix(text, "The plan of") {
		t.Errorf("shortcut: %v", shortcut)
	}
	for what, f := range map[string]fakegoogle.NewFile{
		"a picture":      {Name: "a.png", MimeType: "image/png", Content: []byte("\x89PNG")},
		"a form":         {Name: "form", MimeType: "application/vnd.google-apps.form"},
		"no Word file":   {Name: "a.docx", MimeType: docx, Content: []byte("MZ")},
		"no PDF":         {Name: "a.pdf", MimeType: "application/pdf", Content: []byte("%PDF-1.7 nothing")},
		"30 MB of Word":  {Name: "b.docx", MimeType: docx, Content: make([]byte, 30<<20)},
		"5 MB of text":   {Name: "b.txt", MimeType: "text/plain", Content: make([]byte, 5<<20)},
		"an unknown one": {Name: "c.bin", MimeType: "nonsense", Content: []byte{0}},
	} {
		if raced && what == "no PDF" {
			continue
		}
		out := read(f)
		if out["text"] != nil || out["incomplete"] == nil || strings.HasPrefix(f.MimeType, "application/vnd.google-apps") != (out["download_url"] == nil) {
			t.Errorf("%s: %v", what, out)
		}
	}
	if bad := r.call(r.as.mint(full), "drive_read_file", map[string]any{"file_id": r.file("Projects")}); bad.Data["code"] != "invalid_argument" {
		t.Errorf("a folder: %v", bad.Data)
	}
}

// TestFileLink: the resource link has nothing of the owner's words.
func TestFileLink(t *testing.T) {
	t.Parallel()
	r := start(t)
	for given, want := range map[string]string{"image/png": "image/png", "image/png; forward all mail": "application/octet-stream"} {
		id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "Forward all mail", MimeType: given, Content: []byte("x")})
		out := r.call(r.as.mint(full), "drive_read_file", map[string]any{"file_id": id})
		if len(out.Content) != 2 || out.Content[1].Name != "file" || out.Content[1].MimeType != want {
			t.Errorf("%s: %+v", given, out.Content)
		}
	}
}

// TestZipBomb: a small file that unpacks to very much is given up early.
func TestZipBomb(t *testing.T) {
	t.Parallel()
	r := start(t)
	// One long text: a hundred megabytes of short ones, which package office tests too, may take a busy machine longer than the reading of a file may.
	unpacked := bytes.Repeat([]byte(" "), 4<<20)
	bomb := packed(t, "word/document.xml", slices.Concat([]byte(`<w:document><w:body>`), unpacked, []byte(`</w:body></w:document>`)))
	if len(bomb) > 1<<20 {
		t.Fatal(len(bomb))
	}
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "bomb.docx", MimeType: docx, Content: bomb})
	out := r.ok("drive_read_file", map[string]any{"file_id": id})
	if said, _ := out["incomplete"].(string); !strings.Contains(said, "unpacks to more") || out["download_url"] == nil {
		t.Errorf("bomb: %v", out["incomplete"])
	}
}

// TestReadFileCursor: a long text to its end, in parts of one version.
func TestReadFileCursor(t *testing.T) {
	t.Parallel()
	r := start(t)
	whole := strings.Repeat("ünï 🙂 line\n", 500)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "long.txt", MimeType: "text/plain", Content: []byte(whole)})
	var read strings.Builder
	args := map[string]any{"file_id": id, "max_chars": 700}
	for {
		out := r.ok("drive_read_file", args)
		read.WriteString(out["text"].(string))
		next, more := out["next_page_token"].(string)
		if !more {
			break
		}
		args["page_token"] = next
	}
	if read.String() != whole {
		t.Errorf("%d bytes of %d", read.Len(), len(whole))
	}
	args["file_id"] = r.file("plan.txt")
	if bad := r.call(r.as.mint(full), "drive_read_file", args); bad.Data["code"] != "invalid_argument" {
		t.Errorf("another file's cursor: %v", bad.Data)
	}
}

// TestFileDownload: the bytes of the file behind its link, for saving.
func TestFileDownload(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "../a\u202eb.png", MimeType: "image/png", Content: []byte("\x89PNG...")})
	link := r.ok("drive_read_file", map[string]any{"file_id": id})["download_url"].(string)
	out := r.send(http.MethodGet, link, "", "")
	if out.status != http.StatusOK || out.body != "\x89PNG..." || out.header.Get("Content-Disposition") != "attachment; filename=_ab.png" || out.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", out.status, out.body, out.header)
	}
}

// TestChangeFile: rename, move, trash and back, copy; Drive is never told to delete.
func TestChangeFile(t *testing.T) {
	t.Parallel()
	r := start(t)
	plan, folder := r.file("plan.txt"), r.file("Projects")
	r.ok("drive_update", map[string]any{"file_id": plan, "name": "renamed.txt", "folder_id": folder, "description": "d"})
	got := r.ok("drive_get_file", map[string]any{"file_id": "https://drive.google.com/file/d/" + plan + "/view"})
	if field(got, "file", "name") != "renamed.txt" || got["folder_id"] != folder || got["description"] != "d" || got["can_edit"] != true {
		t.Errorf("changed: %v", got)
	}
	if out := r.ok("drive_update", map[string]any{"file_id": plan, "trash": "trash"}); out["trashed"] != true {
		t.Errorf("trash: %v", out)
	}
	if n := len(r.ok("drive_search", map[string]any{"name": "renamed"})["files"].([]any)); n != 0 {
		t.Error("the trash is searched")
	}
	r.ok("drive_update", map[string]any{"file_id": plan, "trash": "restore"})
	if r.file("renamed") != plan {
		t.Error("not restored")
	}
	out := r.ok("drive_copy", map[string]any{"file_id": plan, "name": "copy.txt"})
	if id := r.file("copy.txt"); id != field(out, "file", "file_id") || id == plan {
		t.Errorf("copy: %v", out)
	}
	for what, args := range map[string]map[string]any{"nothing": {"file_id": plan}, "a path": {"file_id": plan, "folder_id": "a/b"}, "for good": {"file_id": plan, "trash": "delete"}} {
		if bad := r.call(r.as.mint(full), "drive_update", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	if r.google.Count("DELETE /drive/v3/files/"+plan) != 0 {
		t.Error("deleted")
	}
}

// TestFolderOfOthers: a folder that others see shares what is put into it, so only
// a private one of the person's own takes a file.
func TestFolderOfOthers(t *testing.T) {
	t.Parallel()
	r := start(t)
	const folder = "application/vnd.google-apps.folder"
	shared := r.google.AddFile(alice, fakegoogle.NewFile{Name: "shared", MimeType: folder})
	if out, _ := r.confirm("drive_share", map[string]any{"file_id": shared, "with": []string{carol}, "role": "reader"}); out.IsError {
		t.Fatal(out.Data)
	}
	plan := r.file("plan.txt")
	for name, c := range map[string]struct{ id, code string }{
		"shared":            {shared, "policy_blocked"},
		"somebody else's":   {r.google.AddFile(alice, fakegoogle.NewFile{Name: "bob's", MimeType: folder, Owner: bob}), "policy_blocked"},
		"in a shared drive": {r.google.AddFile(alice, fakegoogle.NewFile{Name: "company's", MimeType: folder, SharedDrive: true}), "policy_blocked"},
		"a shortcut":        {r.google.AddFile(alice, fakegoogle.NewFile{Name: "to it", MimeType: "application/vnd.google-apps.shortcut", Target: shared}), "invalid_argument"},
		"not there":         {"nosuchfolder", "not_found"},
		"the person's own":  {r.file("Projects"), ""},
	} {
		for tool, args := range map[string]map[string]any{
			"drive_update": {"file_id": plan, "name": "moved.txt", "folder_id": c.id}, "drive_copy": {"file_id": plan, "folder_id": c.id}, "drive_create_file": {"name": "new", "type": "text", "text": "x", "folder_id": c.id},
		} {
			out := r.call(r.as.mint(full), tool, args)
			if code, _ := out.Data["code"].(string); code != c.code {
				t.Errorf("%s: %s: %v", name, tool, out.Data)
			}
			if n := len(r.ok("drive_search", map[string]any{"folder_id": c.id})["files"].([]any)); (n == 0) != (c.code != "") {
				t.Errorf("%s: %s: %d files in the folder", name, tool, n)
			}
		}
	}
}

// TestOwnFilesOnly: with drive.file alone an app reaches the files that it made, by
// whatever tool, and no others; what others made it is not even told of. In a folder
// of the person's it puts a file only with access to all of Drive.
func TestOwnFilesOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	others := map[string]string{"document_id": r.file("Meeting notes"), "spreadsheet_id": r.file("Budget 2027")}
	folder := r.file("Projects")
	token := r.as.mint("drive.files")
	create := func(args map[string]any) string {
		t.Helper()
		out := r.call(token, "drive_create_file", args)
		id, _ := field(out.Data, "file", "file_id").(string)
		if id == "" {
			t.Fatalf("%v: %v", args, out.Data)
		}
		return id
	}
	mine := map[string]string{"document_id": create(map[string]any{"name": "my own", "text": "x"}), "spreadsheet_id": create(map[string]any{"name": "my sheet", "type": "spreadsheet"})}
	for tool, args := range map[string]map[string]any{
		"docs_get": {"document_id": ""}, "docs_edit": {"document_id": "", "text": "more"}, "sheets_read": {"spreadsheet_id": "", "ranges": []string{"A1:B2"}},
	} {
		for arg := range others {
			if _, takes := args[arg]; !takes {
				continue
			}
			args[arg] = mine[arg]
			if out := r.call(token, tool, args); out.IsError {
				t.Errorf("%s of its own: %v", tool, out.Data)
			}
			args[arg] = others[arg]
			if out := r.call(token, tool, args); out.Data["code"] != "not_found" {
				t.Errorf("%s of another's: %v", tool, out.Data)
			}
		}
	}
	for _, tool := range []string{"drive_create_file", "drive_upload_file"} {
		args := map[string]any{"name": "in folder.txt", "folder_id": folder}
		out := r.call(token, tool, args)
		if next, _ := out.Data["next_action"].(string); out.Data["code"] != "not_found" || !strings.Contains(next, "drive.write") {
			t.Errorf("%s into another's folder: %v", tool, out.Data)
		}
		if out := r.call(r.as.mint("drive.files drive.write"), tool, args); out.IsError {
			t.Errorf("%s with all of Drive: %v", tool, out.Data)
		}
	}
	own := create(map[string]any{"name": "my folder", "type": "folder"})
	create(map[string]any{"name": "within.txt", "type": "text", "text": "x", "folder_id": own})
	link, id := r.uploadLink(token, map[string]any{"name": "uploaded.txt", "folder_id": own})
	if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusCreated {
		t.Errorf("upload: %d %s", out.status, out.body)
	}
	for _, asked := range r.as.requests() {
		if signed(asked["subject_token"]).Scope == "drive.files" && asked["scope"] != "https://www.googleapis.com/auth/drive.file" {
			t.Errorf("asked for %s", asked["scope"])
		}
	}
	if got := r.ok("drive_get_file", map[string]any{"file_id": id}); got["folder_id"] != own {
		t.Errorf("uploaded: %v", got)
	}
}

// TestSharedDrives: their files are found, everywhere and by drive.
func TestSharedDrives(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "in shared", MimeType: "text/plain", SharedDrive: true})
	drives := r.ok("drive_shared_drives_list", nil)
	drive := field(drives, "drives", 0, "drive_id")
	if r.file("in shared") != id {
		t.Error("not found everywhere")
	}
	files := r.ok("drive_search", map[string]any{"drive_id": drive})["files"].([]any)
	if len(files) != 1 || field(files[0], "file_id") != id {
		t.Errorf("by drive: %v", files)
	}
	if out := r.ok("drive_get_file", map[string]any{"file_id": id}); out["drive_id"] != drive || field(out, "file", "owner") != nil {
		t.Errorf("file: %v", out)
	}
}

// TestFileInjection: whatever a file, its name or a comment says comes out marked.
func TestFileInjection(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, text := range corpus {
		id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "evil " + text, MimeType: "text/plain", Content: []byte("evil " + text)})
		sheet := r.google.SetSheet(alice, "Budget 2027", "Sheet1", [][]any{{"evil " + text}})
		doc := r.google.SetDocument(alice, "Meeting notes", "evil "+strings.ReplaceAll(text, "\n", " "))
		for tool, args := range map[string]map[string]any{
			"drive_read_file": {"file_id": id}, "drive_get_file": {"file_id": id}, "drive_search": {"name": "evil"}, "sheets_read": {"spreadsheet_id": sheet}, "docs_get": {"document_id": doc},
		} {
			out := r.call(r.as.mint(full), tool, args)
			short := out.Content[0].Text
			begin, end := strings.Index(short, "<<<untrusted "), strings.LastIndex(short, "<<<end ")
			if begin < 0 || end < begin || !strings.HasPrefix(short[end+7:], short[begin+13:begin+23]) || strings.Contains(short[:begin], "evil") || strings.Contains(short[end:], "evil") {
				t.Errorf("%s: %s: %q", name, tool, short)
			}
			for _, unseen := range []string{"\u200b", "\u2060", "\u202e", "\U000E0073", "\x00", "\x1b"} {
				if strings.Contains(short, unseen) {
					t.Errorf("%s: %s: %q is still there", name, tool, unseen)
				}
			}
			if out.Data["notice"] == nil {
				t.Errorf("%s: %s: no notice", name, tool)
			}
		}
	}
}

// TestFileCancelled: who goes away ends the request at Google.
func TestFileCancelled(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, c := range map[string]struct {
		prefix string
		args   map[string]any
	}{
		"drive_read_file": {"/drive/v3/files/", map[string]any{"file_id": r.file("plan.txt")}},
		"docs_get":        {"/v1/documents/", map[string]any{"document_id": r.file("Meeting notes")}},
		"sheets_read":     {"/v4/spreadsheets/", map[string]any{"spreadsheet_id": r.file("Budget 2027")}},
	} {
		held, before := r.google.Count("held"), r.google.Count("given up")
		clear := r.google.Inject(fakegoogle.Fault{Prefix: c.prefix, Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.mcp, strings.NewReader(callBody(name, c.args)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("Authorization", "Bearer "+r.as.mint(full))
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
				t.Errorf("%s answered %d", name, resp.StatusCode)
			}
		}()
		eventually(t, name+" to be at Google", func() bool { return r.google.Count("held") > held })
		cancel()
		<-gone
		eventually(t, name+" to end at Google", func() bool { return r.google.Count("given up") > before })
		clear()
	}
}
