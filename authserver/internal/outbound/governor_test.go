package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/outbound"
)

// load is what the hosts of a flood saw. Hosts and paths that begin with "slow"
// never answer.
type load struct {
	known, strangers, now atomic.Int64
}

// settled is how many hang when nothing in the bubble can go on: one that has
// just ended and the one that took its slot are never counted together.
func (l *load) settled() int64 {
	synctest.Wait()
	return l.now.Load()
}

func (l *load) handler(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Host, "known") && !strings.HasPrefix(r.URL.Path, "/slow") {
		l.known.Add(1)
		document(w, "{}")
		return
	}
	l.strangers.Add(1)
	l.now.Add(1)
	defer l.now.Add(-1)
	if strings.HasPrefix(r.Host, "slow") || strings.HasPrefix(r.URL.Path, "/slow") {
		<-r.Context().Done()
		return
	}
	document(w, "{}")
}

// TestFlood: strangers' URLs, from however many addresses, never keep known
// documents from being fetched; and everyone who is sent away learns for how long.
func TestFlood(t *testing.T) {
	t.Parallel()
	const seconds = 10
	stranger := func(i, second int) outbound.Request {
		return outbound.Request{URL: fmt.Sprintf("https://slow-%d-%d.example.com/", i, second), Limit: 100}
	}
	known := outbound.Request{URL: "https://known.example.com/document", Limit: 100, Known: true, Source: "198.51.100.7"}
	kept := known
	kept.Kept = true
	for name, row := range map[string]struct {
		flood   func(i, second int) outbound.Request // the i-th of 1000 each second
		victim  outbound.Request
		most    int64 // fetches for the flood at once
		allowed int64 // and in all
	}{
		"AS-C12 one address, slow hosts": {func(i, second int) outbound.Request {
			r := stranger(i, second)
			r.Source = "192.0.2.1"
			return r
		}, known, outbound.MaxAtOnce - outbound.MaxForKnown, outbound.SourceBurst + seconds},
		"AS-C12 1000 addresses, slow hosts": {func(i, second int) outbound.Request {
			r := stranger(i, second)
			r.Source = fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			return r
		}, known, outbound.MaxAtOnce - outbound.MaxForKnown, outbound.StrangersBurst + seconds*outbound.StrangersRate},
		"AS-C12 1000 networks, fast hosts": {func(i, second int) outbound.Request {
			return outbound.Request{URL: fmt.Sprintf("https://fast-%d-%d.example.com/", i, second), Limit: 100, Source: fmt.Sprintf("2001:db8:0:%x::1", i)}
		}, known, outbound.MaxAtOnce - outbound.MaxForKnown, outbound.StrangersBurst + seconds*outbound.StrangersRate},
		"AS-C12 1000 addresses, slow documents that strangers name at the known host": {func(i, second int) outbound.Request {
			return outbound.Request{URL: fmt.Sprintf("https://known.example.com/slow/%d-%d", i, second), Limit: 100, Source: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}
		}, known, outbound.MaxPerHost, outbound.HostBurst + seconds},
		"AS-C12 the same under other spellings of the host": {func(i, second int) outbound.Request {
			spelling := []byte("known")
			for bit := range spelling[1:] {
				if i>>bit&1 == 1 {
					spelling[1+bit] -= 'a' - 'A'
				}
			}
			return outbound.Request{URL: fmt.Sprintf("https://%s.example.com/slow/%d-%d", spelling, i, second), Limit: 100, Source: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}
		}, known, outbound.MaxPerHost, outbound.HostBurst + seconds},
		"AS-C12 slow documents at a listed host, and one that is kept": {func(i, second int) outbound.Request {
			return outbound.Request{URL: fmt.Sprintf("https://known.example.com/slow/%d-%d", i, second), Limit: 100, Known: true, Source: "192.0.2.1"}
		}, kept, outbound.MaxPerHost, outbound.HostBurst + seconds},
		"AS-C12 one network, copies that are kept of documents at slow hosts": {func(i, _ int) outbound.Request {
			return outbound.Request{URL: fmt.Sprintf("https://slow-%d.example.com/", i), Limit: 100, Kept: true, Source: fmt.Sprintf("192.0.2.%d", i%250)}
		}, outbound.Request{URL: known.URL, Limit: 100, Kept: true, Source: known.Source}, outbound.MaxKeptPerNetwork, 1000 * seconds},
		"AS-C12 1000 networks, copies that are kept of documents at slow hosts": {func(i, _ int) outbound.Request {
			return outbound.Request{URL: fmt.Sprintf("https://slow-%d.example.com/", i), Limit: 100, Kept: true, Source: fmt.Sprintf("2001:db8:%x::1", i)}
		}, known, outbound.MaxAtOnce - outbound.MaxForListed, 1000 * seconds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var seen load
				w := newWorld(t, seen.handler)
				var all sync.WaitGroup
				var busy, failed, served atomic.Int64
				var most int64
				for second := range seconds {
					for i := range 1000 {
						all.Go(func() {
							_, err := w.Get(t.Context(), row.flood(i, second))
							var b *outbound.BusyError
							switch {
							case errors.As(err, &b):
								busy.Add(1)
								if b.RetryAfter < time.Second || b.RetryAfter > time.Minute {
									t.Errorf("busy for %v", b.RetryAfter)
								}
							case err != nil:
								failed.Add(1)
							default:
								served.Add(1)
							}
						})
					}
					most = max(most, seen.settled())
					start := time.Now()
					if _, err := w.Get(t.Context(), row.victim); err != nil || time.Since(start) > 0 {
						t.Errorf("second %d: the known document after %v: %v", second, time.Since(start), err)
					}
					time.Sleep(time.Second)
				}
				all.Wait()
				if seen.known.Load() != seconds {
					t.Errorf("%d fetches of the known document", seen.known.Load())
				}
				if most > row.most || seen.strangers.Load() > row.allowed || seen.strangers.Load() == 0 {
					t.Errorf("the flood got %d fetches, at most %d at once; allowed are %d and %d", seen.strangers.Load(), most, row.allowed, row.most)
				}
				t.Logf("of %d calls: %d fetches reached a host, %d at once, %d served, %d failed, %d busy; %d of %d known served", 1000*seconds, seen.strangers.Load(), most, served.Load(), failed.Load(), busy.Load(), seen.known.Load(), seconds)
			})
		})
	}
}

