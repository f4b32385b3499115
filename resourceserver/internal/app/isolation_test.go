package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/resourceserver/internal/config"
)

const (
	isolationUsers = 16
	isolationCalls = 10_000
	isolationChurn = 100 // calls between two ends of all Google tokens
)

// TestIsolation: sixteen people at once, their Google tokens refused all the
// time, ten thousand calls: nobody sees a byte of anybody else.
func TestIsolation(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 1000 }) // limits are another test's
	calls := int64(isolationCalls)
	if testing.Short() || raced {
		calls /= 20
	}
	type person struct {
		email, token string
		bodies       []string
	}
	people := make([]person, isolationUsers)
	for i := range people {
		p := &people[i]
		p.email = fmt.Sprintf("person%02d@crowd.test", i+1)
		subject := fmt.Sprintf("0198f000-0000-7000-8000-0000000001%02d", i)
		r.as.set(func() { r.as.people[subject] = p.email })
		c := r.as.claims(full)
		c["sub"], c["gid"] = subject, fmt.Sprintf("0198f000-0000-7000-8000-0000000002%02d", i)
		p.token = r.as.sign(c, r.as.key, "at+jwt")
		// Something that only this person has.
		out := r.call(p.token, "gmail_create_draft", map[string]any{"to": []string{p.email}, "subject": "secret of " + p.email, "text": "x"})
		if out.IsError {
			t.Fatal(out.Data)
		}
		p.bodies = []string{
			callBody("gmail_manage_draft", map[string]any{"action": "get", "draft_id": out.Data["draft_id"]}), callBody("gmail_manage_draft", map[string]any{"action": "list"}),
			callBody("drive_search", map[string]any{"page_size": 1}), callBody("gmail_list_labels", map[string]any{}), callBody("account_status", map[string]any{}),
		}
	}
	var workers sync.WaitGroup
	var next, foreign, fine atomic.Int64
	for w := range isolationUsers * 2 {
		workers.Go(func() {
			me := people[w%isolationUsers]
			for {
				n := next.Add(1)
				if n > calls {
					return
				}
				if n%isolationChurn == 0 { // by calls, not by time: however slow they are, few are refused twice
					r.google.ExpireAccessTokens()
				}
				out := r.send(http.MethodPost, r.mcp, me.token, me.bodies[int(n)%len(me.bodies)])
				var m struct{ Result result }
				if err := json.Unmarshal([]byte(out.body), &m); err != nil || out.status != http.StatusOK {
					t.Errorf("%d %.200s", out.status, out.body)
					return
				}
				for _, other := range people {
					if other.email != me.email && strings.Contains(out.body, other.email) {
						foreign.Add(1)
					}
				}
				if !m.Result.IsError {
					if field(m.Result.Data, "account", "email") != me.email {
						foreign.Add(1)
					}
					fine.Add(1)
				}
			}
		})
	}
	workers.Wait()
	if foreign.Load() != 0 {
		t.Errorf("%d answers with something of somebody else", foreign.Load())
	}
	// Refused twice within one call is an honest error; most calls must work.
	if fine.Load() < calls*8/10 {
		t.Errorf("%d of %d calls worked", fine.Load(), calls)
	}
	t.Logf("%d calls, %d worked, %d refreshes", calls, fine.Load(), len(r.as.requests()))
}
