// Command tenants runs clients that others wrote against two tenants of one
// deployment, acme by path and beta by a host of its own, each with its own Google
// client and policy: every client connects to both, and each tenant's tokens are
// refused at the other's resource.
// usage: tenants NODE CLIENTS_DIRECTORY BIN_DIRECTORY PROGRAMS_DIRECTORY DOCUMENT_URL WORK_DIRECTORY SETTING...
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 7*time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tenants:", err)
		os.Exit(1)
	}
}

type suite struct {
	node, clients, bin, programs, document string
	stack                                  *stack.Stack
	kek                                    string
}

// one is a tenant of the run.
type one struct {
	slug, issuer, mcp string
	tool              string // that the policy of the other does not serve
	token             string
}

func run(ctx context.Context, args []string) error {
	if len(args) < 6 {
		return errors.New("usage: tenants NODE CLIENTS_DIRECTORY BIN_DIRECTORY PROGRAMS_DIRECTORY DOCUMENT_URL WORK_DIRECTORY SETTING...")
	}
	s := &suite{node: args[0], clients: args[1], bin: args[2], programs: args[3], document: args[4], kek: filepath.Join(args[5], "data", "dev-keys", "kek.json")}
	var err error
	s.stack, err = stack.Start(ctx, stack.Config{
		Bin: s.bin, Data: filepath.Join(args[5], "data"), Run: filepath.Join(args[5], "run"), Ephemeral: true,
		Env: append([]string{"PATH=" + os.Getenv("PATH"), "PG_BIN=" + os.Getenv("PG_BIN")}, args[6:]...),
	})
	if err != nil {
		return err
	}
	defer s.stack.Close()
	// Both names are loopback, where alone plain http is allowed (RFC 8252 §8.3).
	own := func(u string) string { return strings.Replace(u, "//127.0.0.1:", "//localhost:", 1) }
	tenants := []*one{
		{slug: "acme", issuer: s.stack.Issuer + "/t/acme", mcp: strings.TrimSuffix(s.stack.MCPURL, "/mcp") + "/t/acme/mcp", tool: "gmail_get_thread"},
		{slug: "beta", issuer: own(s.stack.Issuer), mcp: own(s.stack.MCPURL), tool: "gmail_list_labels"},
	}
	for _, t := range tenants {
		if err := s.create(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.slug, err)
		}
	}
	for _, t := range tenants {
		if err := s.connect(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.slug, err)
		}
	}
	return s.cross(ctx, tenants)
}

// create makes a tenant with its own client at Google and a policy of its own.
func (s *suite) create(ctx context.Context, t *one) error {
	u, err := url.Parse(t.issuer)
	if err != nil {
		return err
	}
	google := fakegoogle.Client{ID: t.slug + "-google", Secret: t.slug + "-secret", RedirectURIs: []string{u.Scheme + "://" + u.Host + "/google/callback"}}
	s.stack.Google.AddClient(google)
	create := []string{"tenants", "create", t.slug, "--resource", t.mcp, "--google-domains", "example.com", "--allowed-tools", "gmail_search_threads," + t.tool}
	if u.Path == "" {
		create = append(create, "--host", u.Host)
	}
	if err := s.operate(ctx, "", create...); err != nil {
		return err
	}
	return s.operate(ctx, google.Secret, "tenants", "google-client", "set", t.slug, "--client-id", google.ID)
}

func (s *suite) operate(ctx context.Context, input string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "authserver"), args...)
	cmd.Env = []string{"DATABASE_URL=" + s.stack.DatabaseURL, "ISSUER=" + s.stack.Issuer, "RESOURCE_URL=" + s.stack.MCPURL, "KEK_FILE=" + s.kek}
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("authserver %s: %w: %s", strings.Join(args[:3], " "), err, out)
	}
	return nil
}

// connect lets every client sign in at the tenant and call a tool.
func (s *suite) connect(ctx context.Context, t *one) error {
	deadline := time.Now().Add(time.Minute)
	for { // servers learn of a tenant within seconds
		c, err := smoke.New(smoke.Config{MCPURL: t.mcp})
		if err != nil {
			return err
		}
		if err = c.SignIn(ctx); err == nil {
			t.token = c.AccessToken()
			break
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(200 * time.Millisecond) // polling, with a deadline
	}
	person := filepath.Join(s.programs, "person")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"TypeScript SDK", []string{s.node, filepath.Join(s.clients, "sdk.mjs"), t.mcp, person}},
		{"Go clients", []string{filepath.Join(s.programs, "goclients"), t.mcp, s.document}},
	} {
		out, err := exec.CommandContext(ctx, c.args[0], c.args[1:]...).CombinedOutput() //nolint:gosec // programs of this run
		if err != nil {
			return fmt.Errorf("%s: %w: %s", c.name, err, out)
		}
		fmt.Printf("  %s at %s: connected\n%s", c.name, t.mcp, out)
	}
	return nil
}

// cross holds every tenant's token at every tenant's resource, through the
// Inspector.
func (s *suite) cross(ctx context.Context, tenants []*one) error {
	fmt.Printf("  %-10s %-10s %s\n", "token of", "resource", "MCP Inspector")
	for _, from := range tenants {
		for _, at := range tenants {
			out, err := s.inspect(ctx, at.mcp, from.token)
			// A policy of the other tenant never shows.
			served := err == nil && strings.Contains(out, `"`+at.tool+`"`)
			for _, other := range tenants {
				if other != at && strings.Contains(out, `"`+other.tool+`"`) {
					return fmt.Errorf("%s lists %s, which it does not serve", at.slug, other.tool)
				}
			}
			refused := err != nil && strings.Contains(out, `"invalid_token"`) // RFC 6750 §3.1
			if served == refused || served != (from == at) {
				return fmt.Errorf("a token of %s at %s: %w: %s", from.slug, at.slug, err, out)
			}
			fmt.Printf("  %-10s %-10s %s\n", from.slug, at.slug, map[bool]string{true: "serves its tools", false: "refused, invalid_token"}[served])
		}
	}
	return nil
}

func (s *suite) inspect(ctx context.Context, mcpURL, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.node, filepath.Join(s.clients, "node_modules/@modelcontextprotocol/inspector/cli/build/index.js"), //nolint:gosec // as above
		mcpURL, "--transport", "http", "--method", "tools/list", "--header", "Authorization: Bearer "+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
