package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
)

// ensureSubject makes the person of a Google account known.
func ensureSubject(t tenant.ID, id uuid.UUID, googleSub string) statement {
	return stmt(`INSERT INTO subjects (tenant_id, id, google_sub) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, google_sub) DO NOTHING`, t.UUID(), id, googleSub)
}

// ensureSecret makes a secret for a person who comes back after the old one was
// destroyed; who is new has one. $2 is what subject needs.
func ensureSecret(t tenant.ID, subject string, of any) statement {
	return stmt(`INSERT INTO subject_secrets (tenant_id, subject_id) SELECT s.tenant_id, s.id FROM subjects s WHERE s.tenant_id = $1 AND `+subject+`
		ON CONFLICT (tenant_id, subject_id) DO NOTHING`, t.UUID(), of)
}

// lockSubject makes changes to a person's accounts and sessions wait for each
// other, sign-ins among them: each of them takes it first, before any lock of a
// session, credential, grant or connection. Foreign keys lock the row more weakly
// and do not wait.
func lockSubject(t tenant.ID, subject uuid.UUID) statement {
	return lockSubjectBy(t, `id = $2`, subject)
}

func lockSubjectBy(t tenant.ID, which string, of any) statement {
	return stmt(`SELECT FROM subjects WHERE tenant_id = $1 AND `+which+` FOR NO KEY UPDATE`, t.UUID(), of)
}

// newConnection is an account that is not linked before its sign-in is
// completed. Its alias is the domain or "personal", with a number where the
// person has that already: of one name more than they have accounts, one is free,
// as long as the person is locked. $2 is the id, $3 the account, $4 its domain;
// subject selects s.
func newConnection(subject string) string {
	return `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, hosted_domain, status, is_default, alias)
		SELECT $1, $2, s.id, $3, ''::bytea, $4, 'unlinked', false,
		       (SELECT name FROM (SELECT 1 AS n, left(coalesce(nullif($4, ''), 'personal'), 36) AS name
		          UNION ALL SELECT n, left(coalesce(nullif($4, ''), 'personal'), least(36, 39 - length(n::text))) || '-' || n
		            FROM generate_series(2, 1 + (SELECT count(*)::integer FROM connections k WHERE k.tenant_id = $1 AND k.subject_id = s.id)) n) AS names
		        WHERE NOT EXISTS (SELECT FROM connections c WHERE c.tenant_id = $1 AND c.subject_id = s.id AND lower(c.alias) = lower(name))
		        ORDER BY n LIMIT 1)
		FROM subjects s WHERE s.tenant_id = $1 AND ` + subject + `
		ON CONFLICT (tenant_id, subject_id, google_sub) DO NOTHING`
}

