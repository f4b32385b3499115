// Command rows writes authserver/docs/protocol.md and advisories.md: each row
// of rows.tsv with the tests that declare it and what they said when run just
// now. With -check it compares instead of writing. It fails when a row has no
// test, when a test did not pass, and when the documents differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"latchkey/deploy/dev/rows"
)

func main() {
	root := flag.String("root", ".", "directory of go.work")
	check := flag.Bool("check", false, "compare the committed documents instead of writing them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "rows:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check bool) error {
	docs := filepath.Join(root, "authserver", "docs")
	table, err := rows.Read(filepath.Join(docs, "rows.tsv"))
	if err != nil {
		return err
	}
	declared, err := rows.Scan(root)
	if err != nil {
		return err
	}
	var problems []error
	for _, p := range rows.Check(table, declared) {
		problems = append(problems, errors.New(p))
	}
	results, err := rows.Run(ctx, root, declared, os.Stderr)
	if err != nil {
		return err
	}
	report := rows.NewReport(table, results)
	for _, missing := range rows.NotRun(declared, results) {
		problems = append(problems, errors.New(missing))
	}
	for _, row := range report.Unproven() {
		problems = append(problems, errors.New(row))
	}
	for name, advisories := range map[string]bool{"protocol.md": false, "advisories.md": true} {
		file, text := filepath.Join(docs, name), report.Markdown(advisories)
		if !check {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return err
			}
			continue
		}
		committed, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if string(committed) != text {
			problems = append(problems, fmt.Errorf("%s is not what the tests say: %s; run make rows and commit it", name, firstDifference(string(committed), text)))
		}
	}
	return errors.Join(problems...)
}

// firstDifference is the first line that the tests would have written otherwise.
func firstDifference(committed, now string) string {
	old := strings.Split(committed, "\n")
	for i, line := range strings.Split(now, "\n") {
		if i >= len(old) || old[i] != line {
			return fmt.Sprintf("line %d should be %q", i+1, line)
		}
	}
	return "it is longer"
}
