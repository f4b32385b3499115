package signedlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/tool"
)

// parallel bounds the transfers of one kind in one replica: each holds a connection
// at Google and one to the person.
const parallel = 16

// Rules are who may come in and who learns of it. Every field is required.
type Rules struct {
	// Admit authenticates a token at the resource that it is for; false if that
	// is not served here, or not under this Host value.
	Admit func(ctx context.Context, host string, l Presented) (context.Context, *bearer.Refusal, bool)
	// Tool returns a tool of a resource, nil if it is not offered there (any more).
	Tool func(resource, tool string) *tool.Tool
	// Limits count what is done by a link as a call of its tool.
	Limits *ratelimit.Limits
	// Called learns how each use of a link ended; must not block.
	Called func(ctx context.Context, tool, outcome string, took time.Duration)
}

// Door lets people in by links of one kind.
type Door[T any] struct {
	links     *Links[T]
	rules     Rules
	what      string // one of what is done: "download"
	perPerson int
	serves    func(tool string) bool

	slots chan struct{}

	mu      sync.Mutex
	running map[person]int
}

type person struct{ tenant, subject string }

// NewDoor checks the rules. what names what is done, in the singular; perPerson
// bounds how many of them one person has running at once in this replica, so that
// nobody takes all places. Links of tools that serves does not know lead nowhere.
func NewDoor[T any](links *Links[T], rules Rules, what string, perPerson int, serves func(tool string) bool) (*Door[T], error) {
	if links == nil || rules.Admit == nil || rules.Tool == nil || rules.Limits == nil || rules.Called == nil || perPerson < 1 || serves == nil {
		return nil, errors.New("links need authentication, tools, limits and who learns of them")
	}
	return &Door[T]{
		links: links, rules: rules, what: what, perPerson: perPerson, serves: serves, slots: make(chan struct{}, parallel), running: map[person]int{},
	}, nil
}

// Visit is what a link was let in for.
type Visit[T any] struct {
	Tool    *tool.Tool
	Account string
	Target  T
}

// Refusal is what the person is told instead.
type Refusal struct {
	Status     int
	RetryAfter int // seconds
	Text       string
}

// Cut is the error of an answer that was begun and whose rest is missing: the
// connection is cut, or a part would pass for the whole.
type Cut struct{ Err error }

func (c *Cut) Error() string { return c.Err.Error() }

// Unwrap returns the cause.
func (c *Cut) Unwrap() error { return c.Err }

// Look admits the link of a request and does nothing else with it.
func (d *Door[T]) Look(r *http.Request) (Visit[T], *Refusal) {
	_, v, refusal := d.admit(r.Context(), r.Host, r.URL.Query().Get("link"))
	return v, refusal
}

// Use admits the link of a request within the limits and lets use do what it is
// for, or returns why not. Errors of use are *tool.Error or *Cut; whoever a link
// let in is reported.
func (d *Door[T]) Use(r *http.Request, most time.Duration, use func(ctx context.Context, v Visit[T]) error) *Refusal {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return &Refusal{http.StatusServiceUnavailable, 5, "Too many " + d.what + "s are running. Try again shortly."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), most)
	defer cancel()
	running, v, no := d.admit(ctx, r.Host, r.URL.Query().Get("link"))
	if no != nil {
		return no
	}
	start, outcome := time.Now(), string(tool.CodeInternal)
	defer func() { d.rules.Called(running, v.Tool.Name, outcome, time.Since(start)) }()
	leave, limited := d.enter(running, v.Tool.Name)
	if limited != nil {
		outcome = string(limited.Code)
		httpx.Annotate(ctx, slog.String("outcome", outcome))
		return &Refusal{http.StatusTooManyRequests, max(1, int(limited.RetryAfter/time.Second)), limited.Message}
	}
	defer leave()
	err := use(running, v)
	var cut *Cut
	var e *tool.Error
	switch {
	case err == nil:
		outcome = "ok"
		return nil
	case errors.As(err, &cut):
		outcome = string(tool.CodeUnavailable)
		httpx.Failed(ctx, fmt.Errorf("streaming %s: %w", d.what, tool.Plain(cut.Err)))
		panic(http.ErrAbortHandler)
	case errors.Is(err, context.Canceled):
		e = &tool.Error{Code: tool.CodeUnavailable, Message: "The " + d.what + " was cancelled.", Retryable: true}
		err = e
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &e):
		e = &tool.Error{Code: tool.CodeTimeout, Message: "The " + d.what + " took too long.", Retryable: true}
		err = e
	}
	if errors.As(err, &e) {
		outcome = string(e.Code)
	}
	return d.failed(ctx, r.Method, err)
}

