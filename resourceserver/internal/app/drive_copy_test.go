package app_test

import (
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
)

// TestCopyPlace: without a folder a copy goes beside its original only where the
// person may write and nobody else looks.
func TestCopyPlace(t *testing.T) {
	t.Parallel()
	r := start(t)
	const folder = "application/vnd.google-apps.folder"
	mine := r.google.AddFile(alice, fakegoogle.NewFile{Name: "mine", MimeType: folder})
	shared := r.google.AddFile(alice, fakegoogle.NewFile{Name: "shared", MimeType: folder})
	r.confirm("drive_share", map[string]any{"file_id": shared, "with": []string{bob}, "role": "reader"})
	others := r.google.AddFile(alice, fakegoogle.NewFile{Name: "others", MimeType: folder, Owner: bob})
	company := r.google.AddFile(alice, fakegoogle.NewFile{Name: "company", MimeType: folder, SharedDrive: true})
	for what, c := range map[string]struct{ parent, want, placed string }{
		"the person's own folder": {mine, mine, "beside the original"},
		"a folder others can see": {shared, "root", "in My Drive"},
		"a folder of others":      {others, "root", "in My Drive"},
		"a shared drive":          {company, "root", "in My Drive"},
		"a folder out of sight":   {"hidden", "root", "in My Drive"},
		"no folder":               {"", "root", "in My Drive"},
	} {
		id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "a.txt", MimeType: "text/plain", Content: []byte("x"), Parent: c.parent})
		out := r.ok("drive_copy", map[string]any{"file_id": id})
		if placed, _ := out["placed"].(string); !strings.HasPrefix(placed, c.placed) {
			t.Errorf("%s: %v", what, out)
		}
		if got := r.ok("drive_get_file", map[string]any{"file_id": field(out, "file", "file_id")}); got["folder_id"] != c.want {
			t.Errorf("%s: in %v", what, got["folder_id"])
		}
	}
}
