package stack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const stopTimeout = 20 * time.Second

// Process is a program that runs as our child: in a process group of its own,
// so that Ctrl-C is ours to handle, and killed by the kernel when we die.
type Process struct {
	Name string   // for people, e.g. "the resource server"
	Args []string // the program and its arguments
	Env  []string
	Log  string // file that gets its output, appended

	pid  int
	done chan struct{}
	err  error // valid after done
}

// Start starts the program. A process that has ended may be started again.
func (p *Process) Start() error {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.Name, err)
	}
	defer func() { _ = out.Close() }()
	p.done, p.err = make(chan struct{}), nil
	done, started := p.done, make(chan error, 1)
	go func() {
		// The parent-death signal fires when the thread that started the child
		// ends, so this goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		cmd := exec.Command(p.Args[0], p.Args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is missing: build it first (make up does)", p.Args[0])
		}
		return fmt.Errorf("starting %s: %w", p.Name, err)
	}
	return nil
}

// PID is the process id of the last start.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process without notice, as a power cut would, and waits.
func (p *Process) Kill() {
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and waits; after a while it insists.
func (p *Process) Stop() {
	if p.done == nil {
		return // never started
	}
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.Kill()
	}
}

// ended says that the process ended unasked, and, if it ended by itself, the
// last thing it said.
func (p *Process) ended() error {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || !exit.Exited() {
		return fmt.Errorf("%s ended (%v): see %s", p.Name, p.err, p.Log)
	}
	return fmt.Errorf("%s ended (%v), saying: %s (more in %s)", p.Name, p.err, p.lastWords(), p.Log)
}

// lastWords is the last line of the log, which holds no secret (DESIGN §1.7).
func (p *Process) lastWords() []byte {
	b, _ := os.ReadFile(p.Log)
	b = bytes.TrimSpace(b)
	return b[bytes.LastIndexByte(b, '\n')+1:]
}
