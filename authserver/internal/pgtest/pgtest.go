package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/deploy/dev/pgcluster"
	"latchkey/migrations"
)

const (
	dirPrefix = "latchkey-test-pg-"
	dbPrefix  = "latchkey_test_"
	timeout   = 2 * time.Minute
)

// template is the migrated database that others are cloned from, made once per
// process.
var template = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	server, err := serverURL(ctx)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%stemplate_%d_%d", dbPrefix, time.Now().Unix(), os.Getpid())
	dsn, err := create(ctx, server, name, "")
	if err != nil {
		return "", err
	}
	return dsn, migrations.Up(ctx, dsn)
})

// serverURL is TEST_DATABASE_URL or a fresh cluster, which dies with this
// process.
func serverURL(ctx context.Context) (string, error) {
	if dsn := os.Getenv("TEST_DATABASE_URL"); dsn != "" {
		return dsn, dropOld(ctx, dsn)
	}
	removeOrphans()
	cluster, err := pgcluster.Start(ctx, pgcluster.Config{Dir: processDir(), BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	if err != nil {
		return "", err
	}
	return cluster.DSN("postgres"), removeAtEnd(cluster.PID())
}

// processDir is this process's place for clusters.
var processDir = sync.OnceValue(func() string {
	base := os.TempDir()
	if os.Geteuid() == 0 {
		base = "/tmp" // a directory that the server's user can enter, whatever TMPDIR says
	}
	if memory := pgcluster.Memory(); memory != "" {
		base = memory
	}
	return filepath.Join(base, dirPrefix+strconv.Itoa(os.Getpid()))
})

// removeAtEnd has the clusters' directories removed when this process has ended,
// however it ends, and its server after it: a process of tests has no last moment
// of its own.
func removeAtEnd(server int) error {
	const script = `read -r _; for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done; rm -rf "$0" "$0"-own-*`
	ours, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("minding the test server: %w", err)
	}
	defer func() { _ = ours.Close() }()
	cmd := exec.Command("sh", "-c", script, processDir(), strconv.Itoa(server))
	cmd.Stdin = ours // ends with us
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("minding the test server: %w", err)
	}
	minded = theirs
	return nil
}

// minded is never closed: that the kernel does.
var minded *os.File

// removeOrphans deletes the directories of test processes that are gone and that
// nobody removed; their servers ended with them.
func removeOrphans() {
	for _, base := range []string{os.TempDir(), "/tmp", "/dev/shm"} {
		dirs, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
		for _, dir := range dirs {
			number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
			pid, err := strconv.Atoi(number)
			if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
				_ = os.RemoveAll(dir)
			}
		}
	}
}

// dropOld deletes databases that earlier runs left on a server that is not
// ours, before the run: dropping is slow, so no test does it. The server may
// refuse a drop: another test process was faster, or somebody is looking at
// the database. That is no reason to fail.
func dropOld(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connecting to TEST_DATABASE_URL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT datname::text FROM pg_database WHERE datname LIKE $1`, strings.ReplaceAll(dbPrefix, "_", `\_`)+"%")
	if err != nil {
		return fmt.Errorf("listing old test databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("listing old test databases: %w", err)
	}
	for _, name := range names {
		fields := strings.Split(name, "_")
		made, err := strconv.ParseInt(fields[len(fields)-2], 10, 64)
		if err != nil || time.Since(time.Unix(made, 0)) < 24*time.Hour {
			continue
		}
		var refused *pgconn.PgError
		if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()); err != nil && !errors.As(err, &refused) {
			return fmt.Errorf("dropping old test database: %w", err)
		}
	}
	return nil
}

func create(ctx context.Context, server, name, from string) (string, error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connecting to the test server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	sql := `CREATE DATABASE ` + pgx.Identifier{name}.Sanitize()
	if from != "" {
		sql += ` TEMPLATE ` + pgx.Identifier{from}.Sanitize() + ` STRATEGY FILE_COPY`
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return "", fmt.Errorf("creating test database: %w", err)
	}
	return withDatabase(server, name)
}

func withDatabase(dsn, name string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("TEST_DATABASE_URL must be a URL such as postgres://user@host/postgres") // the parser's text would repeat its password
	}
	u.Path = "/" + name
	return u.String(), nil
}

// shared is the database of all transactions; nothing is ever committed in it.
var shared = sync.OnceValues(clone)

// Tx returns a transaction of the schema's owner in a migrated database, rolled
// back when the test ends. Row-level security binds the owner too: set a role
// and app.tenant_id as the servers do.
func Tx(t testing.TB) pgx.Tx {
	t.Helper()
	dsn, err := shared()
	if err != nil {
		t.Fatalf("no database for tests: %v", err)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatalf("beginning: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback(ctx) })
	return tx
}

// Clone returns the URL of a migrated database of the test's own, for what
// needs commits or many connections. It goes with the cluster. Who connects there
// waits longer than servers do: see With.
func Clone(t testing.TB) string {
	t.Helper()
	dsn, err := clone()
	if err != nil {
		t.Fatalf("no database for tests: %v", err)
	}
	return dsn
}

var (
	cloning sync.Mutex // PostgreSQL copies a template for one at a time
	clones  int
)

func clone() (string, error) {
	dsn, err := template()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	server, err := withDatabase(dsn, "postgres")
	if err != nil {
		return "", err
	}
	cloning.Lock()
	defer cloning.Unlock()
	clones++
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	made, err := create(ctx, server, fmt.Sprintf("%s%d_%d_%d", dbPrefix, clones, time.Now().Unix(), os.Getpid()), strings.TrimPrefix(u.Path, "/"))
	if err != nil {
		return "", err
	}
	return With(made, "connect_timeout", "60", "statement_timeout", "60s", "lock_timeout", "50s", "idle_in_transaction_session_timeout", "120s")
}

// With returns a database's URL with other parameters, each a name and a value.
// Those of Clone make the servers under test wait for a busy machine; a test that
// is about the wait itself shortens it.
func With(dsn string, params ...string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("no URL of a database") // the parser's text would repeat its password
	}
	q := u.Query()
	for i := 0; i+1 < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
