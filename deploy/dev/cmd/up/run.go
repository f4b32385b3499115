package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/deploy/dev/pgcluster"
	"latchkey/deploy/dev/smoke"
)

const (
	readyTimeout = 30 * time.Second
	smokeTimeout = time.Minute
	devClient    = "latchkey-dev"
	devSecret    = "stand-in-secret" // of the stand-in for Google, which runs on loopback only
)

// run starts everything in order and waits for Ctrl-C or the first end of a
// child.
func run(ctx context.Context) error {
	began := time.Now()
	s, err := fromEnvironment()
	if err != nil {
		return err
	}
	for _, dir := range []string{s.run, s.data} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	release, err := pidFile(filepath.Join(s.run, "up.pid"))
	if err != nil {
		return err
	}
	defer release()
	k := newChildren(s.run)
	defer k.stop()

	var lost <-chan struct{}
	if s.databaseURL == "" {
		cluster, err := pgcluster.Start(ctx, pgcluster.Config{Dir: filepath.Join(s.data, "dev-pg"), BinDir: s.pgBin, NoInstall: s.noInstall, Log: say})
		if err != nil {
			return err
		}
		defer func() {
			k.stop() // the servers end before their database
			_ = cluster.Close()
		}()
		s.databaseURL, lost = cluster.DSN(pgcluster.Database), cluster.Done()
	}
	google, err := s.startGoogle(ctx, k)
	if err != nil {
		return err
	}
	if err := s.startServers(ctx, k, google); err != nil {
		return err
	}
	if err := s.writeEndpoints(google); err != nil {
		return err
	}
	if !s.realGoogle() {
		say("one complete client flow:")
		bounded, cancel := context.WithTimeout(ctx, smokeTimeout)
		_, err := smoke.Run(bounded, smoke.Config{MCPURL: s.resource, Arguments: []byte(`{"query":"budget"}`), Out: os.Stdout})
		cancel()
		if err != nil {
			return fmt.Errorf("the flow failed: %w (logs: %s)", err, s.run)
		}
	}
	s.banner(time.Since(began))
	select {
	case <-ctx.Done():
		say("stopping")
		return nil
	case <-lost:
		return errors.New("PostgreSQL has ended: see postgres.log in " + filepath.Join(s.data, "dev-pg"))
	case c := <-k.ended:
		return fmt.Errorf("%s has ended (%v): see %s", c.name, c.err, c.log)
	}
}

func say(msg string) { fmt.Println(msg) }

// startGoogle starts the stand-in and returns its URL, or "" for Google itself.
func (s *settings) startGoogle(ctx context.Context, k *children) (string, error) {
	if s.realGoogle() {
		return "", nil
	}
	s.googleID, s.googleSecret = "", ""
	c, err := k.start("fakegoogle", filepath.Join(s.bin, "fakegoogle"), []string{
		"-client-id", devClient, "-client-secret", devSecret, "-redirect-uri", s.issuer + "/google/callback",
	}, nil)
	if err != nil {
		return "", err
	}
	return c.awaitLine(ctx, "listening on ")
}

