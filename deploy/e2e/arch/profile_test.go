package arch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProfileNamesRealTests: each test that the protocol profile and the
// decisions name exists; a promise without a test is found here.
func TestProfileNamesRealTests(t *testing.T) {
	t.Parallel()
	root := "../../../authserver"
	documents, err := filepath.Glob(filepath.Join(root, "docs", "decisions", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(?:([a-z]+)\\.)?((?:Test|Fuzz)[A-Za-z]+)(?:/[a-z_]+)?`")
	seen := 0
	for _, file := range append(documents, filepath.Join(root, "docs", "rfc-profile.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			seen++
			pattern := "*"
			if m[1] != "" {
				pattern = m[1]
			}
			files, err := filepath.Glob(filepath.Join(root, "internal", pattern, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range files {
				code, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(code), "func "+m[2]+"(")
			}
			if !found {
				t.Errorf("%s names %s.%s, which does not exist", filepath.Base(file), m[1], m[2])
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d names were found: the pattern is wrong", seen)
	}
}
