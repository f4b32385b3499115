package app_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
)

const presentationType = "application/vnd.google-apps.presentation"

// TestSlides: a presentation through its life, and what is read of it.
func TestSlides(t *testing.T) {
	t.Parallel()
	r := start(t)
	made := r.ok("slides_create", map[string]any{"title": "Autumn\u200b plan", "text": "# Why\n\nWe grow.\n- more people\n  - in Köln 🎉\n- more tea\n\nSo:\n* start\n---\nno title here\n## Only a title"})
	id := made["presentation_id"].(string)
	read := func() map[string]any {
		t.Helper()
		return r.ok("slides_get", map[string]any{"presentation_id": "https://docs.google.com/presentation/d/" + id + "/edit"})
	}
	ids := made["slide_ids"].([]any)
	heads := func(order ...int) string {
		var out []string
		for i, n := range order {
			out = append(out, fmt.Sprintf("[slide %d | slide_id %s]", i+1, ids[n]))
		}
		return strings.Join(out, " ")
	}
	headsOf := func(out map[string]any) string {
		var found []string
		for l := range strings.SplitSeq(out["text"].(string), "\n") {
			if strings.HasPrefix(l, "[slide ") {
				found = append(found, l)
			}
		}
		return strings.Join(found, " ")
	}
	out := read()
	want := fmt.Sprintf("[slide 1 | slide_id %s]\n# Why\nWe grow.\n- more people\n  - in Köln 🎉\n- more tea\nSo:\n- start\n[slide 2 | slide_id %s]\nno title here\n[slide 3 | slide_id %s]\n# Only a title\n", ids[0], ids[1], ids[2])
	if out["text"] != want || out["title"] != "Autumn plan" || out["slides"] != 3.0 || field(out, "account", "email") != alice || out["url"] != made["url"] {
		t.Errorf("%v", out)
	}
	// The text that a file is read as is the same.
	if file := r.ok("drive_read_file", map[string]any{"file_id": id}); !strings.Contains(file["text"].(string), "[slide 1]\n# Why\nWe grow.\n- more people\n") {
		t.Errorf("%v", file)
	}

	update := func(args map[string]any) map[string]any {
		t.Helper()
		args["presentation_id"] = id
		return r.ok("slides_update", args)
	}
	replaced := update(map[string]any{"find": "more", "replace": "even more", "slide_ids": []any{ids[0]}, "revision_id": out["revision_id"]})
	if replaced["occurrences_replaced"] != 2.0 || !strings.Contains(read()["text"].(string), "- even more tea\n") {
		t.Errorf("%v", replaced)
	}
	for what, c := range map[string]struct {
		args map[string]any
		code string
	}{
		"a revision that is over":   {map[string]any{"find": "tea", "replace": "coffee", "revision_id": out["revision_id"]}, "conflict"},
		"a text that is not there":  {map[string]any{"find": "Tea", "replace": "coffee"}, "not_found"},
		"two things at once":        {map[string]any{"find": "tea", "text": "# x"}, "invalid_argument"},
		"nothing":                   {nil, "invalid_argument"},
		"a replacement for nothing": {map[string]any{"replace": "x"}, "invalid_argument"},
		"no slide in the text":      {map[string]any{"text": "---"}, "invalid_argument"},
		"an unknown slide":          {map[string]any{"slide_ids": []any{"p99"}}, "invalid_argument"},
		"a slide elsewhere":         {map[string]any{"slide_ids": []any{"../../x"}}, "invalid_argument"},
		"too many slides":           {map[string]any{"text": strings.Repeat("# x\n", 101)}, "invalid_argument"},
		"too many lines":            {map[string]any{"text": strings.Repeat("x\n", 201)}, "invalid_argument"},
	} {
		args := map[string]any{"presentation_id": id}
		for k, v := range c.args {
			args[k] = v
		}
		if bad := r.call(r.as.mint(full), "slides_update", args); bad.Data["code"] != c.code {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	if text := read()["text"].(string); !strings.Contains(text, "tea") || strings.Contains(text, "coffee") {
		t.Errorf("changed although it was refused: %s", text)
	}

	more := update(map[string]any{"text": "# Second", "position": 2})
	ids = append(ids, more["slide_ids"].([]any)...)
	if got := headsOf(read()); got != heads(0, 3, 1, 2) {
		t.Errorf("added: %s", got)
	}
	for _, c := range []struct {
		move     []any
		position int
		want     []int
	}{
		{[]any{ids[0]}, 0, []int{3, 1, 2, 0}}, {[]any{ids[0]}, 1, []int{0, 3, 1, 2}}, {[]any{ids[2], ids[3]}, 2, []int{0, 3, 2, 1}},
		{[]any{ids[0]}, 3, []int{3, 2, 0, 1}}, {[]any{ids[3]}, 9, []int{2, 0, 1, 3}},
	} {
		args := map[string]any{"slide_ids": c.move}
		if c.position > 0 {
			args["position"] = c.position
		}
		update(args)
		if got := headsOf(read()); got != heads(c.want...) {
			t.Errorf("%v to %d: %s, want %s", c.move, c.position, got, heads(c.want...))
		}
	}
}

// TestSlideNotes: notes are written where there were none, replaced and taken away.
func TestSlideNotes(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "deck", MimeType: presentationType, Content: []byte("Title\vold words\fSecond")})
	set := func(slide, text string) {
		t.Helper()
		r.ok("slides_set_notes", map[string]any{"presentation_id": id, "slide_id": slide, "text": text})
	}
	want := func(text string) {
		t.Helper()
		if out := r.ok("slides_get", map[string]any{"presentation_id": id}); out["text"] != text {
			t.Errorf("%q", out["text"])
		}
	}
	set("p0", "new words\nmore")
	set("p1", "first")
	want("[slide 1 | slide_id p0]\nTitle\n[notes]\nnew words\nmore\n[slide 2 | slide_id p1]\nSecond\n[notes]\nfirst\n")
	set("p0", "")
	want("[slide 1 | slide_id p0]\nTitle\n[slide 2 | slide_id p1]\nSecond\n[notes]\nfirst\n")
	if bad := r.call(r.as.mint(full), "slides_set_notes", map[string]any{"presentation_id": id, "slide_id": "p7", "text": "x"}); bad.Data["code"] != "not_found" {
		t.Errorf("%v", bad.Data)
	}
	// Somebody writes between reading and writing: nothing of theirs is lost.
	r.google.OnRequest("GET /v1/presentations/"+id, 1, func() { r.google.Touch(id) })
	if bad := r.call(r.as.mint(full), "slides_set_notes", map[string]any{"presentation_id": id, "slide_id": "p1", "text": "mine"}); bad.Data["code"] != "conflict" {
		t.Errorf("%v", bad.Data)
	}
	want("[slide 1 | slide_id p0]\nTitle\n[slide 2 | slide_id p1]\nSecond\n[notes]\nfirst\n")
}

