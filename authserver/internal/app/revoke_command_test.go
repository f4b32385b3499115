package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
)

func revokeCommand(dsn string, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = app.Main(context.Background(), append([]string{"revoke", "--database-url", dsn}, args...), &o, &e)
	return code, o.String(), e.String()
}

// TestRevokeCommand: issue 5: after `revoke` nothing older is served by any endpoint, the person is signed out, and who signs in again
// goes on at once; the Google account stays connected. Without --confirm, and with --dry-run, nothing happens.
func TestRevokeCommand(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p, q := signedIn(t, s, alice), signedIn(t, s, bob)
	v, others := s.NewVisit(t), s.NewVisit(t)
	others.Choice = fakegoogle.Choice{Account: bob}
	out, kept := p.allow(v), q.allow(others)
	works(t, s, out)
	before := snapshot(t, s.DSN)
	of := []string{"--tenant", "default", "--subject", claim(t, out, "sub")}
	code, listed, _ := revokeCommand(s.DSN, append(of, "--dry-run")...)
	if code != 0 || !strings.Contains(listed, "default  1       1         0") {
		t.Errorf("%d\n%s", code, listed)
	}
	if code, listed, why := revokeCommand(s.DSN, of...); code == 0 || !strings.Contains(why, "--confirm") || !strings.Contains(listed, "default") {
		t.Errorf("%d %s", code, why)
	}
	for _, wrong := range [][]string{{}, {"--all", "--tenant", "default"}, {"--all", "--subject", claim(t, out, "sub")}, {"--client", v.Client}, {"--tenant", "acme"}, {"--resume", "--dry-run"}, {"--resume", "--all"}, {"--tenant", "default", "--subject", "alice@example.com"}} {
		if code, _, why := revokeCommand(s.DSN, append(wrong, "--confirm")...); code == 0 || why == "" {
			t.Errorf("%v is taken", wrong)
		}
	}
	if snapshot(t, s.DSN) != before {
		t.Fatal("something changed")
	}

	code, result, why := revokeCommand(s.DSN, append(of, "--confirm", "--json")...)
	var done struct {
		State            string
		Grants, Sessions int
	}
	if err := json.Unmarshal([]byte(result), &done); code != 0 || err != nil || done.State != "done" || done.Grants != 1 || done.Sessions != 1 {
		t.Fatalf("%d %s %s", code, result, why)
	}
	if status, body := s.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		t.Errorf("a refresh: %d %v", status, body)
	}
	x := s.Exchanger(t, s.Internal)
	_, err := x.Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("an exchange: %+v", e)
	}
	if page := p.account(); strings.Contains(string(page.Body), "Where you are signed in") {
		t.Errorf("still signed in: %s", words(page))
	}
	// Others keep everything; the person signs in again at once, without Google asking for more.
	works(t, s, kept)
	if status, body := s.Token(t, others.Refresh(kept["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("somebody else: %d %v", status, body)
	}
	asked := len(p.asked)
	again := p.allow(s.VisitAs(t, v.Client))
	works(t, s, again)
	if p.asked[asked].Get("prompt") == "consent" {
		t.Error("the Google account was to be connected again")
	}
	if code, out, _ := revokeCommand(s.DSN, "--resume"); code != 0 || !strings.Contains(out, "every revocation is done") {
		t.Errorf("%d %s", code, out)
	}
}

// TestRevokeWithGoogle: --google withdraws the access at Google as a disconnection does, and the account has to be connected again;
// one that was connected since stays when a server closes the epoch.
func TestRevokeWithGoogle(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	v := s.NewVisit(t)
	out := p.allow(v)
	token := works(t, s, out).AccessToken
	if code, _, why := revokeCommand(s.DSN, "--all", "--google", "--confirm"); code != 0 || !strings.Contains(why, "1 grants, 1 sessions, 1 connections to Google ended") {
		t.Fatalf("%d %s", code, why)
	}
	if n := rowsOf(t, s.DSN, waiting); n != 1 {
		t.Errorf("%d tokens wait to be withdrawn", n)
	}
	due(t, s)
	s.RevokeAtGoogle(t)
	if googleKnows(t, s, token) || rowsOf(t, s.DSN, waiting) != 0 {
		t.Error("Google was not told")
	}
	asked := len(p.asked)
	fresh := p.google(p.press(p.account(), "sign-in", ""), fakegoogle.Choice{Account: alice})
	if fresh.Status != http.StatusOK || len(p.asked) == asked {
		t.Fatalf("%d %s", fresh.Status, words(fresh))
	}
	again := p.allow(s.VisitAs(t, v.Client))
	s.GoOnRevoking(t)
	token = works(t, s, again).AccessToken
	if !googleKnows(t, s, token) || rowsOf(t, s.DSN, `SELECT count(*) FROM revocation_epochs WHERE closed_at IS NULL`) != 0 {
		t.Error("the new connection is gone, or the epoch stays")
	}
}

// TestServersGoOnRevoking: from the beginning of a revocation every endpoint refuses, before a row is marked; one whose command is
// gone is done by a server.
func TestServersGoOnRevoking(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	out := s.SignIn(t, v)
	p, pending := signedIn(t, s, bob), s.NewVisit(t)
	q, _ := s.Walk(t, pending)
	if page := p.account(); !strings.Contains(string(page.Body), "Where you are signed in") {
		t.Fatalf("not signed in: %s", words(page))
	}
	dying, kill := context.WithCancel(context.Background())
	kill()
	var o, e bytes.Buffer
	job := s.BeginRevocation(t) // what an API would do, and nothing more
	if status, body := s.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		t.Errorf("begun: %d %v", status, body)
	}
	if status, body := s.Token(t, pending.Redeem(q.Get("code"))); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		t.Errorf("a code: %d %v", status, body)
	}
	if _, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead)); failure(t, err).Code != oauth.InvalidGrant {
		t.Errorf("an exchange: %v", err)
	}
	if page := p.account(); strings.Contains(string(page.Body), "Where you are signed in") {
		t.Errorf("still signed in: %s", words(page))
	}
	fresh := s.SignIn(t, s.VisitAs(t, v.Client))
	works(t, s, fresh)
	if code := app.Main(dying, []string{"revoke", "--database-url", s.DSN, "--resume"}, &o, &e); code == 0 {
		t.Errorf("killed: %s", o.String())
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM grants WHERE revoked_at IS NULL`); n != 3 {
		t.Fatalf("%d grants are not marked", n)
	}
	s.GoOnRevoking(t)
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM grants WHERE revoked_reason = 'mass_revocation'`); n != 2 {
		t.Errorf("%d grants are marked", n)
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM audit_events WHERE kind = 'grant.revoked' AND detail = 'mass_revocation `+job+`'`); n != 2 {
		t.Errorf("%d events name the job", n)
	}
	works(t, s, fresh)
}
