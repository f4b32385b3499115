package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Server is one listener with its handler.
type Server struct {
	Name     string // for messages: "public", "internal"
	Setting  string // the setting that holds the address, named when it is taken
	Addr     string // host:port; port 0 picks a free one
	Handler  http.Handler
	TLS      *tls.Config // nil: plain http
	listener net.Listener
}

// Listen opens the server's port. The error is one sentence that says what to
// do.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("the %s address %s is already in use: stop the program that holds it, or set %s to another address", s.Name, s.Addr, s.Setting)
		}
		return fmt.Errorf("cannot listen on the %s address %s: %w: set %s to an address of this machine", s.Name, s.Addr, err, s.Setting)
	}
	s.listener = l
	return nil
}

// Address is the address the server listens on; it is valid after Listen.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Timeouts and sizes that every listener has: nothing hangs, whatever is sent.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 120 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 32 << 10
	shutdownTimeout   = 20 * time.Second
)

// Serve listens on every server that does not yet, serves until ctx ends, then
// lets running requests finish for up to 20 s. It returns nil after a clean
// shutdown.
func Serve(ctx context.Context, log *slog.Logger, servers ...*Server) error {
	for _, s := range servers {
		if s.listener == nil {
			if err := s.Listen(); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var running []*http.Server
	for _, s := range servers {
		h := &http.Server{
			Handler: s.Handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
			WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), TLSConfig: s.TLS,
		}
		running = append(running, h)
		log.Info("listening", "server", s.Name, "address", s.Address(), "tls", s.TLS != nil)
		wg.Go(func() {
			serve := h.Serve
			if s.TLS != nil {
				serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
			}
			if err := serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serving on %s: %w", s.Address(), err))
			}
		})
	}
	<-ctx.Done()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer done()
	for _, h := range running {
		wg.Go(func() {
			if err := h.Shutdown(stop); err != nil {
				_ = h.Close()
			}
		})
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}
