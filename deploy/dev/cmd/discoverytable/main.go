// Command discoverytable writes the method table of fakegoogle from the
// Discovery documents inside google.golang.org/api to the file it is given.
package main

import (
	"fmt"
	"os"

	"latchkey/deploy/dev/fakegoogle/discovery"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "discoverytable:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: discoverytable FILE")
	}
	methods, err := discovery.Read()
	if err != nil {
		return err
	}
	b, err := discovery.Encode(methods)
	if err != nil {
		return err
	}
	return os.WriteFile(os.Args[1], b, 0o644)
}
