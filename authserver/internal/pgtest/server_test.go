package pgtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/pgtest"
)

// TestGivenServer: with TEST_DATABASE_URL the databases are made on that
// server, by several test processes at once as `go test ./...` does, and what
// runs left there a day ago is dropped, and nothing else.
func TestGivenServer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.Cluster(t).DSN("postgres")
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	old := fmt.Sprintf("latchkey_test_1_%d_1", now.Add(-25*time.Hour).Unix())
	looked := fmt.Sprintf("latchkey_test_2_%d_1", now.Add(-25*time.Hour).Unix())
	fresh := fmt.Sprintf("latchkey_test_3_%d_1", now.Add(-23*time.Hour).Unix())
	for _, name := range []string{old, looked, fresh, "latchkey_tests", "latchkey_test_mine"} {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+name); err != nil {
			t.Fatal(err)
		}
	}
	looking, err := pgx.Connect(ctx, strings.Replace(server, "/postgres?", "/"+looked+"?", 1))
	if err != nil {
		t.Fatal(err)
	}
	runs := make([]*exec.Cmd, 2)
	var out [2]strings.Builder
	for i := range runs {
		runs[i] = exec.Command(os.Args[0], "-test.run=^TestClonesAreSeparate$", "-test.v")
		runs[i].Env = append(os.Environ(), "TEST_DATABASE_URL="+server)
		runs[i].Stdout, runs[i].Stderr = &out[i], &out[i]
		if err := runs[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, run := range runs {
		if err := run.Wait(); err != nil || !strings.Contains(out[i].String(), "--- PASS: TestClonesAreSeparate") {
			t.Errorf("a test process: %v\n%s", err, out[i].String())
		}
	}
	_ = looking.Close(ctx)
	for name, want := range map[string]bool{old: false, looked: true, fresh: true, "latchkey_tests": true, "latchkey_test_mine": true} {
		var there bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there != want {
			t.Errorf("%s: there %v, want %v: %v", name, there, want, err)
		}
	}
	var made int // a template, two clones and the shared database of each process
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_database WHERE datname LIKE 'latchkey\_test\_%'`).Scan(&made); err != nil || made != 3+2*4 {
		t.Errorf("%d databases on the given server, want 11: %v", made, err)
	}
	_ = conn.Close(ctx)
}

// TestNothingIsLeft: soon after a test process has ended its cluster is gone, from disk or memory.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	run := exec.Command(os.Args[0], "-test.run=^TestClonesAreSeparate$")
	run.Env = append(os.Environ(), "TEST_DATABASE_URL=")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	left := func() (found []string) {
		for _, base := range []string{os.TempDir(), "/tmp", "/dev/shm"} {
			dirs, _ := filepath.Glob(fmt.Sprintf("%s/latchkey-test-pg-%d*", base, run.Process.Pid))
			found = append(found, dirs...)
		}
		return found
	}
	was, over := false, false
	for deadline := time.Now().Add(2 * time.Minute); !over || len(left()) > 0; time.Sleep(20 * time.Millisecond) { // other processes' work: there is no event to wait on
		select {
		case err := <-ended:
			if over = true; err != nil {
				t.Error(err)
			}
		default:
			was = was || len(left()) > 0
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left())
		}
	}
	if !was {
		t.Error("there was no cluster: the test looks in the wrong place")
	}
}

// TestNoServer: without a database a test fails with a sentence that says what
// to do, and without the password of the URL.
func TestNoServer(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"PG_BIN=" + t.TempDir(): "PG_BIN",
		"TEST_DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/postgres":                "TEST_DATABASE_URL",
		"TEST_DATABASE_URL=host=127.0.0.1 user=u password=hunter2 connect_timeout=1": "TEST_DATABASE_URL",
		"TEST_DATABASE_URL=postgres://u:hunter2@%zz/postgres":                        "TEST_DATABASE_URL",
	} {
		run := exec.Command(os.Args[0], "-test.run=^TestClonesAreSeparate$")
		run.Env = append(os.Environ(), "TEST_DATABASE_URL=")
		run.Env = append(run.Env, given)
		out, err := run.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "no database for tests") {
			t.Errorf("%s: %v\n%s", given, err, out)
		}
		if strings.Contains(string(out), "hunter2") {
			t.Errorf("%s: the password is in the output", want)
		}
	}
}
