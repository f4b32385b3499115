package ratelimit

import (
	"math"
	"time"
)

// Limit admits Quota units per Window evenly, and Burst at once after a rest. The
// zero Limit limits nothing.
type Limit struct {
	Name   string // as clients see it; lower case and hyphens
	Quota  int64
	Window time.Duration
	Burst  int64 // 0 is Quota
}

// maxUnits bounds quota and burst, so that no product of them overflows.
const maxUnits = 1_000_000_000

// Off reports whether the limit limits nothing.
func (l Limit) Off() bool { return l.Quota <= 0 || l.Window <= 0 }

// Scaled is the limit times a factor, at least one unit; off for 0.
func (l Limit) Scaled(factor float64) Limit {
	if factor == 0 || l.Off() {
		return Limit{Name: l.Name}
	}
	burst := l.burst()
	l.Quota = int64(min(max(1, math.Round(float64(l.Quota)*factor)), maxUnits))
	l.Burst = int64(min(max(1, math.Round(float64(burst)*factor)), maxUnits))
	return l
}

// WithQuota is the limit with another quota, and a burst in proportion.
func (l Limit) WithQuota(quota int64) Limit {
	if l.Burst > 0 {
		l.Burst = max(1, int64(math.Round(float64(l.Burst)*float64(quota)/float64(l.Quota))))
	}
	l.Quota = quota
	return l
}

func (l Limit) burst() int64 {
	if l.Burst > 0 {
		return l.Burst
	}
	return l.Quota
}

// Interval is what a unit costs, in microseconds: one at least. Rounding up errs
// by less than a microsecond a unit, on the side of the limit.
func (l Limit) Interval() int64 {
	return max(1, (l.Window.Microseconds()+l.Quota-1)/l.Quota)
}

// Room is how far a bucket may run ahead of the clock, in microseconds.
func (l Limit) Room() int64 { return l.burst() * l.Interval() }

// Take decides about n units. A bucket is its theoretical arrival time: when it
// will be at rest again, on the clock of now, in microseconds. One that is
// refused is not changed.
func (l Limit) Take(tat, now, n int64) (next int64, ok bool) {
	next = max(tat, now) + n*l.Interval()
	if next-now > l.Room() {
		return tat, false
	}
	return next, true
}

// State is where a bucket stands.
type State struct {
	Limit     Limit
	Remaining int64         // units that are admitted now
	Reset     time.Duration // until the whole burst is admitted again
	Retry     time.Duration // until the next unit is; 0: now
}

// State describes a bucket.
func (l Limit) State(tat, now int64) State {
	ahead := max(0, tat-now)
	left := l.Room() - ahead
	s := State{Limit: l, Remaining: max(0, left) / l.Interval(), Reset: time.Duration(ahead) * time.Microsecond}
	if missing := l.Interval() - left; missing > 0 {
		s.Retry = time.Duration(missing) * time.Microsecond
	}
	return s
}

// Tighter reports whether less of s is left than of other, in proportion.
func (s State) Tighter(other State) bool {
	return float64(s.Remaining)*float64(other.Limit.burst()) < float64(other.Remaining)*float64(s.Limit.burst())
}
