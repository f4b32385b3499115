// Command person plays the person for clients without a screen: it opens an
// authorization URL, approves the consent page, signs in at the stand-in for
// Google and follows the redirect to the client.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

func main() {
	account := flag.String("account", "alice@example.com", "account at the stand-in for Google")
	flag.Parse()
	if err := visit(flag.Arg(0), fakegoogle.Choice{Account: *account}); err != nil {
		fmt.Fprintln(os.Stderr, "person:", err)
		os.Exit(1)
	}
}

func visit(authorizeURL string, choice fakegoogle.Choice) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	b := browser.New()
	p, err := b.Get(ctx, authorizeURL)
	if err != nil {
		return err
	}
	f, button, ok := p.Button("decision", "approve")
	if !ok {
		return fmt.Errorf("%s answered status %d and no consent page", p.URL.Host, p.Status)
	}
	if p, err = b.Submit(ctx, p, f, button); err != nil {
		return err
	}
	if p, err = fakegoogle.Proceed(ctx, b, p, choice); err != nil {
		return err
	}
	if p.Status != 200 {
		return fmt.Errorf("%s%s answered status %d", p.URL.Host, p.URL.Path, p.Status)
	}
	return nil
}
