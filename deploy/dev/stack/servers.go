package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const setupTimeout = 3 * time.Minute

func (s *Stack) keyDir() string { return filepath.Join(s.config.Data, "dev-keys") }

func (s *Stack) binary(name string) string { return filepath.Join(s.config.Bin, name) }

// keys makes the keys of development on first use: the key-encryption key of
// the authorization server, and the resource server's key pair. Both programs
// make their own, with mode 0600.
func (s *Stack) keys(ctx context.Context) error {
	if !s.env.has("KEK_FILE") {
		s.env["KEK_FILE"] = filepath.Join(s.keyDir(), "kek.json")
		if err := s.once(ctx, s.env["KEK_FILE"], "authserver", "keys", "init", "--kek-file", s.env["KEK_FILE"]); err != nil {
			return err
		}
	}
	if s.env.has("RS_KEY_FILE") != s.env.has("RS_JWKS_FILE") {
		return errors.New("RS_KEY_FILE and RS_JWKS_FILE are two halves of a key: set both or neither")
	}
	if s.env.has("RS_KEY_FILE") {
		return nil
	}
	key, jwks := filepath.Join(s.keyDir(), "rs-key.json"), filepath.Join(s.keyDir(), "rs-jwks.json")
	s.env["RS_KEY_FILE"], s.env["RS_JWKS_FILE"] = key, jwks
	if _, err := os.Stat(jwks); err != nil {
		if err := os.Remove(key); err != nil && !errors.Is(err, os.ErrNotExist) { // half a pair is none
			return fmt.Errorf("removing half a key pair: %w", err)
		}
	}
	return s.once(ctx, key, "resourceserver", "keys", "init", "--key-file", key, "--jwks-file", jwks)
}

// once runs a command that makes a file, unless the file is there.
func (s *Stack) once(ctx context.Context, file, name string, args ...string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	return s.command(ctx, nil, name, args...)
}

func (s *Stack) migrate(ctx context.Context) error {
	return s.command(ctx, s.env.without(rsOnly...), "authserver", "migrate", "up")
}

// command runs one of the programs to its end.
func (s *Stack) command(ctx context.Context, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary(name), args...)
	cmd.Env = append([]string{}, env...) // not nil, which would mean ours
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing: build it first (make up does)", s.binary(name))
	}
	if err != nil {
		if said := strings.TrimSpace(string(out)); said != "" {
			return errors.New(said) // it says in its own words what to do
		}
		return fmt.Errorf("%s %s: %w", name, strings.Join(args[:2], " "), err)
	}
	return nil
}

func (s *Stack) startServers(ctx context.Context) error {
	s.MCPURL, s.Issuer, s.InternalURL = s.env["RESOURCE_URL"], s.env["ISSUER"], s.env["AS_INTERNAL_URL"]
	s.AdminURL = reach(s.env["AS_ADMIN_LISTEN"])
	s.AS = &Process{Name: "the authorization server", Args: []string{s.binary("authserver"), "serve"}, Env: s.env.without(rsOnly...), Log: s.log("as")}
	s.RS = &Process{Name: "the resource server", Args: []string{s.binary("resourceserver"), "serve"}, Env: s.env.without(beyondBoundary...), Log: s.log("rs")}
	for _, p := range []*Process{s.AS, s.RS} {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return s.Ready(ctx)
}
