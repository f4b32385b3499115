package blackbox_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/deploy/dev/pgcluster"
)

// said runs a program that must refuse to start and returns what it said.
func said(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{}, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v: %v, want exit code 1", args[1:], err)
	}
	return string(out)
}

// TestRefusesToStart: exit code 1 and one clear sentence that says what to do.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	t.Run("A24 no start without keys, with keys for everybody, or with the keys of another database", refusesToStart)
}

func refusesToStart(t *testing.T) {
	t.Parallel()
	bin, err := programs()
	must(t, err)
	as, rs := filepath.Join(bin, "authserver"), filepath.Join(bin, "resourceserver")
	dir, err := os.MkdirTemp(work, "refuse")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{as, "keys", "init", "--kek-file", file("kek")},
		{as, "keys", "init", "--kek-file", file("kek-open")},
		{rs, "keys", "init", "--key-file", file("key"), "--jwks-file", file("jwks")},
		{rs, "keys", "init", "--key-file", file("key-open"), "--jwks-file", file("jwks-open")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args[1:], err, out)
		}
	}
	for _, open := range []string{"kek-open", "key-open"} {
		must(t, os.Chmod(file(open), 0o644))
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	empty, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: filepath.Join(dir, "pg"), BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	must(t, err)
	defer func() { _ = empty.Close() }()

	free, err := listeners()
	must(t, err)
	common := append(free, "ISSUER=http://127.0.0.1:8080", "RESOURCE_URL=http://127.0.0.1:8090/mcp", "AS_INTERNAL_URL=http://127.0.0.1:8081")
	asEnv := append([]string{"DATABASE_URL=" + empty.DSN(pgcluster.Database), "KEK_FILE=" + file("kek"), "RS_JWKS_FILE=" + file("jwks"), "GOOGLE_CLIENT_ID=x", "GOOGLE_CLIENT_SECRET=canary-secret"}, common...)
	rsEnv := append([]string{"RS_KEY_FILE=" + file("key")}, common...)
	for name, row := range map[string]struct {
		env     []string
		program string
		want    []string
	}{
		"schema behind":           {asEnv, as, []string{"authserver migrate up"}},
		"AS port taken":           {append(asEnv, "AS_LISTEN="+taken.Addr().String()), as, []string{taken.Addr().String(), "AS_LISTEN", "in use"}},
		"AS internal port taken":  {append(asEnv, "AS_INTERNAL_LISTEN="+taken.Addr().String()), as, []string{taken.Addr().String(), "AS_INTERNAL_LISTEN"}},
		"RS port taken":           {append(rsEnv, "RS_LISTEN="+taken.Addr().String()), rs, []string{taken.Addr().String(), "RS_LISTEN", "in use"}},
		"no KEK":                  {append(asEnv, "KEK_FILE="+file("absent")), as, []string{"absent", "keys init"}},
		"KEK of another database": {append(asEnv, "DATABASE_URL="+running(t).DatabaseURL), as, []string{"KEK_FILE", "was in use"}},
		"KEK for everybody":       {append(asEnv, "KEK_FILE="+file("kek-open")), as, []string{"kek-open", "600"}},
		"no RS key":               {append(rsEnv, "RS_KEY_FILE="+file("absent")), rs, []string{"absent", "keys init"}},
		"RS key for everybody":    {append(rsEnv, "RS_KEY_FILE="+file("key-open")), rs, []string{"key-open", "600"}},
		"http issuer":             {append(asEnv, "ISSUER=http://auth.example.com"), as, []string{"ISSUER", "https"}},
		"all problems at once":    {append(asEnv, "ISSUER=", "RESOURCE_URL=x", "KEK_FILE=", "GOOGLE_CLIENT_ID="), as, []string{"ISSUER", "RESOURCE_URL", "KEK_FILE", "GOOGLE_CLIENT_ID"}},
		"RS, all at once":         {nil, rs, []string{"ISSUER", "RESOURCE_URL", "RS_KEY_FILE", "AS_INTERNAL_URL"}},
	} {
		out := said(t, row.env, row.program, "serve")
		for _, want := range row.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: it does not say %q: %s", name, want, out)
			}
		}
		if strings.Contains(out, "goroutine ") || strings.Contains(out, "canary-secret") || len(row.want) < 4 && strings.Count(strings.TrimSpace(out), "\n") > 0 {
			t.Errorf("%s: not one clear sentence: %s", name, out)
		}
	}
}
