package pgcluster_test

import (
	"bufio"
	"context"
	"fmt"
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

// TestMain: with LATCHKEY_TEST_PARENT the test binary is a parent that holds a
// cluster, writes rows and reports each as it is committed, until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LATCHKEY_TEST_PARENT"); dir != "" {
		fmt.Fprintln(os.Stderr, parent(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func parent(dir string) error {
	ctx := context.Background()
	c, err := pgcluster.Start(ctx, pgcluster.Config{Dir: dir, BinDir: os.Getenv("PG_BIN")})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, c.DSN(pgcluster.Database))
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS acknowledged (n int)`); err != nil {
		return err
	}
	fmt.Println("postgres", c.PID())
	for n := 0; ; n++ {
		if _, err := conn.Exec(ctx, `INSERT INTO acknowledged VALUES ($1)`, n); err != nil {
			return err
		}
		fmt.Println("committed", n)
	}
}

// dir is a short directory that the server's user can enter: a test's own
// temporary directory may be neither.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "lk-pg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	return filepath.Join(d, "c")
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestKilledParent: kill -9 of the parent ends the server, and the next start finds every acknowledged row.
func TestKilledParent(t *testing.T) {
	t.Parallel()
	d := dir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_PARENT="+d)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid, last int
	lines := bufio.NewScanner(out)
	for last < 100 && lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "postgres %d", &pid)
		_, _ = fmt.Sscanf(lines.Text(), "committed %d", &last)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what was acknowledged until the kill
		_, _ = fmt.Sscanf(lines.Text(), "committed %d", &last)
	}
	_ = cmd.Wait()
	if last < 100 {
		t.Fatal("the parent did not get going")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := pgcluster.Start(ctx, pgcluster.Config{Dir: d, BinDir: os.Getenv("PG_BIN")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if alive(pid) {
		t.Error("the server of the killed parent still runs")
	}
	conn, err := pgx.Connect(ctx, c.DSN(pgcluster.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var rows int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM acknowledged WHERE n <= $1`, last).Scan(&rows); err != nil || rows != last+1 {
		t.Errorf("%d of %d acknowledged rows are there: %v", rows, last+1, err)
	}
}

// TestCloseLeavesNothing: no process, and of an ephemeral cluster no file.
func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	d := dir(t)
	c, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: d, BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: d, BinDir: os.Getenv("PG_BIN")}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second program on the same directory: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d); !os.IsNotExist(err) || alive(c.PID()) {
		t.Error("something is left", err)
	}
}

// TestInterruptedInit: a half-made cluster is made again, not started.
func TestInterruptedInit(t *testing.T) {
	t.Parallel()
	d := dir(t)
	if err := os.MkdirAll(filepath.Join(d, "data.tmp", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: d, BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestRefusals: each is one sentence that says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config pgcluster.Config
		want   string
	}{
		"socket path too long": {pgcluster.Config{Dir: filepath.Join(dir(t), strings.Repeat("x", 100)), BinDir: os.Getenv("PG_BIN")}, "shorter directory"},
		"no binaries there":    {pgcluster.Config{Dir: dir(t), BinDir: t.TempDir()}, "PG_BIN"},
	} {
		if _, err := pgcluster.Start(t.Context(), c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
