package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// What an operator lists is in the order of ids, a page after the last one of the
// page before. An empty filter is NULL.

var _ operator.Store = (*DB)(nil)

const operatorConnections = `SELECT c.id, c.subject_id, c.alias, c.is_default, v.status, c.token_group, c.hosted_domain, coalesce(k.google_scopes, '{}'),
		coalesce(k.upstream_client, ''), coalesce(k.last_error, ''), c.created_at, k.refreshed_at, k.refresh_expires_at
	FROM connections c LEFT JOIN credentials k ON k.tenant_id = c.tenant_id AND k.connection_id = c.id
		CROSS JOIN LATERAL (SELECT CASE WHEN c.status = 'linked' THEN coalesce(k.status, 'needs_reauth') ELSE 'unlinked' END AS status) v
	WHERE c.tenant_id = $1`

func scanOperatorConnection(row pgx.CollectableRow) (c operator.Connection, err error) {
	var refreshed, expires *time.Time
	err = row.Scan(&c.ID, &c.Subject, &c.Alias, &c.Default, &c.Status, &c.TokenGroup, &c.HostedDomain, &c.GoogleScopes,
		&c.UpstreamClient, &c.LastError, &c.Created, &refreshed, &expires)
	c.Created, c.Refreshed, c.RefreshExpires = c.Created.UTC(), orZero(refreshed), orZero(expires)
	return c, err
}

// orZero is a time from the database: none is the zero time.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// OperatorConnections returns a page of a tenant's connections.
func (db *DB) OperatorConnections(ctx context.Context, t tenant.ID, f operator.ConnectionFilter, after uuid.UUID, limit int) ([]operator.Connection, error) {
	return list(ctx, db, t, stmt(operatorConnections+` AND c.id > $2 AND ($3::uuid IS NULL OR c.subject_id = $3) AND ($4::text IS NULL OR v.status = $4) ORDER BY c.id LIMIT $5`,
		t.UUID(), after, idValue(f.Subject), textValue(string(f.Status)), limit), scanOperatorConnection)
}

// OperatorConnection returns one connection, or operator.ErrNotFound.
func (db *DB) OperatorConnection(ctx context.Context, t tenant.ID, id uuid.UUID) (*operator.Connection, error) {
	return only(list(ctx, db, t, stmt(operatorConnections+` AND c.id = $2`, t.UUID(), id), scanOperatorConnection))
}

// only is the one row of a list.
func only[T any](rows []T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, operator.ErrNotFound
	}
	return &rows[0], nil
}

// byOperator is an act on an operator's word.
func byOperator(ctx context.Context, t tenant.ID, kind audit.Kind, detail string) audit.Event {
	return audit.Event{Tenant: t, Kind: kind, Actor: audit.FromContext(ctx).ActorOr(audit.Operator), Detail: detail}
}

// RequireReauth marks a linked connection's credential: it serves nothing until
// the person signs in at Google again. Its version moves on, so a refresh under
// way publishes nothing. It returns operator.ErrNotFound.
func (db *DB) RequireReauth(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	e := byOperator(ctx, t, audit.NeedsReauth, "operator_request")
	e.Connection = id
	n, err := db.exec(ctx, t, audited(ctx, stmt(`UPDATE credentials k SET status = '`+string(connection.NeedsReauth)+`', last_error = '`+connection.ByOperator+`', version = version + 1,
			lease_owner = NULL, lease_until = NULL, updated_at = now()
		FROM connections c WHERE k.tenant_id = $1 AND k.connection_id = $2 AND k.status <> 'revoked' AND c.tenant_id = $1 AND c.id = $2 AND c.status = 'linked'
		RETURNING c.subject_id`, t.UUID(), id), e, fromRow{"subject_id": `act.subject_id`}, "", count))
	return changed("marking connection", n, err)
}

// changed maps an act that changed nothing.
func changed(doing string, n int64, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if n == 0 {
		return operator.ErrNotFound
	}
	return nil
}

