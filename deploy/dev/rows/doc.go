// Package rows ties the rows of the protocol checklist to the tests that hold
// them. A row is a line of authserver/docs/rows.tsv; a test declares rows by the
// leading words of its subtest's name:
//
//	t.Run("AS-D1 AS-D2 metadata is served", …)
//
// The package reads the table, finds declarations in the source, runs the
// declaring tests and renders the result. It never decides whether a row holds:
// only a test that ran and passed does.
package rows
