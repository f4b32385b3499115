package filetext

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/pdf"
	"latchkey/resourceserver/internal/tool"
)

const (
	// parallel bounds how many files other than PDF are held and read at once in this
	// process; pdf.Parallel is that of PDF.
	parallel = 4
	// maxWait is how long a call waits for its place. With the reading it stays below
	// tool.MaxDuration.
	maxWait = 10 * time.Second
	// maxCalls bounds the calls of one person that wait or read.
	maxCalls = 8
	// retryAfter is what whoever waited in vain is told to wait.
	retryAfter = 5 * time.Second
)

// Reader reads files and has the places of those that are held and read. A file is
// fetched when it has its place, so whoever waits holds no file; and each person has
// one place at a time, so slow files of one are no delay for the others. There is
// one for a process. It is safe for concurrent use.
type Reader struct {
	ready       func(context.Context) error // waits for PDFium; pdf.Ready
	pdf, others chan struct{}

	mu     sync.Mutex
	people map[person]*turns
}

// New returns a reader whose places are free.
func New() *Reader {
	return &Reader{ready: pdf.Ready, pdf: make(chan struct{}, pdf.Parallel), others: make(chan struct{}, parallel), people: map[person]*turns{}}
}

type person struct{ tenant, subject string }

// turns are those of one person.
type turns struct {
	place chan struct{} // the one
	calls int           // that wait or read; Reader.mu holds for it
}

// take waits for a place of a kind for the person of the running call; leave gives
// it back. Errors are *tool.Error and that of the context.
func (r *Reader) take(ctx context.Context, kind chan struct{}) (leave func(), err error) {
	who := bearer.From(ctx)
	if who == nil {
		return nil, errors.New("reading a file for nobody")
	}
	own, end := r.join(person{who.Tenant, who.Subject})
	if own == nil {
		return nil, busy("Too many of your files are being read.", "Read them one after another.")
	}
	if kind == r.pdf { // it may have to be made, which takes some seconds and no place
		if err := r.ready(ctx); err != nil {
			end()
			return nil, unavailable(err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	if !enter(waiting, own.place) {
		end()
		return nil, late(ctx, busy("Another of your files is still being read.", "Call again when it has been."))
	}
	if !enter(waiting, kind) {
		<-own.place
		end()
		return nil, late(ctx, busy("Many files are being read at this moment.", "Call again shortly."))
	}
	return func() {
		<-kind
		<-own.place
		end()
	}, nil
}

// join counts a call of a person until its end; nil if there are too many.
func (r *Reader) join(who person) (own *turns, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own = r.people[who]
	if own == nil {
		own = &turns{place: make(chan struct{}, 1)}
		r.people[who] = own
	}
	if own.calls >= maxCalls {
		return nil, nil
	}
	own.calls++
	return own, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if own.calls--; own.calls == 0 {
			delete(r.people, who)
		}
	}
}

// enter takes a place, unless nobody waits any more.
func enter(ctx context.Context, place chan struct{}) bool {
	select {
	case place <- struct{}{}:
		if ctx.Err() != nil {
			<-place
			return false
		}
		return true
	case <-ctx.Done():
		return false
	}
}

// late is why there was no place: the call's own end, or the wait's.
func late(ctx context.Context, otherwise *tool.Error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return otherwise
}

func busy(message, next string) *tool.Error {
	return &tool.Error{Code: tool.CodeUnavailable, Message: message, NextAction: next, Retryable: true, RetryAfter: retryAfter}
}

// unavailable is the error of a file of which nothing is known: there is no PDFium.
func unavailable(err error) error {
	if !errors.Is(err, pdf.ErrUnavailable) {
		return err
	}
	e := busy("PDF files cannot be read at this moment.", "Call again shortly.")
	e.Cause = err
	return e
}
