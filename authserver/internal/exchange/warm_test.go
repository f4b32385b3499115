package exchange_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/google"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// toolCall is the life that a resource server asks for, longer than a tool call:
// minTTL of its package credential.
const toolCall = 2 * time.Minute

// TestTimes: a resource server waits longer than an exchange takes at most, and a connection in use is refreshed before anybody has to wait for
// it: between two of its questions the time for refreshing ahead is never missed.
func TestTimes(t *testing.T) {
	t.Parallel()
	if wire.Timeout <= connection.WaitBudget+google.Timeout {
		t.Errorf("a resource server waits %v", wire.Timeout)
	}
	if connection.Ahead <= exchange.LongestCached+toolCall {
		t.Errorf("refreshed %v ahead", connection.Ahead)
	}
}

// warm is a request that needs nothing but the database.
func (w *world) warm(t testing.TB) wire.Request {
	r := w.rows[0]
	return wire.Request{SubjectToken: secret.NewText(w.sign(t, r.tenant.ID, r.claims())), Scopes: oauth.NewScopes(gmailRead), MinTTL: toolCall}
}

// TestWarmExchangeIsOneReadOneWrite: issue 4: an exchange whose token lives goes to the database twice: the tenant, the assertion used up, the
// tenant, the grant, the accounts; and, once it is decided, the tenant and the event of the audit trail, without which nothing is handed out.
// No transaction is held between them.
func TestWarmExchangeIsOneReadOneWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	request := w.warm(t)
	for i := range 5 {
		trips, statements := w.trips.batches.Load(), w.trips.statements.Load()
		if status, got := w.exchange(t, w.rightCaller(), request); status != 200 {
			t.Fatal(status, got)
		}
		trips, statements = w.trips.batches.Load()-trips, w.trips.statements.Load()-statements
		if i == 0 {
			continue // reads the keys besides
		}
		if trips != 2 || statements != 7 {
			t.Errorf("%d round trips, %d statements", trips, statements)
		}
	}
}

// BenchmarkExchange: the median of a warm exchange (the caller's signature, handler and database) against that of bare round trips to the same
// database in the same run: the ratio is what our own work costs.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b, 1)
	request, by := w.warm(b), w.rightCaller()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE TABLE counter (id int PRIMARY KEY, n int); INSERT INTO counter VALUES (1, 0)`); err != nil {
		b.Fatal(err)
	}
	var ours, read, commit []time.Duration
	timed := func(into *[]time.Duration, do func()) {
		begun := time.Now()
		do()
		*into = append(*into, time.Since(begun))
	}
	for b.Loop() {
		timed(&ours, func() {
			if status, got := w.exchange(b, by, request); status != 200 {
				b.Fatal(status, got)
			}
		})
		timed(&read, func() {
			var one int
			if err := conn.QueryRow(ctx, `SELECT n FROM counter WHERE id = $1`, 1).Scan(&one); err != nil {
				b.Fatal(err)
			}
		})
		timed(&commit, func() {
			if _, err := conn.Exec(ctx, `UPDATE counter SET n = n + 1 WHERE id = $1`, 1); err != nil {
				b.Fatal(err)
			}
		})
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Nanoseconds()) / 1e3
	}
	b.ReportMetric(median(ours), "µs/exchange")
	b.ReportMetric(median(read), "µs/bare-read")
	b.ReportMetric(median(commit), "µs/bare-commit")
	b.ReportMetric(median(ours)/median(read), "x-bare-read")
	b.ReportMetric(median(ours)/median(commit), "x-bare-commit")
}