// EnsureConnection returns the person's own connection to this Google account,
// making subject and connection at the first sign-in. Somebody else who has
// linked the account is another subject and not asked. Concurrent first
// sign-ins of one person agree on the ids.
func (db *DB) EnsureConnection(ctx context.Context, t tenant.ID, googleSub, hostedDomain string) (*connection.Record, error) {
	r, err := db.ensure(ctx, t,
		ensureSubject(t, uuid.Must(uuid.NewV7()), googleSub), lockSubjectBy(t, `google_sub = $2`, googleSub), ensureSecret(t, `s.google_sub = $2`, googleSub),
		stmt(newConnection(`s.google_sub = $3`), t.UUID(), uuid.Must(uuid.NewV7()), googleSub, hostedDomain),
		stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.google_sub = $2
			AND c.subject_id = (SELECT s.id FROM subjects s WHERE s.tenant_id = $1 AND s.google_sub = $2)`, t.UUID(), googleSub))
	if err != nil {
		return nil, fmt.Errorf("finding connection: %w", err)
	}
	return r, nil
}

// roomForAccount holds while a subject can link another account; most is
// connection.MaxPerSubject. One that was disconnected takes no room until it is
// linked again.
func roomForAccount(subject, most string) string {
	return `(SELECT count(*) FROM connections n WHERE n.tenant_id = $1 AND n.subject_id = ` + subject + ` AND n.status = 'linked') < ` + most
}

// EnsureLinkable returns a subject's connection to a further Google account, to
// be linked by LinkAccount. It returns connection.ErrTooMany when there is no
// room for one, or no such subject.
func (db *DB) EnsureLinkable(ctx context.Context, t tenant.ID, subject uuid.UUID, googleSub, hostedDomain string) (*connection.Record, error) {
	r, err := db.ensure(ctx, t,
		lockSubject(t, subject), ensureSecret(t, `s.id = $2`, subject),
		stmt(newConnection(`s.id = $5 AND `+roomForAccount("s.id", "$6")),
			t.UUID(), uuid.Must(uuid.NewV7()), googleSub, hostedDomain, subject, connection.MaxPerSubject),
		stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.google_sub = $3 AND (c.status = 'linked' OR `+roomForAccount("$2", "$4")+`)`,
			t.UUID(), subject, googleSub, connection.MaxPerSubject))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, connection.ErrTooMany
	}
	if err != nil {
		return nil, fmt.Errorf("finding connection: %w", err)
	}
	return r, nil
}

