// Command up runs a complete Latchkey on this machine: PostgreSQL, a stand-in
// for Google, the authorization server and the resource server, and shows by
// one complete client flow that it works. It stays in the foreground; whatever
// ends it leaves nothing behind but the data directory.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}
