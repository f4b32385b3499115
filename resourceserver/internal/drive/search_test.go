package drive_test

import (
	"testing"

	"latchkey/resourceserver/internal/drive"
)

// TestQuery: every argument is one quoted literal (Drive API, "Search query terms").
func TestQuery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, file, kind, folder, after string
		want                            string // "" for a refusal
	}{
		"nothing":             {want: `trashed = false`},
		"quote":               {file: `x' or trashed = true or name contains '`, want: `trashed = false and name contains 'x\' or trashed = true or name contains \''`},
		"backslash and quote": {file: `\' or trashed = true`, want: `trashed = false and name contains '\\\' or trashed = true'`},
		"trailing backslash":  {text: `\`, want: `trashed = false and fullText contains '\\'`},
		"folder":              {folder: `a' in parents or 'b`, want: `trashed = false and 'a\' in parents or \'b' in parents`},
		"type word":           {kind: "Document", want: `trashed = false and mimeType = 'application/vnd.google-apps.document'`},
		"MIME type":           {kind: "image/png' or '1'='1", want: `trashed = false and mimeType = 'image/png\' or \'1\'=\'1'`},
		"unknown type":        {kind: "poem"},
		"date":                {after: "2026-01-31", want: `trashed = false and modifiedTime > '2026-01-31T00:00:00Z'`},
		"time with offset":    {after: "2026-01-31T01:00:00+02:00", want: `trashed = false and modifiedTime > '2026-01-30T23:00:00Z'`},
		"no date":             {after: "yesterday"},
	} {
		got, err := drive.Query(c.text, c.file, c.kind, c.folder, c.after)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}
