package mcpserver

import (
	"context"
	"testing"
)

// TestOverlappingRequestsLeaveNothing: requests that have one id and always overlap take no more room than runs at a time.
func TestOverlappingRequestsLeaveNothing(t *testing.T) {
	t.Parallel()
	c := cancels{running: map[request]map[*context.CancelFunc]struct{}{}}
	r := request{caller{tenant: "t"}, "1"}
	ended := 0
	end := c.note(r, func() { ended++ })
	for range 10_000 {
		next := c.note(r, func() { ended++ })
		end()
		end = next
		if n := len(c.running[r]); n != 1 {
			t.Fatalf("%d places for one running request", n)
		}
	}
	c.cancel(r)
	if ended != 10_001 {
		t.Errorf("%d of the requests ended", ended)
	}
	if end(); len(c.running) != 0 {
		t.Error("something is left")
	}
}
