package app_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/config"
)

// tokenOf is a token of another person.
func (r *rig) tokenOf(subject string) string {
	c := r.as.claims(all)
	c["sub"] = subject
	return r.as.sign(c, r.as.key, "at+jwt")
}

const another = "0198f000-0000-7000-8000-00000000000c"

// TestToolLimit: SEED 68-70, RS-M22: calls beyond a limit are tool errors that can be waited for; another tool and another person do not notice.
func TestToolLimit(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0.05 }) // 5 a minute per tool, 50 an hour per person
	token := r.as.mint(all)
	began := time.Now()
	served := 0
	var last result
	for range 20 {
		if out := r.call(token, "account_status", nil); out.IsError {
			last = out // of those that are refused: the very last call may find a unit that has come back
		} else {
			served++
		}
	}
	if most := 5 + int(time.Since(began)/(12*time.Second)) + 1; served < 5 || served > most {
		t.Errorf("%d served of 5", served)
	}
	if wait, _ := last.Data["retry_after"].(float64); last.Data["code"] != "rate_limited" || last.Data["retryable"] != true || wait < 1 || wait > 12 || !strings.Contains(last.Content[0].Text, "Too many calls") {
		t.Errorf("the answer: %v", last)
	}
	if out := r.call(token, "drive_search", map[string]any{"query": "x"}); out.IsError && out.Data["code"] == "rate_limited" {
		t.Errorf("another tool: %v", out.Data)
	}
	if out := r.call(r.tokenOf(another), "account_status", nil); out.IsError {
		t.Errorf("another person: %v", out.Data)
	}
}

// TestTenantLimits: issue 5: a tenant's own numbers hold within 10 s for its people, and for nobody else's; a dry run serves and logs.
func TestTenantLimits(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme := newServed(t, acmeID, "https://auth.example.com/t/acme", r.origin+"/t/acme/mcp", func(x *exchange.Tenant) { x.Limits = map[string]int64{"tool": 2, "requests": 9, "token-client": 1} })
	globex := newServed(t, globexID, "https://auth.example.com/t/globex", r.origin+"/t/globex/mcp", func(x *exchange.Tenant) {
		x.Limits, x.ReportOnly = map[string]int64{"tool": 2, "person": 3}, []string{"limits"}
	})
	r.list(acme.url, http.StatusUnauthorized, acme, globex)
	count := func(at, token string, calls int) (served int) {
		t.Helper()
		for range calls {
			if out := r.send(http.MethodPost, at, token, callBody("account_status", nil)); out.status == http.StatusOK && !strings.Contains(out.body, "rate_limited") {
				served++
			}
		}
		return served
	}
	own, dry, other := acme.token(r.as, nil), globex.token(r.as, nil), r.as.mint(all)
	if n := count(acme.url, own, 6); n < 2 || n > 3 { // one more comes back in half a minute
		t.Errorf("%d calls of a tenant that has two", n)
	}
	if n := count(r.mcp, other, 6); n != 6 {
		t.Errorf("%d calls of another tenant", n)
	}
	if n := count(globex.url, dry, 6); n != 6 {
		t.Errorf("%d calls in a dry run", n)
	}
	log := r.log.String()
	if !strings.Contains(log, `"limit":"tool","would_refuse":{"policy":"limits","tenant":"`+globexID+`","client":"client"}`) || !strings.Contains(log, `"limit":"person","would_refuse"`) ||
		strings.Contains(log, `"policy":"limits","tenant":"`+acmeID) {
		t.Error("the log does not say what the dry run would have refused, or says it of another")
	}
	last := reply{}
	for range 20 {
		if out := r.send(http.MethodPost, acme.url, own, list); out.status != http.StatusOK {
			last = out
		}
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("RateLimit-Policy") != `"requests";q=9;w=60` {
		t.Errorf("requests of any kind: %d %v", last.status, last.header)
	}
}

// TestRequestLimit: requests of any kind beyond a limit are 429 with what a client needs to wait, no reason to sign in, and another person's are served.
func TestRequestLimit(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0.02 }) // 24 a minute
	token := r.as.mint(all)
	began := time.Now()
	served := 0
	var last reply
	for range 60 {
		if out := r.send(http.MethodPost, r.mcp, token, list); out.status == http.StatusOK {
			served++
		} else {
			last = out
		}
	}
	if most := 24 + int(time.Since(began)/(2*time.Second)) + 1; served < 24 || served > most {
		t.Errorf("%d served of 24", served)
	}
	wait, err := strconv.Atoi(last.header.Get("Retry-After"))
	if last.status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 3 || last.header.Get("RateLimit") == "" || last.header.Get("RateLimit-Remaining") != "0" || last.header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", last.status, last.header)
	}
	var body struct{ Error string }
	if err := json.Unmarshal([]byte(last.body), &body); err != nil || body.Error != "temporarily_unavailable" {
		t.Errorf("body: %s", last.body)
	}
	if out := r.send(http.MethodPost, r.mcp, r.tokenOf(another), list); out.status != http.StatusOK {
		t.Errorf("another person: %d %s", out.status, out.body)
	}
	if out := r.send(http.MethodPost, r.mcp, "", list); out.status != http.StatusUnauthorized { // the first probe of every client
		t.Errorf("nobody: %d", out.status)
	}
}

// TestExchangeSlowsDown: DESIGN §6: the limit that all resource servers share is told to the model as the same error, and never ends in a sign-in.
func TestExchangeSlowsDown(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.as.set(func() {
		r.as.answer = func(map[string]string) (int, any) {
			return http.StatusTooManyRequests, &exchange.Error{Code: "slow_down", RetryAfter: 7}
		}
	})
	out := r.call(r.as.mint(all), "gmail_search_threads", map[string]any{"query": "x"})
	if !out.IsError || out.Data["code"] != "rate_limited" || out.Data["retryable"] != true || out.Data["retry_after"] != 7.0 {
		t.Errorf("%v", out)
	}
}
