package rows

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Declaration is a string in a test function that begins with row ids. It may
// be the beginning of a name that is completed at run time.
type Declaration struct {
	Dir  string // of the package, relative to the root, with slashes
	Func string // the top-level test or fuzz function
	Name string // the string
	At   string // file:line, for messages
}

// Scan finds the declarations in all test files below root. Arguments of
// t.Error and its kin are messages, not names.
func Scan(root string) ([]Declaration, error) {
	var out []Declaration
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		found, err := scanFile(root, file)
		out = append(out, found...)
		return err
	})
	return out, err
}

func scanFile(root, file string) ([]Declaration, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing tests: %w", err)
	}
	relative, err := filepath.Rel(root, file)
	if err != nil {
		return nil, err
	}
	relative = filepath.ToSlash(relative)
	var out []Declaration
	for _, decl := range parsed.Decls {
		f, isFunc := decl.(*ast.FuncDecl)
		inTest := isFunc && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz"))
		var outside error
		ast.Inspect(decl, func(n ast.Node) bool {
			if isMessage(n) {
				return false
			}
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			name, err := strconv.Unquote(lit.Value)
			if err != nil || len(IDs(name)) == 0 {
				return true
			}
			at := fmt.Sprintf("%s:%d", relative, set.Position(lit.Pos()).Line)
			if !inTest {
				outside = fmt.Errorf("%s: %q stands outside a test function, so nobody can tell which test to run", at, name)
				return true
			}
			out = append(out, Declaration{relative[:max(0, strings.LastIndexByte(relative, '/'))], f.Name.Name, name, at})
			return true
		})
		if outside != nil {
			return nil, outside
		}
	}
	return out, nil
}

var messages = []string{"Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf"}

func isMessage(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains(messages, method.Sel.Name)
}

// Check compares table and declarations without running anything: every row
// has a test or a reason, and not both; no test names an unknown row.
func Check(table []Row, declared []Declaration) []string {
	var problems []string
	known, tested := map[string]bool{}, map[string]string{}
	for _, r := range table {
		known[r.ID] = true
	}
	for _, d := range declared {
		for _, id := range IDs(d.Name) {
			tested[id] = d.At
			if !known[id] {
				problems = append(problems, fmt.Sprintf("%s names %s, which is no row", d.At, id))
			}
		}
	}
	for _, r := range table {
		switch at := tested[r.ID]; {
		case at == "" && r.Reason == "":
			problems = append(problems, r.ID+" has no test: "+r.Requirement)
		case at != "" && r.Reason != "":
			problems = append(problems, fmt.Sprintf("%s has a reason to have no test, and one at %s", r.ID, at))
		}
	}
	return problems
}
