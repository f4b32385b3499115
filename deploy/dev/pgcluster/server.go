package pgcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errHeld says that sessions of a killed server still hold its shared memory.
// They end by themselves once they notice.
var errHeld = errors.New("sessions of an earlier server that was killed still run; try again in a moment")

// server is one run of the postgres program.
type server struct {
	process *os.Process
	done    chan struct{} // closed when it has ended
	err     error         // valid after done
}

// run starts the server and waits until it accepts connections. On an error
// nothing runs.
func (cl *Cluster) run(ctx context.Context) error {
	path := filepath.Join(cl.config.Dir, "postgres.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("opening the database's log: %w", err)
	}
	s := &server{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal fires when the thread that started the child
		// ends, so this goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		cmd := cl.command(context.Background(), "postgres", cl.arguments()...) // outlives the ctx of Start
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr.Pdeathsig = syscall.SIGINT // fast shutdown: rolls back, loses no commit
		err := cmd.Start()
		if err == nil {
			s.process = cmd.Process
		}
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			close(s.done)
		}
		_ = log.Close()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if err := cl.awaitReady(ctx, s, path); err != nil {
		return errors.Join(err, s.stop())
	}
	cl.server = s
	return nil
}

func (cl *Cluster) arguments() []string {
	args := []string{"-D", cl.Data(), "-k", cl.socket, "-p", port}
	settings := []string{"listen_addresses=", "unix_socket_permissions=0700", "max_connections=200",
		"dynamic_shared_memory_type=mmap", // a killed cluster leaves nothing in /dev/shm
		"logging_collector=off", "timezone=UTC"}
	if cl.config.Ephemeral {
		// Tests make hundreds of databases: looking after each costs more than it saves, and comes at any moment.
		settings = append(settings, "fsync=off", "full_page_writes=off", "autovacuum=off")
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// awaitReady reads the state that the server writes into its pid file: line 8
// says "ready" once it accepts connections.
func (cl *Cluster) awaitReady(ctx context.Context, s *server, log string) error {
	deadline := time.Now().Add(startTimeout)
	for {
		select {
		case <-s.done:
			b, _ := os.ReadFile(log)
			if bytes.Contains(b, []byte("pre-existing shared memory block")) {
				return fmt.Errorf("PostgreSQL cannot start in %s yet: %w", cl.config.Dir, errHeld)
			}
			return fmt.Errorf("PostgreSQL ended at its start:\n%s", tail(b))
		default:
		}
		if b, err := os.ReadFile(cl.pidFile()); err == nil {
			lines := strings.Split(string(b), "\n")
			if len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready" && strings.TrimSpace(lines[0]) == strconv.Itoa(s.process.Pid) {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL was not ready within %v: see %s", startTimeout, log)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// stop asks the server to end, then insists.
func (s *server) stop() error {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = s.process.Signal(sig) // fails if it has ended
		select {
		case <-s.done:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("PostgreSQL (process %d) does not end", s.process.Pid)
}

// awaitPredecessor waits for the server of a parent that was killed a moment
// ago: the parent's death told it to shut down. Then it clears what a server
// leaves that was killed itself. PostgreSQL would refuse to start if the
// process number in a stale file now belongs to any other process of its user;
// since we hold the directory's lock, we can tell. Should we ever be wrong,
// PostgreSQL still refuses a second server by its shared memory.
func (cl *Cluster) awaitPredecessor(ctx context.Context) error {
	deadline := time.Now().Add(startTimeout)
	for {
		pid, err := cl.postmaster()
		if err != nil {
			return err
		}
		if !cl.serves(pid) {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a PostgreSQL server (process %d) still runs on %s: stop it first", pid, cl.config.Dir)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	for _, stale := range []string{cl.pidFile(), filepath.Join(cl.socket, socketName+".lock")} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a stale lock: %w", err)
		}
	}
	return nil
}

func (cl *Cluster) pidFile() string { return filepath.Join(cl.Data(), "postmaster.pid") }

// postmaster is the process that the data directory's pid file names, 0 if none.
func (cl *Cluster) postmaster() (int, error) {
	b, err := os.ReadFile(cl.pidFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the server's pid file: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid < 0 { // half written when the machine stopped
		return 0, nil
	}
	return pid, nil
}

// serves reports whether a process is a server of this very data directory. A
// process that has ended and waits to be reaped is none. The arguments of a
// process can be read by everybody, its working directory cannot always.
func (cl *Cluster) serves(pid int) bool {
	if pid == 0 {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	b, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	args := strings.Split(string(b), "\x00")
	if filepath.Base(args[0]) != "postgres" {
		return false
	}
	places := []string{filepath.Join(proc, "cwd")} // a server works in its data directory
	for i, a := range args[:len(args)-1] {
		if a == "-D" {
			places = append(places, args[i+1])
		}
	}
	data, err := os.Stat(cl.Data())
	if err != nil {
		return false
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && os.SameFile(info, data) {
			return true
		}
	}
	return false
}
