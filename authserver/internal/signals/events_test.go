package signals_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
)

// TestEvents: what each event does to a person who is signed in: to the tokens of the MCP client, to the exchange and to
// what is stored; that another person is left alone; and that signing in again repairs it.
func TestEvents(t *testing.T) {
	t.Parallel()
	const reauth, gone, kept = "reauth_required", "invalid_grant", ""
	for name, c := range map[string]struct {
		signal            fakegoogle.Signal
		refresh, exchange string // "" for: works
		want              stored
		log               string
	}{
		"sessions-revoked ends grants and marks": {fakegoogle.Signal{Event: "sessions-revoked"}, gone, gone,
			stored{status: "needs_reauth", lastError: "google_sessions_revoked", reason: "google_sessions_revoked", refresh: true, named: true}, `"grants":1`},
		"a hijacked account ends grants and marks": {fakegoogle.Signal{Event: "account-disabled", Reason: "hijacking"}, gone, gone,
			stored{status: "needs_reauth", lastError: "google_account_hijacked", reason: "google_account_hijacked", refresh: true, named: true}, `"grants":1`},
		"a bulk account is suspended": {fakegoogle.Signal{Event: "account-disabled", Reason: "bulk-account"}, kept, reauth,
			stored{status: "needs_reauth", lastError: "google_account_disabled", refresh: true, named: true}, `"grants":0`},
		"an account disabled without a reason is suspended": {fakegoogle.Signal{Event: "account-disabled"}, kept, reauth,
			stored{status: "needs_reauth", lastError: "google_account_disabled", refresh: true, named: true}, `"credentials":1`},
		"tokens-revoked forgets tokens and keeps grants": {fakegoogle.Signal{Event: "tokens-revoked"}, kept, reauth,
			stored{status: "needs_reauth", lastError: "google_tokens_revoked"}, `"credentials":1`},
		"token-revoked by prefix forgets the token": {fakegoogle.Signal{Event: "token-revoked"}, kept, reauth,
			stored{status: "needs_reauth", lastError: "google_token_revoked"}, `"credentials":1`},
		"token-revoked by hash forgets the token": {fakegoogle.Signal{Event: "token-revoked", TokenAlg: "hash_base64_sha512_sha512"}, kept, reauth,
			stored{status: "needs_reauth", lastError: "google_token_revoked"}, `"credentials":1`},
		"account-purged does both": {fakegoogle.Signal{Event: "account-purged"}, gone, gone,
			stored{status: "needs_reauth", lastError: "google_account_purged", reason: "google_account_purged"}, `"grants":1`},
		"account-enabled is logged":                    {fakegoogle.Signal{Event: "account-enabled"}, kept, kept, stored{status: "active", access: true, refresh: true, named: true}, `"signal":"account-enabled"`},
		"account-credential-change-required is logged": {fakegoogle.Signal{Event: "account-credential-change-required"}, kept, kept, stored{status: "active", access: true, refresh: true, named: true}, `"matched":0`},
		"an unknown event is taken and does nothing":   {fakegoogle.Signal{Event: "identifier-changed"}, kept, kept, stored{status: "active", access: true, refresh: true, named: true}, `"note":"unknown: unknown event type"`},
		"verification logs its state":                  {fakegoogle.Signal{Event: "verification", State: "try-7"}, kept, kept, stored{status: "active", access: true, refresh: true, named: true}, `"note":"verification: state try-7"`},
		"an unknown subject type does nothing":         {fakegoogle.Signal{Event: "token-revoked", TokenAlg: "of another time"}, kept, kept, stored{status: "active", access: true, refresh: true, named: true}, `unknown token identifier`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			other := r.NewVisit(t)
			other.Choice.Account = "bob@example.com"
			bob := r.SignIn(t, other)
			c.signal.Email = alice
			r.send(t, c.signal)
			if got := r.exchange(t, r.tokens); got != c.exchange {
				t.Errorf("exchange: %q, not %q", got, c.exchange)
			}
			if got := r.refresh(t); got != c.refresh {
				t.Errorf("refresh: %q, not %q", got, c.refresh)
			}
			got := r.stored(t, tenant.DefaultID)
			if got.version == 1 != (c.want.status == "active") {
				t.Errorf("version %d: a refresh under way must lose", got.version)
			}
			if got.version = 0; got != c.want {
				t.Errorf("stored %+v, not %+v", got, c.want)
			}
			if r.logged(c.log) != 1 {
				t.Errorf("the log does not say %s: %s", c.log, r.Logs)
			}
			if strings.Contains(r.Logs.String(), aliceSub) || strings.Contains(r.Logs.String(), alice) {
				t.Error("the log says who it is")
			}
			if got := r.exchange(t, bob); got != "" {
				t.Errorf("another person: %q", got)
			}
			again := r.SignIn(t, r.NewVisit(t))
			if got := r.exchange(t, again); got != "" {
				t.Errorf("after signing in again: %q", got)
			}
			if got := r.exchange(t, r.tokens); (got == "") != (c.refresh == kept) {
				t.Errorf("the old grant after signing in again: %q", got)
			}
		})
	}
}

