package sheets_test

import (
	"strings"
	"testing"

	"latchkey/resourceserver/internal/sheets"
)

// TestA1: the notation of the Sheets API ("Cell"), cut to the sheet, and what is
// none of it.
func TestA1(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Sheet1!A1:C3": "'Sheet1'!A1:C3", "Sheet1": "'Sheet1'!A1:Z100", "'It''s!'!B2": "'It''s!'!B2:B2", "A1": "''!A1:A1", "$b$2:c": "''!B2:C100",
		"A:C": "''!A1:C100", "2:5": "''!A2:Z5", "Z100": "''!Z100:Z100", "A1:ZZ999": "''!A1:Z100", "'A1'": "'A1'!A1:Z100", "A1!B2": "'A1'!B2:B2",
		"AA1": "", "A101": "", "Sheet2!A1": "", "C3:A1": "", "5:2": "", "A0": "", "A": "", "1": "", "": "", "!": "", "Sheet1!": "", "'Sheet1": "", "A1:B2:C3": "",
		"A1,B2": "", "ÄB1": "", "A99999999999999999999": "", "AAAA1": "", "'Sheet1'A1": "", "R1C1": "", "Sheet1!A1!B2": "",
	} {
		if got := sheets.A1(in, "Sheet1", "It's!", "A1"); got != want && !(in == "A1" && got == "'A1'!A1:Z100") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzA1(f *testing.F) {
	for _, s := range []string{"Sheet1!A1:C3", "'It''s!'!B2", "A:C", "$A$1", "'x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := sheets.A1(s, "Sheet1", "It's!")
		if got == "" {
			return
		}
		// What was read is a range that is read as itself, of a sheet that there is.
		if strings.HasPrefix(got, "''!") {
			got = "'Sheet1'!" + got[3:]
		}
		if again := sheets.A1(got, "Sheet1", "It's!"); again != got {
			t.Errorf("%q: %q, then %q", s, got, again)
		}
	})
}
