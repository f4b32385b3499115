package blackbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
)

// work is the directory of everything these tests make. Not t.TempDir: the
// database's user must be able to enter it.
var work string

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "latchkey-e2e-"); err == nil {
		err = os.Chmod(work, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if common != nil {
		common.Close()
	}
	_ = os.RemoveAll(work)
	os.Exit(code)
}

// programs builds the servers and the runner, once.
var programs = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(work, "bin")
	for _, p := range []struct{ module, path string }{
		{"../../../authserver", "./cmd/authserver"}, {"../../../resourceserver", "./cmd/resourceserver"}, {"../../dev", "./cmd/up"},
	} {
		args := []string{"build", "-buildvcs=false", "-o", bin + "/"}
		if raceDetector {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, p.path)...)
		cmd.Dir = p.module // so that it works without the workspace too
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", p.path, err, out)
		}
	}
	return bin, nil
})

// Ports are below those that the kernel hands out by itself (from 32768 on): a port
// freed from there may be an outgoing connection's a moment later. They come in
// blocks. A block is that of the process that listens on its first port, so that no
// two of these programs, which stop and start servers, use the same.
const (
	firstPort = 21_000
	blockSize = 100
	blocks    = 110
)

var ports struct {
	mu        sync.Mutex
	next, end int
	owned     []net.Listener // of the first ports, open until the process ends
}

// nextPort is a port that this process never had before.
func nextPort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.next == ports.end {
		for _, i := range rand.Perm(blocks) {
			first := firstPort + i*blockSize
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first))
			if err != nil {
				continue // another's
			}
			ports.owned = append(ports.owned, l)
			ports.next, ports.end = first+1, first+blockSize
			break
		}
		if ports.next == ports.end {
			return 0, errors.New("no free port")
		}
	}
	port := ports.next
	ports.next++
	return port, nil
}

// listeners returns settings with ports that are free now and given to nobody
// else here.
func listeners() ([]string, error) {
	var env []string
	for _, name := range []string{"AS_LISTEN", "AS_INTERNAL_LISTEN", "AS_ADMIN_LISTEN", "RS_LISTEN"} {
		for {
			port, err := nextPort()
			if err != nil {
				return nil, err
			}
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				env = append(env, name+"="+l.Addr().String())
				_ = l.Close()
				break
			}
		}
	}
	return env, nil
}

// start starts a whole system with a data directory of its own.
func start(ctx context.Context, ephemeral bool, settings ...string) (*stack.Stack, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(work, "s")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		env, err := listeners()
		if err != nil {
			return nil, err
		}
		s, err := begin(ctx, bin, dir, ephemeral, append(env, settings...))
		if err != nil && attempt < 3 && strings.Contains(err.Error(), "already in use") {
			continue // another program took a port since we looked
		}
		return s, err
	}
}

func begin(ctx context.Context, bin, dir string, ephemeral bool, env []string) (*stack.Stack, error) {
	env = append(env, "PATH="+os.Getenv("PATH"), "PG_BIN="+os.Getenv("PG_BIN"), "LOG_LEVEL=debug", "GORACE=halt_on_error=1")
	return stack.Start(ctx, stack.Config{
		Bin: bin, Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run"), Env: env, Ephemeral: ephemeral,
	})
}

// shared is the system of the tests that break nothing.
var (
	common *stack.Stack
	shared = sync.OnceValue(func() (err error) {
		common, err = start(context.Background(), true)
		return err
	})
)

func running(t *testing.T) *stack.Stack {
	t.Helper()
	err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return common
}

// own is a durable system of the test's own, which may break it.
func own(t *testing.T, settings ...string) *stack.Stack {
	t.Helper()
	s, err := start(t.Context(), false, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// client returns a client of a system; what it does is shown if the test fails.
func client(t *testing.T, s *stack.Stack) *smoke.Client {
	t.Helper()
	c, err := smoke.New(smoke.Config{MCPURL: s.MCPURL, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func signedIn(t *testing.T, s *stack.Stack) *smoke.Client {
	t.Helper()
	c := client(t, s)
	must(t, c.SignIn(t.Context()))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// works: the client's access token leads to Google's data.
func works(t *testing.T, c *smoke.Client) {
	t.Helper()
	result, err := c.CallTool(t.Context(), smoke.DefaultTool, nil)
	must(t, err)
	if !strings.Contains(result.Text, "alice@example.com") {
		t.Errorf("the tool's answer is about somebody else: %s", result.Text)
	}
}

// eventually polls for a state of another process: there is no event to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
