package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

const clientColumns = `id, kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope,
	secret_hash, jwks, jwks_uri, management_hash, created_at, last_used_at, expires_at`

func scanClient(row pgx.Row) (*client.Client, error) {
	var c client.Client
	var grantTypes []string
	var jwks []byte
	var used, expires *time.Time
	if err := row.Scan(&c.ID, &c.Kind, &c.Name, &c.ClientURI, &c.RedirectURIs, &grantTypes, &c.AuthMethod, &c.ApplicationType, &c.Scope,
		&c.SecretHash, &jwks, &c.JWKSURI, &c.ManagementHash, &c.CreatedAt, &used, &expires); err != nil {
		return nil, err
	}
	for _, g := range grantTypes {
		c.GrantTypes = append(c.GrantTypes, oauth.GrantType(g))
	}
	if jwks != nil {
		c.JWKS = json.RawMessage(jwks)
	}
	if used != nil {
		c.LastUsedAt = *used
	}
	if expires != nil {
		c.ExpiresAt = *expires
	}
	return &c, nil
}

// Client reads a client. It returns client.ErrNotFound if there is none or its
// registration has ended.
func (db *DB) Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error) {
	var c *client.Client
	err := db.batch(ctx, t, func(r pgx.BatchResults) (err error) {
		c, err = scanClient(r.QueryRow())
		return err
	}, stmt(`SELECT `+clientColumns+` FROM clients WHERE tenant_id = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > now())`, t.UUID(), id))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, client.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading client: %w", err)
	}
	return c, nil
}

func clientValues(t tenant.ID, c *client.Client) []any {
	grantTypes := make([]string, 0, len(c.GrantTypes))
	for _, g := range c.GrantTypes {
		grantTypes = append(grantTypes, string(g))
	}
	redirects := c.RedirectURIs
	if redirects == nil {
		redirects = []string{}
	}
	var jwks any // a nil RawMessage would be JSON null
	if c.JWKS != nil {
		jwks = string(c.JWKS)
	}
	var expires *time.Time
	if !c.ExpiresAt.IsZero() {
		expires = &c.ExpiresAt
	}
	return []any{t.UUID(), c.ID, string(c.Kind), c.Name, c.ClientURI, redirects, grantTypes, string(c.AuthMethod), string(c.ApplicationType), c.Scope,
		c.SecretHash, jwks, c.JWKSURI, c.ManagementHash, c.CreatedAt, expires}
}

// clientEvent is an act of a client on itself, or of the operator.
func clientEvent(ctx context.Context, t tenant.ID, kind audit.Kind, id string) statement {
	return event(ctx, actOnClient(ctx, t, kind, id))
}

func actOnClient(ctx context.Context, t tenant.ID, kind audit.Kind, id string) audit.Event {
	return audit.Event{Tenant: t, Kind: kind, Actor: audit.FromContext(ctx).ActorOr(audit.Client), Client: id}
}

