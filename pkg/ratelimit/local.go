package ratelimit

import (
	"sync"
	"time"
)

// Local limits in this process. A bucket's key K names its limit too. Safe for
// concurrent use; the zero value holds DefaultBuckets.
type Local[K comparable] struct {
	Max int // buckets that are remembered

	mu    sync.Mutex
	tats  map[K]int64 // microseconds since the epoch
	swept int64
}

// DefaultBuckets is how many buckets a Local remembers: some 10 MB.
const DefaultBuckets = 100_000

// Ask is a unit of one bucket.
type Ask[K comparable] struct {
	Key   K
	Limit Limit
}

// Take takes a unit of every bucket, or none. It returns the tightest state, or
// the one that refuses.
func (b *Local[K]) Take(now time.Time, asks ...Ask[K]) (State, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := now.UnixMicro()
	var tightest State
	next := make([]int64, len(asks))
	for i, a := range asks {
		if a.Limit.Off() {
			continue
		}
		tat, ok := a.Limit.Take(b.tats[a.Key], at, 1)
		if !ok {
			return a.Limit.State(tat, at), false
		}
		next[i] = tat
		if s := a.Limit.State(tat, at); tightest.Limit.Off() || s.Tighter(tightest) {
			tightest = s
		}
	}
	for i, a := range asks {
		if !a.Limit.Off() {
			b.put(a.Key, next[i], at)
		}
	}
	return tightest, true
}

// put stores a bucket. b.mu must be held.
func (b *Local[K]) put(k K, tat, now int64) {
	if b.tats == nil {
		b.tats = map[K]int64{}
	}
	most := b.Max
	if most == 0 {
		most = DefaultBuckets
	}
	if _, known := b.tats[k]; !known && len(b.tats) >= most {
		b.makeRoom(now)
	}
	b.tats[k] = tat
}

// makeRoom forgets the buckets that are at rest, once a second at most: a flood of
// new names must not buy a walk over all of them with each. In between, and when
// none is at rest, the one of a few that is nearest to it goes.
func (b *Local[K]) makeRoom(now int64) {
	before := len(b.tats)
	if now-b.swept >= time.Second.Microseconds() {
		b.swept = now
		for k, tat := range b.tats {
			if tat <= now {
				delete(b.tats, k)
			}
		}
	}
	if len(b.tats) < before {
		return
	}
	var least K
	seen := 0
	for k, tat := range b.tats { // Go begins at a random place
		if seen == 0 || tat < b.tats[least] {
			least = k
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(b.tats, least)
}
