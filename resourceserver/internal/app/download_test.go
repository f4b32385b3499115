package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/config"
)

// link asks for a download link with a token.
func (r *rig) link(token string) string {
	r.t.Helper()
	out := r.call(token, "gmail_get_attachment", map[string]any{"message_id": r.message("subject:minutes"), "attachment_id": "1"})
	link, _ := out.Data["download_url"].(string)
	if link == "" {
		r.t.Fatalf("no link: %v", out.Data)
	}
	return link
}

// TestDownload: the bytes of the attachment, for saving and nothing else.
func TestDownload(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.as.mint(all)
	link := r.link(token)
	out := r.send(http.MethodGet, link, "", "")
	if out.status != http.StatusOK || out.body != "Minutes\r\nWe agreed on nothing.\n" {
		t.Errorf("download: %d %q", out.status, out.body)
	}
	for name, want := range map[string]string{
		"Content-Disposition": "attachment; filename=minutes.txt", "Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; sandbox",
	} {
		if got := out.header.Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, secret := range r.as.secrets() { // neither token, in any form
		if strings.Contains(link, secret) {
			t.Error("a secret shows in the link")
		}
	}
	if out := r.send(http.MethodGet, strings.Replace(link, r.origin, r.replica().origin, 1), "", ""); out.status != http.StatusOK {
		t.Errorf("at another replica: %d", out.status)
	}
	if out := r.send(http.MethodPost, link, "", ""); out.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", out.status)
	}
	if strings.Contains(r.log.String(), link[strings.Index(link, "link=")+5:]) {
		t.Error("the link is in the log")
	}
}

// TestDownloadEnds: a link gives nothing that its token would not, and ends with
// it; no refusal tells why.
func TestDownloadEnds(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0 }) // it looks often
	good := r.link(r.as.mint(all))
	sealed := good[strings.Index(good, "link=")+5:]
	with := func(name string, value any) string {
		c := r.as.claims(all)
		c[name] = value
		return r.as.sign(c, r.as.key, "at+jwt")
	}
	get := func(link string) reply { return r.send(http.MethodGet, link, "", "") }
	ends := with("exp", time.Now().Add(2*time.Second).Unix())
	short := r.link(ends)
	revoked := r.link(with("gid", "0198f000-0000-7000-8000-0000000000ff"))
	r.as.set(func() { r.as.revoked = []string{"0198f000-0000-7000-8000-0000000000ff"} })
	state := func() string {
		_, q := r.modern(r.as.mint(full), "gmail_send", map[string]any{"draft_id": r.draft(bob, "s", "t")}, "", "")
		return q.state
	}()
	other := start(t)
	for name, link := range map[string]string{
		"no link":                      r.origin + "/download",
		"made up":                      r.origin + "/download?link=AAAA",
		"a character changed":          r.origin + "/download?link=" + flip(sealed[0]) + sealed[1:],
		"cut":                          good[:len(good)-4],
		"another server":               strings.Replace(good, r.origin, other.origin, 1),
		"sealed for another purpose":   r.origin + "/download?link=" + url.QueryEscape(state),
		"an access token in its place": r.origin + "/download?link=" + r.as.mint(all),
	} {
		if out := get(link); out.status != http.StatusGone || strings.Contains(out.body, "Minutes") {
			t.Errorf("%s: %d %s", name, out.status, out.body)
		}
	}
	eventually(t, "the revocation to arrive", func() bool { return get(revoked).status == http.StatusGone })
	eventually(t, "the token to end", func() bool { return get(short).status == http.StatusGone })
	if out := get(good); out.status != http.StatusOK {
		t.Errorf("the good one: %d", out.status)
	}
	for name, c := range map[string]struct {
		answer exchange.Error
		status int
		want   int
	}{
		"the exchange says revoked": {exchange.Error{Code: oauth.InvalidGrant}, 400, http.StatusGone},
		"the exchange is down":      {exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 3}, 503, http.StatusServiceUnavailable},
		"reconnect":                 {exchange.Error{Code: oauth.InteractionRequired, Reason: exchange.ReauthRequired}, 400, http.StatusBadGateway},
	} {
		fresh := r.link(r.as.mint(all))
		r.as.set(func() { r.as.answer = func(map[string]string) (int, any) { return c.status, c.answer } })
		out := r.send(http.MethodGet, strings.Replace(fresh, r.origin, r.replica().origin, 1), "", "")
		r.as.set(func() { r.as.answer = nil })
		if out.status != c.want || strings.Contains(out.body, "Minutes") {
			t.Errorf("%s: %d %s", name, out.status, out.body)
		}
	}
	for status, want := range map[int]int{404: http.StatusNotFound, 403: http.StatusBadGateway, 401: http.StatusBadGateway} {
		r.google.Inject(fakegoogle.Fault{Prefix: "/gmail/", Status: status, Code: "forbidden"})
		if out := get(good); out.status != want {
			t.Errorf("Google %d: %d %s", status, out.status, out.body)
		}
		r.google.Clear()
	}
}

