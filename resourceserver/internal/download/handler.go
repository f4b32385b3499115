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
	"sync"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/tool"
)

const (
	// parallel bounds the downloads of one replica: each holds a connection at
	// Google and one to the person.
	parallel = 16
	// perPerson bounds those of one person, so that nobody takes all of them.
	perPerson = 3
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
	// is not served here, or not under this Host value.
	Admit func(ctx context.Context, host string, l Presented) (context.Context, *bearer.Refusal, bool)
	// Served returns a tool of a resource, false if it is not offered there (any
	// more).
	Served func(resource, tool string) (Served, bool)
	// Limits count a download as a call of its tool.
	Limits *ratelimit.Limits
	// Called learns how each download of a person ended; must not block.
	Called func(ctx context.Context, tool, outcome string, took time.Duration)

	slots chan struct{}

	mu      sync.Mutex
	running map[person]int
}

type person struct{ tenant, subject string }

// New checks the handler's fields.
func New(h *Handler) (*Handler, error) {
	if h.Links == nil || h.Admit == nil || h.Served == nil || h.Limits == nil || h.Called == nil {
		return nil, errors.New("downloads need links, authentication, sources, limits and who learns of them")
	}
	h.slots, h.running = make(chan struct{}, parallel), map[person]int{}
	return h, nil
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
	if refusal := h.serve(ctx, w, r.Host, r.URL.Query().Get("link")); refusal != nil {
		if refusal.retryAfter > 0 {
			header.Set("Retry-After", strconv.Itoa(refusal.retryAfter))
		}
		say(w, refusal.status, refusal.text)
	}
}

// serve streams the file of a link within the limits, or returns why not. Whoever
// a link let in is reported.
func (h *Handler) serve(ctx context.Context, w http.ResponseWriter, host, sealed string) *refusal {
	running, l, served, no := h.admit(ctx, host, sealed)
	if no != nil {
		return no
	}
	start, outcome := time.Now(), string(tool.CodeInternal)
	defer func() { h.Called(running, l.Tool, outcome, time.Since(start)) }()
	leave, limited := h.enter(running, l.Tool)
	if limited != nil {
		outcome = string(limited.Code)
		httpx.Annotate(ctx, slog.String("outcome", outcome))
		return &refusal{http.StatusTooManyRequests, max(1, int(limited.RetryAfter/time.Second)), limited.Message}
	}
	defer leave()
	file, err := served.Open(running, l.Account, l.File)
	if errors.Is(err, context.Canceled) {
		err = &tool.Error{Code: tool.CodeUnavailable, Message: "The download was cancelled.", Retryable: true}
	}
	if err != nil {
		var e *tool.Error
		if errors.As(err, &e) {
			outcome = string(e.Code)
		}
		return failed(ctx, err)
	}
	defer func() { _ = file.Body.Close() }()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxDuration))
	// The sender's word for the type is not repeated: the file is for saving.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition(file.Name))
	if _, err := io.Copy(w, file.Body); err != nil {
		outcome = string(tool.CodeUnavailable)
		httpx.Failed(ctx, fmt.Errorf("streaming download: %w", tool.Plain(err)))
		// The rest is missing: cut the connection, or a part would pass for the whole.
		panic(http.ErrAbortHandler)
	}
	outcome = "ok"
	return nil
}

// enter takes one of the person's few places and counts the download as a call of
// its tool. leave gives the place back.
func (h *Handler) enter(ctx context.Context, name string) (leave func(), limited *tool.Error) {
	p := bearer.From(ctx)
	who := person{p.Tenant, p.Subject}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[who] >= perPerson {
		return nil, &tool.Error{Code: tool.CodeRateLimited, Message: "Too many of your downloads are running. Try again when one has ended.", Retryable: true, RetryAfter: 5 * time.Second}
	}
	if e := h.Limits.Call(ctx, name); e != nil {
		return nil, e
	}
	h.running[who]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.running[who]--; h.running[who] == 0 {
			delete(h.running, who)
		}
	}, nil
}

type refusal struct {
	status     int
	retryAfter int // seconds
	text       string
}

var gone = &refusal{status: http.StatusGone, text: "This download link has ended. Ask the assistant for a new one."}

// admit returns the context of a link's tool, for the person of its token.
func (h *Handler) admit(ctx context.Context, host, sealed string) (running context.Context, l link, served Served, no *refusal) {
	l, _, err := h.Links.box.Open(sealed)
	if err != nil {
		return nil, l, served, gone
	}
	httpx.Annotate(ctx, slog.String("tool", l.Tool))
	served, ok := h.Served(l.Resource, l.Tool)
	if !ok {
		return nil, l, served, gone
	}
	admitted, refused, ok := h.Admit(ctx, host, Presented{l})
	switch {
	case !ok:
		return nil, l, served, gone
	case refused != nil && refused.Status >= http.StatusInternalServerError:
		return nil, l, served, &refusal{refused.Status, int(refused.RetryAfter / time.Second), refused.Sentence}
	case refused != nil:
		return nil, l, served, gone
	}
	if running, err = served.Tool.Enter(admitted); err != nil {
		return nil, l, served, gone
	}
	return running, l, served, nil
}

// failed is what the person is told of an error of a source.
func failed(ctx context.Context, err error) *refusal {
	var e *tool.Error
	if !errors.As(err, &e) {
		httpx.Failed(ctx, fmt.Errorf("opening download: %w", err))
		return &refusal{status: http.StatusInternalServerError, text: "Something went wrong in the server (request " + httpx.RequestID(ctx) + ")."}
	}
	httpx.Annotate(ctx, slog.String("outcome", string(e.Code)))
	switch {
	case e.Retryable:
		return &refusal{http.StatusServiceUnavailable, max(1, int(e.RetryAfter/time.Second)), e.Message}
	case e.Code == tool.CodeNotFound:
		return &refusal{status: http.StatusNotFound, text: e.Message}
	case e.Code == tool.CodeSessionEnded:
		return gone
	}
	httpx.Failed(ctx, fmt.Errorf("opening download: %w", err))
	return &refusal{status: http.StatusBadGateway, text: e.Message}
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