// InsertClient stores a new client. Its id must be new.
func (db *DB) InsertClient(ctx context.Context, t tenant.ID, c *client.Client) error {
	_, err := db.exec(ctx, t, clientEvent(ctx, t, audit.ClientRegistered, c.ID), stmt(`INSERT INTO clients (tenant_id, id, kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope,
			secret_hash, jwks, jwks_uri, management_hash, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, clientValues(t, c)...))
	if err != nil {
		return fmt.Errorf("storing client: %w", err)
	}
	return nil
}

// UpdateClient replaces what a client says about itself (RFC 7592 §2.2). It
// returns client.ErrNotFound when the management token is no longer the
// client's.
func (db *DB) UpdateClient(ctx context.Context, t tenant.ID, c *client.Client) error {
	n, err := db.exec(ctx, t, audited(ctx, stmt(`UPDATE clients SET name = $4, client_uri = $5, redirect_uris = $6, grant_types = $7, auth_method = $8, application_type = $9, scope = $10,
			secret_hash = $11, jwks = $12, jwks_uri = $13
		WHERE tenant_id = $1 AND id = $2 AND kind = $3 AND management_hash = $14 AND expires_at > now()
		RETURNING id`, clientValues(t, c)[:14]...), actOnClient(ctx, t, audit.ClientChanged, c.ID), nil, "", count))
	if err != nil {
		return fmt.Errorf("updating client: %w", err)
	}
	if n == 0 {
		return client.ErrNotFound
	}
	return nil
}

// grantsAtOnce is how many grants of a client one transaction ends. They share its
// time, and the feed tells those of one time together.
const grantsAtOnce = 2000

// DeleteClient deletes a client and ends its grants (RFC 7592 §2.3); of a metadata
// document, whose URL is the id, the kept copy. It returns client.ErrNotFound if
// there is none. What is beyond grantsAtOnce ends before, in parts: everybody of a
// tenant may use one client.
func (db *DB) DeleteClient(ctx context.Context, t tenant.ID, id string) error {
	table := "clients"
	if strings.HasPrefix(id, "https://") { // no registered id looks like one (client.NewID)
		table = "client_documents"
	}
	ended := actOnClient(ctx, t, audit.GrantRevoked, id)
	ended.Detail = "client_deleted"
	for n := int64(grantsAtOnce); n == grantsAtOnce; {
		var err error
		n, err = db.exec(ctx, t, audited(ctx, endingGrants(t, ended.Detail, `g.id = ANY(ARRAY(
			SELECT o.id FROM grants o WHERE o.tenant_id = $1 AND o.client_id = $3 AND o.revoked_at IS NULL ORDER BY o.id LIMIT $4))`, id, grantsAtOnce), ended, grantRow, "", count))
		if err != nil {
			return fmt.Errorf("ending a client's grants: %w", err)
		}
	}
	n, err := db.exec(ctx, t,
		audited(ctx, endingGrants(t, ended.Detail, `g.client_id = $3`, id), ended, grantRow, "", count),
		audited(ctx, stmt(`DELETE FROM `+table+` WHERE tenant_id = $1 AND id = $2 RETURNING id`, t.UUID(), id), actOnClient(ctx, t, audit.ClientDeleted, id), nil, "", count))
	if err != nil {
		return fmt.Errorf("deleting client: %w", err)
	}
	if n == 0 {
		return client.ErrNotFound
	}
	return nil
}

// TouchClient notes that a client is in use and moves the end of its
// registration on.
func (db *DB) TouchClient(ctx context.Context, t tenant.ID, id string, life time.Duration) error {
	_, err := db.exec(ctx, t, touchClient(t, id, life), touchDocument(t, id))
	if err != nil {
		return fmt.Errorf("noting a client's use: %w", err)
	}
	return nil
}

func touchClient(t tenant.ID, id string, life time.Duration) statement {
	return stmt(`UPDATE clients SET last_used_at = now(), expires_at = CASE WHEN expires_at IS NULL THEN NULL ELSE greatest(expires_at, now() + $3::interval) END
		WHERE tenant_id = $1 AND id = $2`, t.UUID(), id, life)
}

func touchDocument(t tenant.ID, id string) statement {
	return stmt(`UPDATE client_documents SET last_used_at = now() WHERE tenant_id = $1 AND id = $2`, t.UUID(), id)
}

// Document reads the last good copy of a client's metadata document. It
// returns client.ErrNotFound if there is none.
func (db *DB) Document(ctx context.Context, t tenant.ID, id string) (*registration.Document, error) {
	d := registration.Document{URL: id}
	err := db.row(ctx, t, stmt(`SELECT document, fetched_at, fresh_until, changed_at, last_used_at FROM client_documents WHERE tenant_id = $1 AND id = $2`, t.UUID(), id),
		&d.Body, &d.Fetched, &d.FreshUntil, &d.Changed, &d.LastUsed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, client.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading client document: %w", err)
	}
	return &d, nil
}

// KeepDocument stores a good copy. Of two replicas the one that fetched later
// wins.
func (db *DB) KeepDocument(ctx context.Context, t tenant.ID, d *registration.Document) error {
	_, err := db.exec(ctx, t, audited(ctx, stmt(`INSERT INTO client_documents AS old (tenant_id, id, document, fetched_at, fresh_until, changed_at) VALUES ($1, $2, $3, $4, $5, $4)
		ON CONFLICT (tenant_id, id) DO UPDATE SET document = excluded.document, fetched_at = excluded.fetched_at, fresh_until = excluded.fresh_until,
			changed_at = CASE WHEN old.document = excluded.document THEN old.changed_at ELSE excluded.changed_at END
		WHERE old.fetched_at <= excluded.fetched_at
		RETURNING xmax = 0 AS first, changed_at = $4 AS changed`, t.UUID(), d.URL, d.Body, d.Fetched, d.FreshUntil),
		audit.Event{Tenant: t, Kind: audit.ClientRegistered, Actor: audit.Client, Client: d.URL, Detail: "metadata document"},
		fromRow{"kind": `CASE WHEN act.first THEN '` + string(audit.ClientRegistered) + `' ELSE '` + string(audit.ClientChanged) + `' END`},
		`act.first OR act.changed`, count))
	if err != nil {
		return fmt.Errorf("storing client document: %w", err)
	}
	return nil
}

// burn uses an assertion up. A second use violates the key, which undoes the
// whole batch: what stands after it in the batch has not happened.
func burn(t tenant.ID, a *client.AssertionID) statement {
	return stmt(`INSERT INTO assertion_ids (tenant_id, client_id, jti_hash, expires_at) VALUES ($1, $2, $3, $4)`, t.UUID(), a.ClientID, a.Hash[:], a.Expires)
}

// burnt maps the violation of burn.
func burnt(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == "assertion_ids" {
		return client.ErrAssertionUsed
	}
	return err
}

// BurnAssertion uses a client assertion up (RFC 7523 §3): of concurrent calls
// one wins, the others get client.ErrAssertionUsed.
func (db *DB) BurnAssertion(ctx context.Context, t tenant.ID, a *client.AssertionID) error {
	if _, err := db.exec(ctx, t, burn(t, a)); err != nil {
		if err = burnt(err); errors.Is(err, client.ErrAssertionUsed) {
			return err
		}
		return fmt.Errorf("burning assertion: %w", err)
	}
	return nil
}
