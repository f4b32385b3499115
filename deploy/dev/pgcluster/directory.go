package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// serverUser is whom the server runs as: PostgreSQL refuses to run as root. nil
// means the current user.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} { // a user without a passwd entry would be refused
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("reading user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as: create one")
}

// prepare makes the directories, private to the server's user, locks them, and
// checks that this user can work in them.
func (cl *Cluster) prepare(ctx context.Context) error {
	dir := cl.config.Dir
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the database directory: %w", err)
	}
	for _, d := range []string{dir, cl.socket} {
		if err := cl.private(d); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("locking the database directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return fmt.Errorf("the database directory %s is in use by another program: stop that one first (make down)", dir)
	}
	if err := cl.probe(ctx); err != nil {
		_ = lock.Close()
		return err
	}
	cl.lock = lock
	return nil
}

// private makes a directory that only the server's user (and root) can enter.
// The authentication of the server is this mode and nothing else. A directory
// or link that somebody else put there first, in /tmp for instance, is refused:
// root would hand over, or write through, what it points to.
func (cl *Cluster) private(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the database directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("making the database directory: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if !info.IsDir() || int(owner) != os.Geteuid() && (cl.who == nil || owner != cl.who.Uid) {
		return fmt.Errorf("%s is a link or file, or belongs to another user: remove it, or choose another directory for the database", dir)
	}
	if cl.who != nil {
		if err := os.Lchown(dir, int(cl.who.Uid), int(cl.who.Gid)); err != nil {
			return fmt.Errorf("handing the database directory to its user: %w", err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("closing the database directory to others: %w", err)
	}
	return nil
}

// probe finds out as the server's user what root cannot know by looking: root's
// home, mode 0700, is closed to the unprivileged user of the server.
func (cl *Cluster) probe(ctx context.Context) error {
	if cl.who == nil {
		return nil
	}
	try := cl.command(ctx, "postgres", "--version")
	if err := try.Run(); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	try = cl.command(ctx, "postgres", "--version")
	try.Dir = "/"
	if try.Run() != nil {
		return fmt.Errorf("the database's user cannot run the programs in %s: install PostgreSQL outside home directories, or set PG_BIN to such a place", cl.bin.dir)
	}
	return fmt.Errorf("the database's user cannot enter %s: make every directory above it accessible (chmod a+x), or choose another place", cl.config.Dir)
}

// command is a program of PostgreSQL, run as the server's user in the cluster's
// directory. It leads a process group, so that Ctrl-C is for us to handle and
// the end of ctx kills it with its own children.
func (cl *Cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(cl.bin.dir, name), args...)
	cmd.Dir = cl.config.Dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} // no PGPORT, no PGOPTIONS; errHeld reads English
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cl.who, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// output runs a command that dies with this process. The parent-death signal
// fires when the thread that started the child ends, so the command has a
// thread of its own, which ends with the goroutine.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var out []byte
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var err error
		out, err = cmd.CombinedOutput()
		done <- err
	}()
	err := <-done
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out, err
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}
