// Command bearer is a proxy in front of an MCP server for programs that cannot
// authorize: it signs a person in as any client does, puts the access token on
// every request, and passes everything else on as it came, Host and Origin too.
package main

import (
	"bytes"
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

const maxBody = 16 << 20

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

// whole reads each request's body before it is passed on. The server of a proxy
// closes the body with the first byte of the answer; a transport that has sent all
// of it, and not seen its end yet, takes that for a failed request and cuts the
// connection, and with it an answer that comes as a stream.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the body could not be read", http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
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
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Header.Set("Authorization", "Bearer "+c.AccessToken())
		},
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: whole(proxy)}
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
