package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// LeastVersion is the oldest PostgreSQL that Latchkey supports.
const LeastVersion = 15

const debianDirs = "/usr/lib/postgresql/*/bin"

// binaries are the programs of one PostgreSQL.
type binaries struct {
	dir   string // of initdb and postgres
	major int
}

// findBinaries returns BinDir's, else those on PATH, else Debian's newest, else,
// as root on Debian, freshly installed ones.
func findBinaries(ctx context.Context, c Config) (binaries, error) {
	if c.BinDir != "" {
		b, err := checkBinaries(ctx, c.BinDir)
		if err != nil {
			return b, fmt.Errorf("PG_BIN: %w", err)
		}
		return b, nil
	}
	if b, ok := installed(ctx); ok {
		return b, nil
	}
	_, aptErr := exec.LookPath("apt-get")
	if c.NoInstall || os.Geteuid() != 0 || aptErr != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer was found: install it (on Debian: apt-get install postgresql), or set PG_BIN to the directory of its binaries", LeastVersion)
	}
	release, err := installing(ctx)
	if err != nil {
		return binaries{}, err
	}
	defer release()
	if b, ok := installed(ctx); ok { // by the one we waited for
		return b, nil
	}
	c.logf("no PostgreSQL found: installing Debian's package postgresql")
	if err := install(ctx); err != nil {
		return binaries{}, err
	}
	if b, ok := installed(ctx); ok {
		return b, nil
	}
	return binaries{}, fmt.Errorf("the PostgreSQL that was installed is older than %d: set PG_BIN to a newer one", LeastVersion)
}

func installed(ctx context.Context) (binaries, bool) {
	var candidates []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil { // often one program linked out of Debian's directory
			candidates = append(candidates, filepath.Dir(real))
		}
	}
	debian, _ := filepath.Glob(debianDirs)
	slices.SortFunc(debian, func(a, b string) int { return majorOf(b) - majorOf(a) })
	for _, dir := range append(candidates, debian...) {
		if b, err := checkBinaries(ctx, dir); err == nil {
			return b, true
		}
	}
	return binaries{}, false
}

func majorOf(debianDir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(debianDir)))
	return n
}

func checkBinaries(ctx context.Context, dir string) (binaries, error) {
	dir, err := filepath.Abs(dir) // they run in another directory than this process
	if err != nil {
		return binaries{}, fmt.Errorf("finding the binaries: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, fmt.Errorf("%s has no initdb: give the directory of PostgreSQL's server binaries", dir)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s has no working postgres: %w", dir, err)
	}
	fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian …)
	if len(fields) < 3 {
		return binaries{}, fmt.Errorf("%s is not PostgreSQL", dir)
	}
	major, err := strconv.Atoi(leadingDigits(fields[2]))
	if err != nil || major < LeastVersion {
		return binaries{}, fmt.Errorf("%s is PostgreSQL %s: at least %d is needed", dir, fields[2], LeastVersion)
	}
	return binaries{dir, major}, nil
}

// leadingDigits cuts "15.18" and "18beta1" to "15" and "18".
func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}

// installing waits for its turn: the test programs of several packages start at
// once, and the package manager refuses all but one of them.
func installing(ctx context.Context) (release func(), err error) {
	lock, err := os.OpenFile("/run/latchkey-install.lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("preparing the installation: %w", err)
	}
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		if err := pause(ctx); err != nil {
			_ = lock.Close()
			return nil, fmt.Errorf("waiting for another installation: %w", err)
		}
	}
	return func() { _ = lock.Close() }, nil
}

// install installs Debian's server without letting it make a cluster of its
// own.
func install(ctx context.Context) error {
	const conf = "/etc/postgresql-common/createcluster.conf"
	if _, err := os.Stat(conf); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
			return fmt.Errorf("preparing the installation: %w", err)
		}
		if err := os.WriteFile(conf, []byte("create_main_cluster = false\n"), 0o644); err != nil {
			return fmt.Errorf("preparing the installation: %w", err)
		}
	}
	for _, args := range [][]string{
		{"update", "-q"},
		{"install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=60", "postgresql"},
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // a kill could leave packages half configured
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, tail(out))
		}
	}
	return nil
}

func tail(b []byte) string { return string(b[max(0, len(b)-2000):]) }
