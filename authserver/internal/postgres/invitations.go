package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// InsertInvitation stores a link and deletes the person's oldest unused ones
// beyond the limit.
func (db *DB) InsertInvitation(ctx context.Context, secretHash [sha256.Size]byte, i connection.Invitation, life time.Duration, most int) error {
	t := i.Tenant.UUID()
	var conn *uuid.UUID
	if !i.Adds() {
		conn = &i.Connection
	}
	_, err := db.exec(ctx, i.Tenant,
		stmt(`DELETE FROM links WHERE tenant_id = $1 AND secret_hash IN (
				SELECT secret_hash FROM links WHERE tenant_id = $1 AND subject_id = $2 AND used_at IS NULL
				ORDER BY created_at DESC, secret_hash OFFSET $3)`, t, i.Subject, most-1),
		stmt(`INSERT INTO links (tenant_id, secret_hash, subject_id, connection_id, client_id, reason, google_scopes, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)`, t, secretHash[:], i.Subject, conn, i.ClientID, i.Reason, i.Scopes.Slice(), life))
	if err != nil {
		return fmt.Errorf("storing link: %w", err)
	}
	return nil
}

// ofPerson holds for a link that adds an account, or repairs one that is not its
// person's own: whoever signs in there at Google proves nothing about the person
// (decision 0011).
const ofPerson = `(l.connection_id IS NULL OR NOT EXISTS (SELECT FROM connections c JOIN subjects s ON s.tenant_id = c.tenant_id AND s.id = c.subject_id
	WHERE c.tenant_id = l.tenant_id AND c.id = l.connection_id AND c.subject_id = l.subject_id AND c.google_sub = s.google_sub))`

var invitationColumns = `l.subject_id, l.connection_id, l.client_id, l.reason, l.google_scopes, ` + appName("l") + `, ` + ofPerson

func (db *DB) invitation(ctx context.Context, t tenant.ID, s statement) (*connection.Invitation, error) {
	i := connection.Invitation{Ref: connection.Ref{Tenant: t}}
	var conn *uuid.UUID
	var scopes []string
	err := db.row(ctx, t, s, &i.Subject, &conn, &i.ClientID, &i.Reason, &scopes, &i.AppName, &i.OfPerson)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, connection.ErrNoInvitation
	}
	if err != nil {
		return nil, fmt.Errorf("reading link: %w", err)
	}
	if conn != nil {
		i.Connection = *conn
	}
	i.Scopes = oauth.NewScopes(scopes...)
	return &i, nil
}

// Invitation reads a link and leaves it as it is. It returns
// connection.ErrNoInvitation.
func (db *DB) Invitation(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) (*connection.Invitation, error) {
	return db.invitation(ctx, t, stmt(`SELECT `+invitationColumns+` FROM links l
		WHERE l.tenant_id = $1 AND l.secret_hash = $2 AND l.used_at IS NULL AND l.expires_at > now()`, t.UUID(), secretHash[:]))
}

// UseInvitation uses a link up, once. One that is its person's alone is not used
// up by another's session, or by none. It returns connection.ErrNoInvitation.
func (db *DB) UseInvitation(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, subject uuid.UUID) (*connection.Invitation, error) {
	return db.invitation(ctx, t, stmt(`UPDATE links l SET used_at = now()
		WHERE l.tenant_id = $1 AND l.secret_hash = $2 AND l.used_at IS NULL AND l.expires_at > now()
		  AND (l.subject_id = $3 OR NOT `+ofPerson+`)
		RETURNING `+invitationColumns, t.UUID(), secretHash[:], subject))
}
