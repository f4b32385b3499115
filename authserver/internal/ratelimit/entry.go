package ratelimit

import (
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/ratelimit"
)

// share is the part of a limit that one replica may admit without having asked:
// one in share. Three replicas together err by three per cent.
const share = 100

// Bucket is what is counted together. The limits of the deployment are kept under
// the default tenant.
type Bucket struct {
	Tenant tenant.ID
	Limit  Name
	Key    Key
}

// String is the limit's name, as it is stored.
func (n Name) String() string { return definitions[n].limit.Name }

// entry is what this replica knows of a bucket. Times are microseconds on the
// limiter's clock. l.mu must be held.
type entry struct {
	bucket Bucket
	limit  ratelimit.Limit
	known  int64 // theoretical arrival time, as PostgreSQL said last: the true one is never earlier
	owed   int64 // admitted and not told, in microseconds; it leaks at a share of the rate
	leaked int64 // until when owed has leaked
	flying int64 // being told
	queued bool
	waits  []*waiter
}

// settle lets what is owed leak: what a replica forgets so is at most its share of
// the rate.
func (e *entry) settle(now int64) {
	e.owed = max(0, e.owed-(now-e.leaked)/share)
	e.leaked = now
}

// tat is the theoretical arrival time with what is not told yet.
func (e *entry) tat(now int64) int64 { return max(e.known, now) + e.owed + e.flying }

func (e *entry) state(now int64) ratelimit.State { return e.limit.State(e.tat(now), now) }

// admits reports whether a unit fits, by all that is known here. What does not fit
// here fits nowhere.
func (e *entry) admits(now int64) bool {
	_, ok := e.limit.Take(e.tat(now), now, 1)
	return ok
}

// free reports whether a unit may be admitted without asking.
func (e *entry) free() bool {
	return e.owed+e.flying+e.limit.Interval() <= e.limit.Room()/share
}

// admit admits a unit to be told later, and reports whether that is soon.
func (e *entry) admit() (tell bool) {
	e.owed += e.limit.Interval()
	return 2*e.owed > e.limit.Room()/share
}

// admitHere admits a unit that nobody will be told of.
func (e *entry) admitHere(now int64) { e.known = max(e.known, now) + e.limit.Interval() }

// atRest reports whether forgetting the entry changes nothing.
func (e *entry) atRest(now int64) bool {
	return e.idle() && e.known <= now && e.owed <= (now-e.leaked)/share
}

// idle reports whether nothing is under way for it.
func (e *entry) idle() bool { return !e.queued && e.flying == 0 && len(e.waits) == 0 }

// makeRoom forgets entries that are at rest, once a second at most: a flood of new
// names must not buy a walk over all of them with each. If that brings nothing, the
// one of a few that is nearest to rest goes: at worst its share is admitted twice.
func (l *Limiter) makeRoom(now int64) {
	before := len(l.entries)
	if now-l.swept >= time.Second.Microseconds() {
		l.swept = now
		for b, e := range l.entries {
			if e.atRest(now) {
				delete(l.entries, b)
			}
		}
	}
	if len(l.entries) < before {
		return
	}
	var least *entry
	seen := 0
	for _, e := range l.entries { // Go begins at a random place
		if e.idle() && (least == nil || e.tat(now) < least.tat(now)) {
			least = e
		}
		if seen++; seen == 8 {
			break
		}
	}
	if least != nil {
		delete(l.entries, least.bucket)
	}
}
