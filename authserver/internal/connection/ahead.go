package connection

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Ahead is how long before its end a token is refreshed for whoever asks, while
// the old one is served: nobody waits for a slow Google. It is longer than a
// resource server keeps a token and the life it asks for together, which a test
// of package exchange asserts; so a connection in use never comes to its end.
const Ahead = 8 * time.Minute

const (
	hurryAgain = 15 * time.Second // between two attempts ahead for one credential
	mostHurry  = 32               // refreshes ahead at once; the others wait for their next caller
	maxNotes   = 10_000
)

// hurry refreshes ahead, beside the caller. It is a favour: whatever it meets is
// met again by the caller who needs the token.
func (c *Credentials) hurry(ctx context.Context, r *Record, h hand) {
	now := c.now()
	if r.SealedRefresh == nil || !c.hurried.claim(r.Ref, now.Add(hurryAgain), now) {
		return
	}
	if c.hurrying.Add(1) > mostHurry {
		c.hurrying.Add(-1)
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.hurrying.Add(-1)
		upstream, err := c.upstream(ctx, r)
		if err == nil && upstream.ID() == r.UpstreamClient {
			_, err = c.once(ctx, r, h, false)
		}
		if err != nil && !errors.Is(err, ErrLost) && c.Log != nil {
			c.Log.Info("refreshing ahead", "tenant", r.Tenant.String(), "connection", r.Connection.String(), "error", err)
		}
	}()
}

// notes remember a time per connection, in memory and bounded: what is forgotten
// costs one more question. The zero notes are empty.
type notes struct {
	mu    sync.Mutex
	until map[Ref]time.Time
}

// left is how long the note of a connection still holds, at most 0 if it does not.
func (n *notes) left(ref Ref, now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.until[ref].Sub(now)
}

// claim makes a note unless one holds, and reports whether it did.
func (n *notes) claim(ref Ref, until, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Before(n.until[ref]) {
		return false
	}
	if n.until == nil {
		n.until = map[Ref]time.Time{}
	}
	if len(n.until) >= maxNotes {
		for k, t := range n.until {
			if !now.Before(t) || len(n.until) >= maxNotes {
				delete(n.until, k)
			}
		}
	}
	n.until[ref] = until
	return true
}
