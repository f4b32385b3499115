package secret_test

import (
	"testing"

	"latchkey/pkg/secret"
)

// TestRandom: 43 characters, never twice the same, and one spelling only.
func TestRandom(t *testing.T) {
	t.Parallel()
	a, b := secret.Random(), secret.Random()
	if a == b || len(a) != 43 || !secret.IsRandom(a) || !secret.IsRandom(b) {
		t.Error(a, b)
	}
	for _, s := range []string{"", a[:42], a + "A", a[:42] + "=", a[:21] + "\n" + a[21:], a[:42] + "B", "+" + a[1:]} {
		if secret.IsRandom(s) && s != a {
			t.Errorf("%q is taken", s)
		}
	}
}
