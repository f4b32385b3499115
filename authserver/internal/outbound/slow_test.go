package outbound_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/outbound"
)

// TestSlowHosts: three seconds from the name to the last byte, however a host
// spends them. The seconds are a bubble's.
func TestSlowHosts(t *testing.T) {
	t.Parallel()
	wait := func(r *http.Request, d time.Duration) {
		select {
		case <-r.Context().Done():
		case <-time.After(d):
		}
	}
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   time.Duration // 0: it is in time
	}{
		"AS-C12 headers never come": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, outbound.Total},
		"AS-C12 headers come too late": {func(w http.ResponseWriter, r *http.Request) {
			wait(r, outbound.Total+time.Second)
			document(w, "{}")
		}, outbound.Total},
		"AS-C12 headers one by one: early hints without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
				wait(r, 700*time.Millisecond)
			}
		}, outbound.Total},
		"AS-C12 a body that never ends": {func(w http.ResponseWriter, r *http.Request) {
			document(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, outbound.Total},
		"AS-C12 a byte each half second": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				document(w, " ")
				_ = http.NewResponseController(w).Flush()
				wait(r, time.Second/2)
			}
		}, outbound.Total},
		"AS-C12 late, but in time": {func(w http.ResponseWriter, r *http.Request) {
			wait(r, outbound.Total/2)
			document(w, "{")
			_ = http.NewResponseController(w).Flush()
			wait(r, outbound.Total/3)
			_, _ = io.WriteString(w, "}")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, row.answer)
				start := time.Now()
				doc, err := w.Get(t.Context(), outbound.Request{URL: "https://a.example.com/", Limit: 100})
				if row.want == 0 {
					if err != nil || string(doc.Body) != "{}" {
						t.Errorf("%v %v", doc, err)
					}
					return
				}
				isDoubt(t, err)
				if took := time.Since(start); took != row.want {
					t.Errorf("%v, want %v: %v", took, row.want, err)
				}
			})
		})
	}
	t.Run("AS-C12 a connection that never comes about", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Dial(func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			slow(t, w, outbound.Total)
		})
	})
	t.Run("AS-C12 connection and handshake each within their time, but not together", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Dial(func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(outbound.ResolveTime - time.Millisecond)
				ours, theirs := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				return ours, nil
			})
			slow(t, w, outbound.Total)
		})
	})
	t.Run("AS-C12 a TLS handshake that is never answered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Dial(func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				return ours, nil
			})
			slow(t, w, outbound.HandshakeTime)
		})
	})
}

// TestSlowName: a name server that never answers. On the real clock: the
// resolver's state outlives a bubble.
func TestSlowName(t *testing.T) {
	t.Parallel()
	t.Run("AS-C12 a name that is never resolved", func(t *testing.T) {
		t.Parallel()
		f, err := outbound.New(outbound.Config{})
		if err != nil {
			t.Fatal(err)
		}
		f.Resolve(&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return ours, nil
		}})
		f.PatientInAll() // what ends it is the time of the name, on however slow a machine
		start := time.Now()
		_, err = f.Get(t.Context(), outbound.Request{URL: "https://a.example.com/", Limit: 100})
		isDoubt(t, err)
		if took := time.Since(start); took < outbound.ResolveTime || !strings.Contains(err.Error(), "the name could not be resolved") {
			t.Errorf("%v: %v", took, err)
		}
	})
}

func slow(t *testing.T, w *world, want time.Duration) {
	t.Helper()
	start := time.Now()
	_, err := w.Get(t.Context(), outbound.Request{URL: "https://a.example.com/", Limit: 100})
	isDoubt(t, err)
	if took := time.Since(start); took != want {
		t.Errorf("%v, want %v: %v", took, want, err)
	}
}