// Connections returns a person's linked accounts, the default first.
func (db *DB) Connections(ctx context.Context, t tenant.ID, subject uuid.UUID) ([]*connection.Record, error) {
	var list []*connection.Record
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) { return scanRecord(t, row) })
		return err
	}, stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.status = 'linked' ORDER BY c.is_default DESC, c.created_at, c.id LIMIT $3`,
		t.UUID(), subject, connection.MaxPerSubject))
	if err != nil {
		return nil, fmt.Errorf("reading connections: %w", err)
	}
	return list, nil
}

// ensure runs statements of which the last one reads a connection.
func (db *DB) ensure(ctx context.Context, t tenant.ID, statements ...statement) (*connection.Record, error) {
	var r *connection.Record
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		for range len(statements) - 1 {
			if _, err := results.Exec(); err != nil {
				return err
			}
		}
		var err error
		r, err = scanRecord(t, results.QueryRow())
		return err
	}, statements...)
	return r, err
}

// EnsureSubject returns the person of a Google account, known from now on.
func (db *DB) EnsureSubject(ctx context.Context, t tenant.ID, googleSub string) (uuid.UUID, error) {
	var id uuid.UUID
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		if _, err := results.Exec(); err != nil {
			return err
		}
		return results.QueryRow().Scan(&id)
	}, ensureSubject(t, uuid.Must(uuid.NewV7()), googleSub), stmt(`SELECT id FROM subjects WHERE tenant_id = $1 AND google_sub = $2`, t.UUID(), googleSub))
	if err != nil {
		return uuid.Nil, fmt.Errorf("finding subject: %w", err)
	}
	return id, nil
}

// linkCredential writes what a completed sign-in at Google gave. An answer
// without a refresh token keeps the stored one, if the same Google client minted
// it (DESIGN §6). The client is the one for which it was done, "" for none. What was to be revoked at Google for this account is not any
// more: revoking an old token there would end the new grant with it.
func linkCredential(ctx context.Context, l connection.Link, clientID string) []statement {
	t := l.Tenant.UUID()
	linked := audit.Event{
		Tenant: l.Tenant, Kind: audit.Linked, Actor: audit.Person, Subject: l.Subject, Connection: l.Connection, Client: clientID, Scopes: l.GoogleScopes.Slice(),
	}
	return []statement{
		stmt(`INSERT INTO credentials AS old (tenant_id, connection_id, upstream_client, refresh_token, access_token, access_expires_at, google_scopes, status, refreshed_at,
				refresh_hash, refresh_prefix, linked_at, refresh_expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', now(), $8, $9, now(), $10)
			ON CONFLICT (tenant_id, connection_id) DO UPDATE SET
				upstream_client = excluded.upstream_client,
				refresh_token = coalesce(excluded.refresh_token, CASE WHEN old.upstream_client = excluded.upstream_client THEN old.refresh_token END),
				refresh_hash = CASE WHEN excluded.refresh_token IS NOT NULL THEN excluded.refresh_hash
					WHEN old.upstream_client = excluded.upstream_client THEN old.refresh_hash END,
				refresh_prefix = CASE WHEN excluded.refresh_token IS NOT NULL THEN excluded.refresh_prefix
					WHEN old.upstream_client = excluded.upstream_client THEN old.refresh_prefix END,
				refresh_expires_at = CASE WHEN excluded.refresh_token IS NOT NULL THEN excluded.refresh_expires_at
					WHEN old.upstream_client = excluded.upstream_client THEN old.refresh_expires_at END,
				warned_at = CASE WHEN excluded.refresh_token IS NULL THEN old.warned_at END,
				access_token = excluded.access_token, access_expires_at = excluded.access_expires_at,
				google_scopes = excluded.google_scopes, status = 'active', last_error = '', version = old.version + 1,
				lease_owner = NULL, lease_until = NULL, refreshed_at = now(), updated_at = now(), linked_at = now()`,
			t, l.Connection, l.UpstreamClient, l.SealedRefresh, l.SealedAccess, l.AccessExpires, l.GoogleScopes.Slice(),
			l.RefreshID.Hash, l.RefreshID.Prefix, orNull(l.RefreshExpires)),
		stmt(`UPDATE connections c SET email = $4, hosted_domain = $5, status = 'linked', is_default = c.is_default OR NOT EXISTS (
				SELECT FROM connections d WHERE d.tenant_id = $1 AND d.subject_id = $2 AND d.is_default)
			WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id = $3`, t, l.Subject, l.Connection, l.SealedEmail, l.HostedDomain),
		stmt(`DELETE FROM google_revocations WHERE tenant_id = $1 AND connection_id = $2 AND upstream_client = $3`, t, l.Connection, l.UpstreamClient),
		eventFrom(ctx, linked, fromRow{"kind": `CASE WHEN k.version = 1 THEN '` + string(audit.Linked) + `' ELSE '` + string(audit.Relinked) + `' END`},
			`FROM credentials k WHERE k.tenant_id = $1 AND k.connection_id = $2`, t, l.Connection),
	}
}

// LinkAccount links a Google account, or repairs or extends its connection, all
// or nothing. It returns connection.ErrTooMany where another account has taken
// the last room since EnsureLinkable.
func (db *DB) LinkAccount(ctx context.Context, l connection.Link) error {
	if l.Tenant.IsZero() {
		return errors.New("no tenant given")
	}
	err := pgx.BeginFunc(ctx, db.runtime, func(tx pgx.Tx) error {
		b, room := &pgx.Batch{}, false
		b.Queue(setTenant, l.Tenant.String())
		lock := lockSubject(l.Tenant, l.Subject)
		b.Queue(lock.sql, lock.args...)
		b.Queue(`SELECT `+roomForAccount("$2", "$4")+` OR EXISTS (SELECT FROM connections c WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id = $3 AND c.status = 'linked')`,
			l.Tenant.UUID(), l.Subject, l.Connection, connection.MaxPerSubject).QueryRow(func(row pgx.Row) error { return row.Scan(&room) })
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if !room {
			return connection.ErrTooMany
		}
		b = &pgx.Batch{}
		for _, s := range linkCredential(ctx, l, "") {
			b.Queue(s.sql, s.args...)
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("linking account: %w", err)
	}
	return nil
}

// ofAccount is an event of what a person does with one of their accounts.
func ofAccount(ctx context.Context, kind audit.Kind, ref connection.Ref) audit.Event {
	return audit.Event{Tenant: ref.Tenant, Kind: kind, Actor: audit.FromContext(ctx).ActorOr(audit.Person), Subject: ref.Subject, Connection: ref.Connection}
}

// SetDefault makes an account the person's default. It returns
// connection.ErrNotFound for one that is not linked, or not theirs.
func (db *DB) SetDefault(ctx context.Context, ref connection.Ref) error {
	t := ref.Tenant.UUID()
	n, err := db.exec(ctx, ref.Tenant, lockSubject(ref.Tenant, ref.Subject),
		stmt(`UPDATE connections SET is_default = false WHERE tenant_id = $1 AND subject_id = $2 AND is_default AND id <> $3
			AND EXISTS (SELECT FROM connections c WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id = $3 AND c.status = 'linked')`, t, ref.Subject, ref.Connection),
		audited(ctx, stmt(`UPDATE connections SET is_default = true WHERE tenant_id = $1 AND subject_id = $2 AND id = $3 AND status = 'linked' AND NOT is_default RETURNING id`,
			t, ref.Subject, ref.Connection), ofAccount(ctx, audit.DefaultSet, ref), nil, "", count),
		stmt(`SELECT FROM connections WHERE tenant_id = $1 AND subject_id = $2 AND id = $3 AND is_default`, t, ref.Subject, ref.Connection))
	if err != nil {
		return fmt.Errorf("setting the default account: %w", err)
	}
	if n != 1 {
		return connection.ErrNotFound
	}
	return nil
}

// Rename gives an account another alias. It returns connection.ErrAliasTaken and
// connection.ErrNotFound.
func (db *DB) Rename(ctx context.Context, ref connection.Ref, alias string) error {
	t := ref.Tenant.UUID()
	n, err := db.exec(ctx, ref.Tenant, lockSubject(ref.Tenant, ref.Subject),
		audited(ctx, stmt(`UPDATE connections SET alias = $4 WHERE tenant_id = $1 AND subject_id = $2 AND id = $3 AND alias <> $4 RETURNING id`, t, ref.Subject, ref.Connection, alias),
			ofAccount(ctx, audit.Renamed, ref), nil, "", count), // the name itself is not recorded
		stmt(`SELECT FROM connections WHERE tenant_id = $1 AND subject_id = $2 AND id = $3`, t, ref.Subject, ref.Connection))
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "23505" && refused.ConstraintName == "connections_alias":
		return connection.ErrAliasTaken
	case err != nil:
		return fmt.Errorf("renaming account: %w", err)
	case n != 1:
		return connection.ErrNotFound
	}
	return nil
}

// Disconnect takes an account away from everything here, in one transaction:
// its tokens are forgotten but for a row that has them revoked at Google, every
// grant made with it ends, and another account becomes the default if it was.
// The credential's version moves on, so a refresh under way publishes nothing.
// Credentials are locked before grants, as everywhere (see act). It returns
// connection.ErrNotFound for an account that is not linked, or not theirs.
func (db *DB) Disconnect(ctx context.Context, ref connection.Ref) error {
	gone := audit.Event{Tenant: ref.Tenant, Kind: audit.Disconnected, Actor: audit.FromContext(ctx).ActorOr(audit.Person)}
	ended := gone
	ended.Kind, ended.Detail = audit.GrantRevoked, "account_disconnected"
	n, err := db.exec(ctx, ref.Tenant, append([]statement{
		lockSubject(ref.Tenant, ref.Subject),
		stmt(`SELECT FROM credentials k WHERE k.tenant_id = $1 AND k.connection_id = $3 AND EXISTS (
			SELECT FROM connections c WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id = $3) FOR UPDATE`, ref.Tenant.UUID(), ref.Subject, ref.Connection),
	}, disconnected(ctx, disconnection{
		tenant: ref.Tenant, subject: ref.Subject, connections: []uuid.UUID{ref.Connection}, reason: ended.Detail, ended: ended, gone: gone,
	})...)...)
	if err != nil {
		return fmt.Errorf("disconnecting account: %w", err)
	}
	if n != 1 {
		return connection.ErrNotFound
	}
	return nil
}

// disconnection takes accounts away from everything here.
type disconnection struct {
	tenant      tenant.ID
	subject     uuid.UUID // whose they must be; uuid.Nil: anybody's
	connections []uuid.UUID
	reason      string      // of the grants' end
	ended, gone audit.Event // of each grant and each account
}

// disconnected is what Disconnect says, for any number of accounts whose subjects
// and credentials are locked. The last statement affects a row for each account
// that was linked.
func disconnected(ctx context.Context, d disconnection) []statement {
	t, subject := d.tenant.UUID(), idValue(d.subject)
	const (
		// Arrays, so that the indexes are used whatever the planner thinks of the number.
		whose   = ` FROM connections c WHERE c.tenant_id = $1 AND ($2::uuid IS NULL OR c.subject_id = $2) AND c.id = ANY($3))`
		granted = ` FROM connections c WHERE c.tenant_id = $1 AND ($3::uuid IS NULL OR c.subject_id = $3) AND c.id = ANY($4))` // of endingGrants
		mine    = `ANY(ARRAY(SELECT c.id` + whose + `)`
		people  = `ANY(ARRAY(SELECT c.subject_id` + whose + `)`
		of      = ` WHERE tenant_id = $1 AND connection_id = ` + mine
		them    = ` WHERE tenant_id = $1 AND id = ` + mine
	)
	return []statement{
		stmt(`INSERT INTO google_revocations (tenant_id, id, subject_id, connection_id, upstream_client, purpose, token)
			SELECT k.tenant_id, gen_random_uuid(), c.subject_id, k.connection_id, k.upstream_client,
				CASE WHEN k.refresh_token IS NULL THEN 'access_token' ELSE 'refresh_token' END, coalesce(k.refresh_token, k.access_token)
			FROM credentials k JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id
			WHERE k.tenant_id = $1 AND ($2::uuid IS NULL OR c.subject_id = $2) AND c.id = ANY($3) AND coalesce(k.refresh_token, k.access_token) IS NOT NULL`, t, subject, d.connections),
		stmt(`UPDATE credentials SET status = 'revoked', last_error = 'disconnected', refresh_token = NULL, refresh_hash = NULL, refresh_prefix = NULL, refresh_expires_at = NULL,
				access_token = NULL, access_expires_at = NULL, version = version + 1, lease_owner = NULL, lease_until = NULL, updated_at = now()`+of, t, subject, d.connections),
		audited(ctx, endingGrants(d.tenant, d.reason, `g.connection_id = ANY(ARRAY(SELECT c.id`+granted+`) AND g.subject_id = ANY(ARRAY(SELECT c.subject_id`+granted+`)`,
			subject, d.connections), d.ended, grantRow, "", count),
		stmt(`DELETE FROM approvals`+of, t, subject, d.connections), // the account may be linked again before they end
		stmt(`UPDATE connections SET is_default = false`+them+` AND is_default`, t, subject, d.connections),
		stmt(`UPDATE connections SET is_default = true WHERE tenant_id = $1 AND id IN (
			SELECT DISTINCT ON (o.subject_id) o.id FROM connections o
			WHERE o.tenant_id = $1 AND o.status = 'linked' AND o.id <> ALL($3) AND o.subject_id = `+people+`
				AND NOT EXISTS (SELECT FROM connections x WHERE x.tenant_id = $1 AND x.subject_id = o.subject_id AND x.is_default)
			ORDER BY o.subject_id, o.created_at, o.id)`, t, subject, d.connections),
		audited(ctx, stmt(`UPDATE connections SET status = 'unlinked'`+them+` AND status = 'linked' RETURNING id, subject_id`, t, subject, d.connections),
			d.gone, fromRow{"subject_id": `act.subject_id`, "connection_id": `act.id`}, "", count),
	}
}