// A grant without refresh tokens gives nothing after the longest life of an
// access token, as on the person's page. What an epoch ends is revoked before its
// row says so.
var operatorGrants = `SELECT g.id, g.client_id, g.subject_id, g.connection_id, g.resource, g.scopes, g.offline, v.status, g.created_at,
		greatest(g.redeemed_at, g.rotated_at), g.expires_at, g.revoked_at, g.revoked_reason
	FROM grants g CROSS JOIN LATERAL (SELECT CASE
		WHEN g.revoked_at IS NOT NULL THEN 'revoked'
		WHEN g.redeemed_at IS NULL AND g.code_expires_at <= now() OR g.expires_at <= now() OR g.idle_expires_at <= now()
			OR NOT g.offline AND g.redeemed_at <= now() - interval '24 hours' THEN 'expired'
		WHEN ` + grantEpoch("g") + ` THEN 'revoked'
		WHEN g.redeemed_at IS NULL THEN 'pending'
		ELSE 'live' END AS status) v
	WHERE g.tenant_id = $1`

func scanOperatorGrant(row pgx.CollectableRow) (g operator.Grant, err error) {
	var used, revoked *time.Time
	err = row.Scan(&g.ID, &g.Client, &g.Subject, &g.Connection, &g.Resource, &g.Scopes, &g.Offline, &g.Status, &g.Created, &used, &g.Expires, &revoked, &g.RevokedReason)
	g.Created, g.Used, g.Expires, g.Revoked = g.Created.UTC(), orZero(used), g.Expires.UTC(), orZero(revoked)
	return g, err
}

// OperatorGrants returns a page of a tenant's grants.
func (db *DB) OperatorGrants(ctx context.Context, t tenant.ID, f operator.GrantFilter, after uuid.UUID, limit int) ([]operator.Grant, error) {
	return list(ctx, db, t, stmt(operatorGrants+` AND g.id > $2 AND ($3::uuid IS NULL OR g.subject_id = $3) AND ($4::text IS NULL OR g.client_id = $4)
			AND ($5::text IS NULL OR v.status = $5) ORDER BY g.id LIMIT $6`,
		t.UUID(), after, idValue(f.Subject), textValue(f.Client), textValue(string(f.Status)), limit), scanOperatorGrant)
}

// OperatorGrant returns one grant, or operator.ErrNotFound.
func (db *DB) OperatorGrant(ctx context.Context, t tenant.ID, id uuid.UUID) (*operator.Grant, error) {
	return only(list(ctx, db, t, stmt(operatorGrants+` AND g.id = $2`, t.UUID(), id), scanOperatorGrant))
}

// EndGrant revokes a grant. Revoking twice keeps the first reason. It returns
// operator.ErrNotFound.
func (db *DB) EndGrant(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	n, err := db.exec(ctx, t, audited(ctx, stmt(`UPDATE grants SET revoked_at = now(), revoked_reason = 'operator_request'
			WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING `+grantColumns, t.UUID(), id),
		byOperator(ctx, t, audit.GrantRevoked, "operator_request"), grantRow, "", `SELECT FROM grants WHERE tenant_id = $1 AND id = $2`))
	return changed("revoking grant", n, err)
}

// OperatorSessions returns a page of a tenant's browser sessions.
func (db *DB) OperatorSessions(ctx context.Context, t tenant.ID, f operator.SessionFilter, after uuid.UUID, limit int) ([]operator.Session, error) {
	return list(ctx, db, t, stmt(`SELECT id, subject_id, browser, created_at, last_used_at, ended_at FROM sessions
		WHERE tenant_id = $1 AND id > $2 AND ($3::uuid IS NULL OR subject_id = $3) ORDER BY id LIMIT $4`, t.UUID(), after, idValue(f.Subject), limit),
		func(row pgx.CollectableRow) (s operator.Session, err error) {
			var ended *time.Time
			err = row.Scan(&s.ID, &s.Subject, &s.Browser, &s.Created, &s.Used, &ended)
			s.Created, s.Used, s.Ended = s.Created.UTC(), s.Used.UTC(), orZero(ended)
			return s, err
		})
}

