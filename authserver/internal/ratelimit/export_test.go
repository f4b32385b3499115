package ratelimit

import "latchkey/pkg/ratelimit"

// MaxEntries and Share are what the sieve is bounded by.
const (
	MaxEntries = maxEntries
	Share      = share
	AskTime    = askTime
	AskAgain   = askAgain
)

// Entries is how many buckets the sieve remembers.
func (l *Limiter) Entries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Definition is a limit as docs/limits.md has it.
type Definition struct {
	Limit              ratelimit.Limit
	Where, Per         string
	Deployment, Closed bool
}

// Definitions are all limits.
func Definitions() []Definition {
	var out []Definition
	for _, d := range definitions {
		out = append(out, Definition{d.limit, d.where, d.per, d.deployment, d.closed})
	}
	return out
}

// With are limits of which one is another.
func (l Limits) With(n Name, limit ratelimit.Limit) *Limits {
	l[n] = limit
	return &l
}
