package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
)

// BenchmarkRowSecurity shows what row-level security adds to the statements of the
// token path: the shipped ones, which set the tenant in the same round trip, against
// the same without the setting in a database whose policies are off ("none"), and
// with the setting there ("set"). The times are medians, ratio is shipped to none: at
// most 1.1 for a refresh (DESIGN §4). An introspection is one bare read, so its ratio
// shows what is added and not what a client waits for; added-ns is that in full.
func BenchmarkRowSecurity(b *testing.B) {
	shipped, set, none := setUp(b, nil), setUp(b, nil), setUp(b, nil) // each its own: what one writes is in nobody else's way
	disablePolicies(b, set.dsn)
	disablePolicies(b, none.dsn)
	for _, f := range []*fixture{shipped, set, none} {
		for range 300 {
			f.grant(b)
		}
		analyse(b, f.dsn) // as autovacuum does: else the planner reads all grants of the client
	}
	request := audit.WithRequest(ctx, audit.Request{ID: "ABCDEFGHIJKLMNOP", Source: "198.51.100.0/24"})
	rotating := func(f *fixture, rotate func(context.Context, grant.Rotation) (*grant.Grant, error)) func() error {
		r, generation := redeemed(b, f), int32(0)
		return func() error {
			generation++
			_, err := rotate(request, rotation(r, generation))
			return err
		}
	}
	ofShipped, ofSet, ofNone := redeemed(b, shipped), redeemed(b, set), redeemed(b, none)
	for name, of := range map[string][3]func() error{
		"refresh": {rotating(shipped, shipped.db.RotateRefresh), rotating(set, set.db.RotateRefresh), rotating(none, postgres.Unbound{DB: none.db}.RotateRefresh)},
		"introspect": {
			func() error { _, err := shipped.db.GrantState(request, ofShipped.Tenant, ofShipped.ID); return err },
			func() error { _, err := set.db.GrantState(request, ofSet.Tenant, ofSet.ID); return err },
			func() error { return postgres.Unbound{DB: none.db}.GrantState(request, ofNone.Tenant, ofNone.ID) },
		},
	} {
		b.Run(name, func(b *testing.B) {
			var took [3][]time.Duration
			once := func(i int) time.Duration {
				start := time.Now()
				if err := of[i](); err != nil {
					b.Fatal(err)
				}
				return time.Since(start)
			}
			for range 300 {
				for i := range of {
					once(i)
				}
			}
			for n := 0; b.Loop(); n++ { // in turns, and each as often first: whatever else the machine does hits all
				for i := range of {
					i = (i + n) % len(of)
					took[i] = append(took[i], once(i))
				}
			}
			var medians [3]float64
			for i, name := range []string{"shipped-ns", "set-ns", "none-ns"} {
				slices.Sort(took[i])
				medians[i] = float64(took[i][len(took[i])/2])
				b.ReportMetric(medians[i], name)
			}
			b.ReportMetric(medians[0]-medians[2], "added-ns")
			b.ReportMetric(medians[0]/medians[2], "ratio")
		})
	}
}

func redeemed(b *testing.B, f *fixture) grant.Redemption {
	b.Helper()
	r := f.grant(b)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		b.Fatal(err)
	}
	return r
}

func analyse(b *testing.B, dsn string) {
	b.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `VACUUM ANALYZE grants, audit_events`); err != nil {
		b.Fatal(err)
	}
}

// disablePolicies ends row-level security of a test's own database.
func disablePolicies(b *testing.B, dsn string) {
	b.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT relname::text FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace`)
	if err != nil {
		b.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		b.Fatal(len(tables), err)
	}
	for _, table := range tables {
		if _, err := conn.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s DISABLE ROW LEVEL SECURITY`, pgx.Identifier{table}.Sanitize())); err != nil {
			b.Fatal(err)
		}
	}
	var left int
	if err := pgtest.QueryRow(b, dsn, `SELECT count(*) FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace`, &left); err != nil || left != 0 {
		b.Fatal(left, err)
	}
}
