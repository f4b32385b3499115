package googleapi

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Opener opens one connection to a host that had none, however many requests come
// at once: the others wait until the first request is written and are streams of
// its connection. net/http by itself dials for each of them, because it does not
// know yet that the host speaks HTTP/2, and closes all connections but one
// (measured: sixteen handshakes for sixteen calls). Where the host speaks HTTP/1.1
// only, the rest dial a moment later.
type Opener struct {
	next *http.Transport

	mu    sync.Mutex
	hosts map[string]*opening // by scheme and host; these are Google's few
}

// opening is closed when the connection carries requests.
type opening struct {
	done chan struct{}
	once sync.Once
	used time.Time // needs Opener.mu
}

func (o *opening) finish() { o.once.Do(func() { close(o.done) }) }

// NewOpener puts an Opener before a transport.
func NewOpener(next *http.Transport) *Opener {
	return &Opener{next: next, hosts: map[string]*opening{}}
}

// RoundTrip sends the request, as the first of its host or after the first.
func (o *Opener) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.URL.Scheme + "://" + r.URL.Host
	known, first := o.enter(key)
	if !first {
		select {
		case <-known.done:
			return o.next.RoundTrip(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	defer known.finish() // a first request that fails keeps nobody waiting
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { known.finish() }}
	resp, err := o.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		o.mu.Lock()
		if o.hosts[key] == known {
			delete(o.hosts, key)
		}
		o.mu.Unlock()
	}
	return resp, err
}

// enter reports whether the caller is the first since the host's connections may
// have been closed.
func (o *Opener) enter(key string) (*opening, bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.hosts[key]
	if known != nil && now.Sub(known.used) < o.next.IdleConnTimeout {
		known.used = now
		return known, false
	}
	known = &opening{done: make(chan struct{}), used: now}
	o.hosts[key] = known
	return known, true
}
