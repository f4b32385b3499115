package outbound_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authserver/internal/outbound"
)

// roots trusts a test server. Its certificate is for 127.0.0.1, ::1 and
// *.example.com.
func roots(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

// serve starts an https server on loopback and a fetcher that may go there.
func serve(t *testing.T, h http.HandlerFunc) (*outbound.Fetcher, string) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	f, err := outbound.New(outbound.Config{AllowHosts: []string{strings.TrimPrefix(server.URL, "https://")}, RootCAs: roots(server)})
	if err != nil {
		t.Fatal(err)
	}
	f.Patient()
	return f, server.URL
}

// document answers as a host of documents should.
func document(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(body))
}

// world is an https server that is every host, reached over connections in
// memory: in a synctest bubble its seconds cost nothing.
type world struct {
	*outbound.Fetcher
	conns chan net.Conn
	done  chan struct{}
	close func() // of done, once: both servers on top of it close their listener
}

// newWorld must be called in a bubble. Its connections bypass resolver and
// address check, which have tests of their own.
func newWorld(t *testing.T, h http.HandlerFunc) *world {
	t.Helper()
	return newWorldAt(t, time.Now, h)
}

func newWorldAt(t *testing.T, now func() time.Time, h http.HandlerFunc) *world {
	t.Helper()
	w := &world{conns: make(chan net.Conn), done: make(chan struct{})}
	w.close = sync.OnceFunc(func() { close(w.done) })
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close()
	server.Listener = w
	server.StartTLS()
	t.Cleanup(server.Close)
	var err error
	if w.Fetcher, err = outbound.New(outbound.Config{RootCAs: roots(server), Now: now}); err != nil {
		t.Fatal(err)
	}
	w.Dial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case w.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return w
}

func (w *world) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *world) Close() error {
	w.close()
	return nil
}

func (w *world) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
