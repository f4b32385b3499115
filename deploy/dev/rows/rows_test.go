package rows_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/rows"
)

// tree writes files of a little workspace and returns its root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// In this package the ids are put together, so that they are no declarations.
const as, a = "AS-", "A"

func TestIDs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		as + "D1 metadata":             {as + "D1"},
		as + "C2 " + a + "12 " + "URL": {as + "C2", a + "12"},
		as + "D1":                      {}, // says nothing
		a + "1:B2 of a sheet":          {},
		a + "123 x":                    {},
		"about " + as + "D1 and more":  {},
		"":                             {},
	} {
		if got := rows.IDs(name); !slices.Equal(got, want) {
			t.Errorf("%q declares %v", name, got)
		}
	}
}

// TestCheck: a row without a test, a test without a row, a reason that is not
// true any more; words of an error message declare nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"rows.tsv": "# comment\n" + as + "D1\tM\tone\n" + as + "D2\tS\ttwo\n" + a + "1\tM\tthree\tnothing to test\n" + a + "2\tM\tfour\tnothing either\n",
		"p/x_test.go": "package p_test\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n\tt.Run(\"" + as + "D1 " + as + "D9 x\", nil)\n\t" +
			"for name := range map[string]int{\"" + a + "1 y\": 1} {\n\t\tt.Run(name, nil)\n\t}\n\tt.Errorf(\"" + as + "D2 is wrong\")\n}\n",
	})
	table, err := rows.Read(filepath.Join(root, "rows.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	declared, err := rows.Scan(root)
	if err != nil || len(declared) != 2 || declared[0].Func != "TestX" || declared[0].Dir != "p" || declared[0].At != "p/x_test.go:6" {
		t.Fatal(declared, err)
	}
	got := strings.Join(rows.Check(table, declared), "\n")
	for _, want := range []string{as + "D9, which is no row", as + "D2 has no test", a + "1 has a reason"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not reported: %s", want, got)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("more is reported: %s", got)
	}
	for what, text := range map[string]string{
		"an id twice":    as + "D1\tM\tx\n" + as + "D1\tM\tx\n",
		"no requirement": as + "D1\tM\n",
		"no rows":        "# nothing\n",
	} {
		if _, err := rows.Read(filepath.Join(tree(t, map[string]string{"rows.tsv": text}), "rows.tsv")); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	helper := tree(t, map[string]string{"h_test.go": "package h_test\n\nvar names = []string{\"" + as + "D1 x\"}\n"})
	if _, err := rows.Scan(helper); err == nil {
		t.Error("a declaration that belongs to no test is accepted")
	}
}

// TestRun: go test is really asked: a row passes only if every test of it ran
// and passed, and a name that no subtest bears is found.
func TestRun(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"go.mod":  "module latchkey/tiny\n\ngo 1.26.0\n",
		"go.work": "go 1.26.0\n\nuse .\n",
		"p/p_test.go": "package p_test\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n" +
			"\tt.Run(\"" + as + "D1 good_name with words\", func(t *testing.T) { t.Run(\"child\", func(*testing.T) {}) })\n" +
			"\tt.Run(\"" + as + "D2 good\", func(*testing.T) {})\n" +
			"\tt.Run(\"" + as + "D2 bad\", func(t *testing.T) { t.Error(\"canary\") })\n" +
			"\tt.Run(\"" + as + "D3 left out\", func(t *testing.T) { t.SkipNow() })\n" +
			"\t_ = \"" + as + "D4 no subtest\"\n}\n\nfunc TestOther(t *testing.T) { t.Error(\"was run\") }\n",
	})
	declared, err := rows.Scan(root)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	results, err := rows.Run(t.Context(), root, declared, &out)
	if err != nil {
		t.Fatal(err)
	}
	table := []rows.Row{{ID: as + "D1", Level: "M", Requirement: "a|b"}, {ID: as + "D2", Level: "M", Requirement: "x"}, {ID: as + "D3", Level: "M", Requirement: "x"}, {ID: as + "D4", Level: "M", Requirement: "x"}}
	report := rows.NewReport(table, results)
	for i, want := range []string{rows.Pass, rows.Fail, rows.Fail, rows.None} {
		if got := report.Outcome(table[i]); got != want {
			t.Errorf("%s: %s", table[i].ID, got)
		}
	}
	if missing := rows.NotRun(declared, results); len(missing) != 1 || !strings.Contains(missing[0], as+"D4") {
		t.Errorf("%v", missing)
	}
	if !strings.Contains(out.String(), "canary") || strings.Contains(out.String(), "was run") {
		t.Errorf("output: %s", out.String())
	}
	text := report.Markdown(false)
	for _, want := range []string{"| " + as + "D1 | M | a\\|b | `p.TestX`: good_name with words | pass |", "bad (failed); good", "1 pass, 2 FAIL, 1 no test."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if again, err := rows.Run(t.Context(), root, declared, &out); err != nil || rows.NewReport(table, again).Markdown(false) != text {
		t.Error("a second run renders differently", err)
	}
}
