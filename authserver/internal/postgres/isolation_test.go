package postgres_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
)

// dump is every row of a tenant as the runtime role sees it.
func (f *fixture) dump(t testing.TB, tn tenant.ID) string {
	t.Helper()
	return f.rows(t, tn, "subjects", "subject_secrets", "connections", "credentials", "clients", "flows", "consents", "grants", "data_keys", "signing_keys", "sessions", "links", "google_revocations")
}

// trail is the tenant's audit trail.
func (f *fixture) trail(t testing.TB, tn tenant.ID) string {
	t.Helper()
	return f.rows(t, tn, "audit_events", "audit_checkpoints")
}

func (f *fixture) rows(t testing.TB, tn tenant.ID, tables ...string) string {
	t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '` + tn.String() + `', false)`} {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	for _, table := range tables {
		var rows string
		if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(to_jsonb(x)::text, E'\n' ORDER BY to_jsonb(x)::text), '') FROM `+table+` x`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%s\n", table, rows)
	}
	return out.String()
}

// sealed puts a value into every column for sealed ones.
func (f *fixture) sealed(t testing.TB, value []byte) {
	t.Helper()
	hex := fmt.Sprintf(`'\x%x'`, value)
	run(t, f.dsn, `SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '`+tenant.DefaultID.String()+`', false)`,
		`UPDATE credentials SET refresh_token = `+hex+`, access_token = `+hex,
		`UPDATE connections SET email = `+hex,
		`UPDATE flows SET request = `+hex,
		`INSERT INTO google_revocations (tenant_id, id, subject_id, connection_id, upstream_client, purpose, token)
			SELECT tenant_id, gen_random_uuid(), subject_id, id, 'up', 'refresh_token', `+hex+` FROM connections LIMIT 1`,
		`RESET ROLE`, `SET ROLE latchkey_jobs`,
		`INSERT INTO upstream_clients (tenant_id, generation, client_id, secret, publishing, state) VALUES ('`+tenant.DefaultID.String()+`', 1, 'c', `+hex+`, 'testing', 'active')`,
		`RESET ROLE`, `SET ROLE latchkey_runtime`,
		`WITH old AS (DELETE FROM signing_keys RETURNING *)
			INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state) SELECT tenant_id, kid, purpose, alg, `+hex+`, state FROM old`)
}

// TestOtherTenantFindsNothing: DESIGN §1.3, PEERS A18: every method, called for another tenant with the ids of the
// first one's rows, finds nothing and changes nothing.
func TestOtherTenantFindsNothing(t *testing.T) {
	t.Parallel()
	t.Run("A5 A23 another tenant finds and changes nothing, whatever id it knows", otherTenantFindsNothing)
}

func otherTenantFindsNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	unredeemed, live := f.grant(t), f.grant(t)
	if _, err := f.db.RedeemCode(ctx, live); err != nil {
		t.Fatal(err)
	}
	c := &client.Client{ID: "c1", Kind: client.Dynamic, Name: "n", RedirectURIs: []string{"http://127.0.0.1/cb"}, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode},
		AuthMethod: "none", ApplicationType: "native", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	state, browser := sha256.Sum256([]byte("s")), sha256.Sum256([]byte("b"))
	owner := uuid.New()
	for _, err := range []error{
		f.db.InsertClient(ctx, tenant.DefaultID, c),
		f.db.BeginFlow(ctx, tenant.DefaultID, signin.Flow{StateHash: state, BrowserHash: browser, Request: []byte("r"), Lifetime: time.Minute}),
		f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: state, ID: owner, Subject: f.record.Subject, Most: 20}),
		f.db.InsertInvitation(ctx, state, connection.Invitation{Ref: f.record.Ref, ClientID: "c1", Reason: "r"}, time.Minute, 10),
		f.db.InsertDataKey(ctx, tenant.DefaultID, vault.DataKey{ID: uuid.New(), KEK: "k", Wrapped: []byte("w")}),
		f.db.InsertSigningKey(ctx, tenant.DefaultID, keyset.Record{KID: "k", Purpose: keyset.ForGrants, Alg: "HS256", Sealed: []byte("s")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	record, err := f.db.Connection(ctx, f.record.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := f.db.TakeLease(ctx, record.Ref, record.Version, owner, time.Minute); err != nil || !ok {
		t.Fatal(ok, err)
	}

	leaver, err := f.db.EnsureSubject(ctx, tenant.DefaultID, "google-sub-leaver") // erased a month ago
	if err == nil {
		err = f.db.BeginErasure(ctx, tenant.DefaultID, leaver, state)
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.dsn, `SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '`+tenant.DefaultID.String()+`', false)`,
		`UPDATE subjects SET erasing_at = now() - interval '31 days', erasure_google = 'done', erasure_receipt = 'r' WHERE id = '`+leaver.String()+`'`)

	other := pgtest.Tenant(t, f.dsn)
	third := pgtest.Tenant(t, f.dsn) // may get a key of its own
	leaving := pgtest.Tenant(t, f.dsn)
	run(t, f.dsn, `SET ROLE latchkey_jobs`, `UPDATE tenants SET status = 'suspended' WHERE id = '`+leaving.String()+`'`)
	ref := record.Ref
	ref.Tenant = other
	life := session.Life{Idle: time.Hour, Absolute: time.Hour}
	none := errors.New("found nothing")
	found := func(n int, err error) error {
		if err == nil && n == 0 {
			return none
		}
		return err
	}
	did := func(done bool, err error) error {
		if err == nil && !done {
			return none
		}
		return err
	}
	// What is sealed under a data key of the first tenant, as sealed values look.
	dataKey, retired := uuid.New(), uuid.New()
	states, err := f.db.DataKeyStates(ctx, tenant.DefaultID)
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	for _, rotate := range []struct{ from, to uuid.UUID }{{states[0].ID, retired}, {retired, dataKey}} {
		if done, err := f.db.RotateDataKey(ctx, tenant.DefaultID, rotate.from, vault.DataKey{ID: rotate.to, KEK: "k", Wrapped: []byte("w")}); err != nil || !done {
			t.Fatal(done, err)
		}
	}
	sealed := append(append([]byte{vault.Format}, dataKey[:]...), make([]byte, 40)...)
	f.sealed(t, sealed)
	stale := map[rewrap.Table][]rewrap.Row{}
	for _, table := range rewrap.Tables() {
		if stale[table], err = f.db.StaleValues(ctx, tenant.DefaultID, rewrap.Page{Table: table, Active: uuid.New(), Limit: 10}); err != nil || len(stale[table]) != 1 {
			t.Fatal(table, len(stale[table]), err)
		}
	}
	for name, m := range map[string]struct {
		call func() error
		want error
	}{
		"RedeemCode": {func() error { r := unredeemed; r.Tenant = other; _, err := f.db.RedeemCode(ctx, r); return err }, grant.ErrNotFound},
		"RotateRefresh": {func() error {
			r := rotation(live, 1)
			r.Tenant = other
			_, err := f.db.RotateRefresh(ctx, r)
			return err
		}, grant.ErrNotFound},
		"reuse": {func() error {
			r := rotation(live, 1)
			r.Tenant, r.Grace = other, 0
			_, err := f.db.RotateRefresh(ctx, r)
			return err
		}, grant.ErrNotFound},
		"RevokeGrant": {func() error { return f.db.RevokeGrant(ctx, other, live.ID, "test") }, nil},
		"Client":      {func() error { _, err := f.db.Client(ctx, other, "c1"); return err }, client.ErrNotFound},
		"ConsumeFlow": {func() error { _, err := f.db.ConsumeFlow(ctx, other, state, browser); return err }, signin.ErrNoFlow},
		"Connection":  {func() error { _, err := f.db.Connection(ctx, ref); return err }, connection.ErrNotFound},
		"other subject": {func() error {
			r := record.Ref
			r.Subject = uuid.New()
			_, err := f.db.Connection(ctx, r)
			return err
		}, connection.ErrNotFound},
		"Exchange": {func() error {
			got, err := f.db.Exchange(ctx, exchange.Lookup{Tenant: other, Grant: live.ID, Subject: record.Subject, Assertion: &client.AssertionID{ClientID: "rs", Hash: sha256.Sum256([]byte("j")), Expires: time.Now().Add(time.Minute)}})
			if err == nil && !got.GrantLive {
				return found(len(got.Connections), nil)
			}
			return err
		}, none},
		"TakeLease": {func() error {
			ok, err := f.db.TakeLease(ctx, ref, record.Version, uuid.New(), time.Minute)
			if err == nil && !ok {
				return none
			}
			return err
		}, none},
		"Connections": {func() error { list, err := f.db.Connections(ctx, other, ref.Subject); return found(len(list), err) }, none},
		"Allowed": {func() error {
			list, err := f.db.Allowed(ctx, other, record.Subject, live.ClientID, live.Resource.String())
			return found(len(list), err)
		}, none},
		"Allowed of another person": {func() error {
			list, err := f.db.Allowed(ctx, tenant.DefaultID, uuid.New(), live.ClientID, live.Resource.String())
			return found(len(list), err)
		}, none},
		"Allowed at another resource": {func() error {
			list, err := f.db.Allowed(ctx, tenant.DefaultID, record.Subject, live.ClientID, live.Resource.String()+"/x")
			return found(len(list), err)
		}, none},
		"EnsureLinkable": {func() error { _, err := f.db.EnsureLinkable(ctx, other, ref.Subject, "sub-9", ""); return err }, connection.ErrTooMany},
		"SetDefault":     {func() error { return f.db.SetDefault(ctx, ref) }, connection.ErrNotFound},
		"Rename":         {func() error { return f.db.Rename(ctx, ref, "x") }, connection.ErrNotFound},
		"Disconnect":     {func() error { return f.db.Disconnect(ctx, ref) }, connection.ErrNotFound},
		"Account": {func() error {
			o, err := f.db.Account(ctx, other, ref.Subject, life)
			if err != nil {
				return err
			}
			return found(len(o.Connections)+len(o.Grants)+len(o.Sessions), nil)
		}, none},
		"RevokeApp":          {func() error { n, err := f.db.RevokeApp(ctx, other, ref.Subject, "c1"); return found(int(n), err) }, none},
		"UseSession":         {func() error { _, err := f.db.UseSession(ctx, other, state, life); return err }, session.ErrNone},
		"EndSession":         {func() error { return f.db.EndSession(ctx, other, state) }, nil},
		"EndSubjectSession":  {func() error { return f.db.EndSubjectSession(ctx, other, ref.Subject, owner) }, nil},
		"EndSubjectSessions": {func() error { return f.db.EndSubjectSessions(ctx, other, ref.Subject) }, nil},
		"Invitation":         {func() error { _, err := f.db.Invitation(ctx, other, state); return err }, connection.ErrNoInvitation},
		"UseInvitation":      {func() error { _, err := f.db.UseInvitation(ctx, other, state, ref.Subject); return err }, connection.ErrNoInvitation},
		"ReleaseLease":       {func() error { return f.db.ReleaseLease(ctx, ref, owner) }, nil},
		"PublishRefresh": {func() error {
			return f.db.PublishRefresh(ctx, connection.Refreshed{Ref: ref, Version: record.Version, Owner: owner, SealedAccess: []byte("x"), AccessExpires: time.Now()})
		}, connection.ErrLost},
		"NoteEnding": {func() error {
			ok, err := f.db.NoteEnding(ctx, ref, time.Hour)
			if err == nil && !ok {
				return none
			}
			return err
		}, none},
		"MarkCredential": {func() error {
			return f.db.MarkCredential(ctx, ref, record.Version, owner, connection.Revoked, "test")
		}, connection.ErrLost},
		"DataKeys":      {func() error { keys, err := f.db.DataKeys(ctx, other); return found(len(keys), err) }, none},
		"DataKeyStates": {func() error { keys, err := f.db.DataKeyStates(ctx, other); return found(len(keys), err) }, none},
		"RotateDataKey": {func() error {
			done, err := f.db.RotateDataKey(ctx, other, dataKey, vault.DataKey{ID: uuid.New(), KEK: "k", Wrapped: []byte("x")})
			return did(done, err)
		}, none},
		"StoreWrapped": {func() error {
			done, err := f.db.StoreWrapped(ctx, other, "k", vault.DataKey{ID: dataKey, KEK: "k2", Wrapped: []byte("x")})
			return did(done, err)
		}, none},
		"DeleteDataKey": {func() error { done, err := f.db.DeleteDataKey(ctx, other, retired, 0); return did(done, err) }, none},
		"StaleValues": {func() error {
			n := 0
			for _, table := range rewrap.Tables() {
				rows, err := f.db.StaleValues(ctx, other, rewrap.Page{Table: table, Active: uuid.New(), Limit: 10})
				if err != nil {
					return err
				}
				n += len(rows)
			}
			return found(n, nil)
		}, none},
		"ReplaceValues": {func() error {
			var n int64
			for _, table := range rewrap.Tables() {
				for _, row := range stale[table] {
					for i := range row.Values {
						row.Values[i].New = []byte("stolen")
					}
					done, err := f.db.ReplaceValues(ctx, other, table, []rewrap.Row{row})
					if err != nil {
						return err
					}
					n += done
				}
			}
			return found(int(n), nil)
		}, none},
		"CountValues": {func() error { counts, err := f.db.CountValues(ctx, other); return found(len(counts), err) }, none},
		"ShredSubject": {func() error {
			done, err := f.db.ShredSubject(ctx, other, record.Subject)
			return found(len(done.Keys)+int(done.Rows["credentials"]+done.Rows["connections"]), err)
		}, none},
		"BeginErasure":  {func() error { return f.db.BeginErasure(ctx, other, record.Subject, state) }, erasure.ErrNoSubject},
		"Erasure":       {func() error { _, err := f.db.Erasure(ctx, other, leaver); return err }, erasure.ErrNoSubject},
		"ErasureOfCode": {func() error { _, err := f.db.ErasureOfCode(ctx, other, state); return err }, erasure.ErrNoSubject},
		"FinishErasure": {func() error { return f.db.FinishErasure(ctx, other, leaver, erasure.GoogleDone, "x") }, nil},
		"ForgetGrants":  {func() error { return f.db.ForgetGrants(ctx, other, leaver) }, nil},
		"ForgetSubject": {func() error { return f.db.ForgetSubject(ctx, other, leaver) }, nil},
		"ExportSubject": {func() error { _, err := f.db.ExportSubject(ctx, other, record.Subject); return err }, erasure.ErrNoSubject},
		"SubjectOf":     {func() error { _, err := f.db.SubjectOf(ctx, other, record.GoogleSubject); return err }, erasure.ErrNoSubject},
		"ClaimSubjectRevocations": {func() error {
			list, err := f.db.ClaimSubjectRevocations(ctx, other, record.Subject, 10)
			return found(len(list), err)
		}, none},
		"ShredTenant": {func() error {
			done, err := f.db.ShredTenant(ctx, leaving)
			return found(len(done.Keys)+int(done.Rows["credentials"]+done.Rows["connections"]+done.Rows["signing_keys"]), err)
		}, none},
		"ShredTenant of one that is not suspended": {func() error { _, err := f.db.ShredTenant(ctx, tenant.DefaultID); return err }, tenancy.ErrNotSuspended},
		"SigningKeys": {func() error { keys, err := f.db.SigningKeys(ctx, other); return found(len(keys), err) }, none},
		"PublishSigningKey": {func() error {
			published, err := f.db.PublishSigningKey(ctx, other, keyset.Record{KID: "k2", Purpose: keyset.ForGrants, Alg: "HS256", Sealed: []byte("s")}, keyset.Demand{ByHand: true, Max: 9})
			if published {
				return err
			}
			return found(0, err)
		}, none},
		"AdvanceSigningKeys": {func() error {
			done, err := f.db.AdvanceSigningKeys(ctx, other, keyset.Advance{Purpose: keyset.ForGrants, TokenLife: time.Hour})
			if done.Activated != "" || len(done.Deleted) > 0 {
				return err
			}
			return found(0, err)
		}, none},
		"ReplaceSigningKeys": {func() error {
			deleted, err := f.db.ReplaceSigningKeys(ctx, third, keyset.Record{KID: "k", Purpose: keyset.ForGrants, Alg: "HS256", Sealed: []byte("s")})
			return found(len(deleted), err)
		}, none},
	} {
		before := f.dump(t, tenant.DefaultID) + f.trail(t, tenant.DefaultID)
		if err := m.call(); !errors.Is(err, m.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after := f.dump(t, tenant.DefaultID) + f.trail(t, tenant.DefaultID); after != before {
			t.Errorf("%s changed the other tenant's rows:\n%s", name, after)
		}
	}

	// One person at two tenants is two subjects.
	again, err := f.db.EnsureConnection(ctx, other, "google-sub-1", "")
	if err != nil || again.Subject == record.Subject || again.Connection == record.Connection || again.SealedRefresh != nil {
		t.Error(again, err)
	}
	// A sign-in that mixes tenants writes nothing at either.
	before := f.dump(t, tenant.DefaultID) + f.dump(t, other)
	g := grant.New{Tenant: other, ID: uuid.New(), ClientID: "c", Subject: record.Subject, Connection: record.Connection, Resource: mcp, Scopes: oauth.NewScopes("gmail.read"), CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes()}
	link := connection.Link{SealedEmail: []byte("e"), Ref: record.Ref, UpstreamClient: "up", SealedAccess: []byte("a"), AccessExpires: time.Now()}
	for name, s := range map[string]flow.SignIn{
		"grant of another tenant": {Link: link, Snapshot: []byte("{}"), Grant: g},
		"link of another tenant":  {Link: connection.Link{SealedEmail: []byte("e"), Ref: ref, UpstreamClient: "up", SealedAccess: []byte("a"), AccessExpires: time.Now()}, Snapshot: []byte("{}"), Grant: g},
	} {
		if err := f.db.CompleteSignIn(ctx, s); err == nil {
			t.Errorf("%s: signed in", name)
		}
	}
	if err := f.db.LinkAccount(ctx, connection.Link{Ref: ref, UpstreamClient: "up", SealedEmail: []byte("e"), SealedAccess: []byte("a"), AccessExpires: time.Now()}); err == nil {
		t.Error("another tenant's account was linked")
	}
	if after := f.dump(t, tenant.DefaultID) + f.dump(t, other); after != before {
		t.Error("a refused sign-in left rows behind")
	}
	for name, err := range map[string]error{
		"no tenant":      f.db.RevokeGrant(ctx, tenant.ID{}, live.ID, "test"),
		"unknown tenant": f.db.InsertClient(ctx, tenant.FromUUID(uuid.New()), c),
	} {
		if err == nil {
			t.Errorf("%s is served", name)
		}
	}
}

// TestSweep: what expired over an hour ago goes, at all tenants; what lives stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	other := pgtest.Tenant(t, f.dsn)
	for i, at := range []tenant.ID{tenant.DefaultID, tenant.DefaultID, other} {
		if err := f.db.BeginFlow(ctx, at, signin.Flow{StateHash: [32]byte{byte(i)}, Request: []byte("r"), Lifetime: []time.Duration{-2 * time.Hour, time.Minute, -2 * time.Hour}[i]}); err != nil {
			t.Fatal(err)
		}
	}
	for id, expires := range map[string]time.Time{"old": time.Now().Add(-2 * time.Hour), "live": time.Now().Add(time.Minute)} {
		if _, err := f.db.Exchange(ctx, exchange.Lookup{Tenant: tenant.DefaultID, Assertion: &client.AssertionID{ClientID: "rs", Hash: sha256.Sum256([]byte(id)), Expires: expires}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, life := range map[string]time.Duration{"old": -2 * time.Hour, "live": time.Minute} {
		if err := f.db.InsertInvitation(ctx, sha256.Sum256([]byte(name)), connection.Invitation{Ref: f.record.Ref, ClientID: "c", Reason: "r"}, life, 10); err != nil {
			t.Fatal(err)
		}
		if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: sha256.Sum256([]byte(name)), ID: uuid.New(), Subject: f.record.Subject, Most: 9}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, f.dsn, `SET ROLE latchkey_jobs`, `UPDATE sessions SET created_at = now() - interval '32 days' WHERE secret_hash = sha256('old')`)
	if n, err := f.db.Sweep(ctx); err != nil || n != 5 {
		t.Errorf("%d rows swept: %v", n, err)
	}
	if n, err := f.db.Sweep(ctx); err != nil || n != 0 {
		t.Errorf("%d rows swept: %v", n, err)
	}
	if _, err := f.db.ConsumeFlow(ctx, tenant.DefaultID, [32]byte{1}, [32]byte{}); err != nil {
		t.Errorf("a living flow was swept: %v", err)
	}
	live := sha256.Sum256([]byte("live"))
	if _, err := f.db.UseInvitation(ctx, tenant.DefaultID, live, uuid.Nil); err != nil {
		t.Errorf("a living link was swept: %v", err)
	}
	if _, err := f.db.UseSession(ctx, tenant.DefaultID, live, session.Life{Idle: time.Hour, Absolute: time.Hour}); err != nil {
		t.Errorf("a living session was swept: %v", err)
	}
}

// TestSweepOfDocuments: PEERS D9, AS-C12: a stranger who publishes one metadata document after the other, and is fetched within the limits,
// fills the table for a day and not for three months; what somebody has allowed an app keeps its document.
func TestSweepOfDocuments(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	at := pgtest.Tenant(t, f.dsn)
	pgtest.Grants(t, f.dsn, at, 1)
	const used, idle, fresh = "https://used.example/app.json", "https://idle.example/app.json", "https://fresh.example/app.json"
	for _, id := range []string{used, idle, fresh} {
		if err := f.db.KeepDocument(ctx, at, &registration.Document{URL: id, Body: []byte("{}"), Fetched: time.Now(), FreshUntil: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.As(t, f.dsn, "latchkey_runtime", at, `UPDATE grants SET client_id = '`+used+`'`,
		`UPDATE client_documents SET last_used_at = now() - interval '2 days', fetched_at = now() - interval '2 days' WHERE id <> '`+fresh+`'`)
	if _, err := f.db.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]error{used: nil, fresh: nil, idle: client.ErrNotFound} {
		if _, err := f.db.Document(ctx, at, id); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
