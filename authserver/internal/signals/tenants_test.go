package signals_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// person makes a person of a tenant who has signed in with a Google account
// through a Google client, and has one grant.
func person(t testing.TB, db *postgres.DB, id tenant.ID, googleSub, upstream string, refresh secret.Text) *connection.Record {
	t.Helper()
	r, err := db.EnsureConnection(context.Background(), id, googleSub, "")
	if err != nil {
		t.Fatal(err)
	}
	signIn(t, db, r.Ref, upstream, refresh)
	return r
}

func signIn(t testing.TB, db *postgres.DB, ref connection.Ref, upstream string, refresh secret.Text) {
	t.Helper()
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CompleteSignIn(context.Background(), flow.SignIn{
		Link: connection.Link{SealedEmail: []byte("e"), Ref: ref, UpstreamClient: upstream, SealedRefresh: []byte("r"), RefreshID: connection.IdentifyRefresh(refresh), SealedAccess: []byte("a"),
			AccessExpires: time.Now().Add(time.Hour), GoogleScopes: oauth.NewScopes("openid")},
		Snapshot: []byte("{}"),
		Grant: grant.New{Tenant: ref.Tenant, ID: uuid.Must(uuid.NewV7()), ClientID: "c", Subject: ref.Subject, Connection: ref.Connection, Resource: resource,
			Scopes: oauth.NewScopes("accounts"), CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Lifetimes: tenant.DefaultLifetimes()},
	}); err != nil {
		t.Fatal(err)
	}
}

// TestTenants: one Google account in four tenants: an event reaches it in each, but only what the Google client minted
// that the event is for.
func TestTenants(t *testing.T) {
	t.Parallel()
	r := start(t)
	db := r.DB(t)
	untouched := stored{status: "active", access: true, refresh: true, named: true, version: 1}
	same, foreign, stranger := pgtest.Tenant(t, r.DSN), pgtest.Tenant(t, r.DSN), pgtest.Tenant(t, r.DSN)
	token := secret.NewText("1//0canary-refresh-token")
	person(t, db, same, aliceSub, "google-id", token)
	person(t, db, foreign, aliceSub, "other-google-id", token)
	person(t, db, stranger, aliceSub+"1", "google-id", token)
	claims := r.claims(t, "sessions-revoked")
	claims["aud"] = []string{"other-google-id"}
	if status, code := r.deliver(t, r.sign(t, claims)); status != http.StatusBadRequest || code != "invalid_audience" {
		t.Errorf("an event for another server's client: %d %s", status, code)
	}
	for _, id := range []tenant.ID{tenant.DefaultID, same, foreign, stranger} {
		if got := r.stored(t, id); got != untouched {
			t.Errorf("%+v", got)
		}
	}
	claims["aud"] = []string{"other-google-id", "google-id"} // the other one is none of ours
	if status, code := r.deliver(t, r.sign(t, claims)); status != http.StatusAccepted {
		t.Fatal(status, code)
	}
	for _, id := range []tenant.ID{tenant.DefaultID, same} {
		if got := r.stored(t, id); got.status != "needs_reauth" || got.reason != "google_sessions_revoked" || got.access || got.version != 2 {
			t.Errorf("%+v", got)
		}
	}
	for _, id := range []tenant.ID{foreign, stranger} {
		if got := r.stored(t, id); got != untouched {
			t.Errorf("%+v", got)
		}
	}
	if r.logged(`"matched":2,"credentials":2,"grants":2`) != 1 {
		t.Error(r.Logs)
	}
}

// TestLinkedAccount: an event about a second account that a person has linked takes that account and what was made with
// it, and leaves the person signed in with the first.
func TestLinkedAccount(t *testing.T) {
	t.Parallel()
	r := start(t)
	db, id := r.DB(t), pgtest.Tenant(t, r.DSN)
	first := person(t, db, id, "first-sub", "google-id", secret.NewText("1//0first-refresh-token"))
	second := first.Ref
	second.Connection = uuid.Must(uuid.NewV7())
	conn := r.as(t, "latchkey_runtime", id)
	if _, err := conn.Exec(t.Context(), `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default) VALUES ($1, $2, $3, $4, '', false)`,
		id.UUID(), second.Connection, second.Subject, aliceSub); err != nil {
		t.Fatal(err)
	}
	signIn(t, db, second, "google-id", secret.NewText("1//0second-refresh-token"))
	r.send(t, fakegoogle.Signal{Event: "account-disabled", Reason: "hijacking", Email: alice})
	for ref, want := range map[connection.Ref]string{first.Ref: "active ", second: "needs_reauth google_account_hijacked"} {
		var status, reason string
		if err := conn.QueryRow(t.Context(), `SELECT k.status, g.revoked_reason FROM credentials k JOIN grants g ON g.connection_id = k.connection_id WHERE k.connection_id = $1`, ref.Connection).
			Scan(&status, &reason); err != nil || status+" "+reason != want {
			t.Errorf("%s %s, not %s: %v", status, reason, want, err)
		}
	}
}

