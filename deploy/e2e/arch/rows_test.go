package arch_test

import (
	"testing"

	"latchkey/deploy/dev/rows"
)

// TestEveryRowHasATest: each row of the protocol table is the name of some
// test, and no test names a row that is not there. What the tests say is for
// `make rows`.
func TestEveryRowHasATest(t *testing.T) {
	t.Parallel()
	table, err := rows.Read("../../../authserver/docs/rows.tsv")
	if err != nil {
		t.Fatal(err)
	}
	declared, err := rows.Scan("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range rows.Check(table, declared) {
		t.Error(problem)
	}
}