// TestBudgets: what one address, network or host has.
func TestBudgets(t *testing.T) {
	t.Parallel()
	// try makes requests one after another at one moment and counts those that were not turned away.
	try := func(t *testing.T, w *world, requests ...outbound.Request) int {
		t.Helper()
		made := 0
		for _, r := range requests {
			_, err := w.Get(t.Context(), r)
			var busy *outbound.BusyError
			switch {
			case err == nil:
				made++
			case !errors.As(err, &busy):
				t.Errorf("%s: %v", r.URL, err)
			}
		}
		return made
	}
	hosts := 0
	from := func(sources ...string) []outbound.Request {
		var out []outbound.Request
		for range 20 {
			for _, s := range sources {
				hosts++
				out = append(out, outbound.Request{URL: fmt.Sprintf("https://s%d.example.com/", hosts), Limit: 100, Source: s})
			}
		}
		return out[:20]
	}
	for name, row := range map[string]struct {
		first, then []outbound.Request
		want        int // of then
	}{
		"AS-C12 an address has a burst":                      {nil, from("192.0.2.1"), outbound.SourceBurst},
		"AS-C12 an IPv4 address in IPv6 is the same address": {from("192.0.2.1"), from("::ffff:192.0.2.1"), 0},
		"AS-C12 an IPv6 network is one address":              {from("2001:db8::1"), from("2001:db8::2", "2001:db8::ffff:0:1"), 0},
		"AS-C12 another address has its own":                 {from("192.0.2.1"), from("192.0.2.2"), outbound.SourceBurst},
		"AS-C12 another network has its own":                 {from("2001:db8::1"), from("2001:db8:0:1::1"), outbound.SourceBurst},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { document(w, "{}") })
				try(t, w, row.first...)
				if got := try(t, w, row.then...); got != row.want {
					t.Errorf("%d fetches, want %d", got, row.want)
				}
				time.Sleep(2 * time.Second)
				if got := try(t, w, row.then[0]); got != 1 {
					t.Error("after two seconds there is still no budget")
				}
			})
		})
	}
	t.Run("AS-C12 a host has two fetches at once, a third waits a moment, and a slot comes back", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var seen load
			w := newWorld(t, seen.handler)
			slow := func(i int, known bool) outbound.Request {
				return outbound.Request{URL: fmt.Sprintf("https://slow.example.com/%d", i), Limit: 100, Known: known}
			}
			var all sync.WaitGroup
			for i := range 2 {
				all.Go(func() { isDoubt(t, errorOf(w.Get(t.Context(), slow(i, true)))) })
			}
			if most := seen.settled(); most != outbound.MaxPerHost {
				t.Errorf("%d at once", most)
			}
			start := time.Now()
			var busy *outbound.BusyError
			if _, err := w.Get(t.Context(), slow(2, true)); !errors.As(err, &busy) || busy.RetryAfter <= 0 || time.Since(start) != outbound.SlotWait {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			all.Wait() // the two end after three seconds
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.Get(ctx, slow(3, true)); !errors.Is(err, context.DeadlineExceeded) || seen.strangers.Load() != 3 {
				t.Errorf("the slot did not come back: %d, %v", seen.strangers.Load(), err)
			}
		})
	})
	t.Run("AS-C12 known hosts too have no more than all slots", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var seen load
			w := newWorld(t, seen.handler)
			var all sync.WaitGroup
			for i := range outbound.MaxAtOnce + 34 {
				all.Go(func() {
					_, _ = w.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("https://slow%d.example.com/", i), Limit: 100, Known: true})
				})
			}
			most := seen.settled()
			all.Wait()
			if most != outbound.MaxAtOnce || seen.strangers.Load() != outbound.MaxAtOnce {
				t.Errorf("%d at once, %d in all", most, seen.strangers.Load())
			}
		})
	})
	t.Run("AS-C12 one network's slow hosts take its own slots, and a newcomer elsewhere is served at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var seen load
			w := newWorld(t, seen.handler)
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					_, _ = w.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("https://slow%d.example.com/", i), Limit: 100, Source: fmt.Sprintf("192.0.2.%d", i)})
				})
			}
			if most := seen.settled(); most != outbound.MaxPerNetwork {
				t.Errorf("%d at once for one network", most)
			}
			start := time.Now()
			if _, err := w.Get(t.Context(), outbound.Request{URL: "https://fast.example.com/", Limit: 100, Source: "198.51.100.1"}); err != nil || time.Since(start) != 0 {
				t.Errorf("the newcomer after %v: %v", time.Since(start), err)
			}
			all.Wait()
			for i := range 2 {
				if _, err := w.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("https://fast%d.example.com/", i), Limit: 100, Source: "192.0.2.200"}); err != nil {
					t.Errorf("the network's slots did not come back: %v", err)
				}
			}
		})
	})
	t.Run("AS-C12 more addresses than are remembered buy one walk over them a second", func(t *testing.T) {
		t.Parallel()
		start := time.Unix(1e9, 0)
		now := start
		f, err := outbound.New(outbound.Config{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		f.Dial(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") })
		addresses := 0
		busy := func() bool {
			addresses++
			var busy *outbound.BusyError
			_, err := f.Get(t.Context(), outbound.Request{URL: "https://a.example.com/", Limit: 100, Source: fmt.Sprintf("2001:db8:0:%x::1", addresses)})
			return errors.As(err, &busy)
		}
		for range outbound.MaxRemembered {
			busy()
		}
		// A bucket is full again, and forgotten by the next walk, after two seconds.
		for _, step := range []struct {
			at   time.Duration
			want bool
			what string
		}{
			{1500 * time.Millisecond, true, "a walk that finds none to forget"},
			{2100 * time.Millisecond, true, "a second walk within a second would find them all"},
			{2600 * time.Millisecond, false, "the next walk finds them"},
		} {
			now = start.Add(step.at)
			if got := busy(); got != step.want {
				t.Errorf("after %v (%s): busy %v", step.at, step.what, got)
			}
		}
	})
}

func errorOf[T any](_ T, err error) error { return err }
