package app_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/resourceserver/internal/app"
)

func run(ctx context.Context, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = app.Main(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

// TestCommands: exit code 1 and one clear sentence for what is wrong.
func TestCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, jwks := filepath.Join(dir, "k"), filepath.Join(dir, "j")
	if code, out, errOut := run(t.Context(), "keys", "init", "--key-file", key, "--jwks-file", jwks); code != 0 || !strings.Contains(out, key) {
		t.Fatal(code, out, errOut)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	settings := []string{"--resource-url", "http://127.0.0.1:1/mcp", "--issuer", "http://127.0.0.1:2", "--as-internal-url", "http://127.0.0.1:3"}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"key again":    {[]string{"keys", "init", "--key-file", key, "--jwks-file", jwks}, "exist already"},
		"no settings":  {[]string{"serve", "--rs-listen", "127.0.0.1:0"}, "RESOURCE_URL is not set"},
		"no key file":  {append([]string{"serve", "--rs-listen", "127.0.0.1:0", "--rs-key-file", filepath.Join(dir, "nope")}, settings...), "resourceserver keys init"},
		"port taken":   {append([]string{"serve", "--rs-listen", taken.Addr().String(), "--rs-key-file", key}, settings...), "already in use"},
		"not running":  {[]string{"healthcheck", "--rs-listen", "127.0.0.1:1"}, "does not answer"},
		"unknown flag": {[]string{"serve", "--nope"}, "unknown flag"},
	} {
		if code, _, errOut := run(t.Context(), c.args...); code != 1 || !strings.Contains(errOut, c.want) || strings.Contains(errOut, "goroutine") {
			t.Errorf("%s: %d %s", name, code, errOut)
		}
	}
	if code, out, _ := run(t.Context(), "version"); code != 0 || !strings.HasPrefix(out, "resourceserver ") {
		t.Error("version:", code, out)
	}
}

// TestServe: the command serves, becomes ready when the keys can be had, and ends
// cleanly with its context.
func TestServe(t *testing.T) {
	t.Parallel()
	r := start(t) // its authority has the keys
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan int, 1)
	go func() {
		ended <- app.Main(ctx, []string{"serve", "--rs-listen", "127.0.0.1:0", "--resource-url", "http://127.0.0.1:1/mcp", "--issuer", r.as.url,
			"--as-internal-url", r.as.url, "--rs-key-file", r.settings.RSKeyFile}, io.Discard, &log)
	}()
	address := ""
	ready := func() bool {
		if _, after, ok := strings.Cut(log.String(), `"address":"`); ok {
			address, _, _ = strings.Cut(after, `"`)
		}
		if address == "" {
			return false
		}
		code, _, _ := run(t.Context(), "healthcheck", "--rs-listen", address)
		return code == 0
	}
	for deadline := time.Now().Add(time.Minute); !ready(); {
		if time.Now().After(deadline) {
			t.Fatal("not ready: ", log.String())
		}
		time.Sleep(10 * time.Millisecond) // it listens at a moment of its own; nothing to wait on
	}
	resp, err := http.Post("http://"+address+"/mcp", "application/json", strings.NewReader(list))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp, err)
	} else {
		_ = resp.Body.Close()
	}
	stop()
	if code := <-ended; code != 0 {
		t.Error(code, log.String())
	}
}
