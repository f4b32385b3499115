package keyset

import (
	"fmt"
	"time"

	"latchkey/pkg/accesstoken"
)

// Timing says when keys change.
type Timing struct {
	Period  time.Duration // how long a key signs before the next one does; 0: only changed by hand
	Lead    time.Duration // how long a key is known before it signs
	MaxAge  time.Duration // the most that a copy of the JWKS may be cached
	Refresh time.Duration // age at which a set is read again
}

// DefaultTiming rotates every 30 days.
func DefaultTiming() Timing {
	return Timing{Period: 30 * 24 * time.Hour, Lead: 7 * time.Minute, MaxAge: 5 * time.Minute, Refresh: 30 * time.Second}
}

// grantMargin keeps a retired MAC key a day longer than its refresh tokens can
// live: a person whose token lapsed is told so for the right reason.
const grantMargin = 24 * time.Hour

// limits of how many keys a purpose may have. Verifiers hold at most 32 public
// keys (accesstoken.RemoteKeys); MAC keys stay as long as refresh tokens live.
var limits = map[Purpose]int{ForAccessTokens: 30, ForGrants: 256}

// check holds the invariant Lead >= MaxAge + 2*Refresh. A replica knows a new
// key when its set is at most Refresh old, and the JWKS it served just before
// may be cached for MaxAge; the second Refresh is for what nobody measures:
// commits that take their time, clocks, the network. Two leads fit into a
// period, or keys would never rest.
func (t Timing) check() error {
	switch {
	case t.Refresh <= 0 || t.MaxAge < 0 || t.Period < 0:
		return fmt.Errorf("signing key times %+v must be positive", t)
	case t.Lead < t.MaxAge+2*t.Refresh:
		return fmt.Errorf("signing keys must be published at least %v (the JWKS' age and two refreshes) before they sign, not %v", t.MaxAge+2*t.Refresh, t.Lead)
	case t.Period != 0 && t.Period < 2*t.Lead:
		return fmt.Errorf("the signing key period %v is shorter than twice the lead %v", t.Period, t.Lead)
	}
	return nil
}

// complete is how long after its reading a set has every key that may sign:
// one that it lacks was stored later, and waits for Lead. The Refresh less is
// the second one of check.
func (t Timing) complete() time.Duration { return t.Lead - t.Refresh }

// margin is how much longer than its tokens live a retired key is kept. An
// access token may come from a set of the age complete, and verifiers allow
// their Leeway.
func (t Timing) margin(p Purpose) time.Duration {
	if p == ForGrants {
		return t.Lead + grantMargin
	}
	return t.Lead + accesstoken.Leeway
}

// after is the age of the active key at which its successor is published.
func (t Timing) after() time.Duration {
	if t.Period == 0 {
		return 0
	}
	return t.Period - t.Lead
}

// Due says what the keys of one purpose wait for.
type Due struct {
	Publish bool // a next key
	Advance bool // a transition of the keys there are
}

// Due decides from the keys of one tenant. alg is the algorithm wanted, life
// the longest life of a token made now. The store decides again, by the same
// conditions: this only spares the question.
func (t Timing) Due(records []Record, p Purpose, alg string, life time.Duration) Due {
	var d Due
	next, n := false, 0
	for _, r := range records {
		if r.Purpose != p {
			continue
		}
		n++
		switch r.State {
		case Next:
			next = true
			d.Advance = d.Advance || r.Age >= t.Lead
		case Active:
			d.Publish = r.Alg != alg || t.Period > 0 && r.Age >= t.after()
		case Retired:
			d.Advance = d.Advance || r.Age >= r.TokenLife+t.margin(p)
		}
		d.Advance = d.Advance || r.TokenLife < life
	}
	d.Publish = d.Publish && !next && n < limits[p]
	return d
}

// Remaining is how long a next key waits before it signs, or a retired one
// before it is deleted; ok is false for an active key. It is not positive when
// a server does it at its next turn.
func (t Timing) Remaining(r Record) (left time.Duration, ok bool) {
	switch r.State {
	case Next:
		return t.Lead - r.Age, true
	case Retired:
		return r.TokenLife + t.margin(r.Purpose) - r.Age, true
	}
	return 0, false
}
