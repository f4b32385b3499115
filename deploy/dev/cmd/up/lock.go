package main

import (
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

const (
	lockName    = "up.pid"
	downTimeout = 60 * time.Second
)

// lock is held by the one runner of a checkout. The kernel lets go of it when
// the process ends, however that happens, so a stale pid is never believed.
type lock struct{ file *os.File }

func takeLock(dir string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the pid file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := readPID(f)
		_ = f.Close()
		return nil, fmt.Errorf("Latchkey already runs from here (process %d): stop it first with make down", pid)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, fmt.Errorf("writing the pid file: %w", err)
		}
	}
	return &lock{f}, nil
}

func (l *lock) release() { _ = l.file.Close() }

func readPID(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid
}

// stopOther stops the runner that holds the lock and waits until it is gone.
func stopOther(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		fmt.Println("nothing runs here")
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the pid file: %w", err)
	}
	defer func() { _ = f.Close() }()
	free := func() bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
	if free() {
		fmt.Println("nothing runs here")
		return nil
	}
	pid := readPID(f)
	if pid <= 1 {
		return errors.New("a runner is just starting here: try again")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(downTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if free() {
			fmt.Println("stopped")
			return nil
		}
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// dieWithParent ends this process when make ends, even by kill -9. Called by
// the main goroutine, which keeps its thread from then on: the kernel forgets
// the wish with the thread that made it.
func dieWithParent() error {
	parent := os.Getppid()
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0); errno != 0 {
		return fmt.Errorf("binding to the parent process: %w", errno)
	}
	if os.Getppid() != parent {
		return errors.New("the parent process is gone")
	}
	return nil
}
