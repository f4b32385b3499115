package signedlink_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/linktest"
	"latchkey/resourceserver/internal/signedlink"
	"latchkey/resourceserver/internal/tool"
)

// begin uses a link and returns when it is in, with how to end it, or nil and the
// refusal.
func (f *fixture) begin(t *testing.T, tenant, subject string) (end func(), refused *signedlink.Refusal) {
	t.Helper()
	link := f.link(t, tenant, subject, bearertest.Token{})
	in, let, out := make(chan struct{}), make(chan struct{}), make(chan *signedlink.Refusal, 1)
	r := request(t, tenant, link)
	go func() {
		out <- f.door.Use(r, time.Minute, func(context.Context, signedlink.Visit[target]) error {
			close(in)
			<-let
			return nil
		})
	}()
	select {
	case <-in:
		return func() {
			close(let)
			if refusal := <-out; refusal != nil {
				t.Errorf("%s of %s: %+v", subject, tenant, refusal)
			}
		}, nil
	case refusal := <-out:
		return nil, refusal
	}
}

// TestPlacesOfAPerson: one person takes no more than a few, the same name at another
// tenant is another person, and a place is free when its use has ended.
func TestPlacesOfAPerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	var ends []func()
	for _, who := range [][2]string{{"acme", "alice"}, {"acme", "alice"}, {"acme", "bob"}, {"globex", "alice"}} {
		end, refused := f.begin(t, who[0], who[1])
		if refused != nil {
			t.Fatalf("%v: %+v", who, refused)
		}
		ends = append(ends, end)
	}
	if _, refused := f.begin(t, "acme", "alice"); refused == nil || refused.Status != http.StatusTooManyRequests || refused.RetryAfter != 5 {
		t.Errorf("a third: %+v", refused)
	}
	ends[0]()
	end, refused := f.begin(t, "acme", "alice")
	if refused != nil {
		t.Fatalf("after the first: %+v", refused)
	}
	for _, end := range append(ends[1:], end) {
		end()
	}
	counts := map[string]int{}
	for _, o := range f.Outcomes() {
		counts[o]++
	}
	if counts["ok"] != 5 || counts["rate_limited"] != 1 || len(counts) != 2 {
		t.Errorf("reported %v", counts)
	}
}

// TestPlacesOfAll: together people take no more than a replica has; whoever comes
// then is told to come again, before anything is done for them.
func TestPlacesOfAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	var ends []func()
	for i := range signedlink.Parallel {
		end, refused := f.begin(t, "acme", fmt.Sprint("person ", i))
		if refused != nil {
			t.Fatalf("%d: %+v", i, refused)
		}
		ends = append(ends, end)
	}
	if _, refused := f.begin(t, "globex", "late"); refused == nil || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter != 5 {
		t.Errorf("one too many: %+v", refused)
	}
	for _, end := range ends {
		end()
	}
	if end, refused := f.begin(t, "globex", "late"); refused != nil {
		t.Errorf("afterwards: %+v", refused)
	} else {
		end()
	}
}

