package pgcluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/deploy/dev/pgcluster"
)

func start(t *testing.T, c pgcluster.Config) *pgcluster.Cluster {
	t.Helper()
	c.BinDir = os.Getenv("PG_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cl, err := pgcluster.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

func connect(t *testing.T, cl *pgcluster.Cluster) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), cl.DSN(pgcluster.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// runAs is the user that owns a cluster's directory, the server's.
func runAs(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
}

// TestServer: what runs is durable, private and on no network, and the owner is
// no superuser, so that row-level security is the same as in production. The
// port comes from the URL, whatever the client's environment says.
func TestServer(t *testing.T) {
	t.Setenv("PGPORT", "1")
	d := dir(t)
	conn := connect(t, start(t, pgcluster.Config{Dir: d}))
	for query, want := range map[string]string{
		`SHOW listen_addresses`:   "",
		`SHOW fsync`:              "on",
		`SHOW full_page_writes`:   "on",
		`SHOW synchronous_commit`: "on",
		`SELECT format('%s %s %s', rolname, rolsuper, rolcreaterole) FROM pg_roles WHERE rolname = current_user`: "latchkey_owner f t",
		`SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()`:               "latchkey_owner",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, want %q: %v", query, got, want, err)
		}
	}
	for _, path := range []string{d, filepath.Join(d, "run"), filepath.Join(d, "data")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("others may enter %s: %v %v", path, info.Mode(), err)
		}
	}
}

// TestKilledServer: kill -9 of the server itself is noticed, and the next start
// waits for a session that outlived it and holds its shared memory.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	d := dir(t)
	cl := start(t, pgcluster.Config{Dir: d})
	conn := connect(t, cl)
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 1 AS n; SELECT pg_advisory_lock(1)`); err != nil {
		t.Fatal(err)
	}
	busy := connect(t, cl)
	ended := make(chan struct{})
	go func() { // loops, since a session that waits ends at once with its server: until that one has, and for a second more
		defer close(ended)
		_, _ = busy.Exec(t.Context(), `SET application_name = 'busy'; DO $$ DECLARE gone timestamptz; BEGIN
			WHILE NOT pg_try_advisory_lock(1) LOOP END LOOP;
			gone = clock_timestamp();
			WHILE clock_timestamp() < gone + '1 s' LOOP END LOOP;
		END $$`)
	}()
	for running := false; !running; {
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active')`).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(cl.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-cl.Done()
	if cl.Err() == nil {
		t.Error("a killed server looks like a clean shutdown")
	}
	if err := cl.Close(); err != nil {
		t.Error(err)
	}
	var n int
	if err := connect(t, start(t, pgcluster.Config{Dir: d})).QueryRow(t.Context(), `SELECT n FROM kept`).Scan(&n); err != nil || n != 1 {
		t.Error("a committed row is lost:", n, err)
	}
	<-ended
}

