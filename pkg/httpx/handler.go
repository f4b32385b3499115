package httpx

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HandlerFunc is a handler that returns its error. An adapter with one
// renderer per error surface turns it into an http.Handler; a HandlerFunc that
// returns an error has written nothing.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

type eventKey struct{}

// event is the request's canonical log line in the making.
type event struct {
	id string

	mu    sync.Mutex
	attrs []slog.Attr
	err   error
}

// ownAttrs are the attributes that every line begins with.
const ownAttrs = 5

// RequestID returns the id of the request the context belongs to, "" outside
// a request. It is safe to show: people quote it to find the log line.
func RequestID(ctx context.Context) string {
	if e, ok := ctx.Value(eventKey{}).(*event); ok {
		return e.id
	}
	return ""
}

// Annotate adds attributes to the request's canonical log line. Values must
// not be secrets or personal data (DESIGN §1.7).
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	if e, ok := ctx.Value(eventKey{}).(*event); ok {
		e.mu.Lock()
		e.attrs = append(e.attrs, attrs...)
		e.mu.Unlock()
	}
}

// Failed records the error behind a response, for the log line only. The
// renderers call it; it is the one place an error is logged.
func Failed(ctx context.Context, err error) {
	if e, ok := ctx.Value(eventKey{}).(*event); ok {
		e.mu.Lock()
		e.err = err
		e.mu.Unlock()
	}
}

// Observe gives each request an id and the X-Request-Id header, writes one log
// line at its end, and turns a panic into a bare 500: never a stack trace to
// the client.
func Observe(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e := &event{id: rand.Text()[:16], attrs: make([]slog.Attr, ownAttrs, ownAttrs+16)}
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set("X-Request-Id", e.id)
		r = r.WithContext(context.WithValue(r.Context(), eventKey{}, e))
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				log.Error("panic", "request_id", e.id, "panic", p, "stack", string(debug.Stack()))
				if !rec.wrote {
					http.Error(rec, "internal error, request id "+e.id, http.StatusInternalServerError)
				}
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			status := rec.status
			if status == 0 {
				status = http.StatusOK
			}
			attrs := e.attrs
			copy(attrs, []slog.Attr{
				slog.String("request_id", e.id), slog.String("method", r.Method), slog.String("path", loggedPath(r.URL.Path)),
				slog.Int("status", status), slog.Duration("took", time.Since(start)),
			})
			level := slog.LevelInfo
			if e.err != nil {
				attrs = append(attrs, slog.String("error", e.err.Error()))
			}
			if status >= 500 {
				level = slog.LevelError
			}
			if errors.Is(r.Context().Err(), context.Canceled) {
				attrs = append(attrs, slog.Bool("client_gone", true))
			}
			log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
			if p == http.ErrAbortHandler {
				panic(p)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// maxSegment is the longest part of a path that is logged. One-time links carry
// 43 characters of secret; nothing that helps to find a fault is as long.
const maxSegment = 39

func loggedPath(path string) string {
	if len(path) <= maxSegment {
		return path
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if len(p) > maxSegment {
			parts[i] = "[" + strconv.Itoa(len(p)) + " characters]"
		}
	}
	return strings.Join(parts, "/")
}

// recorder notes the status and whether the response was begun.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= 200 {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush passes a flush on, for server-sent events.
func (r *recorder) Flush() {
	r.wrote = true
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Started reports whether the response was begun, after which a renderer may
// only log.
func Started(w http.ResponseWriter) bool {
	for {
		if rec, ok := w.(*recorder); ok {
			return rec.wrote
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}
