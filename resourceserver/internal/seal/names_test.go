package seal_test

import (
	"testing"

	"latchkey/resourceserver/internal/seal"
)

// TestNames: names are apart by key, purpose and every part.
func TestNames(t *testing.T) {
	t.Parallel()
	one, other := keys(t), keys(t)
	seen := map[string]string{}
	for name, of := range map[string]struct {
		k       *seal.Keys
		purpose string
		parts   []string
	}{
		"one": {one, "p", []string{"a", "bc"}}, "parts moved": {one, "p", []string{"ab", "c"}}, "joined": {one, "p", []string{"abc"}}, "empty part": {one, "p", []string{"a", "bc", ""}},
		"purpose": {one, "q", []string{"a", "bc"}}, "key": {other, "p", []string{"a", "bc"}},
	} {
		n, err := seal.NewNames(of.k, of.purpose)
		if err != nil {
			t.Fatal(err)
		}
		value := n.Of(of.parts...)
		if again := n.Of(of.parts...); again != value || len(value) != 32 {
			t.Errorf("%s: %s, then %s", name, value, again)
		}
		if whole := n.Whole(of.parts...); len(whole) != 64 || whole[:32] != value {
			t.Errorf("%s: %s, uncut %s", name, value, whole)
		}
		if was, ok := seen[value]; ok {
			t.Errorf("%s is %s", name, was)
		}
		seen[value] = name
	}
	if _, err := seal.NewNames(one, ""); err == nil {
		t.Error("no purpose")
	}
}
