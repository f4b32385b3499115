package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// mostConnections bounds a read of a person's connections: signing in links the
// person's own account although connection.MaxPerSubject others are linked.
const mostConnections = connection.MaxPerSubject + 1

// An account that the program before this one linked has no alias yet.
const recordQuery = `SELECT c.subject_id, p.secret, c.id, c.google_sub, c.hosted_domain, c.email, coalesce(nullif(c.alias, ''), nullif(left(c.hosted_domain, 40), ''), 'personal'), c.is_default, c.status = 'linked',
		coalesce(k.upstream_client, ''), k.refresh_token, k.access_token, k.access_expires_at, coalesce(k.google_scopes, '{}'),
		coalesce(k.status, 'needs_reauth'), coalesce(k.last_error, ''), coalesce(k.version, 0), k.refreshed_at, k.refresh_expires_at
	FROM connections c LEFT JOIN credentials k ON k.tenant_id = c.tenant_id AND k.connection_id = c.id
		LEFT JOIN subject_secrets p ON p.tenant_id = c.tenant_id AND p.subject_id = c.subject_id`

func scanRecord(t tenant.ID, row pgx.Row) (*connection.Record, error) {
	r := connection.Record{Ref: connection.Ref{Tenant: t}}
	var expires, refreshed, refreshExpires *time.Time
	var scopes []string
	var person []byte
	if err := row.Scan(&r.Subject, &person, &r.Connection, &r.GoogleSubject, &r.HostedDomain, &r.SealedEmail, &r.Alias, &r.IsDefault, &r.Linked,
		&r.UpstreamClient, &r.SealedRefresh, &r.SealedAccess, &expires, &scopes, &r.Status, &r.LastError, &r.Version, &refreshed, &refreshExpires); err != nil {
		return nil, err
	}
	if expires != nil {
		r.AccessExpires = *expires
	}
	if refreshed != nil {
		r.Refreshed = *refreshed
	}
	if refreshExpires != nil {
		r.RefreshExpires = *refreshExpires
	}
	r.Person, r.GoogleScopes = secret.NewBytes(person), oauth.NewScopes(scopes...)
	return &r, nil
}

// Connection reads a connection with its credential. The subject stands in the
// WHERE: a person reaches only their own. It returns connection.ErrNotFound.
func (db *DB) Connection(ctx context.Context, ref connection.Ref) (*connection.Record, error) {
	var r *connection.Record
	err := db.batch(ctx, ref.Tenant, func(results pgx.BatchResults) (err error) {
		r, err = scanRecord(ref.Tenant, results.QueryRow())
		return err
	}, stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id = $3`, ref.Tenant.UUID(), ref.Subject, ref.Connection))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, connection.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading connection: %w", err)
	}
	return r, nil
}

// Exchange burns the resource server's assertion and reads grant and
// connections of the subject, in one round trip. The assertion belongs to the
// deployment, so its row does to the default tenant: replaying it for another
// tenant's token is still a replay. Of too many connections the grant's own is
// among those read. It returns client.ErrAssertionUsed.
func (db *DB) Exchange(ctx context.Context, l exchange.Lookup) (*exchange.Found, error) {
	b := &pgx.Batch{}
	b.Queue(setTenant, tenant.DefaultID.String())
	used := burn(tenant.DefaultID, l.Assertion)
	b.Queue(used.sql, used.args...)
	b.Queue(setTenant, l.Tenant.String())
	b.Queue(`SELECT client_id, subject_id, connection_id, resource, scopes FROM grants
		WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND redeemed_at IS NOT NULL AND expires_at > now() AND `+unlessRevokedBefore, l.Tenant.UUID(), l.Grant)
	b.Queue(recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2 AND c.id IN (
			SELECT n.id FROM connections n WHERE n.tenant_id = $1 AND n.subject_id = $2 AND n.status = 'linked'
			ORDER BY n.id = (SELECT g.connection_id FROM grants g WHERE g.tenant_id = $1 AND g.id = $3) DESC, n.created_at, n.id LIMIT $4)
		ORDER BY c.created_at, c.id`,
		l.Tenant.UUID(), l.Subject, l.Grant, mostConnections)
	results := db.runtime.SendBatch(ctx, b)
	found, err := readExchange(l, results)
	if closeErr := results.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func readExchange(l exchange.Lookup, results pgx.BatchResults) (*exchange.Found, error) {
	if _, err := results.Exec(); err != nil {
		return nil, fmt.Errorf("setting tenant: %w", err)
	}
	if _, err := results.Exec(); err != nil {
		return nil, fmt.Errorf("burning assertion: %w", burnt(err))
	}
	if _, err := results.Exec(); err != nil {
		return nil, fmt.Errorf("setting tenant: %w", err)
	}
	var f exchange.Found
	var subject uuid.UUID
	var scopes []string
	err := results.QueryRow().Scan(&f.ClientID, &subject, &f.GrantConnection, &f.Resource, &scopes)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("reading grant: %w", err)
	}
	f.GrantLive = err == nil && subject == l.Subject
	f.GrantScopes = oauth.NewScopes(scopes...)
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("reading connections: %w", err)
	}
	f.Connections, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) { return scanRecord(l.Tenant, row) })
	if err != nil {
		return nil, fmt.Errorf("reading connections: %w", err)
	}
	return &f, nil
}

