package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// QueryRow reads one row as the database's owner, for tests that look at what
// was really stored.
func QueryRow(t testing.TB, dsn, sql string, into ...any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.QueryRow(ctx, sql).Scan(into...)
}
