package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/deploy/dev/stack"
)

const endpointsName = "endpoints.env"

func banner(w io.Writer, s *stack.Stack, endpoints string, took time.Duration) {
	line := strings.Repeat("-", 78)
	print := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	print("\n%s", line)
	print("Latchkey is running (ready after %.1f s). Ctrl-C stops it; data and keys stay.", took.Seconds())
	print("")
	print("  MCP URL      %s", s.MCPURL)
	print("  issuer       %s", s.Issuer)
	if s.Google != nil {
		print("  Google       %s (a stand-in: alice@example.com, bob@example.com,", s.GoogleURL)
		print("               carol@outsider.test; no password)")
	} else {
		print("  Google       the real one")
	}
	print("  logs         %s %s", s.AS.Log, s.RS.Log)
	print("  commands     set -a; . %s; set +a; then bin/authserver doctor, and others", endpoints)
	print("")
	print("Connect a client:")
	print("  Claude Code  claude mcp add --transport http latchkey %s", s.MCPURL)
	print("               then /mcp in a session, and choose to authenticate")
	print("  VS Code      code --add-mcp '{\"name\":\"latchkey\",\"type\":\"http\",\"url\":\"%s\"}'", s.MCPURL)
	print("  Inspector    npx @modelcontextprotocol/inspector")
	print("               (transport Streamable HTTP, URL %s)", s.MCPURL)
	print("  any other    give it the MCP URL; it finds the rest by itself")
	if s.Google == nil {
		print("")
		print("Real Google needs this once, in the Google Cloud console:")
		print("  redirect URI of your OAuth client: %s", s.RedirectURI())
		print("  APIs switched on, of those whose tools you want: Gmail, Drive, Docs, Sheets,")
		print("  Slides, Calendar, People, Tasks, Chat, Forms, Meet")
		print("Then try it by hand, in your own browser:")
		print("  bin/smoke -manual -url %s", s.MCPURL)
	}
	print("%s", line)
}

// writeEndpoints writes endpoints.env for scripts, and for an operator's commands. Mode 0600: the database URL
// may hold a password.
func writeEndpoints(dir string, s *stack.Stack) error {
	asLog, err1 := filepath.Abs(s.AS.Log)
	rsLog, err2 := filepath.Abs(s.RS.Log)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("finding the logs: %w", err)
	}
	var b strings.Builder
	for _, e := range append([][2]string{
		{"MCP_URL", s.MCPURL}, {"ISSUER", s.Issuer}, {"ADMIN_URL", s.AdminURL}, {"AS_INTERNAL_URL", s.InternalURL},
		{"GOOGLE_URL", s.GoogleURL}, {"DATABASE_URL", s.DatabaseURL}, {"AS_LOG", asLog}, {"RS_LOG", rsLog},
	}, s.Operator()...) {
		fmt.Fprintf(&b, "%s=%s\n", e[0], quote(e[1]))
	}
	path := filepath.Join(dir, endpointsName)
	tmp := path + ".tmp" // whoever polls for the file finds it whole
	if err := os.WriteFile(tmp, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("writing endpoints.env: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing endpoints.env: %w", err)
	}
	return nil
}

func forgetEndpoints(dir string) error {
	if err := os.Remove(filepath.Join(dir, endpointsName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing old endpoints: %w", err)
	}
	return nil
}

// quote makes a value safe for a shell that reads the file, and leaves plain
// ones alone.
func quote(value string) string {
	if strings.ContainsAny(value, " \t'\"$&;|<>()`\\*#!~") {
		return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return value
}
