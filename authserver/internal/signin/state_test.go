package signin_test

import (
	"strings"
	"testing"

	"latchkey/authserver/internal/signin"
)

// FuzzState: a state of Google's answer is one spelling of tenant and secret, or none.
func FuzzState(f *testing.F) {
	f.Add(strings.Repeat("A", 64))
	f.Add(strings.Repeat("A", 63) + "B")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, _, ok := signin.ParseState(s)
		if !ok && !id.IsZero() {
			t.Errorf("%q is refused but names %v", s, id)
		}
		if ok && len(s) != 64 {
			t.Errorf("accepted %d characters", len(s))
		}
	})
}