// TestStalePIDFile: after a power cut the pid files name a process that is now
// somebody else's, even another PostgreSQL, or nothing. That process is left
// alone and not waited for.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	d := dir(t)
	if err := start(t, pgcluster.Config{Dir: d}).Close(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("cat")                       // runs until its input ends, with this test at the latest
	other.Args[0] = "/usr/lib/postgresql/bin/postgres" // what a server of another directory looks like
	other.Dir, other.SysProcAttr = "/", runAs(t, d)
	end, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = end.Close()
		_ = other.Wait()
	}()
	for name, text := range map[string]string{
		"reused number": fmt.Sprintf("%d\n%s/data\n1\n5432\n%s/run\n\n1 1\nready\n", other.Process.Pid, d, d),
		"empty":         "",
	} {
		for _, path := range []string{"data/postmaster.pid", "run/.s.PGSQL.5432.lock"} {
			if err := os.WriteFile(filepath.Join(d, path), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := start(t, pgcluster.Config{Dir: d}).Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !alive(other.Process.Pid) {
		t.Error("a process that is no server of ours was killed")
	}
}

// endless is a directory of programs with which no cluster is ever finished, however late the kill comes: the server that makes the database does not end.
func endless(t *testing.T) string {
	t.Helper()
	bin, err := pgcluster.BinDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made := dir(t)
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(bin, "initdb"), filepath.Join(made, "initdb")); err != nil {
		t.Fatal(err)
	}
	program(t, filepath.Join(made, "postgres"), "[ \"$1\" = --single ] && exec sleep infinity\nexec "+filepath.Join(bin, "postgres")+" \"$@\"\n")
	return made
}

// program writes a program in the shell's language. No child is begun meanwhile: it would have the file open, and the kernel runs none that is being written (ETXTBSY).
func program(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestKilledDuringInit: kill -9 of the parent while initdb works leaves nothing
// that the next start takes for a cluster.
func TestKilledDuringInit(t *testing.T) {
	t.Parallel()
	d := dir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_PARENT="+d, "PG_BIN="+endless(t))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Millisecond) {
		if begun, _ := filepath.Glob(filepath.Join(d, "data.tmp*", "PG_VERSION")); len(begun) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Error("initdb did not begin")
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := os.Stat(filepath.Join(d, "data")); err == nil {
		t.Fatal("it was finished")
	}
	var owner string
	conn := connect(t, start(t, pgcluster.Config{Dir: d, Ephemeral: true}))
	if err := conn.QueryRow(t.Context(), `SELECT current_user::text`).Scan(&owner); err != nil || owner != pgcluster.Owner {
		t.Error(owner, err)
	}
	if left, _ := filepath.Glob(filepath.Join(d, "data.tmp*")); len(left) > 0 {
		t.Error("a half-made cluster is left:", left)
	}
}

// TestEphemeralBeginsEmpty: what a killed test process with the same number
// left was written without fsync; it is not started.
func TestEphemeralBeginsEmpty(t *testing.T) {
	t.Parallel()
	d := dir(t)
	if err := os.MkdirAll(filepath.Join(d, "data", "global"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d, "data", "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var settings string
	conn := connect(t, start(t, pgcluster.Config{Dir: d, Ephemeral: true}))
	const query = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'dynamic_shared_memory_type')`
	if err := conn.QueryRow(t.Context(), query).Scan(&settings); err != nil || settings != "dynamic_shared_memory_type=mmap fsync=off synchronous_commit=on" {
		t.Error(settings, err)
	}
}

// TestBadPlaces: directories that others prepared, or that do not fit, are
// refused before anything in them is touched.
func TestBadPlaces(t *testing.T) {
	t.Parallel()
	link, victim := dir(t), dir(t)
	if err := os.Mkdir(victim, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	logged := dir(t) // the log is a link to somebody's file
	precious := filepath.Join(filepath.Dir(logged), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(logged, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(logged, "postgres.log")); err != nil {
		t.Fatal(err)
	}
	made := dir(t)
	if err := os.MkdirAll(filepath.Join(made, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(made, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := t.TempDir()
	program(t, filepath.Join(old, "initdb"), "")
	program(t, filepath.Join(old, "postgres"), "echo 'postgres (PostgreSQL) 14.9'\n")
	cases := map[string]struct{ dir, bin, want string }{
		"link":           {link, "", "link"},
		"log is a link":  {logged, "", "log"},
		"comma":          {dir(t) + ",b", "", "comma"},
		"older binaries": {dir(t), old, "at least 15"},
		"other cluster":  {made, "", "made by PostgreSQL 9"},
		"cannot be made": {"/proc/none/c", "", "making the database directory"},
	}
	if os.Geteuid() == 0 { // any other user runs the server itself
		other := dir(t)
		if err := os.Mkdir(other, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(other, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		home := dir(t)
		if err := os.Chmod(filepath.Dir(home), 0o700); err != nil {
			t.Fatal(err)
		}
		cases["directory of another user"] = struct{ dir, bin, want string }{other, "", "another user"}
		cases["closed home of root"] = struct{ dir, bin, want string }{home, "", "chmod a+x"}
	}
	for name, c := range cases {
		if c.bin == "" {
			c.bin = os.Getenv("PG_BIN")
		}
		cl, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: c.dir, BinDir: c.bin, NoInstall: true})
		if err == nil {
			_ = cl.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "precious" {
		t.Error("a file behind a link was overwritten", err)
	}
	if entries, err := os.ReadDir(victim); err != nil || len(entries) > 0 {
		t.Error("a cluster was made behind a link", err)
	}
}

// TestCancelledInit: Ctrl-C during the first start is not a fault, and leaves
// neither half a cluster nor a lock.
func TestCancelledInit(t *testing.T) {
	t.Parallel()
	d := dir(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := pgcluster.Start(ctx, pgcluster.Config{Dir: d, BinDir: os.Getenv("PG_BIN"), Log: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled start: %v", err)
	}
	u, err := url.Parse(start(t, pgcluster.Config{Dir: d, Ephemeral: true}).DSN("a b"))
	if err != nil || u.Path != "/a b" || u.Query().Get("host") != filepath.Join(d, "run") {
		t.Error("URL of a database:", u, err)
	}
}
