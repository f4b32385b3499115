// Command smoke plays an MCP client and its browser against an MCP URL whose
// authorization server signs in at the stand-in for Google, and prints each
// step.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"latchkey/deploy/dev/smoke"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("smoke", flag.ContinueOnError)
	target := flags.String("url", "http://127.0.0.1:8090/mcp", "MCP URL")
	account := flags.String("account", "alice@example.com", "account at the stand-in for Google")
	tool := flags.String("tool", "gmail_search_threads", "tool to call")
	arguments := flags.String("arguments", `{"query":"budget"}`, "the tool's arguments, JSON")
	timeout := flags.Duration("timeout", time.Minute, "bound on everything")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	_, err := smoke.Run(ctx, smoke.Config{MCPURL: *target, Account: *account, Tool: *tool, Arguments: json.RawMessage(*arguments), Out: os.Stdout})
	return err
}
