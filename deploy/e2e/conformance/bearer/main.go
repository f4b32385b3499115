// Command bearer is a proxy in front of an MCP server for programs that cannot
// authorize: it signs a person in as any client does, puts the access token on
// every request, and passes everything else on as it came, Host and Origin too.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"time"

	"latchkey/deploy/dev/smoke"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: bearer MCP-URL")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// run prints its own URL once it answers, and ends with ctx.
func run(ctx context.Context, mcpURL string) error {
	c, err := smoke.New(smoke.Config{MCPURL: mcpURL, Out: io.Discard})
	if err != nil {
		return err
	}
	if err := c.SignIn(ctx); err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	to, err := url.Parse(mcpURL)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Header.Set("Authorization", "Bearer "+c.AccessToken())
		},
	}}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Printf("http://%s%s\n", listener.Addr(), to.Path)
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
