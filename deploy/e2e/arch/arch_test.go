// Package arch_test holds the import rules of the design (DESIGN §2) over the
// whole workspace: one table, read with go list.
package arch_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what go list says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Deps                               []string
}

// goList asks about the workspace, however this module is tested.
func goList(t *testing.T, args ...string) []byte {
	t.Helper()
	work, err := filepath.Abs("../../../go.work")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "GOWORK="+work)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out := goList(t, append([]string{"-json=ImportPath,Imports,TestImports,XTestImports,Deps"}, args...)...)
	var all []pkg
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

const (
	as = "latchkey/authserver/internal/"
	rs = "latchkey/resourceserver/internal/"
)

// under reports whether path is prefix or below it.
func under(path, prefix string) bool {
	return path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

// only: what may be imported nowhere but in the listed packages. Test files of
// other packages may not either, except where tests is set.
var only = []struct {
	what  string
	in    []string
	tests bool // test files anywhere may import it
	why   string
}{
	{"github.com/ory/fosite", []string{as + "provider"}, false, "fosite can be replaced handler by handler"},
	{"github.com/jackc/pgx", []string{as + "postgres", as + "pgtest", "latchkey/migrations", "latchkey/deploy/dev/pgcluster"}, true, "all SQL in one place"},
	{"golang.org/x/oauth2", []string{as + "google", rs + "credential", rs + "googleapi", as + "authtest", "latchkey/deploy"}, true, "tokens of Google move in few places"},
	{"google.golang.org/api", []string{rs + "gmail", rs + "drive", rs + "docs", rs + "sheets", rs + "slides", rs + "calendar", rs + "contacts", rs + "tasks", rs + "chat", rs + "forms", rs + "meet", rs + "googleapi", "latchkey/deploy"}, true, "product packages own their API"},
	{"github.com/tink-crypto/tink-go-gcpkms", []string{as + "kek"}, false, "the vault does no HTTP"},
	{"github.com/tink-crypto/tink-go-awskms", []string{as + "kek"}, false, "the vault does no HTTP"},
	{"github.com/tink-crypto/tink-go-hcvault", []string{as + "kek"}, false, "the vault does no HTTP"},
	{"github.com/aws", []string{as + "kek"}, false, "one client of AWS"},
	{"github.com/hashicorp/vault", []string{as + "kek"}, false, "one client of Vault"},
	{"cloud.google.com/go", []string{as + "kek"}, false, "one client of Cloud KMS"},
	{"google.golang.org/grpc", []string{as + "kek"}, false, "one client of Cloud KMS"},
	{"github.com/klippa-app/go-pdfium", []string{rs + "pdf"}, false, "one place runs files of others"},
	{"github.com/tetratelabs/wazero", []string{rs + "pdf"}, false, "one place runs files of others"},
	{"github.com/mark3labs/mcp-go", []string{rs + "mcpserver", rs + "tool", rs + "elicit", rs + "gmail", rs + "drive", rs + "calendar", rs + "account", "latchkey/deploy"}, true, "the SDK can be swapped"},
	{"github.com/getkin/kin-openapi", nil, true, "the description is checked in tests, not in the server"},
	{"latchkey/deploy", []string{as + "pgtest", as + "authtest", "latchkey/deploy"}, true, "stand-ins are never linked into a server"},
	{as + "pgtest", []string{as + "authtest"}, true, "test support"},
	{as + "authtest", nil, true, "test support"},
	{rs + "approvaltest", nil, true, "test support"},
	{rs + "bearertest", []string{rs + "linktest"}, true, "test support"},
	{rs + "linktest", nil, true, "test support"},
}

// TestOnlyThere: each dependency is imported only where the design says.
func TestOnlyThere(t *testing.T) {
	t.Parallel()
	packages := list(t, "work")
	for _, rule := range only {
		used := false
		for _, p := range packages {
			imports := p.Imports
			if !rule.tests {
				imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
			}
			for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				used = used || under(i, rule.what)
			}
			if !strings.HasPrefix(p.ImportPath, "latchkey/") || slices.ContainsFunc(rule.in, func(in string) bool { return under(p.ImportPath, in) }) {
				continue
			}
			for _, i := range imports {
				if under(i, rule.what) {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, rule.why)
				}
			}
		}
		if !used {
			t.Errorf("nothing imports %s: the rule guards nothing", rule.what)
		}
	}
}

// endpoints never import each other: what two of them need belongs to neither.
var endpoints = []string{"flow", "provider", "registration", "exchange", "discovery", "account", "admin", "signals"}

func TestEndpointsAreApart(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "latchkey/authserver/...") {
		name, ok := strings.CutPrefix(p.ImportPath, as)
		if !ok || !slices.Contains(endpoints, name) {
			continue
		}
		for _, i := range p.Imports {
			if other, ok := strings.CutPrefix(i, as); ok && slices.Contains(endpoints, other) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// TestProgramsLink: what a production program may and may not be linked with,
// all dependencies counted (DESIGN §1.1: the resource server has no database
// and no authorization server in it).
func TestProgramsLink(t *testing.T) {
	t.Parallel()
	for program, never := range map[string][]string{
		"latchkey/resourceserver/cmd/resourceserver": {"github.com/jackc/pgx", "github.com/ory/fosite", "latchkey/authserver", "latchkey/migrations", "latchkey/deploy", "testing"},
		// Of Google's APIs, tink's client of Cloud KMS brings cloudkms; nothing of Workspace may come with it.
		"latchkey/authserver/cmd/authserver": {"github.com/mark3labs/mcp-go", "google.golang.org/api/gmail", "google.golang.org/api/drive", "google.golang.org/api/docs", "google.golang.org/api/sheets",
			"google.golang.org/api/slides", "google.golang.org/api/calendar", "google.golang.org/api/people", "google.golang.org/api/tasks", "google.golang.org/api/chat", "google.golang.org/api/forms", "google.golang.org/api/meet",
			"latchkey/resourceserver", "latchkey/deploy"},
	} {
		found := list(t, program)
		if len(found) != 1 {
			t.Fatalf("%s: %d packages", program, len(found))
		}
		for _, dep := range found[0].Deps {
			for _, bad := range never {
				if under(dep, bad) || dep == "database/sql" && strings.Contains(program, "resourceserver") {
					t.Errorf("%s is linked with %s", program, dep)
				}
			}
		}
	}
}

// TestPkgIsBottom: the shared vocabulary imports the standard library, go-jose
// and itself.
func TestPkgIsBottom(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "latchkey/pkg/...") {
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			if strings.Contains(first, ".") && !under(i, "github.com/go-jose/go-jose/v4") || under(i, "latchkey") && !under(i, "latchkey/pkg") {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}
