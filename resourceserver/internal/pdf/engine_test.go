package pdf_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/klippa-app/go-pdfium"

	"latchkey/resourceserver/internal/pdf"
)

// TestEngineIsMadeAgain: what failed is tried again by the next call, one at a time;
// what was made stays.
func TestEngineIsMadeAgain(t *testing.T) {
	t.Parallel()
	type attempt struct {
		pool pdfium.Pool
		err  error
		boom bool
	}
	attempts, running, made := make(chan attempt), atomic.Int32{}, atomic.Int32{}
	e := pdf.NewEngine(func() (pdfium.Pool, error) {
		if running.Add(1) > 1 {
			t.Error("two at a time")
		}
		defer running.Add(-1)
		made.Add(1)
		a := <-attempts
		if a.boom {
			panic("boom")
		}
		return a.pool, a.err
	})
	good := &struct{ pdfium.Pool }{}
	for i, c := range []struct {
		attempt
		ok bool
	}{{attempt{nil, errors.New("no memory"), false}, false}, {attempt{nil, nil, true}, false}, {attempt{good, nil, false}, true}} {
		const callers = 10
		results := make(chan error, callers)
		for range callers {
			go func() {
				pool, err := e.Get(t.Context())
				if err == nil && pool != pdfium.Pool(good) {
					t.Error("another pool")
				}
				results <- err
			}()
		}
		attempts <- c.attempt
		failed := 0
		for n := 0; n < callers; {
			select {
			case err := <-results:
				if n++; err != nil {
					failed++
					if !errors.Is(err, pdf.ErrUnavailable) {
						t.Error(err)
					}
				}
			case attempts <- c.attempt: // a caller that came after the failure tries again
			}
		}
		if c.ok != (failed == 0) || !c.ok && failed != callers {
			t.Errorf("attempt %d: %d of %d failed", i, failed, callers)
		}
	}
	before := made.Load()
	if pool, err := e.Get(t.Context()); pool != pdfium.Pool(good) || err != nil || made.Load() != before {
		t.Errorf("made again: %v", err)
	}
}

// TestEngineOutlivesItsCaller: the first caller's disconnect does not end the making;
// the next caller gets what it made.
func TestEngineOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	begun, let, made := make(chan struct{}), make(chan struct{}), atomic.Int32{}
	good := &struct{ pdfium.Pool }{}
	e := pdf.NewEngine(func() (pdfium.Pool, error) {
		made.Add(1)
		close(begun)
		<-let
		return good, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := e.Get(ctx)
		first <- err
	}()
	<-begun
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v", err)
	}
	close(let)
	if pool, err := e.Get(t.Context()); pool != pdfium.Pool(good) || err != nil || made.Load() != 1 {
		t.Errorf("the second caller: %v, made %d times", err, made.Load())
	}
}
