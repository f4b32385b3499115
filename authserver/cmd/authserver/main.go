// Command authserver is Latchkey's authorization server: it signs people in at
// Google, keeps their Google credentials sealed, and issues access tokens for
// the resource server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"latchkey/authserver/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
