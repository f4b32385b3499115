package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
)

// TestRefusedTripsAreRecorded: docs/audit.md: a trip that was to sign in, link or repair and changed nothing is one event that says whose
// account it was about and why, and no address.
func TestRefusedTripsAreRecorded(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	_, e := broken(t, s, alice)
	whose := textOf(t, s.DSN, `SELECT subject_id::text FROM connections`)
	p := signedIn(t, s, alice)
	for _, row := range []struct {
		name string
		act  func() int
		want string
	}{
		{"the person says no at Google", func() int {
			return p.google(p.press(p.account(), "add", ""), fakegoogle.Choice{Account: bob, Deny: true}).Status
		},
			"connection.refused by person access_denied at google " + whose},
		{"an account of another organisation", func() int {
			page := p.press(p.account(), "add", "")
			changePolicy(t, s, "default", tenant.Policy{GoogleDomains: []string{"example.com"}})
			return p.google(page, fakegoogle.Choice{Account: carol}).Status
		}, "connection.refused by google access_denied domain_not_allowed " + whose},
		{"a sign-in of one", func() int {
			q := newPerson(t, s)
			return q.google(q.press(q.account(), "sign-in", ""), fakegoogle.Choice{Account: carol}).Status
		}, "login by google access_denied domain_not_allowed -"},
		{"another account than the one to repair", func() int {
			execSQL(t, s.DSN, `UPDATE connections SET email = ''::bytea`) // no login_hint
			q := newPerson(t, s)
			return q.google(q.press(q.get(e.InteractionURI), "connect", ""), fakegoogle.Choice{Account: bob}).Status
		}, "connection.refused by google access_denied another_account " + whose},
		{"signed out meanwhile", func() int {
			page := p.press(p.account(), "add", "")
			execSQL(t, s.DSN, `UPDATE sessions SET ended_at = now()`)
			return p.google(page, fakegoogle.Choice{Account: bob}).Status
		}, "connection.refused by person access_denied not_signed_in " + whose},
	} {
		before := len(auditOf(t, s))
		if status := row.act(); status != http.StatusForbidden {
			t.Errorf("%s: %d", row.name, status)
		}
		var got []string
		for _, e := range auditOf(t, s)[before:] {
			if strings.HasPrefix(string(e.Kind), "admin.") { // the policy
				continue
			}
			subject := e.Subject.String()
			if strings.Trim(subject, "0-") == "" {
				subject = "-"
			}
			got = append(got, fmt.Sprintf("%s by %s %s %s %s", e.Kind, e.Actor, e.Outcome, e.Detail, subject))
		}
		if !slices.Equal(got, []string{row.want}) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
