package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/outbound"
)

// TestSharedFetch: one request for all who ask at the same time, and nothing
// for those who ask later.
func TestSharedFetch(t *testing.T) {
	t.Parallel()
	const callers = 32
	request := outbound.Request{URL: "https://a.example.com/document", Limit: 100}
	t.Run("AS-C12 32 callers of one URL make one request, and those who leave end only their own wait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int32
			release := make(chan struct{})
			w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				<-release
				document(w, "{}")
			})
			leader, leave := context.WithCancel(t.Context())
			var left, served atomic.Int32
			var all sync.WaitGroup
			for i := range callers {
				ctx := t.Context()
				if i%4 == 0 { // the first of them began the fetch
					ctx = leader
				}
				r := request
				r.Source = fmt.Sprintf("192.0.2.%d", i)
				all.Go(func() {
					doc, err := w.Get(ctx, r)
					switch {
					case errors.Is(err, context.Canceled):
						left.Add(1)
					case err != nil || string(doc.Body) != "{}":
						t.Errorf("%v %v", doc, err)
					default:
						served.Add(1)
					}
				})
				synctest.Wait()
			}
			leave()
			synctest.Wait()
			if left.Load() != callers/4 || served.Load() != 0 {
				t.Errorf("%d left and %d were served before the answer", left.Load(), served.Load())
			}
			close(release)
			all.Wait()
			if requests.Load() != 1 || served.Load() != callers-callers/4 {
				t.Errorf("%d requests, %d served", requests.Load(), served.Load())
			}
			if _, err := w.Get(t.Context(), request); err != nil || requests.Load() != 2 {
				t.Errorf("a document was kept: %d requests, %v", requests.Load(), err)
			}
		})
	})
	t.Run("AS-C6 errors and invalid documents are not kept", func(t *testing.T) {
		t.Parallel()
		var requests atomic.Int32
		f, at := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			switch requests.Add(1) {
			case 1:
				w.Header().Set("Cache-Control", "max-age=86400")
				w.WriteHeader(http.StatusInternalServerError)
			case 2:
				w.Header().Set("Cache-Control", "max-age=86400")
				http.NotFound(w, nil)
			case 3:
				w.Header().Set("Cache-Control", "max-age=86400")
				w.Header().Set("Content-Type", "text/html")
			case 4:
				panic(http.ErrAbortHandler)
			default:
				document(w, "{}")
			}
		})
		get := func() error {
			_, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: 100})
			return err
		}
		var status *outbound.StatusError
		if err := get(); !errors.As(err, &status) || status.Status != 500 {
			t.Errorf("first: %v", err)
		}
		if err := get(); !errors.As(err, &status) || status.Status != 404 {
			t.Errorf("second: %v", err)
		}
		if err := get(); !errors.Is(err, outbound.ErrInvalid) {
			t.Errorf("third: %v", err)
		}
		isDoubt(t, get())
		if err := get(); err != nil {
			t.Errorf("fifth: %v", err)
		}
	})
	t.Run("AS-C12 an address that used up its budget does not spoil a fetch that others join", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, hold := newHeldWorld(t)
			for i := range outbound.SourceBurst { // the attacker's
				_, _ = w.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("https://s%d.example.com/", i), Limit: 100, Source: "192.0.2.1"})
			}
			release := hold()
			attack, victim := request, request
			attack.Source, victim.Source = "192.0.2.1", "192.0.2.2"
			var all sync.WaitGroup
			all.Go(func() {
				var busy *outbound.BusyError
				if _, err := w.Get(t.Context(), attack); !errors.As(err, &busy) {
					t.Errorf("the attacker: %v", err)
				}
			})
			synctest.Wait()
			all.Go(func() {
				if _, err := w.Get(t.Context(), victim); err != nil {
					t.Errorf("the victim: %v", err)
				}
			})
			synctest.Wait()
			close(release)
			all.Wait()
		})
	})
	t.Run("AS-C12 a known URL is not told what a stranger who asks for it is told", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, hold := newHeldWorld(t)
			for i := range outbound.StrangersBurst {
				_, _ = w.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("https://s%d.example.com/", i), Limit: 100})
			}
			release := hold()
			known := request
			known.Known = true
			var all sync.WaitGroup
			all.Go(func() {
				var busy *outbound.BusyError
				if _, err := w.Get(t.Context(), request); !errors.As(err, &busy) {
					t.Errorf("the stranger: %v", err)
				}
			})
			synctest.Wait()
			all.Go(func() {
				if _, err := w.Get(t.Context(), known); err != nil {
					t.Errorf("the known: %v", err)
				}
			})
			synctest.Wait()
			close(release)
			all.Wait()
		})
	})
}

// newHeldWorld returns a world whose clock stands still, and after a call of
// hold does not answer either until the channel is closed: a fetch that has
// begun waits there before anything is counted.
func newHeldWorld(t *testing.T) (*world, func() chan struct{}) {
	t.Helper()
	var held atomic.Pointer[chan struct{}]
	start := time.Now()
	w := newWorldAt(t, func() time.Time {
		if c := held.Load(); c != nil {
			<-*c
		}
		return start
	}, func(w http.ResponseWriter, _ *http.Request) { document(w, "{}") })
	return w, func() chan struct{} {
		c := make(chan struct{})
		held.Store(&c)
		return c
	}
}
