package outbound

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxAtOnce     = 64 // fetches under way
	maxForKnown   = 16 // of these, kept free of strangers' hosts
	maxForListed  = 8  // of these, kept free of strangers' documents of which there is a copy too
	maxPerHost    = 2
	maxPerNetwork = 2 // of strangers' hosts, for one /24 or IPv6 /48
	// maxKeptPerNetwork is the same of documents of which there is a copy: whoever has
	// published one can let its host hang from then on.
	maxKeptPerNetwork = 8
	slotWait          = 250 * time.Millisecond
	maxRemembered     = 10_000

	strangersRate, strangersBurst = 40, 200             // per second, all strangers' hosts together
	hostRate, hostBurst           = 1, 5                // per second, one host
	sourceRate, sourceBurst       = rate.Limit(0.5), 15 // 30 per minute, one address
)

// BusyError says that a fetch was not made because there are too many. Trying
// again later helps.
type BusyError struct {
	RetryAfter time.Duration
	what       string
	ofSource   bool // one address' budget: says nothing to others who share the fetch
}

func (e *BusyError) Error() string { return fmt.Sprintf("too many fetches: %s", e.what) }

// governor bounds what strangers can make this server fetch: in this process, and
// by shared in all of them together. A
// flood of strangers' URLs never uses up what known hosts need: those do not
// count against the strangers' budget, and have slots of their own. What
// strangers name at a known host is counted apart from it, and what is merely
// at a known host apart from a URL that is kept (account).
type governor struct {
	shared    Shared // nil: no others
	mu        sync.Mutex
	underWay  int
	held      map[string]int // slots by account, and by network of a stranger's source
	freed     chan struct{}  // closed and replaced when a slot is freed
	strangers *rate.Limiter
	hosts     limiters
	sources   limiters
}

// admit waits for a slot, a quarter of a second at most, and returns how to give
// it back.
func (g *governor) admit(ctx context.Context, now time.Time, host string, r Request) (release func(), err error) {
	name := account(host, r)
	if g.shared != nil && r.stranger() && r.Source != "" {
		if wait, ofSource := g.shared.FetchDocument(ctx, r.Source); wait > 0 {
			return nil, &BusyError{RetryAfter: wait, what: "by all replicas", ofSource: ofSource}
		}
	}
	if err := g.budget(now, name, r); err != nil {
		return nil, err
	}
	// Slow hosts that one network names take its own slots, not everyone's.
	limit, around, mostAround := maxAtOnce, "", 0
	switch {
	case r.Known:
	case r.Kept:
		limit, around, mostAround = maxAtOnce-maxForListed, "kept ", maxKeptPerNetwork
	default:
		limit, around, mostAround = maxAtOnce-maxForKnown, "stranger's ", maxPerNetwork
	}
	if r.Source == "" {
		around = ""
	}
	if around != "" {
		around += network(r.Source, 24, 48)
	}
	wait, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	for {
		g.mu.Lock()
		if g.held == nil {
			g.held, g.freed = map[string]int{}, make(chan struct{})
		}
		if g.underWay < limit && g.held[name] < maxPerHost && (around == "" || g.held[around] < mostAround) {
			g.underWay++
			g.held[name]++
			g.held[around]++
			g.mu.Unlock()
			return func() { g.release(name, around) }, nil
		}
		freed := g.freed
		g.mu.Unlock()
		select {
		case <-wait.Done():
			return nil, &BusyError{RetryAfter: time.Second, what: "all slots are in use"}
		case <-freed:
		}
	}
}

func (g *governor) release(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
	for _, name := range names {
		if g.held[name]--; g.held[name] == 0 {
			delete(g.held, name)
		}
	}
	close(g.freed)
	g.freed = make(chan struct{})
}

// stranger reports whether nothing is known of what is fetched.
func (r Request) stranger() bool { return !r.Known && !r.Kept }

// account is what a fetch is counted under instead of its host alone. Anyone can
// name https://known.example.com/1, /2, /3: if that used up the host's budget,
// one address could keep the host's real document from being fetched.
func account(host string, r Request) string {
	switch {
	case r.Kept:
		return r.URL
	case r.Known:
		return strings.ToLower(host) // DNS ignores case: A.example.com is no new host
	}
	return "stranger at " + strings.ToLower(host)
}

// budget counts the fetch against its source, all strangers and its account, in
// this order: what is refused early spends nothing of what others share, and a
// flood of names does not fill the memory of accounts.
func (g *governor) budget(now time.Time, name string, r Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.stranger() && r.Source != "" && !g.sources.allow(now, network(r.Source, 32, 64), sourceRate, sourceBurst) {
		return &BusyError{RetryAfter: 2 * time.Second, what: "from this address", ofSource: true}
	}
	if g.strangers == nil {
		g.strangers = rate.NewLimiter(strangersRate, strangersBurst)
	}
	if r.stranger() && !g.strangers.AllowN(now, 1) {
		return &BusyError{RetryAfter: time.Second, what: "to hosts that were not known before"}
	}
	if !g.hosts.allow(now, name, hostRate, hostBurst) {
		return &BusyError{RetryAfter: time.Second, what: "to this host"}
	}
	return nil
}

// network is the network of so many bits around an address, by IP version. One
// customer of a provider has an IPv4 address or an IPv6 /64, and easily gets a
// /24 or a /48.
func network(source string, bits4, bits6 int) string {
	a, err := netip.ParseAddr(source)
	if err != nil {
		return source
	}
	a = a.Unmap().WithZone("")
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, _ := a.Prefix(bits)
	return p.String()
}

// limiters are token buckets by name, at most maxRemembered.
type limiters struct {
	byName map[string]*rate.Limiter
	swept  time.Time
}

func (l *limiters) allow(now time.Time, name string, every rate.Limit, burst int) bool {
	if l.byName == nil {
		l.byName = map[string]*rate.Limiter{}
	}
	one := l.byName[name]
	if one == nil {
		// Once a second: a flood of new names must not buy a walk over all of them
		// with each name.
		if len(l.byName) >= maxRemembered && now.Sub(l.swept) >= time.Second {
			l.forgetFull(now, burst)
			l.swept = now
		}
		if len(l.byName) >= maxRemembered { // all of them busy: a new name waits
			return false
		}
		one = rate.NewLimiter(every, burst)
		l.byName[name] = one
	}
	return one.AllowN(now, 1)
}

// forgetFull drops the buckets that are full again: they remember nothing.
func (l *limiters) forgetFull(now time.Time, burst int) {
	for name, one := range l.byName {
		if one.TokensAt(now) >= float64(burst) {
			delete(l.byName, name)
		}
	}
}