// TakeLease makes owner the only one to refresh this version of a credential
// for the given time. It reports false when another holds the lease or the
// version has moved on.
func (db *DB) TakeLease(ctx context.Context, ref connection.Ref, version int64, owner uuid.UUID, life time.Duration) (bool, error) {
	n, err := db.exec(ctx, ref.Tenant, stmt(`UPDATE credentials SET lease_owner = $4, lease_until = now() + $5::interval
		WHERE tenant_id = $1 AND connection_id = $2 AND version = $3 AND status = 'active'
		  AND (lease_until IS NULL OR lease_until <= now())`, ref.Tenant.UUID(), ref.Connection, version, owner, life))
	if err != nil {
		return false, fmt.Errorf("taking refresh lease: %w", err)
	}
	return n == 1, nil
}

// ReleaseLease gives a lease back after a refresh that changed nothing.
func (db *DB) ReleaseLease(ctx context.Context, ref connection.Ref, owner uuid.UUID) error {
	_, err := db.exec(ctx, ref.Tenant, stmt(`UPDATE credentials SET lease_owner = NULL, lease_until = NULL
		WHERE tenant_id = $1 AND connection_id = $2 AND lease_owner = $3`, ref.Tenant.UUID(), ref.Connection, owner))
	if err != nil {
		return fmt.Errorf("releasing refresh lease: %w", err)
	}
	return nil
}

// PublishRefresh writes what Google gave, only if the credential is still the
// one the refresh began with: a revoke or relink meanwhile wins, and the
// result is connection.ErrLost.
func (db *DB) PublishRefresh(ctx context.Context, r connection.Refreshed) error {
	n, err := db.exec(ctx, r.Tenant, audited(ctx, stmt(`UPDATE credentials SET
			refresh_token = coalesce($5, refresh_token), access_token = coalesce($6, access_token),
			access_expires_at = CASE WHEN $6::bytea IS NULL THEN access_expires_at ELSE $7 END,
			refresh_hash = CASE WHEN $5::bytea IS NULL THEN refresh_hash ELSE $9 END,
			refresh_prefix = CASE WHEN $5::bytea IS NULL THEN refresh_prefix ELSE $10 END,
			refresh_expires_at = CASE WHEN $5::bytea IS NULL THEN coalesce($11, refresh_expires_at) ELSE $11 END,
			google_scopes = CASE WHEN cardinality($8::text[]) = 0 THEN google_scopes ELSE $8 END,
			version = version + 1, last_error = '', lease_owner = NULL, lease_until = NULL, refreshed_at = now(), updated_at = now()
		WHERE tenant_id = $1 AND connection_id = $2 AND version = $3 AND lease_owner = $4 AND status = 'active'
		RETURNING google_scopes`,
		r.Tenant.UUID(), r.Connection, r.Version, r.Owner, r.SealedRefresh, r.SealedAccess, r.AccessExpires, r.GoogleScopes.Slice(),
		r.RefreshID.Hash, r.RefreshID.Prefix, orNull(r.RefreshExpires)),
		audit.Event{Tenant: r.Tenant, Kind: audit.Renewed, Actor: audit.System, Subject: r.Subject, Connection: r.Connection},
		fromRow{"scopes": `act.google_scopes`}, "", count))
	if err != nil {
		return fmt.Errorf("publishing refresh: %w", err)
	}
	if n != 1 {
		return connection.ErrLost
	}
	return nil
}

// orNull is a time as the database has it: the zero time is none.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// NoteEnding makes the caller the one that tells of a credential's coming end,
// unless another has done so within the time given.
func (db *DB) NoteEnding(ctx context.Context, ref connection.Ref, every time.Duration) (bool, error) {
	n, err := db.exec(ctx, ref.Tenant, stmt(`UPDATE credentials SET warned_at = now()
		WHERE tenant_id = $1 AND connection_id = $2 AND (warned_at IS NULL OR warned_at <= now() - $3::interval)`,
		ref.Tenant.UUID(), ref.Connection, every))
	if err != nil {
		return false, fmt.Errorf("noting the end of a credential: %w", err)
	}
	return n == 1, nil
}

// markedAs is what a credential's new status means.
var markedAs = map[connection.Status]audit.Kind{connection.NeedsReauth: audit.NeedsReauth, connection.Revoked: audit.Disconnected}

// MarkCredential changes the status of the credential a refresh began with. The
// row is kept: signing in again repairs it. It returns connection.ErrLost when
// the credential changed meanwhile.
func (db *DB) MarkCredential(ctx context.Context, ref connection.Ref, version int64, owner uuid.UUID, status connection.Status, class string) error {
	n, err := db.exec(ctx, ref.Tenant, audited(ctx, stmt(`UPDATE credentials SET status = $5, last_error = $6, version = version + 1,
			lease_owner = NULL, lease_until = NULL, updated_at = now()
		WHERE tenant_id = $1 AND connection_id = $2 AND version = $3 AND lease_owner = $4
		RETURNING version`, ref.Tenant.UUID(), ref.Connection, version, owner, string(status), class),
		audit.Event{Tenant: ref.Tenant, Kind: markedAs[status], Actor: audit.Google, Subject: ref.Subject, Connection: ref.Connection, Detail: class}, nil, "", count))
	if err != nil {
		return fmt.Errorf("marking credential: %w", err)
	}
	if n != 1 {
		return connection.ErrLost
	}
	return nil
}
