package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/pgtest"
)

// TestClonesAreSeparate: what one test commits no other sees, and a transaction leaves nothing.
func TestClonesAreSeparate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	count := func(dsn string) (n int) {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_tables WHERE tablename = 'mark'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := pgtest.Clone(t), pgtest.Clone(t)
	conn, err := pgx.Connect(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE mark ()`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(ctx)
	if count(a) != 1 || count(b) != 0 {
		t.Error("clones share tables")
	}
	t.Run("tx", func(t *testing.T) {
		if _, err := pgtest.Tx(t).Exec(ctx, `CREATE TABLE mark ()`); err != nil {
			t.Fatal(err)
		}
	})
	var n int
	if err := pgtest.Tx(t).QueryRow(ctx, `SELECT count(*) FROM pg_tables WHERE tablename = 'mark'`).Scan(&n); err != nil || n != 0 {
		t.Error("a transaction left a table", n, err)
	}
}
