package filetext_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/pdf"
	"latchkey/resourceserver/internal/tool"
)

// made is a PDFium that there is.
func made(context.Context) error { return nil }

// hall is a process whose places are looked at, within a synctest bubble.
type hall struct {
	t      *testing.T
	e      *bearertest.Endpoint
	reader *filetext.Reader
}

// call is a file that somebody reads.
type call struct {
	cancel  context.CancelFunc
	fetched atomic.Bool   // its bytes were asked for
	let     chan struct{} // closed, its bytes come: an error, so that nothing reads them
	ended   atomic.Bool
	err     error // once it has ended
}

var errNotRead = errors.New("not read")

// read begins a call and returns when it waits for something, or has ended.
func (h *hall) read(tenant, subject, mediaType string) *call {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.e.As(h.t.Context(), h.t, bearertest.Token{Tenant: tenant, Subject: subject, Life: time.Hour}))
	c := &call{cancel: cancel, let: make(chan struct{})}
	go func() {
		_, _, c.err = h.reader.Text(ctx, filetext.File{Type: mediaType, Fetch: func(ctx context.Context, _ int64) ([]byte, string, error) {
			c.fetched.Store(true)
			select {
			case <-c.let:
				return nil, "", errNotRead
			case <-ctx.Done():
				return nil, "", ctx.Err()
			}
		}})
		c.ended.Store(true)
	}()
	synctest.Wait()
	return c
}

// end lets the calls' bytes come, and looks that nothing is left.
func (h *hall) end(calls ...*call) {
	h.t.Helper()
	for _, c := range calls {
		close(c.let)
	}
	synctest.Wait()
	for i, c := range calls {
		if c.cancel(); !c.ended.Load() {
			h.t.Errorf("call %d did not end", i)
		}
	}
	if h.reader.People() != 0 {
		h.t.Error("people are kept")
	}
}

func within(t *testing.T, f func(h *hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(&hall{t, bearertest.New(t, at, nil), filetext.NewReader(made)})
	})
}

// busy reports whether a call was told to come again, without a byte of its file.
func (c *call) busy() bool {
	var e *tool.Error
	return c.ended.Load() && !c.fetched.Load() && errors.As(c.err, &e) && e.Code == tool.CodeUnavailable && e.Retryable && e.RetryAfter == filetext.RetryAfter && e.NextAction != ""
}

// TestOneAtATime: a person's files come one after another, whatever their kind;
// others, also of the same name in another tenant, do not wait for them.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	within(t, func(h *hall) {
		first, second, third := h.read("t", "alice", pdf.MediaType), h.read("t", "alice", "text/plain"), h.read("t", "alice", pdf.MediaType)
		bob, namesake := h.read("t", "bob", pdf.MediaType), h.read("u", "alice", "text/plain")
		if !first.fetched.Load() || second.fetched.Load() || third.fetched.Load() || !bob.fetched.Load() || !namesake.fetched.Load() {
			t.Errorf("fetched: %v %v %v, bob %v, namesake %v", first.fetched.Load(), second.fetched.Load(), third.fetched.Load(), bob.fetched.Load(), namesake.fetched.Load())
		}
		close(first.let)
		synctest.Wait()
		if !first.ended.Load() || second.fetched.Load() == third.fetched.Load() {
			t.Errorf("after the first: %v %v", second.fetched.Load(), third.fetched.Load())
		}
		h.end(second, third, bob, namesake)
	})
}

// TestPlaceBeforeFile: no file is fetched before there is a place for its kind;
// whoever waits too long is told to come again, and slow PDF files do not keep a
// text from being read.
func TestPlaceBeforeFile(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		places int
		other  string
	}{pdf.MediaType: {pdf.Parallel, docx}, docx: {filetext.Parallel, pdf.MediaType}, "text/plain": {filetext.Parallel, pdf.MediaType}} {
		within(t, func(h *hall) {
			var slow []*call
			for i := range c.places {
				slow = append(slow, h.read("t", fmt.Sprint("slow", i), kind))
			}
			began := time.Now()
			late, later, other := h.read("t", "late", kind), h.read("t", "later", kind), h.read("t", "other", c.other)
			if late.fetched.Load() || later.fetched.Load() || !other.fetched.Load() {
				t.Errorf("%s: fetched %v %v, of another kind %v", kind, late.fetched.Load(), later.fetched.Load(), other.fetched.Load())
			}
			time.Sleep(filetext.MaxWait / 2)
			close(slow[0].let)
			synctest.Wait()
			if !late.fetched.Load() || later.fetched.Load() {
				t.Errorf("%s: a place was free: %v %v", kind, late.fetched.Load(), later.fetched.Load())
			}
			time.Sleep(filetext.MaxWait/2 - 1)
			if later.ended.Load() {
				t.Errorf("%s: gave up early", kind)
			}
			time.Sleep(1)
			synctest.Wait()
			if !later.busy() || time.Since(began) != filetext.MaxWait {
				t.Errorf("%s: waited in vain: %v", kind, later.err)
			}
			h.end(append(slow[1:], late, other)...)
		})
	}
}

