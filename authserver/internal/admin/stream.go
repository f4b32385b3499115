package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

const (
	// streamTime bounds an export, so that it ends before the listener gives the
	// answer up. Of more than that a client asks for parts, or the command does it.
	streamTime = 100 * time.Second
	// mostStreams is how many exports a server writes at once, each of another
	// tenant: each holds a connection to the database, and a client of one
	// tenant that reads slowly keeps out nobody else.
	mostStreams = 2
)

// streams are the tenants whose exports are being written.
type streams struct {
	mu sync.Mutex
	of map[tenant.ID]bool
}

func (s *streams) begin(t tenant.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[t] || len(s.of) >= mostStreams {
		return false
	}
	s.of[t] = true
	return true
}

func (s *streams) end(t tenant.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, t)
}

// lines is the media type of exports: JSON objects, one a line.
const lines = "application/jsonl"

// stream answers with what write writes. An answer that could not be completed is
// cut off, so that nobody takes it for the whole.
func (a *API) stream(c *call, write func(ctx context.Context, w io.Writer) error) error {
	if !a.streams.begin(c.tenant) {
		e := oauth.Unavailable(errors.New("other exports are under way"))
		e.RetryAfter = streamTime / mostStreams
		return e
	}
	defer a.streams.end(c.tenant)
	ctx, cancel := context.WithTimeout(c.ctx(), streamTime)
	defer cancel()
	c.w.Header().Set("Content-Type", lines)
	err := write(ctx, c.w)
	if err != nil && httpx.Started(c.w) {
		httpx.Failed(c.ctx(), err)
		panic(http.ErrAbortHandler) // the client sees that the answer is not complete
	}
	return err
}