// TestRevokedStaysRevoked: an event does not make a connection that was disconnected here look like one that only waits
// for a sign-in; its tokens go all the same.
func TestRevokedStaysRevoked(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.exec(t, `UPDATE credentials SET status = 'revoked'`)
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice})
	if got := r.stored(t, tenant.DefaultID); got.status != "revoked" || got.access || got.refresh || got.version != 2 {
		t.Errorf("%+v", got)
	}
}

// TestTokenIdentifiers: a refresh token is found by what Google calls it, also one that a refresh or a sign-in put in the
// place of another; the one before is found no more.
func TestTokenIdentifiers(t *testing.T) {
	t.Parallel()
	r := start(t)
	db, id := r.DB(t), pgtest.Tenant(t, r.DSN)
	who := person(t, db, id, "sub", "google-id", secret.NewText("1//0first-refresh-token"))
	send := func(prefix string, matched int) {
		t.Helper()
		before := r.logged(fmt.Sprintf(`"matched":%d,`, matched))
		claims := map[string]any{"iss": r.Google.SignalIssuer(), "aud": "google-id", "iat": time.Now().Unix(), "jti": uuid.NewString(), "events": map[string]any{
			"https://schemas.openid.net/secevent/oauth/event-type/token-revoked": map[string]any{
				"subject": map[string]any{"token_type": "refresh_token", "token_identifier_alg": "prefix", "token": prefix}}}}
		if status, code := r.deliver(t, r.sign(t, claims)); status != http.StatusAccepted {
			t.Fatal(status, code)
		}
		if r.logged(fmt.Sprintf(`"matched":%d,`, matched)) != before+1 {
			t.Errorf("%s does not match %d", prefix, matched)
		}
	}
	owner := uuid.New()
	if ok, err := db.TakeLease(t.Context(), who.Ref, 1, owner, time.Minute); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := db.PublishRefresh(t.Context(), connection.Refreshed{Ref: who.Ref, Version: 1, Owner: owner, SealedRefresh: []byte("r2"), SealedAccess: []byte("a"),
		RefreshID: connection.IdentifyRefresh(secret.NewText("1//0second-refresh-token")), AccessExpires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	send("1//0first-refres", 0)
	if ok, err := db.TakeLease(t.Context(), who.Ref, 2, owner, time.Minute); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := db.PublishRefresh(t.Context(), connection.Refreshed{Ref: who.Ref, Version: 2, Owner: owner, SealedAccess: []byte("a"), AccessExpires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	send("1//0second-refre", 1) // an answer without a refresh token keeps the stored one, and its name
	send("1//0second-refre", 0) // forgotten
	signIn(t, db, who.Ref, "google-id", secret.NewText("1//0third-refresh-token"))
	send("1//0third-refres", 1)
}

// TestEventsOfOneAccountAtOnce: different events of one account, in several tenants, do not lock each other or sign-ins
// out: each is taken at its first delivery.
func TestEventsOfOneAccountAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	db := r.DB(t)
	var refs []connection.Ref
	for range 6 {
		refs = append(refs, person(t, db, pgtest.Tenant(t, r.DSN), aliceSub, "google-id", secret.Text{}).Ref)
	}
	var wg sync.WaitGroup
	for i, event := range []string{"sessions-revoked", "tokens-revoked", "account-disabled", "account-purged", "sessions-revoked", "account-purged", "tokens-revoked", "sessions-revoked"} {
		wg.Go(func() { r.send(t, fakegoogle.Signal{Event: event, Email: alice}) })
		if i < len(refs) {
			wg.Go(func() { signIn(t, db, refs[i], "google-id", secret.Text{}) })
		}
	}
	wg.Wait()
	if r.logged(`"matched":7`) != 8 {
		t.Error(r.Logs)
	}
}

// TestJobsRole: the role that acts across tenants reads no sealed value and moves no credential to another account.
func TestJobsRole(t *testing.T) {
	t.Parallel()
	r := start(t)
	conn := r.as(t, "latchkey_jobs", tenant.DefaultID)
	for _, sql := range []string{
		`SELECT refresh_token FROM credentials`, `SELECT access_token FROM credentials`, `SELECT email FROM connections`, `UPDATE credentials SET upstream_client = 'x'`,
		`UPDATE credentials SET connection_id = gen_random_uuid()`, `UPDATE credentials SET google_scopes = '{}'`, `UPDATE connections SET google_sub = 'x'`, `UPDATE subjects SET google_sub = 'x'`,
		`INSERT INTO grants DEFAULT VALUES`, `UPDATE credentials SET access_token = refresh_token`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	person(t, r.DB(t), tenant.DefaultID, aliceSub, "google-id", secret.Text{})
	for _, table := range []string{"credentials", "connections", "subjects", "data_keys", "signing_keys", "tenants"} { // an erasure's work, of a suspended tenant only
		if tag, err := conn.Exec(t.Context(), `DELETE FROM `+table); err != nil || tag.RowsAffected() != 0 {
			t.Errorf("%s of a tenant that is not suspended: %d rows deleted, %v", table, tag.RowsAffected(), err)
		}
	}
	if _, err := r.as(t, "latchkey_runtime", tenant.DefaultID).Exec(t.Context(), `SELECT FROM google_signals`); err == nil {
		t.Error("the runtime role sees events, which belong to no tenant")
	}
}

// TestSweep: what was acted on is remembered for longer than an event of its age is taken.
func TestSweep(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.send(t, fakegoogle.Signal{Event: "verification"})
	conn, db := r.as(t, "latchkey_jobs", tenant.DefaultID), r.DB(t)
	for age, left := range map[string]int{"30 days": 1, "32 days": 0} {
		if _, err := conn.Exec(t.Context(), `DELETE FROM google_signals`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `INSERT INTO google_signals (id_hash, issued_at) VALUES (sha256('x'), now() - $1::text::interval)`, age); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM google_signals`).Scan(&n); err != nil || n != left {
			t.Errorf("%s: %d left, %v", age, n, err)
		}
	}
}

// TestTenantsOwnClient: an event for a tenant's own Google client is taken, and reaches what that client minted and nothing
// else.
func TestTenantsOwnClient(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme := r.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "s"}})
	tokens := acme.SignIn(t, acme.NewVisit(t))
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice, Clients: []string{"acme-google"}})
	if got := r.exchange(t, tokens); got != string(wire.ReauthRequired) {
		t.Errorf("the tenant's credential: %q", got)
	}
	if got := r.exchange(t, r.tokens); got != "" {
		t.Errorf("the deployment's credential: %q", got)
	}
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice, Clients: []string{"google-id"}})
	if got := r.exchange(t, r.tokens); got != string(wire.ReauthRequired) {
		t.Errorf("the deployment's credential: %q", got)
	}
}

// TestPersonWhoHasLinkedNothing: a person may sign in with an account that is not linked itself, and use apps with others that are. When
// Google says that somebody else is in that account, whoever signed in here with it is signed out and loses what they allowed, as if
// it were linked; an event about tokens alone, or an account that was only linked by another person, ends nobody's session.
func TestPersonWhoHasLinkedNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	db, id := r.DB(t), pgtest.Tenant(t, r.DSN)
	conn := r.as(t, "latchkey_runtime", id)
	subject, err := db.EnsureSubject(t.Context(), id, aliceSub)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	open := func() {
		t.Helper()
		n++
		if err := db.BeginSession(t.Context(), id, session.New{SecretHash: sha256.Sum256([]byte{byte(n)}), ID: uuid.Must(uuid.NewV7()), Subject: subject, Most: 20}); err != nil {
			t.Fatal(err)
		}
	}
	open()
	other := connection.Ref{Tenant: id, Subject: subject, Connection: uuid.Must(uuid.NewV7())}
	if _, err := conn.Exec(t.Context(), `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default) VALUES ($1, $2, $3, 'another-sub', '', true)`,
		id.UUID(), other.Connection, other.Subject); err != nil {
		t.Fatal(err)
	}
	signIn(t, db, other, "google-id", secret.NewText("1//0other-refresh-token"))
	living := func() (out [2]int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM sessions WHERE ended_at IS NULL), (SELECT count(*) FROM grants WHERE revoked_at IS NULL)`).Scan(&out[0], &out[1]); err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := living()
	if before[0] != 1 || before[1] == 0 {
		t.Fatal(before)
	}
	r.send(t, fakegoogle.Signal{Event: "tokens-revoked", Email: alice})
	r.send(t, fakegoogle.Signal{Event: "sessions-revoked", Email: "bob@example.com"})
	if now := living(); now != before {
		t.Errorf("%v, before %v", now, before)
	}
	r.send(t, fakegoogle.Signal{Event: "account-disabled", Reason: "hijacking", Email: alice})
	if now := living(); now != [2]int{} {
		t.Errorf("who is in another's account keeps %d sessions and %d grants", now[0], now[1])
	}
	var recorded int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE subject_id = $1 AND kind = 'session.ended' AND actor = 'google' AND detail = 'google_account_hijacked'`, subject).
		Scan(&recorded); err != nil || recorded != 1 {
		t.Errorf("%d events: %v", recorded, err)
	}
	open()
	r.send(t, fakegoogle.Signal{Event: "sessions-revoked", Email: alice})
	if now := living(); now[0] != 0 {
		t.Errorf("%v", now)
	}
}
