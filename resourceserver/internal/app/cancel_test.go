package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/deploy/dev/fakegoogle"
)

const labels = "/gmail/v1/users/me/labels"

// slow begins a call that Google does not answer yet, and returns when Google has
// it. The answer, if the client gets one, comes through the channel.
func (r *rig) slow(ctx context.Context, token, id string, headers ...string) <-chan string {
	r.t.Helper()
	before := r.google.Count("GET " + labels)
	params, method := `"name":"gmail_list_labels","arguments":{}`, "tools/call"
	if len(headers) > 0 {
		params += "," + modernMeta
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.mcp, strings.NewReader(`{"jsonrpc":"2.0","id":`+id+`,"method":"`+method+`","params":{`+params+`}}`))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer := make(chan string, 1)
	go func() {
		defer close(answer)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	eventually(r.t, "Google has the request", func() bool { return r.google.Count("GET "+labels) > before })
	return answer
}

// takeBack sends the notification that cancels a request.
func (r *rig) takeBack(token, id string, headers ...string) {
	r.t.Helper()
	out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`,"reason":"t"}}`, headers...)
	if out.status != http.StatusAccepted {
		r.t.Fatalf("notification: %d %s", out.status, out.body)
	}
}

func (r *rig) mintFor(change map[string]string) string {
	claims := r.as.claims(full)
	for name, value := range change {
		claims[name] = value
	}
	return r.as.sign(claims, r.as.key, "at+jwt")
}

// outlives: nothing that is done while a call runs ends it. It has had its effect
// when it is done; then Google answers, and the call must do so too.
func (r *rig) outlives(what, token, id string, done func(), headers ...string) {
	r.t.Helper()
	hold := make(chan struct{})
	r.google.Inject(fakegoogle.Fault{Prefix: labels, Hold: hold, Times: 1})
	answer := r.slow(r.t.Context(), token, id, headers...)
	done()
	close(hold)
	if body := <-answer; !strings.Contains(body, "INBOX") {
		r.t.Fatalf("%s ended the call: %s", what, body)
	}
}