// OperatorEndSession ends a session by its public id. It returns
// operator.ErrNotFound.
func (db *DB) OperatorEndSession(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	n, err := db.exec(ctx, t, audited(ctx, stmt(`UPDATE sessions SET ended_at = now() WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL RETURNING subject_id`, t.UUID(), id),
		byOperator(ctx, t, audit.AdminAct, "session ended "+id.String()), fromRow{"subject_id": `act.subject_id`}, "", `SELECT FROM sessions WHERE tenant_id = $1 AND id = $2`))
	return changed("ending session", n, err)
}

// OperatorEndSessions signs a person out everywhere and returns how many
// sessions ended.
func (db *DB) OperatorEndSessions(ctx context.Context, t tenant.ID, subject uuid.UUID) (int64, error) {
	n, err := db.exec(ctx, t, audited(ctx, endingSessions(t, `s.subject_id = $2`, subject),
		byOperator(ctx, t, audit.AdminAct, ""), fromRow{"subject_id": `act.subject_id`, "detail": `'session ended ' || act.id`}, "", count))
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return n, nil
}

// operatorClients are registrations and kept documents together.
const operatorClients = `SELECT id, kind, name, client_uri, redirect_uris, grant_types, auth_method, scope, jwks_uri, created_at, last_used_at, expires_at, document, fetched_at FROM (
		SELECT tenant_id, id, kind, name, client_uri, redirect_uris, grant_types, auth_method, scope, jwks_uri, created_at, last_used_at, expires_at, NULL::bytea AS document, NULL::timestamptz AS fetched_at FROM clients
		UNION ALL
		SELECT tenant_id, id, 'document', '', '', '{}', '{}', '', '', '', changed_at, last_used_at, NULL, document, fetched_at FROM client_documents) c
	WHERE tenant_id = $1`

func scanStoredClient(row pgx.CollectableRow) (c operator.StoredClient, err error) {
	var grantTypes []string
	var used, expires, fetched *time.Time
	err = row.Scan(&c.ID, &c.Kind, &c.Name, &c.ClientURI, &c.RedirectURIs, &grantTypes, &c.AuthMethod, &c.Scope, &c.JWKSURI, &c.CreatedAt, &used, &expires, &c.Document, &fetched)
	for _, g := range grantTypes {
		c.GrantTypes = append(c.GrantTypes, oauth.GrantType(g))
	}
	c.LastUsedAt, c.ExpiresAt, c.Fetched = orZero(used), orZero(expires), orZero(fetched)
	return c, err
}

// OperatorClients returns a page of a tenant's clients, registrations that have
// ended and are not swept yet too.
func (db *DB) OperatorClients(ctx context.Context, t tenant.ID, kind client.Kind, after string, limit int) ([]operator.StoredClient, error) {
	return list(ctx, db, t, stmt(operatorClients+` AND id > $2 AND ($3::text IS NULL OR kind = $3) ORDER BY id LIMIT $4`, t.UUID(), after, textValue(string(kind)), limit), scanStoredClient)
}

// OperatorClient returns one client, or operator.ErrNotFound.
func (db *DB) OperatorClient(ctx context.Context, t tenant.ID, id string) (*operator.StoredClient, error) {
	return only(list(ctx, db, t, stmt(operatorClients+` AND id = $2`, t.UUID(), id), scanStoredClient))
}

// TenantID returns the tenant with a slug, or operator.ErrNotFound.
func (db *DB) TenantID(ctx context.Context, slug string) (tenant.ID, error) {
	var id uuid.UUID
	err := db.jobs.QueryRow(ctx, `SELECT id FROM tenants WHERE slug = $1`, slug).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return tenant.ID{}, operator.ErrNotFound
	}
	if err != nil {
		return tenant.ID{}, fmt.Errorf("finding a tenant: %w", err)
	}
	return tenant.FromUUID(id), nil
}