// TestQueueOfOne: a person's calls that wait are bounded, and one that waits in vain
// for the person's own turn is told so.
func TestQueueOfOne(t *testing.T) {
	t.Parallel()
	within(t, func(h *hall) {
		calls := []*call{}
		for range filetext.MaxCalls {
			calls = append(calls, h.read("t", "alice", "text/plain"))
		}
		if more := h.read("t", "alice", "text/plain"); !more.busy() {
			t.Errorf("one too many: %v", more.err)
		}
		if bob := h.read("t", "bob", "text/plain"); !bob.fetched.Load() {
			t.Error("another person waits")
		} else {
			close(bob.let)
		}
		time.Sleep(filetext.MaxWait)
		synctest.Wait()
		for i, c := range calls[1:] {
			if !c.busy() {
				t.Errorf("call %d: %v", i, c.err)
			}
		}
		h.end(calls[0])
	})
}

// TestNoPDFium: as long as PDFium is being made, PDF files wait and take no place;
// where it cannot be made they are told to come again.
func TestNoPDFium(t *testing.T) {
	t.Parallel()
	within(t, func(h *hall) {
		making := make(chan error)
		h.reader = filetext.NewReader(func(ctx context.Context) error {
			select {
			case err := <-making:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		waits, gone, other := h.read("t", "alice", pdf.MediaType), h.read("t", "bob", pdf.MediaType), h.read("t", "alice", "text/plain")
		if waits.ended.Load() || waits.fetched.Load() || !other.fetched.Load() {
			t.Errorf("made: fetched %v, another file %v", waits.fetched.Load(), other.fetched.Load())
		}
		gone.cancel()
		synctest.Wait()
		if !gone.ended.Load() || !errors.Is(gone.err, context.Canceled) {
			t.Errorf("nobody waits: %v", gone.err)
		}
		time.Sleep(2 * filetext.MaxWait)
		making <- fmt.Errorf("%w: compiling", pdf.ErrUnavailable)
		synctest.Wait()
		if !waits.busy() {
			t.Errorf("not made: %v", waits.err)
		}
		h.end(other)
	})
}

// TestNobodyWaits: a call that ends while it waits takes no place, nor does one that
// has ended before; nobody reads for nobody.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	within(t, func(h *hall) {
		slow := []*call{h.read("t", "a", pdf.MediaType), h.read("t", "b", pdf.MediaType)}
		own, kind, again := h.read("t", "a", pdf.MediaType), h.read("t", "c", pdf.MediaType), h.read("t", "c", pdf.MediaType)
		own.cancel()
		kind.cancel()
		synctest.Wait()
		for _, c := range []*call{own, kind} {
			if !c.ended.Load() || c.fetched.Load() || !errors.Is(c.err, context.Canceled) {
				t.Errorf("ended while it waited: %v %v", c.fetched.Load(), c.err)
			}
		}
		slow[0].cancel()
		synctest.Wait()
		if !again.fetched.Load() {
			t.Error("the place was lost")
		}
		h.end(slow[1], again)
		ended, cancel := context.WithCancel(h.e.As(h.t.Context(), h.t, bearertest.Token{}))
		cancel()
		for what, ctx := range map[string]context.Context{"ended": ended, "nobody": h.t.Context()} {
			for range 20 { // a select with two ways takes either
				_, _, err := h.reader.Text(ctx, filetext.File{Type: "text/plain", Fetch: func(context.Context, int64) ([]byte, string, error) {
					t.Errorf("%s: fetched", what)
					return nil, "", nil
				}})
				if err == nil || what == "ended" && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
	})
}
