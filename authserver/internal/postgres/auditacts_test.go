package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signals"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
)

// happened calls an act and returns the events that it wrote, as text.
func (f *fixture) happened(t testing.TB, act func() error, want error) []string {
	t.Helper()
	before, err := f.db.SearchAudit(ctx, tenant.DefaultID, audit.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := act(); !errors.Is(err, want) {
		t.Fatal(err)
	}
	all, err := f.db.SearchAudit(ctx, tenant.DefaultID, audit.Query{Limit: audit.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if len(before) == 0 || e.ID > before[0].ID {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s by %s %s %s", e.Kind, e.Actor, e.Outcome, e.Detail)))
		}
	}
	slices.Sort(out)
	return out
}

// linked is an account of the fixture's person that is linked already.
func (f *fixture) linked(t testing.TB, googleSub string) connection.Ref {
	t.Helper()
	r, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, googleSub, "")
	if err != nil {
		t.Fatal(err)
	}
	return r.Ref
}

// TestEveryActIsRecorded: DESIGN §4: each act of the store writes its events and no others; what changes nothing writes none.
func TestEveryActIsRecorded(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	operator := audit.WithRequest(ctx, audit.Request{ID: "cli", Actor: audit.Operator})
	person := audit.WithRequest(ctx, audit.Request{ID: "page", Actor: audit.Person})
	somebody, err := f.db.EnsureConnection(ctx, tenant.DefaultID, "google-sub-9", "")
	if err != nil {
		t.Fatal(err)
	}
	second := somebody.Subject
	live, twin, replayed := f.grant(t), f.grant(t), f.grant(t)
	for _, r := range []grant.Redemption{live, twin, replayed} {
		if _, err := f.db.RedeemCode(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	c := &client.Client{ID: "c1", Kind: client.Dynamic, Name: "n", RedirectURIs: []string{"http://127.0.0.1/cb"}, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode},
		AuthMethod: "none", ApplicationType: "native", ManagementHash: make([]byte, 32), CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	stranger := *c
	stranger.ManagementHash = slices.Repeat([]byte{1}, 32)
	document := &registration.Document{URL: "https://c.example/client.json", Body: []byte("{}"), Fetched: time.Now().Truncate(time.Microsecond), FreshUntil: time.Now().Add(time.Hour)}
	later := *document
	later.Fetched = later.Fetched.Add(time.Second)
	changed := later
	changed.Fetched, changed.Body = changed.Fetched.Add(time.Second), []byte(`{"a":1}`)
	owner := uuid.New()
	lease := func() int64 {
		record, err := f.db.Connection(ctx, f.record.Ref)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := f.db.TakeLease(ctx, record.Ref, record.Version, owner, time.Minute); err != nil || !ok {
			t.Fatal(ok, err)
		}
		return record.Version
	}
	key, mass := macKey("aaaa"), uuid.Must(uuid.NewV7())
	advance := keyset.Advance{Purpose: keyset.ForGrants, TokenLife: time.Hour}
	rotate := func(generation int32, change func(*grant.Rotation)) func() error {
		return func() error {
			r := rotation(live, generation)
			change(&r)
			_, err := f.db.RotateRefresh(ctx, r)
			return err
		}
	}
	same := func(*grant.Rotation) {}
	for _, row := range []struct {
		name string
		act  func() error
		fail error
		want []string
	}{
		{"a sign-in again", func() error { f.grant(t); return nil }, nil, []string{"connection.relinked by person ok", "consent.granted by person ok"}},
		{"a code twice", func() error { _, err := f.db.RedeemCode(ctx, live); return err }, grant.ErrRedeemed, nil},
		{"a refresh", rotate(1, same), nil, []string{"grant.refreshed by client ok"}},
		{"its repeat", rotate(1, same), nil, []string{"grant.refreshed by client repeated"}},
		{"another client's", rotate(2, func(r *grant.Rotation) { r.ClientID = "c2" }), grant.ErrMismatch, nil},
		{"a wider scope", rotate(2, func(r *grant.Rotation) { r.Scopes = oauth.NewScopes("x") }), grant.ErrWrongScope, nil},
		{"a reuse", rotate(1, func(r *grant.Rotation) { r.Grace = 0 }), grant.ErrReused, []string{"grant.replay_revoked by client ok refresh_token_reused"}},
		{"after it", rotate(1, same), grant.ErrRevoked, nil},
		{"a code replayed late", func() error {
			f.exec(t, `UPDATE grants SET redeemed_at = redeemed_at - interval '10 seconds' WHERE id = $1`, replayed.ID)
			_, err := f.db.RedeemCode(ctx, replayed)
			return err
		}, grant.ErrRedeemed, []string{"grant.replay_revoked by client ok code_replayed"}},
		{"a revocation by a stranger", func() error { return f.db.RevokeClientGrant(ctx, tenant.DefaultID, twin.ID, "c2") }, grant.ErrMismatch, nil},
		{"a revocation", func() error { return f.db.RevokeClientGrant(ctx, tenant.DefaultID, twin.ID, "c1") }, nil, []string{"grant.revoked by client ok client_request"}},
		{"a second one", func() error { return f.db.RevokeGrant(operator, tenant.DefaultID, twin.ID, "x") }, nil, nil},
		{"a registration", func() error { return f.db.InsertClient(ctx, tenant.DefaultID, c) }, nil, []string{"client.registered by client ok"}},
		{"a change by a stranger", func() error { return f.db.UpdateClient(ctx, tenant.DefaultID, &stranger) }, client.ErrNotFound, nil},
		{"a change", func() error { return f.db.UpdateClient(ctx, tenant.DefaultID, c) }, nil, []string{"client.changed by client ok"}},
		{"a deletion with a grant", func() error { f.grant(t); return f.db.DeleteClient(operator, tenant.DefaultID, "c1") }, nil, []string{
			"client.deleted by operator ok", "connection.relinked by person ok", "consent.granted by person ok", // the grants of two sign-ins end
			"grant.revoked by operator ok client_deleted", "grant.revoked by operator ok client_deleted",
		}},
		{"a second deletion", func() error { return f.db.DeleteClient(operator, tenant.DefaultID, "c1") }, client.ErrNotFound, nil},
		{"a document", func() error { return f.db.KeepDocument(ctx, tenant.DefaultID, document) }, nil, []string{"client.registered by client ok metadata document"}},
		{"the same again", func() error { return f.db.KeepDocument(ctx, tenant.DefaultID, &later) }, nil, nil},
		{"an older copy", func() error { return f.db.KeepDocument(ctx, tenant.DefaultID, document) }, nil, nil},
		{"another one", func() error { return f.db.KeepDocument(ctx, tenant.DefaultID, &changed) }, nil, []string{"client.changed by client ok metadata document"}},
		{"a token from Google", func() error {
			return f.db.PublishRefresh(ctx, connection.Refreshed{Ref: f.record.Ref, Version: lease(), Owner: owner, SealedAccess: []byte("x"), AccessExpires: time.Now().Add(time.Hour)})
		}, nil, []string{"connection.refreshed by system ok"}},
		{"one too late", func() error {
			return f.db.PublishRefresh(ctx, connection.Refreshed{Ref: f.record.Ref, Version: 1, Owner: owner, SealedAccess: []byte("x"), AccessExpires: time.Now()})
		}, connection.ErrLost, nil},
		{"Google's refusal", func() error {
			return f.db.MarkCredential(ctx, f.record.Ref, lease(), owner, connection.NeedsReauth, "invalid_grant")
		}, nil, []string{"connection.needs_reauth by google ok invalid_grant"}},
		{"Google's signal", func() error {
			f.grant(t)
			if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: [32]byte{8}, ID: uuid.New(), Subject: f.record.Subject, Most: 10}); err != nil {
				return err
			}
			done, err := f.db.ActOnSignal(ctx, &signals.Signal{ID: sha256.Sum256([]byte("1")), Issued: time.Now().Add(time.Hour), Clients: []string{"up"},
				Acts: []signals.Act{{Subject: "google-sub-1", Reason: "google_account_disabled", RevokeGrants: true}}})
			if done.Credentials != 1 || done.Grants != 1 {
				t.Errorf("%+v", done)
			}
			return err
		}, nil, []string{
			"connection.needs_reauth by google ok google_account_disabled", "connection.relinked by person ok", "consent.granted by person ok", "grant.revoked by google ok google_account_disabled",
			"login by person ok", "session.ended by google ok google_account_disabled",
		}},
		{"a browser session", func() error {
			return f.db.BeginSession(ctx, tenant.DefaultID, session.New{ID: uuid.New(), Subject: f.record.Subject, Most: 10})
		}, nil, []string{"login by person ok"}},
		{"another one in that browser, of two", func() error {
			return f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: [32]byte{1}, ID: uuid.New(), Subject: f.record.Subject, Most: 2})
		}, nil, []string{"login by person ok", "session.ended by person ok replaced"}},
		{"more of them than there may be", func() error {
			for i := byte(2); i < 4; i++ {
				if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: [32]byte{i}, ID: uuid.UUID{i}, Subject: f.record.Subject, Most: 2, Ends: [32]byte{9}}); err != nil {
					return err
				}
			}
			return nil
		}, nil, []string{"login by person ok", "login by person ok", "session.ended by person ok too_many"}},
		{"the end of one", func() error { return f.db.EndSubjectSession(ctx, tenant.DefaultID, f.record.Subject, uuid.UUID{2}) }, nil, []string{"session.ended by person ok person_request"}},
		{"a sign-out", func() error { return f.db.EndSession(ctx, tenant.DefaultID, [32]byte{3}) }, nil, []string{"session.ended by person ok signed_out"}},
		{"a second one", func() error { return f.db.EndSession(ctx, tenant.DefaultID, [32]byte{3}) }, nil, nil},
		{"everywhere", func() error {
			if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: [32]byte{4}, ID: uuid.New(), Subject: f.record.Subject, Most: 2, Ends: [32]byte{9}}); err != nil {
				return err
			}
			return f.db.EndSubjectSessions(ctx, tenant.DefaultID, f.record.Subject)
		}, nil, []string{"login by person ok", "session.ended by person ok signed_out_everywhere"}},
		{"an export", func() error { _, err := f.db.ExportSubject(person, tenant.DefaultID, f.record.Subject); return err }, nil, []string{"subject.exported by person ok"}},
		{"an export for nobody", func() error { _, err := f.db.ExportSubject(operator, tenant.DefaultID, uuid.New()); return err }, erasure.ErrNoSubject, nil},
		{"a new name", func() error { return f.db.Rename(ctx, f.record.Ref, "work") }, nil, []string{"connection.renamed by person ok"}},
		{"the same name", func() error { return f.db.Rename(ctx, f.record.Ref, "work") }, nil, nil},
		{"a person takes an app away", func() error {
			f.grant(t)
			_, err := f.db.RevokeApp(ctx, tenant.DefaultID, f.record.Subject, "c1")
			return err
		}, nil, []string{"connection.relinked by person ok", "consent.granted by person ok", "grant.revoked by person ok person_request"}},
		{"an account is linked at the person's page", func() error {
			record, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "google-sub-2", "")
			if err != nil {
				return err
			}
			return f.db.LinkAccount(ctx, connection.Link{Ref: record.Ref, UpstreamClient: "up", SealedEmail: []byte("e"), SealedAccess: []byte("a"), AccessExpires: time.Now()})
		}, nil, []string{"connection.linked by person ok"}},
		{"another default", func() error { return f.db.SetDefault(ctx, f.linked(t, "google-sub-2")) }, nil, []string{"connection.default_set by person ok"}},
		{"the same default", func() error { return f.db.SetDefault(ctx, f.linked(t, "google-sub-2")) }, nil, nil},
		{"an account is taken away", func() error { f.grant(t); return f.db.Disconnect(ctx, f.record.Ref) }, nil,
			[]string{"connection.disconnected by person ok", "connection.relinked by person ok", "consent.granted by person ok", "grant.revoked by person ok account_disconnected"}},
		{"and once more", func() error { return f.db.Disconnect(ctx, f.record.Ref) }, connection.ErrNotFound, nil},
		{"a data key", func() error {
			return f.db.InsertDataKey(ctx, tenant.DefaultID, vault.DataKey{ID: uuid.MustParse("0198f000-0000-7000-8000-00000000000d"), KEK: "k", Wrapped: []byte("w")})
		}, nil, []string{"key.created by system ok data_key 0198f000-0000-7000-8000-00000000000d"}},
		{"a second one", func() error {
			return f.db.InsertDataKey(ctx, tenant.DefaultID, vault.DataKey{ID: uuid.New(), KEK: "k", Wrapped: []byte("w")})
		}, nil, nil},
		{"a signing key", func() error { return f.db.InsertSigningKey(ctx, tenant.DefaultID, key) }, nil, []string{"key.created by system ok grant aaaa"}},
		{"a second one", func() error { return f.db.InsertSigningKey(ctx, tenant.DefaultID, macKey("bbbb")) }, nil, nil},
		{"a next key", func() error {
			_, err := f.db.PublishSigningKey(operator, tenant.DefaultID, macKey("cccc"), keyset.Demand{ByHand: true, Max: 9})
			return err
		}, nil, []string{"key.published by operator ok grant cccc"}},
		{"its time", func() error { _, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, advance); return err }, nil, []string{"key.activated by system ok grant cccc", "key.retired by system ok grant aaaa"}},
		{"nothing due", func() error { _, err := f.db.AdvanceSigningKeys(ctx, tenant.DefaultID, advance); return err }, nil, nil},
		{"a leaked key", func() error {
			_, err := f.db.ReplaceSigningKeys(operator, tenant.DefaultID, macKey("dddd"))
			return err
		}, nil,
			[]string{"key.activated by operator ok grant dddd", "key.deleted by operator ok grant aaaa", "key.deleted by operator ok grant cccc"}},
		{"a revocation begins", func() error {
			f.grant(t)
			_, begun, err := f.db.BeginRevocation(operator, mass, revocation.Selector{Tenant: tenant.DefaultID, Google: true})
			if !begun {
				t.Error("not begun")
			}
			return err
		}, nil, []string{"admin.act by operator ok revocation begun " + mass.String(), "connection.relinked by person ok", "consent.granted by person ok"}},
		{"and once more", func() error {
			_, _, err := f.db.BeginRevocation(operator, uuid.New(), revocation.Selector{Tenant: tenant.DefaultID, Google: true})
			return err
		}, nil, nil},
		{"it is done", func() error { _, err := (&revocation.Revoker{Store: f.db}).Run(ctx, mass, nil); return err }, nil, []string{
			"admin.act by operator ok revocation done " + mass.String(), "connection.disconnected by operator ok mass_revocation " + mass.String(),
			"connection.disconnected by operator ok mass_revocation " + mass.String(), "grant.revoked by operator ok mass_revocation " + mass.String(),
		}},
		{"an erasure begins", func() error { return f.db.BeginErasure(person, tenant.DefaultID, f.record.Subject, [32]byte{1}) }, nil, []string{"subject.erasing by person ok"}},
		{"and once more", func() error { return f.db.BeginErasure(operator, tenant.DefaultID, f.record.Subject, [32]byte{2}) }, nil, nil},
		{"the server's erasure", func() error { _, err := f.db.ShredSubject(ctx, tenant.DefaultID, second); return err }, nil, []string{"subject.erased by system ok"}},
		{"an erasure", func() error { _, err := f.db.ShredSubject(operator, tenant.DefaultID, f.record.Subject); return err }, nil, []string{"subject.erased by operator ok"}},
		{"the same once more", func() error { _, err := f.db.ShredSubject(operator, tenant.DefaultID, f.record.Subject); return err }, nil, nil},
		{"a report of nobody's grant", func() error {
			n, err := f.db.RecordOutcomes(ctx, []exchange.Outcome{{Tenant: tenant.DefaultID, Grant: uuid.New(), Tool: "t", Outcome: "ok"}})
			if n != 0 {
				t.Error("recorded")
			}
			return err
		}, nil, nil},
	} {
		if got := f.happened(t, row.act, row.fail); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// TestReuseIsRecordedOnce: of parallel reuses of a refresh token one ends the grant, and one event says so.
func TestReuseIsRecordedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	for g := int32(1); g <= 2; g++ {
		if _, err := f.db.RotateRefresh(ctx, rotation(r, g)); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range parallel(16, func() error { _, err := f.db.RotateRefresh(ctx, rotation(r, 1)); return err }) {
		if err == nil {
			t.Error("an old refresh token works")
		}
	}
	got, err := f.db.SearchAudit(context.Background(), tenant.DefaultID, audit.Query{Kind: audit.ReplayRevoked, Limit: 100})
	if err != nil || len(got) != 1 || got[0].Grant != r.ID || got[0].Subject != f.record.Subject || got[0].Client != "c1" {
		t.Errorf("%+v %v", got, err)
	}
}

// TestAuditRoles: the exact grants: nobody who serves changes, deletes, dates or seals an event, the sealer seals each once,
// and no tenant sees or writes another's.
func TestAuditRoles(t *testing.T) {
	t.Parallel()
	f, key := setUp(t, nil), newAuditKey(t, "k1")
	other := pgtest.Tenant(t, f.dsn)
	for _, tn := range []tenant.ID{tenant.DefaultID, other} {
		if err := f.db.Record(ctx, someEvent(tn, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sealer(f.db, key).Round(ctx, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	as := func(role string) {
		t.Helper()
		for _, s := range []string{`RESET ROLE`, `SET ROLE ` + role, `SELECT set_config('app.tenant_id', '` + other.String() + `', false)`} {
			if _, err := conn.Exec(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	insert := `INSERT INTO audit_events (tenant_id, kind, actor, outcome`
	mine, theirs := `'`+other.String()+`'`, `'`+tenant.DefaultID.String()+`'`
	refused := map[string][]string{
		"latchkey_runtime": {
			`UPDATE audit_events SET detail = 'x'`, `UPDATE audit_events SET seq = seq`, `UPDATE audit_events SET hash = hash`, `DELETE FROM audit_events`, `TRUNCATE audit_events`,
			insert + `, at) VALUES (` + mine + `, 'login', 'person', 'ok', now() - interval '1 day')`,
			insert + `, seq, hash) VALUES (` + mine + `, 'login', 'person', 'ok', 9, sha256('x'))`,
			insert + `) VALUES (` + theirs + `, 'login', 'person', 'ok')`,
			insert + `) VALUES (` + mine + `, '', 'person', 'ok')`,
			`INSERT INTO audit_checkpoints (tenant_id, seq, kid, hash, jws) VALUES (` + mine + `, 9, 'k', sha256('x'), '')`, `UPDATE audit_checkpoints SET seq = 9`, `DELETE FROM audit_checkpoints`,
		},
		"latchkey_jobs": {
			`UPDATE audit_events SET detail = 'x'`, `UPDATE audit_events SET at = now()`, `DELETE FROM audit_events`, `TRUNCATE audit_events`,
			`UPDATE audit_checkpoints SET hash = sha256('x')`, `DELETE FROM audit_checkpoints`,
			insert + `, seq, hash) VALUES (` + mine + `, 'login', 'person', 'ok', 9, sha256('x'))`,
			`SELECT sealed_key FROM signing_keys`,
		},
	}
	for role, statements := range refused {
		as(role)
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err == nil {
				t.Errorf("%s may %s", role, s)
			}
		}
	}
	as("latchkey_jobs")
	if tag, err := conn.Exec(ctx, `UPDATE audit_events SET seq = seq + 100, hash = sha256('x')`); err != nil || tag.RowsAffected() != 0 {
		t.Errorf("sealed events can be sealed anew: %v %v", tag, err)
	}
	as("latchkey_runtime")
	for _, table := range []string{"audit_events", "audit_checkpoints"} {
		var mine, all int
		if err := conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE tenant_id = $1), count(*) FROM `+table, other.UUID()).Scan(&mine, &all); err != nil || mine != 1 || all != 1 {
			t.Errorf("%s: %d of %d rows are the tenant's: %v", table, mine, all, err)
		}
	}
	got, err := f.db.SearchAudit(ctx, other, audit.Query{Limit: 100})
	if err != nil || len(got) != 1 || got[0].Tenant != other {
		t.Errorf("%v %v", got, err)
	}
}

// TestSearchAudit: by person, client, grant, kind, request id and time, newest first, in pages, sealed or not.
func TestSearchAudit(t *testing.T) {
	t.Parallel()
	f, key := setUp(t, nil), newAuditKey(t, "k1")
	tn := pgtest.Tenant(t, f.dsn)
	wanted := someEvent(tn, 0)
	for i := range 30 {
		e := someEvent(tn, i)
		if i%3 == 0 {
			e.Subject, e.Grant = wanted.Subject, wanted.Grant
		}
		if err := f.db.Record(audit.WithRequest(ctx, audit.Request{ID: fmt.Sprintf("as-%d", i)}), e); err != nil {
			t.Fatal(err)
		}
		if i == 19 {
			if err := sealer(f.db, key).Round(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := f.db.SearchAudit(ctx, tn, audit.Query{Limit: 100})
	if err != nil || len(all) != 30 || all[0].Seq != 0 || all[29].Seq != 1 {
		t.Fatal(len(all), err)
	}
	for name, c := range map[string]struct {
		q    audit.Query
		want int
	}{
		"person":                 {audit.Query{Subject: wanted.Subject}, 10},
		"grant":                  {audit.Query{Grant: wanted.Grant}, 10},
		"client":                 {audit.Query{Client: "client-2"}, 6},
		"kind":                   {audit.Query{Kind: audit.Kinds()[0]}, (30-1)/len(audit.Kinds()) + 1},
		"request id":             {audit.Query{Request: "as-7"}, 1},
		"tool error id":          {audit.Query{Request: "rs-25"}, 1},
		"no such id":             {audit.Query{Request: "as-70"}, 0},
		"since":                  {audit.Query{Since: all[4].At}, 5},
		"until":                  {audit.Query{Until: all[4].At}, 25},
		"span":                   {audit.Query{Since: all[9].At, Until: all[4].At}, 5},
		"person and client":      {audit.Query{Subject: wanted.Subject, Client: "client-0"}, 2},
		"another tenant's words": {audit.Query{Client: "client-0' OR true --"}, 0},
	} {
		var got []int64
		for q := c.q; ; {
			q.Limit = 3
			page, err := f.db.SearchAudit(ctx, tn, q)
			if err != nil || len(page) > 3 {
				t.Fatal(name, len(page), err)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if len(page) < 3 {
				break
			}
			q.Before = page[2].ID
		}
		if len(got) != c.want || !slices.IsSortedFunc(got, func(a, b int64) int { return int(b - a) }) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
