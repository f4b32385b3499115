package app_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
)

// BenchmarkRefresh compares a whole refresh over HTTP, with rate limits that are
// told to PostgreSQL every some hundred requests and without limits, with one bare
// round trip to the same database that commits one changed row.
func BenchmarkRefresh(b *testing.B) {
	s := authtest.Start(b)
	v := s.NewVisit(b)
	for name, scale := range map[string]float64{"refresh": 20, "refresh-unlimited": 0} {
		b.Run(name, func(b *testing.B) {
			r := s.Replica(b, authtest.Limits(scale))
			token := s.SignIn(b, s.VisitAs(b, v.Client))["refresh_token"].(string)
			for b.Loop() {
				status, out := r.Token(b, v.Refresh(token))
				if status != http.StatusOK {
					b.Fatal(status, out)
				}
				token = out["refresh_token"].(string)
			}
		})
	}
	b.Run("bare-update", func(b *testing.B) {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, s.DSN)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, `CREATE TABLE counter (id int PRIMARY KEY, n int); INSERT INTO counter VALUES (1, 0)`); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := conn.Exec(ctx, `UPDATE counter SET n = n + 1 WHERE id = $1`, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
