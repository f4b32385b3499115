package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// setup makes the owner and its database.
const setup = "CREATE ROLE " + Owner + " LOGIN CREATEROLE CREATEDB\n" +
	"CREATE DATABASE " + Database + " OWNER " + Owner + "\n"

// init makes the cluster in a temporary directory and renames it, so that an
// interrupted start leaves no half cluster. The temporary name is new each
// time: children of a killed initdb live on for a moment and must not write
// into their successor's cluster.
func (cl *Cluster) init(ctx context.Context) error {
	version, err := os.ReadFile(filepath.Join(cl.Data(), "PG_VERSION"))
	if err == nil {
		return cl.checkVersion(strings.TrimSpace(string(version)))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the cluster's version: %w", err)
	}
	cl.config.logf("making a new PostgreSQL cluster in %s", cl.config.Dir)
	if err := cl.removeHalfMade(ctx); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cl.config.Dir, "data.tmp-")
	if err != nil {
		return fmt.Errorf("making the cluster: %w", err)
	}
	if err := cl.fill(ctx, tmp); err != nil {
		_ = os.RemoveAll(tmp)
		return err
	}
	if err := os.Rename(tmp, cl.Data()); err != nil {
		return fmt.Errorf("finishing the cluster: %w", err)
	}
	if cl.config.Ephemeral {
		return nil
	}
	return syncDir(cl.config.Dir) // a row is no safer than the name of its directory
}

func (cl *Cluster) fill(ctx context.Context, tmp string) error {
	if err := cl.private(tmp); err != nil {
		return err
	}
	args := []string{"-D", tmp, "-U", "postgres", "-E", "UTF8", "--locale=C",
		"--auth=trust"} // who may enter is the socket directory's mode, 0700
	if cl.config.Ephemeral {
		args = append(args, "--no-sync")
	}
	if out, err := output(ctx, cl.command(ctx, "initdb", args...)); err != nil {
		return fmt.Errorf("making the cluster: initdb: %w\n%s", err, tail(out))
	}
	// A single-user server makes role and database: a bare server distribution
	// has no psql. Without exit_on_error it would go on after a failed statement
	// and report success.
	single := cl.command(ctx, "postgres", "--single", "-c", "exit_on_error=on", "-c", "dynamic_shared_memory_type=mmap", "-D", tmp, "postgres")
	single.Stdin = strings.NewReader(setup)
	if out, err := output(ctx, single); err != nil {
		return fmt.Errorf("making the database: %w\n%s", err, tail(out))
	}
	return nil
}

// removeHalfMade deletes what interrupted starts left. The last child of a
// killed initdb may still write: then the directory is not empty yet.
func (cl *Cluster) removeHalfMade(ctx context.Context) error {
	half, err := filepath.Glob(filepath.Join(cl.config.Dir, "data.tmp*"))
	if err != nil {
		return fmt.Errorf("removing a half-made cluster: %w", err)
	}
	for _, dir := range half {
		for tries := 100; ; tries-- {
			err := os.RemoveAll(dir)
			if err == nil {
				break
			}
			if tries == 0 {
				return fmt.Errorf("removing a half-made cluster: %w", err)
			}
			if err := pause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkVersion refuses binaries of another major version than the cluster's.
func (cl *Cluster) checkVersion(made string) error {
	if made == fmt.Sprint(cl.bin.major) {
		return nil
	}
	return fmt.Errorf("the cluster in %s was made by PostgreSQL %s, and %s is PostgreSQL %d: set PG_BIN to the binaries of %s, or move the cluster away to begin anew",
		cl.config.Dir, made, cl.bin.dir, cl.bin.major, made)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("syncing the database directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing the database directory: %w", err)
	}
	return nil
}
