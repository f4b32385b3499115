package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

const (
	// streamTime bounds an export, so that it ends before the listener gives the
	// answer up. Of more than that a client asks for parts, or the command does it.
	streamTime = 100 * time.Second
	// mostStreams is how many exports a server writes at once: each holds a
	// connection to the database.
	mostStreams = 2
)

// lines is the media type of exports: JSON objects, one a line.
const lines = "application/jsonl"

// stream answers with what write writes. An answer that could not be completed is
// cut off, so that nobody takes it for the whole.
func (a *API) stream(c *call, write func(ctx context.Context, w io.Writer) error) error {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		e := oauth.Unavailable(errors.New("other exports are under way"))
		e.RetryAfter = streamTime / mostStreams
		return e
	}
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
