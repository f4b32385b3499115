package postgres_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
)

// never is a cost that does not come back while a test runs, in microseconds.
const never = int64(24 * time.Hour / time.Microsecond)

func debit(t tenant.ID, name ratelimit.Name, key string, burst, spent, asked int64) ratelimit.Debit {
	return ratelimit.Debit{Bucket: ratelimit.Bucket{Tenant: t, Limit: name, Key: ratelimit.AddressClient(netip.Addr{}, key)}, Interval: never, Room: burst * never, Spent: spent * never, Asked: asked}
}

// limitRows runs a query as the jobs role.
func limitRows(t testing.TB, dsn, sql string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SET ROLE latchkey_jobs`); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSpend: one statement decides about each bucket by itself and answers in order: what was spent counts, of what is asked for
// as much as fits is granted; time gives it back.
func TestSpend(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db, acme := open(t, dsn, nil), pgtest.Tenant(t, dsn)
	spend := func(debits ...ratelimit.Debit) (granted []int64, ahead []int64) {
		t.Helper()
		balances, err := db.Spend(ctx, debits)
		if err != nil || len(balances) != len(debits) {
			t.Fatal(balances, err)
		}
		for _, b := range balances {
			granted, ahead = append(granted, b.Granted), append(ahead, (b.Ahead+never-1)/never)
		}
		return granted, ahead
	}
	d := tenant.DefaultID
	for _, step := range []struct {
		what           string
		debits         []ratelimit.Debit
		granted, ahead []int64
	}{
		{"a new bucket", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 5, 0, 3)}, []int64{3}, []int64{3}},
		{"more than fits", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 5, 0, 3)}, []int64{2}, []int64{5}},
		{"nothing is left", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 5, 0, 1)}, []int64{0}, []int64{5}},
		{"what was spent counts beyond it", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 5, 2, 1)}, []int64{0}, []int64{7}},
		{"asking about nothing tells", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 5, 0, 0)}, []int64{0}, []int64{7}},
		{"a higher limit", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "a", 8, 0, 2)}, []int64{1}, []int64{8}},
		{"other keys, limits and tenants, in the order asked", []ratelimit.Debit{
			debit(acme, ratelimit.TokenClient, "a", 5, 4, 2), debit(d, ratelimit.TokenClient, "b", 5, 0, 1), debit(d, ratelimit.TokenClient, "a", 8, 0, 1), debit(d, ratelimit.GuessClient, "a", 5, 0, 9),
		}, []int64{1, 1, 0, 5}, []int64{5, 1, 8, 5}},
		{"a new bucket that has spent more than there is", []ratelimit.Debit{debit(d, ratelimit.TokenClient, "c", 5, 7, 1)}, []int64{0}, []int64{7}},
	} {
		granted, ahead := spend(step.debits...)
		if !slices.Equal(granted, step.granted) || !slices.Equal(ahead, step.ahead) {
			t.Errorf("%s: granted %v, ahead %v", step.what, granted, ahead)
		}
	}
	// A bucket that was at rest for long has its burst and no more.
	asJobs(t, dsn, fmt.Sprintf(`UPDATE rate_limits SET tat = tat - %d`, 100*never))
	if granted, _ := spend(debit(d, ratelimit.TokenClient, "a", 5, 0, 9)); granted[0] != 5 {
		t.Errorf("after a long rest: %v", granted)
	}
	asJobs(t, dsn, fmt.Sprintf(`UPDATE rate_limits SET tat = tat - %d`, 2*never))
	if granted, _ := spend(debit(d, ratelimit.TokenClient, "a", 5, 0, 9)); granted[0] != 2 {
		t.Errorf("two units later: %v", granted)
	}
	if none, err := db.Spend(ctx, nil); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

// TestSpendAtOnce: of many replicas that ask about the same buckets, in every order, together exactly as many units are granted as
// there are, and nobody waits for a deadlock.
func TestSpendAtOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	replicas := []*postgres.DB{open(t, dsn, nil), open(t, dsn, nil), open(t, dsn, nil)}
	const burst, buckets = 20, 50
	var granted [buckets]atomic.Int64
	var next atomic.Int64
	for _, err := range parallel(12, func() error {
		n := next.Add(1)
		db := replicas[n%3]
		for range 10 {
			var debits []ratelimit.Debit
			for i := range buckets {
				debits = append(debits, debit(tenant.DefaultID, ratelimit.TokenClient, fmt.Sprint(i), burst, 0, 1))
			}
			if n%2 == 0 {
				slices.Reverse(debits)
			}
			balances, err := db.Spend(ctx, debits)
			if err != nil {
				return err
			}
			for i, b := range balances {
				if n%2 == 0 {
					i = buckets - 1 - i
				}
				granted[i].Add(b.Granted)
			}
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	for i := range granted {
		if n := granted[i].Load(); n != burst {
			t.Errorf("bucket %d: %d units of %d", i, n, burst)
		}
	}
}

// TestSweepOfLimits: a bucket at rest goes, one that is still ahead stays.
func TestSweepOfLimits(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db := open(t, dsn, nil)
	var debits []ratelimit.Debit
	for i := range 2500 {
		debits = append(debits, debit(tenant.DefaultID, ratelimit.TokenClient, fmt.Sprint(i), 5, 0, 1))
	}
	if _, err := db.Spend(ctx, debits); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Sweep(ctx); n != 0 || err != nil {
		t.Error(n, err)
	}
	asJobs(t, dsn, fmt.Sprintf(`UPDATE rate_limits SET tat = tat - %d WHERE get_byte(key, 0) < 128`, 2*never))
	rest := limitRows(t, dsn, `SELECT count(*) FROM rate_limits WHERE get_byte(key, 0) < 128`)
	if n, err := db.Sweep(ctx); n != rest || n < 1000 || err != nil {
		t.Error(n, rest, err)
	}
	if n := limitRows(t, dsn, `SELECT count(*) FROM rate_limits`); n != 2500-rest {
		t.Errorf("%d buckets are left", n)
	}
}

// asJobs runs a statement with the rights of the jobs role.
func asJobs(t testing.TB, dsn, sql string) {
	t.Helper()
	run(t, dsn, `SET ROLE latchkey_jobs`, sql)
}
