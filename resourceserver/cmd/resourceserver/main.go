// Command resourceserver is Latchkey's resource server: an MCP server with
// Google Workspace tools. It holds no database and no Google secret; for each
// call it exchanges the caller's access token at the authorization server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"latchkey/resourceserver/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
