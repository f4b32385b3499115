package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const stopTimeout = 25 * time.Second

// child is a process of ours. It dies with this process, however that dies.
type child struct {
	name, log string
	pid       int
	done      chan struct{}
	err       error // valid after done
}

type children struct {
	dir   string
	ended chan *child // the first children that end
	mu    sync.Mutex
	all   []*child
}

func newChildren(dir string) *children {
	return &children{dir: dir, ended: make(chan *child, 8)}
}

// start runs a program with its output in <dir>/<name>.log.
func (k *children) start(name, program string, args, env []string) (*child, error) {
	c := &child{name: name, log: filepath.Join(k.dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal fires when the starting thread ends: keep it.
		runtime.LockOSThread()
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdout, cmd.Stderr = log, log
		// A process group of its own: Ctrl-C reaches only the runner, which stops
		// the servers in order.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
			select {
			case k.ended <- c:
			default:
			}
		}
		_ = log.Close()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w: build it first (make up does)", name, err)
	}
	k.mu.Lock()
	k.all = append(k.all, c)
	k.mu.Unlock()
	return c, nil
}

// awaitLine waits for a line of output with a prefix and returns the rest of it.
func (c *child) awaitLine(ctx context.Context, prefix string) (string, error) {
	deadline := time.Now().Add(readyTimeout)
	for time.Now().Before(deadline) {
		b, err := os.ReadFile(c.log)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(rest, "\n") {
				return strings.TrimSpace(rest), nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-c.done:
			return "", errors.New(c.lastLine())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return "", fmt.Errorf("%s did not start: see %s", c.name, c.log)
}

// lastLine is what a child that ended said last.
func (c *child) lastLine() string {
	b, _ := os.ReadFile(c.log)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return fmt.Sprintf("%s ended at its start: %s", c.name, lines[len(lines)-1])
}

// stop ends every child, the last started first.
func (k *children) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.all) - 1; i >= 0; i-- {
		c := k.all[i]
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			select {
			case <-c.done:
			default:
				_ = syscall.Kill(c.pid, sig)
				select {
				case <-c.done:
				case <-time.After(stopTimeout):
				}
			}
		}
	}
	k.all = nil
}
