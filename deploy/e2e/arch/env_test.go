package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnvironmentIsReadOnce: os.Getenv and its kin only in config and main of
// the servers (DESIGN §2).
func TestEnvironmentIsReadOnce(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"latchkey/pkg", "latchkey/migrations", "latchkey/authserver", "latchkey/resourceserver"} {
		for line := range strings.Lines(string(goList(t, "-f", "{{.ImportPath}} {{.Dir}}", module+"/..."))) {
			path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasSuffix(path, "/internal/config") || strings.Contains(path, "/cmd/") || strings.HasSuffix(path, "/pgtest") {
				continue
			}
			files, err := filepath.Glob(filepath.Join(dir, "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				ast.Inspect(parsed, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && (sel.Sel.Name == "Getenv" || sel.Sel.Name == "LookupEnv" || sel.Sel.Name == "Environ") {
						t.Errorf("%s reads the environment in %s", path, filepath.Base(file))
					}
					return true
				})
			}
		}
	}
}
