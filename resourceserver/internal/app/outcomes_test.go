package app_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/pkg/oauth"
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
	deadline := time.After(20 * time.Second)
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
