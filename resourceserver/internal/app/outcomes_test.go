package app_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/config"
)

// TestToolOutcomes: issue 5 part 5: how each call ended reaches the authorization server, without what was asked or found.
func TestToolOutcomes(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	ids := map[string]string{}
	call := func(want string) {
		t.Helper()
		got := r.send(http.MethodPost, r.mcp, token, callBody("gmail_search_threads", map[string]any{"query": "budget"}))
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		ids[want] = got.header.Get("X-Request-Id")
	}
	r.as.set(func() {
		r.as.answer = func(map[string]string) (int, any) {
			return http.StatusBadRequest, map[string]any{"error": oauth.InteractionRequired, "error_code": "not_linked"}
		}
	})
	call("not_connected")
	r.as.set(func() { r.as.answer = nil })
	call("ok")
	deadline := time.After(time.Minute)
	for len(ids) > 0 {
		select {
		case o := <-r.as.outcomes:
			if o.Tenant != tenant || o.Grant != "0198f000-0000-7000-8000-00000000000b" || o.Tool != "gmail_search_threads" || o.DurationMS < 0 || ids[o.Outcome] != o.RequestID {
				t.Errorf("%+v, want one of %v", o, ids)
			}
			delete(ids, o.Outcome)
		case <-deadline:
			t.Fatalf("not reported: %v", ids)
		}
	}
}

// TestEveryRunIsReported: a tool that runs for a resource's address or a completion,
// and a call that the limits refuse, reach the trail like any other call.
func TestEveryRunIsReported(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0.02 }) // 2 a minute per tool
	token := r.as.mint(all)
	want := map[string]int{}
	read := func() { r.rpc(r.mcp, token, "resources/read", map[string]any{"uri": "gcal://event/primary/nothere"}) }
	read()
	read()
	want["calendar_get_event not_found"] = 2
	read()
	want["calendar_get_event rate_limited"] = 1
	for range 3 {
		r.rpc(r.mcp, token, "completion/complete", map[string]any{"ref": map[string]any{"type": "ref/prompt", "name": "meeting_preparation"}, "argument": map[string]any{"name": "event_id", "value": "x"}})
	}
	want["calendar_list_events ok"], want["calendar_list_events rate_limited"] = 2, 1
	for range 3 {
		r.call(token, "drive_search", map[string]any{"name": "plan"})
	}
	want["drive_search ok"], want["drive_search rate_limited"] = 2, 1
	got := map[string]int{}
	for deadline := time.After(time.Minute); !maps.Equal(got, want); {
		select {
		case o := <-r.as.outcomes:
			got[o.Tool+" "+o.Outcome]++
		case <-deadline:
			t.Fatalf("reported: %v, not %v", got, want)
		}
	}
}
