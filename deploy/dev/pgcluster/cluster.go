package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Owner is the login role that owns the database: no superuser, but it may
// create roles and databases.
const Owner = "latchkey_owner"

// Database is the database that Start makes.
const Database = "latchkey"

const (
	port          = "5432" // names the socket; nothing listens on TCP
	socketName    = ".s.PGSQL." + port
	maxSocketPath = 107 // sun_path of Linux, less the final zero
	startTimeout  = 60 * time.Second
	stopTimeout   = 15 * time.Second
)

// Config configures a cluster. Dir is required.
type Config struct {
	Dir       string           // directory of the cluster; made if absent
	BinDir    string           // directory of initdb and postgres; "" finds them
	Ephemeral bool             // for tests: no fsync, begins empty, deleted by Close
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
	bin    binaries
	who    *syscall.Credential // nil: the current user
	socket string              // directory of the socket
	lock   *os.File            // held while this process owns the directory
	server *server
	close  func() error
}

// Start makes the cluster if there is none, and starts it. The server dies
// with this process, however that dies. A directory serves one process at a
// time. The error is a sentence that says what to do, or that of ctx.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the database directory: %w", err)
	}
	c.Dir = dir
	cl := &Cluster{config: c, socket: filepath.Join(dir, "run")}
	if err := checkSocket(dir, cl.socket); err != nil {
		return nil, err
	}
	if cl.bin, err = findBinaries(ctx, c); err != nil {
		return nil, err
	}
	if cl.who, err = serverUser(); err != nil {
		return nil, err
	}
	if err := cl.prepare(ctx); err != nil {
		return nil, err
	}
	cl.close = sync.OnceValue(cl.release)
	if err := cl.start(ctx); err != nil {
		_ = cl.Close()
		return nil, err
	}
	return cl, nil
}

func checkSocket(dir, socket string) error {
	if n := len(filepath.Join(socket, socketName)); n > maxSocketPath {
		return fmt.Errorf("the database directory %s is too deep: a unix socket's path may have %d bytes, this one would have %d; choose a shorter directory", dir, maxSocketPath, n)
	}
	if strings.ContainsAny(dir, `,"`) { // a list of directories to the server, of hosts to its clients
		return fmt.Errorf("the database directory %s has a comma or a quote in its name: choose another one", dir)
	}
	return nil
}

// start brings the server up, over what a killed predecessor left.
func (cl *Cluster) start(ctx context.Context) error {
	if err := cl.awaitPredecessor(ctx); err != nil {
		return err
	}
	if cl.config.Ephemeral { // what a killed test left was written without fsync
		if err := os.RemoveAll(cl.Data()); err != nil {
			return fmt.Errorf("removing an old test cluster: %w", err)
		}
	}
	if err := cl.init(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		err := cl.run(ctx)
		if !errors.Is(err, errHeld) || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// Data is the directory of the database's files, its write-ahead log among them.
func (cl *Cluster) Data() string { return filepath.Join(cl.config.Dir, "data") }

// DSN is the URL of a database of this cluster, for the owner role. The port is
// part of it, so that a PGPORT in the client's environment cannot change it.
func (cl *Cluster) DSN(database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s", Owner, url.PathEscape(database), url.QueryEscape(cl.socket), port)
}

// PID is the server's process id.
func (cl *Cluster) PID() int { return cl.server.process.Pid }

// Done is closed when the server has ended, whether asked to or not.
func (cl *Cluster) Done() <-chan struct{} { return cl.server.done }

// Err is how the server ended: nil for a clean shutdown. It is nil until Done
// is closed.
func (cl *Cluster) Err() error {
	select {
	case <-cl.server.done:
		return cl.server.err
	default:
		return nil
	}
}

// Close shuts the server down within 45 s; nothing committed is lost. An
// ephemeral cluster's directory is deleted. Later calls do nothing.
func (cl *Cluster) Close() error { return cl.close() }

func (cl *Cluster) release() error {
	var err error
	if cl.server != nil {
		err = cl.server.stop()
	}
	if cl.config.Ephemeral {
		err = errors.Join(err, os.RemoveAll(cl.config.Dir))
	}
	return errors.Join(err, cl.lock.Close())
}
