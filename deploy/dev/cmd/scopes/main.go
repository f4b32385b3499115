// Command scopes writes what the scope registry (pkg/scope) knows of Google's
// scopes, from the Discovery documents inside google.golang.org/api, and the
// registry's documentation:
//
//	pkg/scope/google.go        which scope covers which, for the scopes in use
//	pkg/scope/methods_test.go  which method accepts which of them
//	authserver/docs/scopes.md  the whole table, for people
//
// It is given the root of the repository. Which scopes are in use it reads from
// the registry.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"latchkey/deploy/dev/fakegoogle/discovery"
	"latchkey/pkg/scope"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scopes:", err)
		os.Exit(1)
	}
}

// files are what is written, by its place in the repository.
var files = map[string]func(*surveyed) ([]byte, error){
	"pkg/scope/google.go": table, "pkg/scope/methods_test.go": accepted, "authserver/docs/scopes.md": document,
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: scopes ROOT")
	}
	apis, err := discovery.ReadAPIs(discovery.Workspace)
	if err != nil {
		return err
	}
	known, err := survey(apis, scope.Entitled(scope.Names()).Slice())
	if err != nil {
		return err
	}
	for name, write := range files {
		b, err := write(known)
		if err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(os.Args[1], filepath.FromSlash(name)), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
