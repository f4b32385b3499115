package blackbox_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runner is `make up`, less the building.
type runner struct {
	dir string
	cmd *exec.Cmd
	out *bytes.Buffer

	started time.Time
}

func runnerIn(t *testing.T, dir string, env []string) *runner {
	t.Helper()
	bin, err := programs()
	must(t, err)
	r := &runner{dir: dir, out: &bytes.Buffer{}, started: time.Now()}
	r.cmd = exec.Command(filepath.Join(bin, "up"), "-bin", bin, "-run", filepath.Join(dir, "run"), "-data", filepath.Join(dir, "data"))
	r.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PG_BIN=" + os.Getenv("PG_BIN")}, env...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	must(t, r.cmd.Start())
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

func (r *runner) endpoints() string { return filepath.Join(r.dir, "run", "endpoints.env") }

func (r *runner) up(t *testing.T) {
	t.Helper()
	eventually(t, "the runner's endpoints.env", func() bool { // not that of one killed before
		info, err := os.Stat(r.endpoints())
		return err == nil && info.ModTime().After(r.started)
	})
}

// left lists the processes whose command line or environment names the
// runner's directory: servers and database.
func (r *runner) left() []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		line, _ := os.ReadFile(d + "/cmdline")
		env, _ := os.ReadFile(d + "/environ")
		if bytes.Contains(line, []byte(r.dir+"/")) || bytes.Contains(env, []byte(r.dir+"/")) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// TestRunner: whatever ends the runner, nothing of it goes on, and the next one
// starts on the same data.
func TestRunner(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(work, "up")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	env, err := listeners()
	must(t, err)
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		r := runnerIn(t, dir, env)
		r.up(t)
		if n := len(r.left()); n < 4 { // the runner, two servers, the database
			t.Errorf("%d processes: the test looks for the wrong thing", n)
		}
		if end == syscall.SIGTERM { // README, Operating it: its file is all that a command needs
			doctor := exec.CommandContext(t.Context(), "sh", "-c", `set -a; . "$0"; exec "$1" doctor`, r.endpoints(), filepath.Join(filepath.Dir(r.cmd.Path), "authserver"))
			doctor.Env = []string{"PATH=" + os.Getenv("PATH")}
			if out, err := doctor.CombinedOutput(); err != nil {
				t.Errorf("doctor: %v %s", err, out)
			}
		}
		second := runnerIn(t, dir, env)
		if err := second.cmd.Wait(); err == nil || !strings.Contains(second.out.String(), "make down") {
			t.Errorf("a second runner: %v %s", err, second.out)
		}
		must(t, r.cmd.Process.Signal(end))
		err := r.cmd.Wait()
		if (end == syscall.SIGKILL) != (err != nil) {
			t.Errorf("%v: %v %s", end, err, r.out)
		}
		eventually(t, "nothing is left", func() bool { return len(r.left()) == 0 })
		if _, err = os.Stat(r.endpoints()); (end == syscall.SIGKILL) != (err == nil) {
			t.Errorf("%v: endpoints.env: %v", end, err)
		}
	}
}

// TestRunnerSaysWhichPart: a part that ends takes the rest with it, and is named.
func TestRunnerSaysWhichPart(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(work, "up")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	env, err := listeners()
	must(t, err)

	_, address, _ := strings.Cut(env[3], "=")
	taken, err := net.Listen("tcp", address)
	must(t, err)
	r := runnerIn(t, dir, env)
	if err := r.cmd.Wait(); err == nil || r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(r.out.String(), "RS_LISTEN") {
		t.Errorf("port taken: %v %s", err, r.out)
	}
	must(t, taken.Close())

	for name, row := range map[string]struct{ setting, want string }{
		"no database":     {"DATABASE_URL=postgres://nobody@127.0.0.1:1/none?connect_timeout=1", "migrat"},
		"half of Google":  {"GOOGLE_CLIENT_ID=x", "GOOGLE_CLIENT_SECRET"},
		"half a key pair": {"RS_KEY_FILE=/nonexistent", "RS_JWKS_FILE"},
		"no PostgreSQL":   {"PG_BIN=/nonexistent", "PG_BIN"},
	} {
		r := runnerIn(t, dir, append(env, row.setting))
		err := r.cmd.Wait()
		if err == nil || r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(r.out.String(), row.want) || strings.Contains(r.out.String(), "goroutine") {
			t.Errorf("%s: %v %s", name, err, r.out)
		}
		eventually(t, "nothing is left", func() bool { return len(r.left()) == 0 })
	}

	r = runnerIn(t, dir, env)
	r.up(t)
	eventually(t, "the resource server is found", func() bool {
		for _, pid := range children(t, r.cmd.Process.Pid) {
			if line, _ := os.ReadFile("/proc/" + pid + "/cmdline"); bytes.Contains(line, []byte("resourceserver")) {
				must(t, syscall.Kill(atoi(t, pid), syscall.SIGKILL))
				return true
			}
		}
		return false
	})
	if err := r.cmd.Wait(); err == nil || r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(r.out.String(), "the resource server ended") || !strings.Contains(r.out.String(), "rs.log") {
		t.Errorf("a server died: %v %s", err, r.out)
	}
	eventually(t, "nothing is left", func() bool { return len(r.left()) == 0 })
}

// TestRunnerWithGoogleItself: the two settings replace the stand-in; no flow
// runs by itself, and the redirect URI to register is named.
func TestRunnerWithGoogleItself(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(work, "up")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	env, err := listeners()
	must(t, err)
	r := runnerIn(t, dir, append(env, "GOOGLE_CLIENT_ID=an-id.apps.googleusercontent.com", "GOOGLE_CLIENT_SECRET=canary-secret"))
	r.up(t)
	must(t, r.cmd.Process.Signal(os.Interrupt))
	must(t, r.cmd.Wait())
	_, as, _ := strings.Cut(env[0], "=")
	out := r.out.String()
	if !strings.Contains(out, "http://"+as+"/google/callback") || strings.Contains(out, "client flow:") || strings.Contains(out, "canary-secret") {
		t.Errorf("banner: %s", out)
	}
}

// children lists the children of a process's threads; those of a thread that ends meanwhile may be missing.
func children(t *testing.T, pid int) []string {
	t.Helper()
	var found []string
	tasks, err := filepath.Glob("/proc/" + itoa(pid) + "/task/*/children")
	must(t, err)
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		found = append(found, strings.Fields(string(b))...)
	}
	return found
}