// TestDownloadLimits: a download is a call of its tool to the limits and to the
// trail, and nobody takes the places of others.
func TestDownloadLimits(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0.05 }) // 5 a minute per tool, of which the link is one
	link := r.link(r.as.mint(all))
	bobs := func() string {
		token := r.bobs()
		found := r.call(token, "gmail_search_threads", map[string]any{"query": "subject:minutes"})
		thread := r.call(token, "gmail_get_thread", map[string]any{"thread_id": field(found.Data, "threads", 0, "thread_id")})
		out := r.call(token, "gmail_get_attachment", map[string]any{"message_id": field(thread.Data, "messages", 0, "message_id"), "attachment_id": "1"})
		return fmt.Sprint(out.Data["download_url"])
	}()
	message := "GET /gmail/v1/users/me/messages/" + r.message("subject:minutes")
	before := r.google.Count(message)
	r.google.Inject(fakegoogle.Fault{Prefix: "/gmail/", Hang: true, Times: 3})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	eventually(t, "three downloads to run", func() bool { return r.google.Count(message) == before+3 })
	if out := r.send(http.MethodGet, link, "", ""); out.status != http.StatusTooManyRequests || out.header.Get("Retry-After") != "5" {
		t.Errorf("a fourth: %d %s", out.status, out.body)
	}
	if out := r.send(http.MethodGet, bobs, "", ""); out.status != http.StatusOK {
		t.Errorf("another person: %d %s", out.status, out.body)
	}
	cancel()
	eventually(t, "a place to be free, and the last call of the minute", func() bool { return r.send(http.MethodGet, link, "", "").status == http.StatusOK })
	eventually(t, "the limit of the tool", func() bool {
		out := r.send(http.MethodGet, link, "", "")
		return out.status == http.StatusTooManyRequests && out.header.Get("Retry-After") != "" && strings.Contains(out.body, "of this tool")
	})
	seen := map[string]int{}
	for deadline := time.After(time.Minute); seen["rate_limited"] < 2 || seen["ok"] < 4 || seen["temporarily_unavailable"] < 3; {
		select {
		case o := <-r.as.outcomes:
			if o.Tool == "gmail_get_attachment" {
				seen[o.Outcome]++
			}
		case <-deadline:
			t.Fatalf("reported: %v", seen)
		}
	}
}

// TestDownloadOfToolNotOffered: a preset without the tool serves none of its links.
func TestDownloadOfToolNotOffered(t *testing.T) {
	t.Parallel()
	r := start(t)
	link := r.link(r.as.mint(all))
	strict := start(t, func(c *config.Server) { *c = *r.settings; c.ToolPreset = "none" })
	if out := r.send(http.MethodGet, strings.Replace(link, r.origin, strict.origin, 1), "", ""); out.status != http.StatusGone {
		t.Errorf("%d %s", out.status, out.body)
	}
}

// eventually waits for another process's work.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Errorf("waited in vain for %s", what)
}

// TestDownloadAcrossTenants: issue 5: a tenant's download link works under its own host, and under no other tenant's.
func TestDownloadAcrossTenants(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme, globex := r.twoTenants(nil)
	own := served{url: r.mcp, key: r.as.key, Tenant: exchange.Tenant{ID: tenant, Issuer: r.as.url}}
	origin := func(s served) string { return strings.TrimSuffix(strings.TrimSuffix(s.url, "/mcp"), "/t/acme") }
	for _, from := range []served{own, acme, globex} {
		out := r.callAt(from.url, from.token(r.as, nil), "gmail_get_attachment", map[string]any{"message_id": r.message("subject:minutes"), "attachment_id": "1"})
		link, _ := out.Data["download_url"].(string)
		_, path, found := strings.Cut(link, "/download?")
		if !found || !strings.HasPrefix(link, origin(from)) {
			t.Fatalf("%s: %v", from.url, out.Data)
		}
		for _, at := range []served{own, acme, globex} {
			want := http.StatusGone
			if origin(at) == origin(from) {
				want = http.StatusOK
			}
			if got := r.send(http.MethodGet, origin(at)+"/download?"+path, "", ""); got.status != want || want != http.StatusOK && strings.Contains(got.body, "Minutes") {
				t.Errorf("a link of %s at %s: %d %s", from.url, origin(at), got.status, got.body)
			}
		}
	}
}