// TestSlideThumbnail: a picture is a link of Google's.
func TestSlideThumbnail(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "deck", MimeType: presentationType, Content: []byte("Title")})
	out := r.call(r.as.mint(full), "slides_thumbnail", map[string]any{"presentation_id": id, "slide_id": "p0", "size": "small"})
	if out.IsError || out.Data["width"] != 200.0 || !strings.HasPrefix(out.Data["thumbnail_url"].(string), "https://") || len(out.Content) != 2 || out.Content[1].MimeType != "image/png" {
		t.Errorf("%+v", out)
	}
	for slide, code := range map[string]string{"p9": "not_found", "..": "invalid_argument", "p0/../../x": "invalid_argument"} {
		if bad := r.call(r.as.mint(full), "slides_thumbnail", map[string]any{"presentation_id": id, "slide_id": slide}); bad.Data["code"] != code {
			t.Errorf("%s: %v", slide, bad.Data)
		}
	}
}

// TestSlidesInParts: a long presentation comes in parts that make the whole, and a
// page_token does not outlive a change.
func TestSlidesInParts(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "deck", MimeType: presentationType, Content: []byte(strings.Repeat("Words upon words\f", 200) + "End")})
	args := map[string]any{"presentation_id": id, "max_chars": 1500}
	var whole strings.Builder
	for {
		out := r.ok("slides_get", args)
		whole.WriteString(out["text"].(string))
		if out["truncated"] == false {
			break
		}
		args["page_token"] = out["next_page_token"]
	}
	if got := whole.String(); strings.Count(got, "[slide ") != 201 || !strings.HasSuffix(got, "End\n") {
		t.Errorf("%d slides", strings.Count(got, "[slide "))
	}
	r.ok("slides_update", map[string]any{"presentation_id": id, "find": "End", "replace": "Fin"})
	if bad := r.call(r.as.mint(full), "slides_get", args); bad.Data["code"] != "invalid_argument" {
		t.Errorf("%v", bad.Data)
	}
}

// TestReplaceEverywhere: the same operation on a document and on a presentation is
// answered alike: nobody is asked, a text that is not there changes nothing, and a
// revision that is over is a conflict.
func TestReplaceEverywhere(t *testing.T) {
	t.Parallel()
	r := start(t)
	document := r.document("tea and tea")
	deck := r.google.AddFile(alice, fakegoogle.NewFile{Name: "deck", MimeType: presentationType, Content: []byte("tea and tea")})
	for _, c := range []struct {
		tool, argument, id, count, read, text string
	}{
		{"docs_edit", "document_id", document, "replaced", "docs_get", "markdown"}, {"slides_update", "presentation_id", deck, "occurrences_replaced", "slides_get", "text"},
	} {
		before := r.ok(c.read, map[string]any{c.argument: c.id})
		replace := func(find string, revision any) result {
			t.Helper()
			args := map[string]any{c.argument: c.id, "find": find, "replace": "cake"}
			if revision != nil {
				args["revision_id"] = revision
			}
			out, q := r.modern(r.as.mint(full), c.tool, args, "", "")
			if q != nil {
				t.Errorf("%s asked: %s", c.tool, q.message)
			}
			return out
		}
		if out := replace("coffee", nil); out.Data["code"] != "not_found" {
			t.Errorf("%s: %v", c.tool, out.Data)
		}
		if out := replace("tea", nil); out.Data[c.count] != 2.0 {
			t.Errorf("%s: %v", c.tool, out.Data)
		}
		if out := replace("cake", before["revision_id"]); out.Data["code"] != "conflict" || out.Data["retryable"] != true {
			t.Errorf("%s: %v", c.tool, out.Data)
		}
		if after := r.ok(c.read, map[string]any{c.argument: c.id}); !strings.Contains(after[c.text].(string), "cake and cake") {
			t.Errorf("%v", after)
		}
	}
}