// TestEventActsOnce: RFC 8417 §2.2: of 16 deliveries at once one acts, all are 202; and a later one does not end what a
// new sign-in has made.
func TestEventActsOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.sign(t, r.claims(t, "sessions-revoked"))
	volley := func() {
		t.Helper()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if status, _ := r.deliver(t, token); status != http.StatusAccepted {
					t.Errorf("status %d", status)
				}
			})
		}
		wg.Wait()
	}
	volley()
	if acted, repeated := r.logged(`"duplicate":false`), r.logged(`"duplicate":true`); acted != 1 || repeated != 15 {
		t.Errorf("%d deliveries acted, %d were repetitions", acted, repeated)
	}
	if got := r.stored(t, tenant.DefaultID); got.version != 2 || got.reason != "google_sessions_revoked" {
		t.Errorf("%+v", got)
	}
	again := r.SignIn(t, r.NewVisit(t))
	volley()
	if got := r.exchange(t, again); got != "" {
		t.Errorf("a repeated event ended a new sign-in: %q", got)
	}
}

// TestSessionsEnd: what ends a person's grants signs them out in every browser, and nobody else; a sign-in after the event stays.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	r := start(t) // alice is signed in
	v := r.NewVisit(t)
	v.Choice.Account = "bob@example.com"
	r.SignIn(t, v)
	live := func() (n int) {
		t.Helper()
		conn := r.as(t, "latchkey_jobs", tenant.DefaultID)
		defer func() { _ = conn.Close(context.Background()) }()
		if err := conn.QueryRow(context.Background(), `SELECT count(*) FROM sessions WHERE ended_at IS NULL`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice})
	if n := live(); n != 2 {
		t.Errorf("revoked tokens left %d sessions", n)
	}
	late := r.claims(t, "sessions-revoked")
	late["iat"] = time.Now().Add(-time.Hour).Unix()
	if status, _ := r.deliver(t, r.sign(t, late)); status != http.StatusAccepted || live() != 2 {
		t.Errorf("an old event ended a newer session: %d, %d left", status, live())
	}
	r.send(t, fakegoogle.Signal{Event: "sessions-revoked", Email: alice})
	if n := live(); n != 1 {
		t.Errorf("revoked sessions left %d", n)
	}
}

// TestLateEvent: an event that comes late takes nothing from a sign-in after it, and everything from before.
func TestLateEvent(t *testing.T) {
	t.Parallel()
	r := start(t)
	late := r.claims(t, "account-purged")
	late["iat"] = time.Now().Add(-time.Hour).Unix()
	if status, _ := r.deliver(t, r.sign(t, late)); status != http.StatusAccepted {
		t.Fatal(status)
	}
	if got := r.exchange(t, r.tokens); got != "" || r.logged(`"matched":1,"credentials":0,"grants":0`) != 1 {
		t.Errorf("%q %s", got, r.Logs)
	}
	r.exec(t, `UPDATE grants SET created_at = now() - interval '2 hours'`)
	late["jti"] = "second"
	if status, _ := r.deliver(t, r.sign(t, late)); status != http.StatusAccepted {
		t.Fatal(status)
	}
	if got := r.refresh(t); got != "invalid_grant" {
		t.Errorf("a grant from before the event: %q", got)
	}
	if got := r.stored(t, tenant.DefaultID); got.status != "active" {
		t.Errorf("a credential that was linked after the event: %+v", got)
	}
}

// TestEventDuringRefresh: DESIGN §5: a refresh under way publishes nothing over an event.
func TestEventDuringRefresh(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.exec(t, `UPDATE credentials SET access_expires_at = now()`)
	before := r.Google.Count("POST /token")
	hold := make(chan struct{}) // Google answers when the event has acted
	r.Google.Inject(fakegoogle.Fault{Prefix: "/token", Hold: hold})
	result := make(chan string, 1)
	go func() { result <- r.exchange(t, r.tokens) }()
	for deadline := time.Now().Add(time.Minute); r.Google.Count("POST /token") == before; {
		if time.Now().After(deadline) {
			t.Fatal("no refresh has begun")
		}
		time.Sleep(5 * time.Millisecond) // the other side of a real HTTP call
	}
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice})
	close(hold)
	if got := <-result; got != "reauth_required" {
		t.Errorf("the exchange under way: %q", got)
	}
	if got := r.stored(t, tenant.DefaultID); got.status != "needs_reauth" || got.access || got.refresh || got.version != 2 || r.Google.Count("refresh") != 1 {
		t.Errorf("%+v, %d refreshes", got, r.Google.Count("refresh"))
	}
}

// TestFailedActIsRepeated: an event whose act fails half-way has done nothing, is 503, and acts when it comes again.
func TestFailedActIsRepeated(t *testing.T) {
	t.Parallel()
	r := start(t, authtest.Hasty)
	token := r.sign(t, r.claims(t, "sessions-revoked"))
	conn := r.as(t, "latchkey_jobs", tenant.DefaultID)
	if _, err := conn.Exec(t.Context(), `BEGIN; SELECT FROM grants FOR UPDATE`); err != nil { // longer than the server waits
		t.Fatal(err)
	}
	if status, _ := r.deliver(t, token); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if got := r.stored(t, tenant.DefaultID); got.status != "active" || !got.access || got.version != 1 {
		t.Errorf("half an act: %+v", got)
	}
	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.deliver(t, token); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	if got := r.stored(t, tenant.DefaultID); got.status != "needs_reauth" || got.reason == "" {
		t.Errorf("not repeated: %+v", got)
	}
}

// TestOffByDefault: without the setting there is no such path.
func TestOffByDefault(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	status, _, err := fakegoogle.Deliver(context.Background(), s.URL+"/google/signals", "x")
	if err != nil || status != http.StatusNotFound {
		t.Errorf("%d %v", status, err)
	}
}