// enter takes one of the person's few places and counts a call of the tool. leave
// gives the place back.
func (d *Door[T]) enter(ctx context.Context, name string) (leave func(), limited *tool.Error) {
	p := bearer.From(ctx)
	who := person{p.Tenant, p.Subject}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running[who] >= d.perPerson {
		return nil, &tool.Error{Code: tool.CodeRateLimited, Message: "Too many of your " + d.what + "s are running. Try again when one has ended.", Retryable: true, RetryAfter: 5 * time.Second}
	}
	if e := d.rules.Limits.Call(ctx, name); e != nil {
		return nil, e
	}
	d.running[who]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.running[who]--; d.running[who] == 0 {
			delete(d.running, who)
		}
	}, nil
}

// admit returns the context of a link's tool, for the person of its token. No
// refusal tells why a link leads nowhere.
func (d *Door[T]) admit(ctx context.Context, host, value string) (running context.Context, v Visit[T], no *Refusal) {
	l, _, err := d.links.box.Open(value)
	if err != nil {
		return nil, v, d.gone()
	}
	httpx.Annotate(ctx, slog.String("tool", l.Tool))
	t := d.rules.Tool(l.Resource, l.Tool)
	if t == nil || !d.serves(t.Name) {
		return nil, v, d.gone()
	}
	admitted, refused, ok := d.rules.Admit(ctx, host, Presented{l.Resource, l.token()})
	switch {
	case !ok:
		return nil, v, d.gone()
	case refused != nil && refused.Status >= http.StatusInternalServerError:
		return nil, v, &Refusal{refused.Status, int(refused.RetryAfter / time.Second), refused.Sentence}
	case refused != nil:
		return nil, v, d.gone()
	}
	if running, err = t.Enter(admitted); err != nil {
		return nil, v, d.gone()
	}
	return running, Visit[T]{t, l.Account, l.Target}, nil
}

func (d *Door[T]) gone() *Refusal {
	return &Refusal{Status: http.StatusGone, Text: "This " + d.what + " link has ended. Ask the assistant for a new one."}
}

// failed is what the person is told of an error.
func (d *Door[T]) failed(ctx context.Context, method string, err error) *Refusal {
	var e *tool.Error
	if !errors.As(err, &e) {
		httpx.Failed(ctx, fmt.Errorf("opening %s: %w", d.what, err))
		return &Refusal{Status: http.StatusInternalServerError, Text: "Something went wrong in the server (request " + httpx.RequestID(ctx) + ")."}
	}
	httpx.Annotate(ctx, slog.String("outcome", string(e.Code)))
	switch {
	case e.Retryable:
		return &Refusal{http.StatusServiceUnavailable, max(1, int(e.RetryAfter/time.Second)), e.Message}
	case e.Code == tool.CodeNotFound:
		return &Refusal{Status: http.StatusNotFound, Text: e.Message}
	case e.Code == tool.CodeSessionEnded:
		return d.gone()
	case method == http.MethodGet: // nothing was asked for that could be wrong
	case e.Code == tool.CodeConflict:
		return &Refusal{Status: http.StatusConflict, Text: e.Message}
	case e.Code == tool.CodeTooLarge:
		return &Refusal{Status: http.StatusRequestEntityTooLarge, Text: e.Message}
	case e.Code == tool.CodeInvalidArgument:
		return &Refusal{Status: http.StatusBadRequest, Text: e.Message}
	case e.Code == tool.CodePolicy:
		return &Refusal{Status: http.StatusForbidden, Text: e.Message}
	}
	httpx.Failed(ctx, fmt.Errorf("opening %s: %w", d.what, err))
	return &Refusal{Status: http.StatusBadGateway, Text: e.Message}
}

// Headers are those of every answer at a link: nothing is stored, sent on, framed
// or run.
func Headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// Say answers in words.
func (r *Refusal) Say(w http.ResponseWriter, to *http.Request) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	Say(w, to, r.Status, r.Text)
}
