package rows

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Result is what became of one subtest that declares rows.
type Result struct {
	Test   string // "app.TestRows", the package and the top-level function
	Name   string // without the ids
	Passed bool
	ids    []string
}

// Run runs the declaring tests, package by package, and returns what became of
// each declaring subtest. Output of tests that did not pass goes to out. A test
// that fails is a result, a package that cannot be tested an error.
func Run(ctx context.Context, root string, declared []Declaration, out io.Writer) ([]Result, error) {
	functions := map[string][]string{}
	names := map[string]string{} // as go test rewrites them -> as written
	for _, d := range declared {
		if !slices.Contains(functions[d.Dir], d.Func) {
			functions[d.Dir] = append(functions[d.Dir], d.Func)
		}
		names[rewritten(d.Name)] = d.Name
	}
	dirs := make([]string, 0, len(functions))
	for dir := range functions {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	var results []Result
	for _, dir := range dirs {
		slices.Sort(functions[dir])
		found, err := runPackage(ctx, root, dir, functions[dir], names, out)
		if err != nil {
			return nil, fmt.Errorf("testing %s: %w", dir, err)
		}
		results = append(results, found...)
	}
	return results, nil
}

// event is a line of go test -json (cmd/test2json).
type event struct{ Action, Test, Output string }

func runPackage(ctx context.Context, root, dir string, functions []string, names map[string]string, out io.Writer) ([]Result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-run", "^("+strings.Join(functions, "|")+")$", "./"+dir)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var results []Result
	said, ended, started := map[string]*bytes.Buffer{}, map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("reading what go test says: %w", err)
		}
		switch e.Action {
		case "run":
			started[e.Test] = true
		case "output", "build-output":
			if said[e.Test] == nil {
				said[e.Test] = &bytes.Buffer{}
			}
			said[e.Test].WriteString(e.Output)
		case "pass", "fail", "skip":
			ended[e.Test] = true
			if e.Action != "pass" && said[e.Test] != nil {
				_, _ = said[e.Test].WriteTo(out)
			}
			if r, ok := result(dir, e, names); ok {
				results = append(results, r)
			}
		}
	}
	failed := cmd.Wait()
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for test := range started {
		if !ended[test] { // a panic or the time limit took the rest along
			return nil, fmt.Errorf("%s did not end", test)
		}
	}
	if exit := (*exec.ExitError)(nil); failed != nil && !errors.As(failed, &exit) {
		return nil, failed
	}
	if len(started) == 0 { // it does not build, or the functions are excluded there
		return nil, errors.New("no test ran")
	}
	return results, nil
}

// result reads the rows of a finished test: the ids that its last segment
// begins with. A subtest below it only adds detail.
func result(dir string, e event, names map[string]string) (Result, bool) {
	segments := strings.Split(e.Test, "/")
	name, written := names[strings.Join(segments[1:], "/")], true
	last := segments[len(segments)-1]
	if name == "" {
		if name, written = names[last]; !written {
			name = strings.ReplaceAll(last, "_", " ")
		}
	}
	ids := IDs(name)
	if len(segments) < 2 || len(ids) == 0 {
		return Result{}, false
	}
	return Result{testName(dir) + "." + segments[0], Rest(name), e.Action == "pass", ids}, true
}

// rewritten is a subtest's name as package testing makes it.
func rewritten(name string) string { return strings.ReplaceAll(name, " ", "_") }

// NotRun lists declarations whose test ran without a subtest of that row: the
// string is not really a subtest's name.
func NotRun(declared []Declaration, results []Result) []string {
	ran := map[string]bool{}
	for _, r := range results {
		for _, id := range r.ids {
			ran[r.Test+" "+id] = true
		}
	}
	var out []string
	for _, d := range declared {
		for _, id := range IDs(d.Name) {
			if !ran[testName(d.Dir)+"."+d.Func+" "+id] {
				out = append(out, fmt.Sprintf("%s: no subtest of %s that ran begins with %s", d.At, d.Func, id))
			}
		}
	}
	return out
}

// testName is how the documents call the package in a directory.
func testName(dir string) string { return strings.TrimPrefix(dir, "authserver/internal/") }
