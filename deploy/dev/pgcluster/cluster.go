package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Owner is the login role that owns the database: no superuser, but it may
// create roles and databases.
const Owner = "latchkey_owner"

// Database is the database that Start makes.
const Database = "latchkey"

const (
	maxSocketPath = 107 // sun_path of Linux, less the final zero
	socketName    = ".s.PGSQL.5432"
	startTimeout  = 60 * time.Second
	stopTimeout   = 15 * time.Second
)

// Config configures a cluster. Dir is required.
type Config struct {
	Dir       string           // directory of the cluster; made if absent
	BinDir    string           // directory of initdb and postgres; "" finds them
	Ephemeral bool             // for tests: no fsync, everything deleted by Close
	NoInstall bool             // never install packages
	Log       func(msg string) // told what takes long; may be nil
}

func (c Config) logf(format string, args ...any) {
	if c.Log != nil {
		c.Log(fmt.Sprintf(format, args...))
	}
}

// DefaultDir is where the cluster of a development machine lives: outside
// root's home, which the unprivileged server user could not enter.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/latchkey/dev-pg", nil
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "latchkey", "dev-pg"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the database: %w", err)
	}
	return filepath.Join(home, ".local", "share", "latchkey", "dev-pg"), nil
}

// Cluster is a running PostgreSQL server.
type Cluster struct {
	config Config
	socket string
	lock   *os.File
	pid    int
	done   chan struct{} // closed when the server has ended
	err    error         // valid after done
}

// Start makes the cluster if there is none, and starts it. The server dies
// with this process, however that dies. The error is a sentence that says what
// to do.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	bin, err := findBinaries(ctx, c)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("database directory: %w", err)
	}
	cl := &Cluster{config: c, socket: filepath.Join(dir, "run"), done: make(chan struct{})}
	cl.config.Dir = dir
	if n := len(filepath.Join(cl.socket, socketName)); n > maxSocketPath {
		return nil, fmt.Errorf("the database directory %s is too deep: a unix socket's path may have %d bytes, this one would have %d; choose a shorter directory", dir, maxSocketPath, n)
	}
	who, err := serverUser()
	if err != nil {
		return nil, err
	}
	if err := cl.prepare(who); err != nil {
		return nil, err
	}
	if err := cl.start(ctx, bin, who); err != nil {
		_ = cl.lock.Close()
		return nil, err
	}
	return cl, nil
}

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

// prepare makes the directories, private to the server's user, and locks them.
func (cl *Cluster) prepare(who *syscall.Credential) error {
	dir := cl.config.Dir
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the database directory: %w", err)
	}
	for _, d := range []string{dir, cl.socket} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("making the database directory: %w", err)
		}
		if who != nil {
			if err := os.Chown(d, int(who.Uid), int(who.Gid)); err != nil {
				return fmt.Errorf("handing the database directory to its user: %w", err)
			}
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the database directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return fmt.Errorf("the database directory %s is in use by another program: stop that one first (make down)", dir)
	}
	cl.lock = lock
	if who != nil {
		probe := cl.command("/bin/true", who)
		probe.Dir = dir
		if err := probe.Run(); err != nil {
			_ = lock.Close()
			return fmt.Errorf("the database's user cannot enter %s: make every directory above it accessible (chmod a+x), or choose another place", dir)
		}
	}
	return nil
}

func (cl *Cluster) command(name string, who *syscall.Credential, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = cl.config.Dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true} // Ctrl-C is for us to handle
	return cmd
}

func (cl *Cluster) data() string { return filepath.Join(cl.config.Dir, "data") }