// startServers migrates, makes keys, and starts both servers.
func (s *settings) startServers(ctx context.Context, k *children, google string) error {
	as, rs := filepath.Join(s.bin, "authserver"), filepath.Join(s.bin, "resourceserver")
	kek, rsKey, rsJWKS := filepath.Join(s.data, "kek.json"), filepath.Join(s.data, "rs-key.json"), filepath.Join(s.data, "rs-jwks.json")
	if err := once(ctx, kek, as, "keys", "init", "--kek-file", kek); err != nil {
		return err
	}
	if err := once(ctx, rsKey, rs, "keys", "init", "--key-file", rsKey, "--jwks-file", rsJWKS); err != nil {
		return err
	}
	database := []string{"DATABASE_URL=" + s.databaseURL}
	if err := command(ctx, database, as, "migrate", "up"); err != nil {
		return err
	}
	internal := "http://" + s.asInternal
	asEnv := append(database, "ISSUER="+s.issuer, "RESOURCE_URL="+s.resource, "AS_LISTEN="+s.asListen, "AS_INTERNAL_LISTEN="+s.asInternal,
		"AS_ADMIN_LISTEN="+s.asAdmin, "AS_INTERNAL_URL="+internal, "KEK_FILE="+kek, "RS_JWKS_FILE="+rsJWKS)
	rsEnv := []string{"RS_LISTEN=" + s.rsListen, "RESOURCE_URL=" + s.resource, "ISSUER=" + s.issuer, "AS_INTERNAL_URL=" + internal, "RS_KEY_FILE=" + rsKey}
	if google != "" {
		asEnv = append(asEnv, "GOOGLE_CLIENT_ID="+devClient, "GOOGLE_CLIENT_SECRET="+devSecret, "GOOGLE_ISSUER="+google, "GOOGLE_AUTH_URL="+google+"/o/oauth2/v2/auth",
			"GOOGLE_TOKEN_URL="+google+"/token", "GOOGLE_JWKS_URL="+google+"/oauth2/v3/certs", "GOOGLE_REVOKE_URL="+google+"/revoke")
		rsEnv = append(rsEnv, "GOOGLE_API_URL="+google)
	}
	if _, err := k.start("as", as, []string{"serve"}, asEnv); err != nil {
		return err
	}
	if err := k.awaitReady(ctx, "http://"+s.asAdmin+"/readyz"); err != nil {
		return err
	}
	if _, err := k.start("rs", rs, []string{"serve"}, rsEnv); err != nil {
		return err
	}
	return k.awaitReady(ctx, "http://"+s.rsListen+"/readyz")
}

// once runs a command unless the file that it makes is there.
func once(ctx context.Context, file, name string, args ...string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	return command(ctx, nil, name, args...)
}

func command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %s", filepath.Base(name), strings.Join(args[:min(2, len(args))], " "), strings.TrimSpace(string(out)))
	}
	return nil
}

// awaitReady polls a readiness endpoint until it answers 200, or a child ends.
func (k *children) awaitReady(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 2 * time.Second}
	deadline := time.Now().Add(readyTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-k.ended:
			return errors.New(c.lastLine())
		case <-time.After(20 * time.Millisecond):
		}
		resp, err := client.Get(url)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("%s was not ready within %v: see the logs in %s", url, readyTimeout, k.dir)
}

// writeEndpoints tells other programs where everything is.
func (s *settings) writeEndpoints(google string) error {
	text := fmt.Sprintf("MCP_URL=%s\nISSUER=%s\nADMIN_URL=http://%s\nAS_INTERNAL_URL=http://%s\nGOOGLE_URL=%s\nDATABASE_URL='%s'\nAS_LOG=%s\nRS_LOG=%s\n",
		s.resource, s.issuer, s.asAdmin, s.asInternal, google, s.databaseURL, filepath.Join(s.run, "as.log"), filepath.Join(s.run, "rs.log"))
	if err := os.WriteFile(filepath.Join(s.run, "endpoints.env"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing endpoints: %w", err)
	}
	return nil
}

func (s *settings) banner(took time.Duration) {
	fmt.Printf(`
Latchkey is running (ready after %.1f s). Ctrl-C stops everything.

  MCP URL   %s
  Issuer    %s
  Logs      %s

Connect a client:
  Claude Code    claude mcp add --transport http latchkey %s
  VS Code        code --add-mcp '{"name":"latchkey","type":"http","url":"%s"}'
  MCP Inspector  npx @modelcontextprotocol/inspector   (transport: Streamable HTTP, URL: %s)
`, took.Seconds(), s.resource, s.issuer, s.run, s.resource, s.resource, s.resource)
	if s.realGoogle() {
		fmt.Printf(`
Google itself is used. Register this redirect URI for your OAuth client in the Google Cloud console:
  %s/google/callback
Then connect a client as above and sign in with a Google account.
`, s.issuer)
		return
	}
	fmt.Println("\nA stand-in for Google is used: sign in as alice@example.com, bob@example.com or carol@outsider.test.\nGOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET switch to Google itself.")
}

// pidFile records this runner for `make down`, and refuses a second one in the
// same checkout.
func pidFile(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("Latchkey already runs from this checkout: use it, or stop it with make down")
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return nil, err
	}
	return func() {
		_ = os.Remove(path)
		_ = f.Close()
	}, nil
}