// TestCancelled: the notification ends the call at Google, with its very id only
// (MCP 2025-06-18 and 2025-11-25, Cancellation).
func TestCancelled(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(full)
	for n, id := range []string{`7`, `"seven"`} {
		r.outlives("another id", token, id, func() {
			r.takeBack(token, []string{`"7"`, `7`}[n]) // 7 is not "7"
			r.takeBack(token, `8`)
		})
		r.google.Inject(fakegoogle.Fault{Prefix: labels, Hang: true, Times: 1})
		answer := r.slow(t.Context(), token, id)
		r.takeBack(token, id)
		eventually(t, "the call ends at Google", func() bool { return r.google.Count("given up") == n+1 })
		select {
		case body := <-answer:
			if body != "" && !json.Valid([]byte(body)) {
				t.Errorf("%s: %s", id, body)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: the request stays open", id)
		}
	}
}

// TestCancelledByOthers: ids are counted by each client, so every one has a
// request 1. Nobody's notification ends the call of another person, app, grant or
// tenant's person (mcp-go keeps running requests by session, and there are none).
func TestCancelledByOthers(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(full)
	for name, other := range map[string]map[string]string{
		"person": {"sub": "0198f000-0000-7000-8000-0000000000ff"}, "app": {"client_id": "other"}, "grant": {"gid": "0198f000-0000-7000-8000-0000000000fe"},
		"tenant": {"tid": "0198f000-0000-7000-8000-0000000000fd"},
	} {
		r.outlives("another "+name, token, "1", func() { r.takeBack(r.mintFor(other), "1") })
	}
	// A session id that a client names changes nothing.
	r.outlives("another person who names a session", token, "1", func() {
		r.takeBack(r.mintFor(map[string]string{"sub": "0198f000-0000-7000-8000-0000000000ff"}), "1", "Mcp-Session-Id", "x")
	})
	r.google.Inject(fakegoogle.Fault{Prefix: labels, Hang: true, Times: 1})
	answer := r.slow(t.Context(), token, "1")
	r.takeBack(token, "1")
	eventually(t, "the call ends at Google", func() bool { return r.google.Count("given up") == 1 })
	<-answer
}

// TestCancelledTwice: two windows of one app have a request 1 each; which one is
// meant is unknown, and none ends. When one is left, it is meant.
func TestCancelledTwice(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(full)
	r.outlives("a notification that may mean either", token, "1", func() {
		r.outlives("a notification that may mean either", token, "1", func() { r.takeBack(token, "1") })
	})
	r.google.Inject(fakegoogle.Fault{Prefix: labels, Hang: true, Times: 2})
	one, leave := context.WithCancel(t.Context())
	defer leave()
	r.slow(one, token, "1")
	second := r.slow(t.Context(), token, "1")
	r.takeBack(token, "1")
	leave()
	eventually(t, "the first is gone", func() bool { return r.google.Count("given up") == 1 })
	eventually(t, "the second ends", func() bool {
		r.takeBack(token, "1")
		return r.google.Count("given up") == 2
	})
	<-second
}

// TestCancelledInTheNewRevision: in 2026-07-28 no notification ends a call, whoever
// sends it and in whatever form; mcp-go would look for it among the running requests
// of everybody, which have no session there.
func TestCancelledInTheNewRevision(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(full)
	r.google.Inject(fakegoogle.Fault{Prefix: labels, Hang: true, Times: 1})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answer := r.slow(ctx, token, "1", "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "gmail_list_labels")
	stranger := r.mintFor(map[string]string{"sub": "0198f000-0000-7000-8000-0000000000ff", "tid": "0198f000-0000-7000-8000-0000000000fd"})
	for name, begin := range map[string]string{"no id": `"method":"notifications/cancelled"`, "null as id": `"id":null,"method":"notifications/cancelled"`, "method twice": `"method":"ping","METHOD":"notifications\u002fcancelled"`} {
		for who, token := range map[string]string{"a stranger": stranger, "the app itself": token} {
			out := r.send(http.MethodPost, r.mcp, token, `{"jsonrpc":"2.0",`+begin+`,"params":{"requestId":1,`+modernMeta+`}}`, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled")
			if out.status != http.StatusAccepted {
				t.Errorf("%s, %s: %d %s", name, who, out.status, out.body)
			}
			select {
			case body := <-answer:
				t.Fatalf("%s, %s: ended the call: %s", name, who, body)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	// With an id it is a request, and gets an answer.
	out := r.send(http.MethodPost, r.mcp, stranger, `{"jsonrpc":"2.0","id":2,"method":"notifications/cancelled","params":{"requestId":1,`+modernMeta+`}}`, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled")
	if out.status != http.StatusNotFound || !strings.Contains(out.body, `"id":2`) || !strings.Contains(out.body, "-32601") {
		t.Errorf("as a request: %d %s", out.status, out.body)
	}
	leave()
	eventually(t, "the call ends at Google", func() bool { return r.google.Count("given up") == 1 })
	<-answer
}

// TestGoneClient: who goes away cancels the call, in every revision; in 2026-07-28
// that is the only way (Streamable HTTP, Cancellation).
func TestGoneClient(t *testing.T) {
	t.Parallel()
	modern := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "gmail_list_labels"}
	for name, headers := range map[string][]string{"2025-11-25": nil, "2026-07-28": modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			token := r.as.mint(full)
			if headers != nil {
				r.outlives("the notification of an older revision", token, "1", func() { r.takeBack(token, "1") }, headers...)
			}
			r.google.Inject(fakegoogle.Fault{Prefix: labels, Hang: true, Times: 1})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			answer := r.slow(ctx, token, "1", headers...)
			leave()
			eventually(t, "the call ends at Google", func() bool { return r.google.Count("given up") == 1 })
			<-answer
		})
	}
}
