package bearer

import (
	"context"
	"net/http"
	"sync"
)

// late lets a tool refuse on the HTTP level after the guard let the request
// pass: the exchange knows of revocations that the token does not show. It
// works as long as the response was not begun.
type late struct {
	http.ResponseWriter
	guard   *Guard
	body    []byte
	message *Message

	mu      sync.Mutex
	refusal *Refusal
	begun   bool
	discard bool // the refusal was written; what the protocol library says is dropped
}

type lateKey struct{}

// Refuse replaces the response of the running request and reports whether it
// is still possible. The caller returns its own error in both cases.
func Refuse(ctx context.Context, r *Refusal) bool {
	l, ok := ctx.Value(lateKey{}).(*late)
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return false
	}
	refusal := *r
	switch {
	case refusal.Status == http.StatusUnauthorized && refusal.Scopes.Empty():
		refusal.Scopes = l.guard.baseline
	case refusal.Status == http.StatusForbidden:
		if p := From(ctx); p != nil {
			refusal.Scopes = refusal.Scopes.Union(p.Scopes)
		}
	}
	l.refusal = &refusal
	return true
}

func (l *late) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin(status)
}

// begin writes the header once. l.mu must be held.
func (l *late) begin(status int) {
	switch {
	case l.begun:
	case l.refusal != nil:
		l.begun, l.discard = true, true
		l.guard.refuse(l.ResponseWriter, l.refusal)
	default:
		l.begun = status >= 200
		l.ResponseWriter.WriteHeader(status)
	}
}

func (l *late) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin(http.StatusOK)
	if l.discard {
		return len(b), nil
	}
	return l.ResponseWriter.Write(b)
}

// Flush passes a flush on, for server-sent events.
func (l *late) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin(http.StatusOK)
	_ = http.NewResponseController(l.ResponseWriter).Flush()
}

// finish writes a refusal that came so late that nobody wrote a header.
func (l *late) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal != nil {
		l.begin(http.StatusOK)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (l *late) Unwrap() http.ResponseWriter { return l.ResponseWriter }
