package googleapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"latchkey/pkg/httpx"
)

const (
	maxAttempts = 4
	firstPause  = 250 * time.Millisecond
	longPause   = 5 * time.Second  // most that one pause may take
	maxWait     = 10 * time.Second // a Retry-After beyond this is handed to the caller
	maxErrorLen = 64 << 10
)

// retrier repeats requests that are safe to repeat when Google says "later":
// exponential pauses with full jitter, Retry-After honoured, never beyond the
// context. The generated clients do not retry (LIBRARIES C).
type retrier struct{ next http.RoundTripper }

func (t *retrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if !repeatable(r) {
		return t.next.RoundTrip(r)
	}
	first := r
	for attempt := 1; ; attempt++ {
		if attempt > 1 && first.Body != nil && first.Body != http.NoBody {
			body, err := first.GetBody()
			if err != nil {
				return nil, err
			}
			r = first.Clone(first.Context())
			r.Body = body
		}
		resp, err := t.next.RoundTrip(r)
		pause, again := t.again(r, resp, err, attempt)
		if !again {
			return resp, err
		}
		if resp != nil {
			discard(resp)
		}
		timer := time.NewTimer(pause)
		select {
		case <-r.Context().Done():
			timer.Stop()
			return nil, r.Context().Err()
		case <-timer.C:
		}
	}
}

type idempotentKey struct{}

// Idempotent marks the requests of a context as safe to repeat although they are
// no GETs: what they do twice is as done once. Never for what sends or adds.
func Idempotent(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey{}, true)
}

// repeatable reports whether a request may be sent again (RFC 9110 §9.2.2; PUT
// and DELETE are left out: a lost answer to a DELETE would become "not found").
func repeatable(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	marked, _ := r.Context().Value(idempotentKey{}).(bool)
	return marked && (r.Body == nil || r.Body == http.NoBody || r.GetBody != nil)
}

// again decides whether to repeat, and after which pause.
func (t *retrier) again(r *http.Request, resp *http.Response, err error, attempt int) (time.Duration, bool) {
	if attempt >= maxAttempts || r.Context().Err() != nil {
		return 0, false
	}
	limit := min(firstPause<<(attempt-1), longPause)
	pause := rand.N(limit) + time.Millisecond
	switch {
	case err != nil:
		if _, ours := asToolError(err); ours { // the exchange said no: its error, not the network's
			return 0, false
		}
	case !transient(resp):
		return 0, false
	default:
		if wait := httpx.RetryAfter(resp.Header); wait > maxWait {
			return 0, false
		} else if wait > 0 {
			pause = wait + rand.N(firstPause)
		}
	}
	if deadline, ok := r.Context().Deadline(); ok && time.Now().Add(pause).After(deadline) {
		return 0, false
	}
	return pause, true
}

// transient reports whether Google asks to come back later. 403 is its older
// way to say 429; the reason is in the body.
func transient(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusForbidden:
		return rateLimited(peekReasons(resp))
	}
	return false
}

func rateLimited(reasons []string) bool {
	for _, reason := range reasons {
		switch reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED":
			return true
		}
	}
	return false
}

// peekReasons reads the reasons of an error body and puts the body back.
func peekReasons(resp *http.Response) []string {
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorLen))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	if err != nil {
		return nil
	}
	return reasonsOf(head)
}

// reasonsOf finds the reasons of Google's JSON error in both of its forms.
func reasonsOf(body []byte) []string {
	var e struct {
		Error struct {
			Errors  []struct{ Reason string }
			Details []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &e) != nil {
		return nil
	}
	var out []string
	for _, d := range append(e.Error.Errors, e.Error.Details...) {
		if d.Reason != "" {
			out = append(out, d.Reason)
		}
	}
	return out
}

// discard reads a little of a body that nobody wants, so that the connection can
// be used again.
func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorLen))
	_ = resp.Body.Close()
}

var errTooLarge = errors.New("response larger than allowed")

// limiter bounds the size of an answer: more is an error, never a cut result.
type limiter struct {
	next  http.RoundTripper
	max   int64
	share *share // of what is held; nil for what is streamed
}

func (t *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > t.max {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("reading answer of Google: %w", errTooLarge)
	}
	resp.Body = &limited{ReadCloser: resp.Body, left: t.max, share: t.share, room: unheld}
	return resp, nil
}

type limited struct {
	io.ReadCloser
	left  int64
	share *share
	room  int64 // that is counted and not yet used
}

// maxTail is what Close reads of a body, in bytes: the end of a chunked one.
const maxTail = 512

// Close reads the end of an answer whose reader stopped at the end of its JSON, as
// the generated clients do: HTTP/1.1 would give up the connection otherwise.
func (b *limited) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, maxTail)
	return b.ReadCloser.Close()
}

func (b *limited) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, errTooLarge
	}
	if b.room -= int64(n); b.room < 0 && b.share != nil {
		more := max(heldStep, -b.room)
		if full := b.share.take(more); full != nil {
			return 0, full
		}
		b.room += more
	}
	return n, err
}
