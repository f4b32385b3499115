package pgcluster

import "testing"

// TestPlenty: clusters go to memory only where all that go test runs at once have room, in the file system, and in the memory that a
// container may use.
func TestPlenty(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, c := range map[string]struct {
		room, ram uint64
		packages  int
		want      bool
	}{
		"plenty":                  {24 * gib, 20 * gib, 2, true},
		"just enough":             {3 * gib, 5 * gib, 2, true},
		"a container's 64 MB":     {64 << 20, 20 * gib, 2, false},
		"little memory":           {24 * gib, 4 * gib, 2, false},
		"many packages at once":   {8 * gib, 14 * gib, 16, false},
		"many, and room for them": {32 * gib, 60 * gib, 16, true},
	} {
		if got := plenty(c.room, c.ram, c.packages); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for text, want := range map[string]uint64{"max\n": unlimited, "": unlimited, "4294967296\n": 4 * gib} {
		if got := allowed([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}