// start initialises where needed, then runs the server and waits until it
// accepts connections.
func (cl *Cluster) start(ctx context.Context, bin string, who *syscall.Credential) error {
	if err := cl.init(bin, who); err != nil {
		return err
	}
	if err := cl.awaitPredecessor(ctx); err != nil {
		return err
	}
	args := []string{"-D", cl.data(), "-k", cl.socket, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "max_connections=200",
		"-c", "dynamic_shared_memory_type=mmap", // a killed cluster leaves nothing in /dev/shm
		"-c", "logging_collector=off", "-c", "timezone=UTC"}
	if cl.config.Ephemeral {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	logFile, err := os.OpenFile(filepath.Join(cl.config.Dir, "postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("opening the database's log: %w", err)
	}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal fires when the thread that started the child
		// ends, so this goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		cmd := cl.command(filepath.Join(bin, "postgres"), who, args...)
		cmd.Stdout, cmd.Stderr = logFile, logFile
		cmd.SysProcAttr.Pdeathsig = syscall.SIGINT // fast shutdown: rolls back, loses no commit
		err := cmd.Start()
		if err == nil {
			cl.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			cl.err = cmd.Wait()
			close(cl.done)
		}
		_ = logFile.Close()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if err := cl.awaitReady(ctx); err != nil {
		_ = cl.stop()
		return err
	}
	return nil
}

// init makes the cluster in a temporary directory and renames it, so that an
// interrupted start leaves no half cluster.
func (cl *Cluster) init(bin string, who *syscall.Credential) error {
	if _, err := os.Stat(filepath.Join(cl.data(), "PG_VERSION")); err == nil {
		return nil
	}
	cl.config.logf("making a new PostgreSQL cluster in %s", cl.config.Dir)
	tmp := cl.data() + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("removing a half-made cluster: %w", err)
	}
	args := []string{"-D", tmp, "-U", "postgres", "-E", "UTF8", "--locale=C",
		"--auth=trust"} // who may enter is the socket directory's mode, 0700
	if cl.config.Ephemeral {
		args = append(args, "--no-sync")
	}
	if out, err := cl.command(filepath.Join(bin, "initdb"), who, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(out))
	}
	// A single-user server makes role and database: a bare server distribution
	// has no psql.
	setup := cl.command(filepath.Join(bin, "postgres"), who, "--single", "-D", tmp, "postgres")
	setup.Stdin = strings.NewReader("CREATE ROLE " + Owner + " LOGIN CREATEROLE CREATEDB\nCREATE DATABASE " + Database + " OWNER " + Owner + "\n")
	if out, err := setup.CombinedOutput(); err != nil {
		return fmt.Errorf("making the database: %w\n%s", err, tail(out))
	}
	if err := os.Rename(tmp, cl.data()); err != nil {
		return fmt.Errorf("finishing the cluster: %w", err)
	}
	return nil
}

// awaitPredecessor waits for the server of a parent that was killed a moment
// ago: the parent's death told it to shut down.
func (cl *Cluster) awaitPredecessor(ctx context.Context) error {
	deadline := time.Now().Add(stopTimeout)
	for {
		pid := cl.postmaster()
		if pid == 0 || !isPostgres(pid) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a PostgreSQL server (process %d) still runs on %s: stop it first", pid, cl.config.Dir)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// postmaster is the process in the data directory's pid file, 0 if none.
func (cl *Cluster) postmaster() int {
	b, err := os.ReadFile(filepath.Join(cl.data(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first))
	return pid
}

func isPostgres(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.TrimSpace(string(b)) == "postgres"
}

// awaitReady reads the state that the server writes into its pid file: line 8
// says "ready" once it accepts connections.
func (cl *Cluster) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(startTimeout)
	for {
		select {
		case <-cl.done:
			b, _ := os.ReadFile(filepath.Join(cl.config.Dir, "postgres.log"))
			return fmt.Errorf("PostgreSQL ended at its start:\n%s", tail(b))
		default:
		}
		if b, err := os.ReadFile(filepath.Join(cl.data(), "postmaster.pid")); err == nil {
			lines := strings.Split(string(b), "\n")
			if len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready" && strings.TrimSpace(lines[0]) == strconv.Itoa(cl.pid) {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL was not ready within %v: see %s", startTimeout, filepath.Join(cl.config.Dir, "postgres.log"))
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// DSN is the URL of a database of this cluster, for the owner role.
func (cl *Cluster) DSN(database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s", Owner, url.PathEscape(database), url.QueryEscape(cl.socket))
}

// PID is the server's process id.
func (cl *Cluster) PID() int { return cl.pid }

// Done is closed when the server has ended, whether asked to or not.
func (cl *Cluster) Done() <-chan struct{} { return cl.done }

// Close shuts the server down; nothing committed is lost. An ephemeral
// cluster's directory is deleted.
func (cl *Cluster) Close() error {
	err := cl.stop()
	if cl.config.Ephemeral {
		err = errors.Join(err, os.RemoveAll(cl.config.Dir))
	}
	return errors.Join(err, cl.lock.Close())
}

func (cl *Cluster) stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		select {
		case <-cl.done:
			return nil
		default:
		}
		_ = syscall.Kill(cl.pid, sig)
		select {
		case <-cl.done:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("PostgreSQL (process %d) does not end", cl.pid)
}
