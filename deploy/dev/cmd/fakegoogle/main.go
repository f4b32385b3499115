// Command fakegoogle runs the stand-in for Google on loopback, for development.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"latchkey/deploy/dev/fakegoogle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakegoogle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fakegoogle", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	issuer := flags.String("issuer", "", "URL at which it is reached (default: http:// and the address)")
	id := flags.String("client-id", "dev-client", "OAuth client id")
	secret := flags.String("client-secret", "dev-secret", "OAuth client secret")
	redirects := flags.String("redirect-uri", "", "allowed redirect URIs, separated by commas")
	lifetime := flags.Duration("token-lifetime", time.Hour, "life of access tokens")
	testing := flags.Duration("testing-mode", 0, "consent screen in testing mode: life of refresh tokens, at Google 168h")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the address %s is already in use: stop the program that holds it, or choose another with -listen", *listen)
	}
	if err != nil {
		return err
	}
	if *issuer == "" {
		*issuer = "http://" + l.Addr().String()
	}
	s, err := fakegoogle.New(fakegoogle.Config{
		Issuer: *issuer, TokenLifetime: *lifetime,
		Clients: []fakegoogle.Client{{ID: *id, Secret: *secret, RedirectURIs: strings.Split(*redirects, ","), Testing: *testing}},
	})
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	fmt.Println("listening on", *issuer)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
