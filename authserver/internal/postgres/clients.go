package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Client reads a client. It returns client.ErrNotFound if there is none.
func (db *DB) Client(ctx context.Context, t tenant.ID, id string) (*client.Client, error) {
	c := client.Client{ID: id}
	var grantTypes []string
	err := db.row(ctx, t, stmt(`SELECT kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope, secret_hash, created_at
		FROM clients WHERE tenant_id = $1 AND id = $2`, t.UUID(), id),
		&c.Kind, &c.Name, &c.ClientURI, &c.RedirectURIs, &grantTypes, &c.AuthMethod, &c.ApplicationType, &c.Scope, &c.SecretHash, &c.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, client.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading client: %w", err)
	}
	for _, g := range grantTypes {
		c.GrantTypes = append(c.GrantTypes, oauth.GrantType(g))
	}
	return &c, nil
}

// InsertClient stores a new client. Its id must be new.
func (db *DB) InsertClient(ctx context.Context, t tenant.ID, c *client.Client) error {
	grantTypes := make([]string, 0, len(c.GrantTypes))
	for _, g := range c.GrantTypes {
		grantTypes = append(grantTypes, string(g))
	}
	_, err := db.exec(ctx, t, stmt(`INSERT INTO clients (tenant_id, id, kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope, secret_hash, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		t.UUID(), c.ID, string(c.Kind), c.Name, c.ClientURI, c.RedirectURIs, grantTypes, string(c.AuthMethod), string(c.ApplicationType), c.Scope, c.SecretHash, c.CreatedAt))
	if err != nil {
		return fmt.Errorf("storing client: %w", err)
	}
	return nil
}