// TestEnds: how a use ended is told in a status and in words that say nothing of the
// cause, and is reported by its code.
func TestEnds(t *testing.T) {
	t.Parallel()
	secret := errors.New("canary 4711")
	typed := func(code tool.Code, retryable bool) error {
		return &tool.Error{Code: code, Message: "In words.", Retryable: retryable, RetryAfter: 3 * time.Second, Cause: secret}
	}
	for what, c := range map[string]struct {
		err     error
		method  string
		want    signedlink.Refusal
		outcome string
	}{
		"retryable":            {typed(tool.CodeUnavailable, true), http.MethodGet, signedlink.Refusal{Status: 503, RetryAfter: 3, Text: "In words."}, "temporarily_unavailable"},
		"not found":            {typed(tool.CodeNotFound, false), http.MethodGet, signedlink.Refusal{Status: 404, Text: "In words."}, "not_found"},
		"session ended":        {typed(tool.CodeSessionEnded, false), http.MethodGet, signedlink.Refusal{Status: 410, Text: "This thing link has ended. Ask the assistant for a new one."}, "session_ended"},
		"conflict":             {typed(tool.CodeConflict, false), http.MethodPut, signedlink.Refusal{Status: 409, Text: "In words."}, "conflict"},
		"too large":            {typed(tool.CodeTooLarge, false), http.MethodPut, signedlink.Refusal{Status: 413, Text: "In words."}, "response_too_large"},
		"invalid":              {typed(tool.CodeInvalidArgument, false), http.MethodPut, signedlink.Refusal{Status: 400, Text: "In words."}, "invalid_argument"},
		"policy":               {typed(tool.CodePolicy, false), http.MethodPut, signedlink.Refusal{Status: 403, Text: "In words."}, "policy_blocked"},
		"invalid, by GET":      {typed(tool.CodeInvalidArgument, false), http.MethodGet, signedlink.Refusal{Status: 502, Text: "In words."}, "invalid_argument"},
		"anything else":        {typed(tool.CodeReconnect, false), http.MethodPut, signedlink.Refusal{Status: 502, Text: "In words."}, "reconnect_required"},
		"not typed":            {secret, http.MethodPut, signedlink.Refusal{Status: 500, Text: "Something went wrong in the server (request )."}, "internal"},
		"cancelled":            {fmt.Errorf("%w: %w", secret, context.Canceled), http.MethodGet, signedlink.Refusal{Status: 503, RetryAfter: 1, Text: "The thing was cancelled."}, "temporarily_unavailable"},
		"too slow":             {fmt.Errorf("%w: %w", secret, context.DeadlineExceeded), http.MethodGet, signedlink.Refusal{Status: 503, RetryAfter: 1, Text: "The thing took too long."}, "timeout"},
		"too slow, as a cause": {&tool.Error{Code: tool.CodeConflict, Message: "In words.", Cause: context.DeadlineExceeded}, http.MethodPut, signedlink.Refusal{Status: 409, Text: "In words."}, "conflict"},
	} {
		f := newFixture(t, 1)
		r := request(t, "acme", f.link(t, "acme", "alice", bearertest.Token{}))
		r.Method = c.method
		refused := f.door.Use(r, time.Minute, func(context.Context, signedlink.Visit[target]) error { return c.err })
		if refused == nil || *refused != c.want {
			t.Errorf("%s: %+v", what, refused)
		}
		if got := f.Outcomes(); len(got) != 1 || got[0] != c.outcome {
			t.Errorf("%s: reported %v", what, got)
		}
	}
}

// TestCutShort: an answer whose rest is missing ends in a broken connection, is
// reported as such, and gives its place back.
func TestCutShort(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	for range 2 {
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // a panic's value
					t.Errorf("recovered %v", p)
				}
			}()
			_ = f.door.Use(request(t, "acme", f.link(t, "acme", "alice", bearertest.Token{})), time.Minute, func(context.Context, signedlink.Visit[target]) error {
				return &signedlink.Cut{Err: errors.New("gone")}
			})
		}()
	}
	if got := f.Outcomes(); len(got) != 2 || got[0] != "temporarily_unavailable" || got[1] != got[0] {
		t.Errorf("reported %v", got)
	}
}

// TestDoubt: a server that cannot check a token says so and nothing else: the link is
// not said to have ended (DESIGN §1.5).
func TestDoubt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	link := f.link(t, "acme", "alice", bearertest.Token{})
	f.Set(linktest.InDoubt)
	refused := f.door.Use(request(t, "acme", link), time.Minute, func(context.Context, signedlink.Visit[target]) error {
		t.Error("it was let in")
		return nil
	})
	w := httptest.NewRecorder()
	signedlink.Headers(w)
	refused.Say(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestNewDoor: no door without its rules.
func TestNewDoor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	serves := func(string) bool { return true }
	for what, c := range map[string]struct {
		change    func(*signedlink.Rules)
		perPerson int
		serves    func(string) bool
	}{
		"nobody admits":       {func(r *signedlink.Rules) { r.Admit = nil }, 1, serves},
		"no tools":            {func(r *signedlink.Rules) { r.Tool = nil }, 1, serves},
		"no limits":           {func(r *signedlink.Rules) { r.Limits = nil }, 1, serves},
		"nobody learns of it": {func(r *signedlink.Rules) { r.Called = nil }, 1, serves},
		"no place":            {func(*signedlink.Rules) {}, 0, serves},
		"serves nothing":      {func(*signedlink.Rules) {}, 1, nil},
	} {
		rules := f.Rules()
		c.change(&rules)
		if _, err := signedlink.NewDoor(f.links, rules, "thing", c.perPerson, c.serves); err == nil {
			t.Errorf("%s: made", what)
		}
	}
}
