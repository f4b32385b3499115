package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
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

// CompleteSignIn writes credential, consent and grant, all or nothing.
func (db *DB) CompleteSignIn(ctx context.Context, s flow.SignIn) error {
	t, l := s.Link.Tenant.UUID(), s.Link
	granted := audit.Event{
		Tenant: l.Tenant, Kind: audit.ConsentGranted, Actor: audit.Person, Subject: l.Subject, Connection: l.Connection, Client: s.Grant.ClientID,
		Grant: s.Grant.ID, Resource: s.Grant.Resource.String(), Scopes: s.Grant.Scopes.Slice(),
	}
	_, err := db.exec(ctx, s.Link.Tenant, append(append([]statement{lockSubject(l.Tenant, l.Subject)}, linkCredential(ctx, l, s.Grant.ClientID)...),
		stmt(`INSERT INTO consents (tenant_id, subject_id, client_id, resource, scopes, snapshot) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (tenant_id, subject_id, client_id, resource) DO UPDATE SET scopes = excluded.scopes, snapshot = excluded.snapshot, granted_at = now()`,
			t, l.Subject, s.Grant.ClientID, s.Grant.Resource.String(), s.Grant.Scopes.Slice(), s.Snapshot),
		touchClient(s.Link.Tenant, s.Grant.ClientID, s.ClientLife), touchDocument(s.Link.Tenant, s.Grant.ClientID),
		event(ctx, granted),
		insertGrant(s.Grant))...)
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
