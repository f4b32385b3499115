// Command smoke plays an MCP client and its browser against an MCP URL and
// prints each step. The sign-in happens at the stand-in for Google, or, with
// -manual, in a person's own browser.
package main

import (
	"context"
	"encoding/json"
	"errors"
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
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("smoke", flag.ContinueOnError)
	target := flags.String("url", "http://127.0.0.1:8090/mcp", "MCP URL")
	account := flags.String("account", "alice@example.com", "account at the stand-in for Google")
	scope := flags.String("scope", "", "scopes to ask for (default: what the server names)")
	tool := flags.String("tool", smoke.DefaultTool, "tool to call")
	arguments := flags.String("arguments", "{}", "the tool's arguments, JSON")
	manual := flags.Bool("manual", false, "print the sign-in address for a person to open, and wait")
	timeout := flags.Duration("timeout", 10*time.Minute, "bound on everything")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	c := smoke.Config{MCPURL: *target, Account: *account, Scope: *scope, Tool: *tool, Arguments: json.RawMessage(*arguments), Out: os.Stdout}
	if *manual {
		c.Person = func(u string) { fmt.Printf("\nOpen this address in your browser and sign in:\n\n  %s\n\n", u) }
	}
	result, err := smoke.Run(ctx, c)
	if err != nil {
		return err
	}
	fmt.Printf("the whole flow works (%v)\n", result.Took.Round(time.Millisecond))
	return nil
}
