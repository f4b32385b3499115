package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
)

// textOf is rowsOf for a text.
func textOf(t *testing.T, dsn, query string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`} {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	var out string
	if err := conn.QueryRow(context.Background(), query).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

const waiting = `SELECT count(*) FROM google_revocations`

// due makes every waiting revocation due.
func due(t *testing.T, s *authtest.Server) {
	t.Helper()
	moveTime(t, s.DSN, `UPDATE google_revocations SET next_try_at = now()`)
}

// googleKnows reports whether Google still takes an access token.
func googleKnows(t *testing.T, s *authtest.Server, token string) bool {
	t.Helper()
	resp := get(t, s.Google.URL+"/v1/userinfo", "Authorization", "Bearer "+token)
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestDisconnect: issue 4: a disconnected account is gone here at once, with every app's grant on it, and at Google as soon as Google answers.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	v := s.NewVisit(t)
	out := p.allow(v)
	p.add(bob)
	token := works(t, s, out).AccessToken
	clear := s.Google.Inject(fakegoogle.Fault{Prefix: "/revoke", Status: 503})
	hers := handles(p.account())
	page := p.press(p.account(), "disconnect", hers["example.com"])
	says(t, page, http.StatusOK, "The account is disconnected.", "example.com-2")
	if left := handles(page); left["example.com"] != "" || left["example.com-2"] == "" {
		t.Errorf("%v", left)
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM connections WHERE is_default AND alias = 'example.com-2'`); n != 1 {
		t.Error("no other default")
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM credentials WHERE status = 'revoked' AND refresh_token IS NULL AND access_token IS NULL`); n != 1 {
		t.Error("the tokens are still in the credential")
	}
	_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("%+v", e)
	}
	if status, _ := s.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusBadRequest {
		t.Errorf("refresh: %d", status)
	}
	// Google is down: it is tried again, later and later.
	for tries := 1; tries <= 3; tries++ {
		s.RevokeAtGoogle(t)
		s.RevokeAtGoogle(t) // not due again
		if n := s.Google.Count("POST /revoke"); n != tries || rowsOf(t, s.DSN, waiting) != 1 {
			t.Errorf("%d tries, %d waiting", n, rowsOf(t, s.DSN, waiting))
		}
		due(t, s)
	}
	if !googleKnows(t, s, token) {
		t.Fatal("Google has ended it by itself")
	}
	clear()
	s.RevokeAtGoogle(t)
	if googleKnows(t, s, token) || rowsOf(t, s.DSN, waiting) != 0 {
		t.Error("the access at Google is not withdrawn")
	}
	if strings.Contains(s.Logs.String(), "1//0") {
		t.Error("a token is in the log")
	}
}

// TestDisconnectGivesUp: a token that Google does not take back for seven days is given up, not tried for ever.
func TestDisconnectGivesUp(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	p.allow(s.NewVisit(t))
	s.Google.Inject(fakegoogle.Fault{Prefix: "/revoke", Reset: true})
	p.press(p.account(), "disconnect", "")
	s.RevokeAtGoogle(t)
	if rowsOf(t, s.DSN, waiting) != 1 {
		t.Fatal("given up at once")
	}
	execOwner(t, s.DSN, `UPDATE google_revocations SET created_at = now() - interval '7 days 1 minute', next_try_at = now()`)
	s.RevokeAtGoogle(t)
	if rowsOf(t, s.DSN, waiting) != 0 {
		t.Error("tried for ever")
	}
}

// execOwner runs a statement with no role's limits: as the owner, row-level security off for the test.
func execOwner(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range []string{`ALTER TABLE google_revocations NO FORCE ROW LEVEL SECURITY`, sql, `ALTER TABLE google_revocations FORCE ROW LEVEL SECURITY`} {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReconnectIsNotRevoked: what is connected again while a revocation waits must not be ended by it: Google ends an account's whole grant.
func TestReconnectIsNotRevoked(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	p.allow(s.NewVisit(t))
	before := handles(p.account())["example.com"]
	clear := s.Google.Inject(fakegoogle.Fault{Prefix: "/revoke", Status: 503})
	p.press(p.account(), "disconnect", "")
	s.RevokeAtGoogle(t)
	clear()
	out := p.allow(s.NewVisit(t))
	due(t, s)
	s.RevokeAtGoogle(t)
	works(t, s, out)
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	works(t, s, out) // by the refresh token
	if after := handles(p.account())["example.com"]; after != before {
		t.Errorf("the handle changed from %s to %s", before, after)
	}
}

// TestSharedAccountIsNotRevokedAtGoogle: an account that its own person uses here too stays alive at Google when somebody who linked it disconnects it.
func TestSharedAccountIsNotRevokedAtGoogle(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newPerson(t, s)
	p.allow(s.NewVisit(t))
	p.add(bob)
	b := newPerson(t, s)
	v := s.NewVisit(t)
	v.Choice.Account = bob
	his := b.allow(v)
	p.press(p.account(), "disconnect", handles(p.account())["example.com-2"])
	s.RevokeAtGoogle(t)
	if s.Google.Count("POST /revoke") != 0 || rowsOf(t, s.DSN, waiting) != 0 {
		t.Error("revoked at Google, or still waiting")
	}
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	works(t, s, his)
}

// TestDisconnectedStaysDisconnected: a link that was made before brings nothing back: the account was taken away on purpose.
func TestDisconnectedStaysDisconnected(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	_, e := broken(t, s, alice)
	p := signedIn(t, s, alice)
	page := p.get(e.InteractionURI)
	p.press(p.account(), "disconnect", "")
	before := snapshot(t, s.DSN)
	says(t, p.get(e.InteractionURI), http.StatusNotFound, "was disconnected")
	says(t, p.press(page, "connect", ""), http.StatusNotFound, "was disconnected")
	if after := snapshot(t, s.DSN); after != before {
		t.Error("something changed")
	}
	// Its person adds it again.
	says(t, p.account(), http.StatusOK, "No Google account is connected.")
	again := p.press(p.account(), "add", "", "account", textOf(t, s.DSN, `SELECT 'acc_' || id FROM connections`))
	says(t, p.google(again, fakegoogle.Choice{}), http.StatusOK, "Google is connected")
	if got := p.asked[len(p.asked)-1]; got.Get("login_hint") != alice {
		t.Errorf("asked at Google: %v", got)
	}
}
