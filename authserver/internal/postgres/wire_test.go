package postgres_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/deploy/dev/pgcluster"
	"latchkey/migrations"
	"latchkey/pkg/secret"
)

// proxy stands between the server under test and PostgreSQL. It counts the
// messages of the runtime role's connections and can lose replies or the
// database.
type proxy struct {
	dsn      string
	upstream func() (net.Conn, error)

	mu        sync.Mutex
	counts    map[byte]int // frontend messages by type: P parse, B bind, E execute, S sync, Q simple query
	conns     map[net.Conn]bool
	away      bool
	loseReply bool
}

func newProxy(t testing.TB, dsn string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if filepath.IsAbs(config.Host) {
		network, address = "unix", filepath.Join(config.Host, ".s.PGSQL."+strconv.Itoa(int(config.Port)))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("host") // both stand above the URL's own address
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = listener.Addr().String(), q.Encode()
	p := &proxy{dsn: u.String(), upstream: func() (net.Conn, error) { return net.Dial(network, address) }, counts: map[byte]int{}, conns: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *proxy) serve(front net.Conn) {
	defer func() { _ = front.Close() }()
	back, err := p.upstream()
	if err != nil {
		return
	}
	defer func() { _ = back.Close() }()
	p.mu.Lock()
	away := p.away
	p.conns[front] = true
	p.mu.Unlock()
	if away {
		return
	}
	go func() {
		defer func() { _ = front.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := back.Read(buf)
			p.mu.Lock()
			lose := p.loseReply
			p.mu.Unlock()
			if err != nil || lose {
				return
			}
			if _, err := front.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	r := bufio.NewReader(front)
	head := make([]byte, 4) // the startup message has a length and no type
	counted, typed := false, false
	for {
		if typed {
			head = make([]byte, 5)
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if typed && counted && !bytes.HasPrefix(body, []byte("-- ping")) { // the pool's own, after a second of rest
			p.mu.Lock()
			p.counts[head[0]]++
			p.mu.Unlock()
		}
		if !typed {
			counted, typed = bytes.Contains(body, []byte("role\x00latchkey_runtime\x00")), true
		}
		if _, err := back.Write(append(head, body...)); err != nil {
			return
		}
	}
}

func (p *proxy) take() map[byte]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	p.counts = map[byte]int{}
	return c
}

// quiet waits until the pools have made their connections, which they do in the
// background whenever they come to it: nothing is sent for a while.
func (p *proxy) quiet() {
	for p.take(); ; {
		time.Sleep(150 * time.Millisecond) // there is no event to wait on
		if len(p.take()) == 0 {
			return
		}
	}
}

func (p *proxy) set(away, loseReply bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away, p.loseReply = away, loseReply
	if away {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

// through opens a DB with one connection behind the proxy.
func through(t testing.TB, p *proxy) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(p.dsn), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// TestOneRoundTripOneCommit: DESIGN §4, seen on the wire: a claim sends one Sync, which ends one implicit transaction,
// with two statements before it (the tenant, and the claim with its event) and nothing else.
func TestOneRoundTripOneCommit(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	p := newProxy(t, f.dsn)
	db, warm, r := through(t, p), f.grant(t), f.grant(t)
	if _, err := db.RedeemCode(ctx, warm); err != nil { // prepares the statements, once per connection
		t.Fatal(err)
	}
	if _, err := db.RotateRefresh(ctx, rotation(warm, 1)); err != nil {
		t.Fatal(err)
	}
	if err := db.Record(ctx, someEvent(tenant.DefaultID, 1)); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"code", func() error { _, err := db.RedeemCode(ctx, r); return err }},
		{"refresh", func() error { _, err := db.RotateRefresh(ctx, rotation(r, 1)); return err }},
		{"repeated refresh", func() error { _, err := db.RotateRefresh(ctx, rotation(r, 1)); return err }},
		{"the event of an exchange", func() error { return db.Record(ctx, someEvent(tenant.DefaultID, 1)) }},
	} {
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
		if n := p.take(); n['S'] != 1 || n['E'] != 2 || n['B'] != 2 || n['P'] != 0 || n['Q'] != 0 {
			t.Errorf("%s: messages %v", c.name, named(n))
		}
	}
}

func named(c map[byte]int) map[string]int {
	out := map[string]int{}
	for k, n := range c {
		out[string(k)] = n
	}
	return out
}

// TestLostReply: DESIGN §4: the rotation is committed, its answer is lost; asking again gives the same successor.
func TestLostReply(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	p := newProxy(t, f.dsn)
	db, r := through(t, p), f.grant(t)
	if _, err := db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	p.set(false, true)
	_, err := db.RotateRefresh(ctx, rotation(r, 1))
	if err == nil || refusal(err) {
		t.Fatalf("a lost reply is taken for an answer: %v", err)
	}
	p.set(false, false)
	for range 2 {
		if g, err := db.RotateRefresh(ctx, rotation(r, 1)); err != nil || g.Generation != 2 {
			t.Fatal(g, err)
		}
	}
	if g, err := db.RotateRefresh(ctx, rotation(r, 2)); err != nil || g.Generation != 3 {
		t.Fatalf("the successor does not work: %v", err)
	}
}

func refusal(err error) bool {
	for _, e := range []error{grant.ErrNotFound, grant.ErrExpired, grant.ErrRevoked, grant.ErrRedeemed, grant.ErrMismatch, grant.ErrReused, grant.ErrWrongResource, grant.ErrWrongScope} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// TestDatabaseAway: DESIGN §1.5: an outage is none of the domain's errors, and everything works again afterwards.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	p := newProxy(t, f.dsn)
	db, r := through(t, p), f.grant(t)
	if err := db.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	p.set(true, false)
	calls := map[string]func() error{
		"code":    func() error { _, err := db.RedeemCode(ctx, r); return err },
		"refresh": func() error { _, err := db.RotateRefresh(ctx, rotation(r, 1)); return err },
		"ready":   func() error { return db.Ready(ctx) },
	}
	for name, call := range calls {
		if err := call(); err == nil || refusal(err) {
			t.Errorf("%s while the database is away: %v", name, err)
		}
	}
	p.set(false, false)
	for _, name := range []string{"ready", "code", "refresh"} {
		if err := calls[name](); err != nil {
			t.Errorf("%s after the outage: %v", name, err)
		}
	}
}

// TestRotationIsHOT: DESIGN §4: a rotation touches no index. The server is the test's own: while any transaction of the
// cluster that wrote is open, PostgreSQL does not prune, and a full page then costs one update that is not HOT. A worker of
// autovacuum does the same at the wrong moment, so one such update is let pass; touching an index would cost all hundred.
func TestRotationIsHOT(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Cluster(t).DSN(pgcluster.Database)
	if err := migrations.Up(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	f := setUpAt(t, dsn, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	const rotations = 100
	for g := int32(1); g <= rotations; g++ {
		if _, err := f.db.RotateRefresh(ctx, rotation(r, g)); err != nil {
			t.Fatal(err)
		}
	}
	f.wantHOT(t, "grants", rotations+1)
}

// TestRefreshIsHOT: nor does a refresh of a credential, whose data keys are foreign keys: sealed under the same one it costs no check
// of it, and no index.
func TestRefreshIsHOT(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Cluster(t).DSN(pgcluster.Database)
	if err := migrations.Up(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	f := setUpAt(t, dsn, nil)
	f.grant(t)
	key := uuid.New()
	if err := f.db.InsertDataKey(ctx, tenant.DefaultID, vault.DataKey{ID: key, KEK: "k", Wrapped: []byte("w")}); err != nil {
		t.Fatal(err)
	}
	const refreshes = 50 // two updates each: the lease and the token
	for i := range refreshes {
		r, err := f.db.Connection(ctx, f.record.Ref)
		if err != nil {
			t.Fatal(err)
		}
		owner := uuid.New()
		if mine, err := f.db.TakeLease(ctx, r.Ref, r.Version, owner, time.Minute); err != nil || !mine {
			t.Fatal(mine, err)
		}
		sealed := append(append([]byte{vault.Format}, key[:]...), bytes.Repeat([]byte{byte(i)}, 200)...)
		if err := f.db.PublishRefresh(ctx, connection.Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, SealedAccess: sealed, AccessExpires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	f.wantHOT(t, "credentials", 2*refreshes)
}

// wantHOT closes the database and wants so many updates of a table, of which at most one was not HOT.
func (f *fixture) wantHOT(t *testing.T, table string, want int) {
	t.Helper()
	f.db.Close() // its backends hand in their counters as they end
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var all, hot int
	for deadline := time.Now().Add(time.Minute); all < want && time.Now().Before(deadline); {
		// The wait is for other processes' counters: there is no event to wait on.
		if err := conn.QueryRow(ctx, `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables, pg_sleep(0.02) WHERE relname = $1`, table).Scan(&all, &hot); err != nil {
			t.Fatal(err)
		}
	}
	if all != want || hot < all-1 {
		t.Errorf("%d of %d updates were HOT", hot, all)
	}
}
