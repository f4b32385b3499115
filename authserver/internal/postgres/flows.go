package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
)

// BeginFlow stores a person's way to Google.
func (db *DB) BeginFlow(ctx context.Context, t tenant.ID, f signin.Flow) error {
	_, err := db.exec(ctx, t, stmt(`INSERT INTO flows (tenant_id, state_hash, browser_hash, request, expires_at)
		VALUES ($1, $2, $3, $4, now() + $5::interval)`, t.UUID(), f.StateHash[:], f.BrowserHash[:], f.Request, f.Lifetime))
	if err != nil {
		return fmt.Errorf("storing flow: %w", err)
	}
	return nil
}

// ConsumeFlow uses a flow up, once (RFC 9700 §4.7.1). It returns signin.ErrNoFlow
// for another browser, a second time and after the flow's end.
func (db *DB) ConsumeFlow(ctx context.Context, t tenant.ID, state, browser [sha256.Size]byte) ([]byte, error) {
	var request []byte
	err := db.row(ctx, t, stmt(`UPDATE flows SET consumed_at = now()
		WHERE tenant_id = $1 AND state_hash = $2 AND browser_hash = $3 AND consumed_at IS NULL AND expires_at > now()
		RETURNING request`, t.UUID(), state[:], browser[:]), &request)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, signin.ErrNoFlow
	}
	if err != nil {
		return nil, fmt.Errorf("consuming flow: %w", err)
	}
	return request, nil
}

// EnsureConnection returns the connection of the person with this Google
// account, making subject and connection at the first sign-in. Concurrent
// first sign-ins of one person agree on the ids.
func (db *DB) EnsureConnection(ctx context.Context, t tenant.ID, googleSub, hostedDomain string) (*connection.Record, error) {
	var r *connection.Record
	subject, conn := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		for range 2 {
			if _, err := results.Exec(); err != nil {
				return err
			}
		}
		var err error
		r, err = scanRecord(t, results.QueryRow())
		return err
	},
		stmt(`INSERT INTO subjects (tenant_id, id, google_sub) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, google_sub) DO NOTHING`, t.UUID(), subject, googleSub),
		stmt(`INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, hosted_domain, is_default)
			SELECT $1, $2, s.id, s.google_sub, ''::bytea, $4,
			       NOT EXISTS (SELECT FROM connections c WHERE c.tenant_id = $1 AND c.subject_id = s.id AND c.is_default)
			FROM subjects s WHERE s.tenant_id = $1 AND s.google_sub = $3
			ON CONFLICT (tenant_id, subject_id, google_sub) DO NOTHING`, t.UUID(), conn, googleSub, hostedDomain),
		stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.google_sub = $2
			AND c.subject_id = (SELECT s.id FROM subjects s WHERE s.tenant_id = $1 AND s.google_sub = $2)`, t.UUID(), googleSub))
	if err != nil {
		return nil, fmt.Errorf("finding connection: %w", err)
	}
	return r, nil
}

// CompleteSignIn writes credential, e-mail, consent and grant, all or nothing.
// A sign-in without a refresh token keeps the stored one, if the same Google
// client minted it (DESIGN §6).
func (db *DB) CompleteSignIn(ctx context.Context, s flow.SignIn) error {
	t, l := s.Link.Tenant.UUID(), s.Link
	_, err := db.exec(ctx, s.Link.Tenant,
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
		stmt(`UPDATE connections SET email = $3 WHERE tenant_id = $1 AND id = $2`, t, l.Connection, s.SealedEmail),
		stmt(`INSERT INTO consents (tenant_id, subject_id, client_id, resource, scopes, snapshot) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (tenant_id, subject_id, client_id, resource) DO UPDATE SET scopes = excluded.scopes, snapshot = excluded.snapshot, granted_at = now()`,
			t, l.Subject, s.Grant.ClientID, s.Grant.Resource.String(), s.Grant.Scopes.Slice(), s.Snapshot),
		touchClient(s.Link.Tenant, s.Grant.ClientID, s.ClientLife), touchDocument(s.Link.Tenant, s.Grant.ClientID),
		insertGrant(s.Grant))
	if err != nil {
		return fmt.Errorf("completing sign-in: %w", err)
	}
	return nil
}

// PushRequest stores a pushed authorization request (RFC 9126 §2.2).
func (db *DB) PushRequest(ctx context.Context, t tenant.ID, p flow.Pushed) error {
	_, err := db.exec(ctx, t, stmt(`INSERT INTO pushed_requests (tenant_id, id_hash, client_id, request, expires_at) VALUES ($1, $2, $3, $4, now() + $5::interval)`,
		t.UUID(), p.IDHash[:], p.ClientID, p.Request, p.Lifetime))
	if err != nil {
		return fmt.Errorf("storing pushed request: %w", err)
	}
	return nil
}

// TakeRequest uses a pushed request up, once: of concurrent browsers one gets
// it. That browser may load the page again until the request ends (RFC 9126
// §4). It returns flow.ErrNoRequest otherwise.
func (db *DB) TakeRequest(ctx context.Context, t tenant.ID, id [sha256.Size]byte, clientID string, browser [sha256.Size]byte) ([]byte, error) {
	var request []byte
	err := db.row(ctx, t, stmt(`UPDATE pushed_requests SET used_at = coalesce(used_at, now()), used_by = $4
		WHERE tenant_id = $1 AND id_hash = $2 AND client_id = $3 AND expires_at > now() AND (used_at IS NULL OR used_by = $4)
		RETURNING request`, t.UUID(), id[:], clientID, browser[:]), &request)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, flow.ErrNoRequest
	}
	if err != nil {
		return nil, fmt.Errorf("taking pushed request: %w", err)
	}
	return request, nil
}
