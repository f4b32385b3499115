package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/signals"
	"latchkey/authserver/internal/tenant"
)

// endings is a person with two accounts, one of which others have linked too, and many grants and sessions. Its servers read the
// same tables by different plans, as they do when tables grow: by ids, and as the rows lie.
type endings struct {
	*fixture
	second  connection.Ref
	servers [2]*postgres.DB
	events  int // of all rounds
}

const endingRows = 200 // grants of all, sessions of the person

func setUpEndings(t *testing.T) *endings {
	t.Helper()
	dsn := pgtest.Clone(t)
	e := &endings{fixture: setUpAt(t, dsn, nil)}
	for i, off := range []string{"enable_seqscan=off&enable_bitmapscan=off", "enable_indexscan=off&enable_indexonlyscan=off&enable_bitmapscan=off"} {
		e.servers[i] = open(t, dsn+map[bool]string{true: "&", false: "?"}[strings.Contains(dsn, "?")]+off, nil)
	}
	run(t, dsn, `DROP INDEX grants_subject`, `DROP INDEX grants_client`, `DROP INDEX sessions_subject`, `DROP INDEX sessions_id`)
	e.grant(t)
	e.second = e.link(t, "google-sub-2")
	refs := []connection.Ref{e.record.Ref, e.second}
	for i := range 3 {
		subject, err := e.db.EnsureSubject(ctx, tenant.DefaultID, fmt.Sprintf("other-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.db.EnsureLinkable(ctx, tenant.DefaultID, subject, "google-sub-1", "example.com")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.db.LinkAccount(ctx, linkOf(r.Ref)); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r.Ref)
	}
	for i, ref := range refs {
		e.exec(t, `INSERT INTO grants (tenant_id, id, client_id, subject_id, connection_id, resource, scopes, offline, redirect_uri, code_challenge, code_expires_at, idle_expires_at, expires_at)
			SELECT $1, gen_random_uuid(), 'c1', $2, $3, 'https://mcp.example.com/mcp', '{gmail.read}', true, '', repeat('x', 43), now(), now() + interval '1 day', now() + interval '1 day'
			FROM generate_series(1, $4::integer)`, tenant.DefaultID.UUID(), ref.Subject, ref.Connection, endingRows/len(refs)+i)
	}
	e.exec(t, `INSERT INTO sessions (tenant_id, secret_hash, id, subject_id, browser) SELECT $1, sha256(gen_random_uuid()::text::bytea), gen_random_uuid(), $2, '' FROM generate_series(1, $3::integer)`,
		tenant.DefaultID.UUID(), e.record.Subject, endingRows)
	return e
}

// restore makes everything live again, and its rows lie in another order than their ids and their indexes.
func (e *endings) restore(t *testing.T) {
	t.Helper()
	e.exec(t, `INSERT INTO clients (tenant_id, id, kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope, created_at)
		VALUES ($1, 'c1', 'static', '', '', '{}', '{}', 'none', 'native', '', now()) ON CONFLICT DO NOTHING`, tenant.DefaultID.UUID())
	e.exec(t, `DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT id FROM grants ORDER BY md5(id::text || clock_timestamp()::text) LOOP UPDATE grants SET revoked_at = NULL, revoked_reason = '' WHERE id = r.id; END LOOP;
		FOR r IN SELECT id FROM sessions ORDER BY md5(id::text || clock_timestamp()::text) LOOP UPDATE sessions SET ended_at = NULL WHERE id = r.id; END LOOP; END $$`)
	e.exec(t, `UPDATE connections SET status = 'linked'`)
	e.exec(t, `UPDATE credentials SET status = 'active', refresh_token = 'r', linked_at = now() - interval '1 hour'`)
}

// over checks that each grant that has ended has its events, and that the person's grants of the account have ended.
func (e *endings) over(t *testing.T) {
	t.Helper()
	var live, ended, events int
	if err := e.as(t, "latchkey_runtime", tenant.DefaultID).QueryRow(ctx, `SELECT count(*) FILTER (WHERE revoked_at IS NULL AND connection_id = $1), count(revoked_at),
			(SELECT count(*) FROM audit_events WHERE kind = 'grant.revoked') FROM grants`, e.record.Connection).Scan(&live, &ended, &events); err != nil {
		t.Fatal(err)
	}
	if e.events += ended; live != 0 || ended == 0 || events != e.events {
		t.Errorf("%d live grants, %d ended, %d events instead of %d", live, ended, events, e.events)
	}
}

// TestEndingsUnderContention: whatever ends many grants or sessions locks them in one order: any two at once both end, and nothing is left.
func TestEndingsUnderContention(t *testing.T) {
	t.Parallel()
	type ending func(*endings, *postgres.DB) error
	deleteClient := func(e *endings, db *postgres.DB) error {
		if err := db.DeleteClient(ctx, tenant.DefaultID, "c1"); !errors.Is(err, client.ErrNotFound) {
			return err
		}
		return nil
	}
	revokeApp := func(e *endings, db *postgres.DB) error {
		_, err := db.RevokeApp(ctx, tenant.DefaultID, e.record.Subject, "c1")
		return err
	}
	disconnect := func(of func(e *endings) connection.Ref) ending {
		return func(e *endings, db *postgres.DB) error {
			if err := db.Disconnect(ctx, of(e)); !errors.Is(err, connection.ErrNotFound) {
				return err
			}
			return nil
		}
	}
	first := disconnect(func(e *endings) connection.Ref { return e.record.Ref })
	second := disconnect(func(e *endings) connection.Ref { return e.second })
	signal := func(e *endings, db *postgres.DB) error {
		_, err := db.ActOnSignal(ctx, &signals.Signal{ID: hashOf("%s", uuid.New()), Issued: time.Now().Add(time.Hour), Clients: []string{"up"},
			Acts: []signals.Act{{Subject: "google-sub-1", Reason: "google_sessions_revoked", RevokeGrants: true}}})
		return err
	}
	signOut := func(e *endings, db *postgres.DB) error {
		return db.EndSubjectSessions(ctx, tenant.DefaultID, e.record.Subject)
	}
	for name, pair := range map[string][2]ending{
		"a client deleted, an app revoked":              {deleteClient, revokeApp},
		"a client deleted, an account disconnected":     {deleteClient, first},
		"a client deleted, google's signal":             {deleteClient, signal},
		"an app revoked, an account disconnected":       {revokeApp, first},
		"an app revoked, google's signal":               {revokeApp, signal},
		"an account disconnected, google's signal":      {first, signal},
		"another account disconnected, google's signal": {second, signal},
		"signed out everywhere, google's signal":        {signOut, signal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setUpEndings(t)
			for range 2 {
				e.restore(t)
				together(t, func(i int) error { return pair[i%2](e, e.servers[i/2%2]) })
				e.over(t)
			}
		})
	}
	for name, other := range map[string]ending{"a client deleted": deleteClient, "an app revoked": revokeApp, "google's signal": signal, "signed out everywhere": signOut} {
		t.Run("a person erased, "+name, func(t *testing.T) {
			t.Parallel()
			e := setUpEndings(t)
			e.restore(t)
			together(t, func(i int) error {
				if i == 7 {
					return e.servers[0].BeginErasure(ctx, tenant.DefaultID, e.record.Subject, hashOf(""))
				}
				return other(e, e.servers[i%2])
			})
		})
	}
}

// TestTenantErasedUnderContention: a tenant's end locks rows in the order of whatever else ends them: with one in the middle held, it and
// Google's signal wait for that, and not for each other.
func TestTenantErasedUnderContention(t *testing.T) {
	t.Parallel()
	for table, id := range map[string]string{"credentials": "connection_id", "grants": "id", "sessions": "secret_hash"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			e := setUpEndings(t)
			e.restore(t)
			run(t, e.dsn, fmt.Sprintf(`DO $$ DECLARE r record; BEGIN
				FOR r IN SELECT %[2]s AS id FROM %[1]s ORDER BY 1 DESC LOOP UPDATE %[1]s SET %[2]s = r.id WHERE %[2]s = r.id; END LOOP; END $$`, table, id),
				`UPDATE tenants SET status = 'suspended'`)
			blocker, err := pgx.Connect(ctx, e.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = blocker.Close(ctx) }()
			middle := fmt.Sprintf(`SELECT FROM %[1]s WHERE %[2]s = (SELECT %[2]s FROM %[1]s ORDER BY 1 OFFSET (SELECT count(*) / 2 FROM %[1]s) LIMIT 1) FOR UPDATE`, table, id)
			for _, sql := range []string{`BEGIN`, middle} {
				if _, err := blocker.Exec(ctx, sql); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 2)
			waiting := func(most int) {
				for n := 0; n < most; {
					if len(done) > 0 {
						t.Fatal("one did not wait: ", <-done)
					}
					if err := blocker.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n); err != nil {
						t.Fatal(err)
					}
				}
			}
			go func() { _, err := e.servers[1].EraseTenant(ctx, tenant.DefaultID); done <- err }()
			waiting(1)
			go func() {
				_, err := e.servers[0].ActOnSignal(ctx, &signals.Signal{ID: hashOf("%s", table), Issued: time.Now().Add(time.Hour), Clients: []string{"up"},
					Acts: []signals.Act{{Subject: "google-sub-1", Reason: "google_sessions_revoked", RevokeGrants: true}}})
				done <- err
			}()
			waiting(2)
			if _, err := blocker.Exec(ctx, `ROLLBACK`); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
