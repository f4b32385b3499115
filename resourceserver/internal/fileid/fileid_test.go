package fileid_test

import (
	"strings"
	"testing"

	"latchkey/resourceserver/internal/fileid"
)

// TestParse: ids and Google's addresses, and nothing that is another path or host.
func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1AbC_-9xyz":   "1AbC_-9xyz",
		" 1AbC_-9xyz ": "1AbC_-9xyz",
		"root":         "root",
		"https://docs.google.com/document/d/1AbC_-9xyz/edit?tab=t.0#heading=h.1": "1AbC_-9xyz",
		"https://docs.google.com/spreadsheets/u/1/d/1AbC_-9xyz":                  "1AbC_-9xyz",
		"https://drive.google.com/file/d/1AbC_-9xyz/view?usp=sharing":            "1AbC_-9xyz",
		"https://drive.google.com/drive/u/0/folders/1AbC_-9xyz":                  "1AbC_-9xyz",
		"https://drive.google.com/open?id=1AbC_-9xyz":                            "1AbC_-9xyz",
		"http://docs.google.com/document/d/1AbC_-9xyz/edit":                      "",
		"https://docs.google.com.evil.test/document/d/1AbC_-9xyz":                "",
		"https://evil.test/document/d/1AbC_-9xyz":                                "",
		"https://docs.google.com@evil.test/document/d/1AbC_-9xyz":                "",
		"https://docs.google.com/document/d/..%2f..%2fabout":                     "",
		"../../about": "", "1AbC?fields=*": "", "1AbC/export": "", "abc": "", "": "",
		"1AbC\n": "1AbC", "1A bC": "", strings.Repeat("a", 129): "", "' or 'a' in parents": "",
	} {
		got, err := fileid.Parse("file_id", in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}
