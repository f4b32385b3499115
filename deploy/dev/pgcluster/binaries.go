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
)

// LeastVersion is the oldest PostgreSQL that Latchkey supports.
const LeastVersion = 15

const debianDirs = "/usr/lib/postgresql/*/bin"

// findBinaries returns the directory of initdb and postgres: BinDir, else PATH,
// else Debian's newest, else, as root on Debian, freshly installed.
func findBinaries(ctx context.Context, c Config) (string, error) {
	if c.BinDir != "" {
		if err := checkBinaries(ctx, c.BinDir); err != nil {
			return "", fmt.Errorf("PG_BIN: %w", err)
		}
		return c.BinDir, nil
	}
	if dir, ok := installed(ctx); ok {
		return dir, nil
	}
	_, aptErr := exec.LookPath("apt-get")
	if c.NoInstall || os.Geteuid() != 0 || aptErr != nil {
		return "", fmt.Errorf("no PostgreSQL %d or newer was found: install it (on Debian: apt-get install postgresql), or set PG_BIN to the directory of its binaries", LeastVersion)
	}
	c.logf("no PostgreSQL found: installing Debian's package postgresql")
	if err := install(ctx); err != nil {
		return "", err
	}
	if dir, ok := installed(ctx); ok {
		return dir, nil
	}
	return "", fmt.Errorf("the PostgreSQL that was installed is older than %d: set PG_BIN to a newer one", LeastVersion)
}

func installed(ctx context.Context) (string, bool) {
	var candidates []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(real))
		}
	}
	debian, _ := filepath.Glob(debianDirs)
	slices.SortFunc(debian, func(a, b string) int { return majorOf(b) - majorOf(a) })
	for _, dir := range append(candidates, debian...) {
		if checkBinaries(ctx, dir) == nil {
			return dir, true
		}
	}
	return "", false
}

func majorOf(debianDir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(debianDir)))
	return n
}

func checkBinaries(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return fmt.Errorf("%s has no initdb: give the directory of PostgreSQL's server binaries", dir)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s has no working postgres: %w", dir, err)
	}
	fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian …)
	if len(fields) < 3 {
		return fmt.Errorf("%s is not PostgreSQL", dir)
	}
	major, _, _ := strings.Cut(fields[2], ".")
	if n, err := strconv.Atoi(leadingDigits(major)); err != nil || n < LeastVersion {
		return fmt.Errorf("%s is PostgreSQL %s: at least %d is needed", dir, fields[2], LeastVersion)
	}
	return nil
}

// leadingDigits cuts "18beta1" to "18".
func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
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
		{"install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql"},
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, tail(out))
		}
	}
	return nil
}

func tail(b []byte) string { return string(b[max(0, len(b)-2000):]) }
