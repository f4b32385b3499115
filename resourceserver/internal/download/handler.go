package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

const (
	// parallel bounds the downloads of one replica: each holds a connection at
	// Google and one to the person.
	parallel = 16
	// maxDuration bounds one download; the listener's write timeout is for answers.
	maxDuration = 5 * time.Minute
	maxName     = 150
)

// Served is a tool whose links are served.
type Served struct {
	Tool *tool.Tool
	Open Source
}

// Handler serves links. Every field is required.
type Handler struct {
	Links *Links
	// Admit authenticates a token at the resource that it is for; false if that
	// is not served here.
	Admit func(ctx context.Context, l Presented) (context.Context, *bearer.Refusal, bool)
	// Served returns a tool of a resource, false if it is not offered there (any
	// more).
	Served func(resource, tool string) (Served, bool)

	slots chan struct{}
}

// New checks the handler's fields.
func New(h Handler) (*Handler, error) {
	if h.Links == nil || h.Admit == nil || h.Served == nil {
		return nil, errors.New("downloads need links, authentication and sources")
	}
	h.slots = make(chan struct{}, parallel)
	return &h, nil
}

// ServeHTTP streams the file of a link. A link is no cookie: no page can make a
// browser send one that it does not know.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if r.Method != http.MethodGet {
		header.Set("Allow", "GET")
		say(w, http.StatusMethodNotAllowed, "A download link is opened with GET.")
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		header.Set("Retry-After", "5")
		say(w, http.StatusServiceUnavailable, "Too many downloads are running. Try again shortly.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxDuration)
	defer cancel()
	file, refusal := h.open(ctx, r.URL.Query().Get("link"))
	if refusal != nil {
		if refusal.retryAfter > 0 {
			header.Set("Retry-After", strconv.Itoa(refusal.retryAfter))
		}
		say(w, refusal.status, refusal.text)
		return
	}
	defer func() { _ = file.Body.Close() }()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxDuration))
	// The sender's word for the type is not repeated: the file is for saving.
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", disposition(file.Name))
	if _, err := io.Copy(w, file.Body); err != nil {
		httpx.Failed(ctx, fmt.Errorf("streaming download: %w", tool.Plain(err)))
		// The rest is missing: cut the connection, or a part would pass for the whole.
		panic(http.ErrAbortHandler)
	}
}

type refusal struct {
	status     int
	retryAfter int // seconds
	text       string
}

var gone = &refusal{status: http.StatusGone, text: "This download link has ended. Ask the assistant for a new one."}

func (h *Handler) open(ctx context.Context, sealed string) (*File, *refusal) {
	l, _, err := h.Links.box.Open(sealed)
	if err != nil {
		return nil, gone
	}
	httpx.Annotate(ctx, slog.String("tool", l.Tool))
	served, ok := h.Served(l.Resource, l.Tool)
	if !ok {
		return nil, gone
	}
	admitted, no, ok := h.Admit(ctx, Presented{l})
	switch {
	case !ok:
		return nil, gone
	case no != nil && no.Status >= http.StatusInternalServerError:
		return nil, &refusal{no.Status, int(no.RetryAfter / time.Second), no.Sentence}
	case no != nil:
		return nil, gone
	}
	running, err := served.Tool.Enter(admitted)
	if err != nil {
		return nil, gone
	}
	file, err := served.Open(running, l.Account, l.File)
	if err == nil {
		return file, nil
	}
	var e *tool.Error
	if !errors.As(err, &e) {
		httpx.Failed(ctx, fmt.Errorf("opening download: %w", err))
		return nil, &refusal{status: http.StatusInternalServerError, text: "Something went wrong in the server (request " + httpx.RequestID(ctx) + ")."}
	}
	httpx.Annotate(ctx, slog.String("outcome", string(e.Code)))
	switch {
	case e.Retryable:
		return nil, &refusal{http.StatusServiceUnavailable, max(1, int(e.RetryAfter/time.Second)), e.Message}
	case e.Code == tool.CodeNotFound:
		return nil, &refusal{status: http.StatusNotFound, text: e.Message}
	case e.Code == tool.CodeSessionEnded:
		return nil, gone
	}
	httpx.Failed(ctx, fmt.Errorf("opening download: %w", err))
	return nil, &refusal{status: http.StatusBadGateway, text: e.Message}
}

// Presented is a link whose seal was whole. Only this package makes one.
type Presented struct{ link link }

// Resource is the audience of the link's token.
func (p Presented) Resource() string { return p.link.Resource }

// Redeem authenticates the link's token with the guard of its resource.
func (p Presented) Redeem(ctx context.Context, g *bearer.Guard) (context.Context, *bearer.Refusal) {
	return g.Redeem(ctx, p.link.token())
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// disposition names the file (RFC 6266), without a path and without what could
// hide its ending.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|%`, r) {
			return '_'
		}
		return r
	}, content.Line(name, maxName))
	if name = strings.Trim(name, ". "); name == "" {
		name = "download"
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}
