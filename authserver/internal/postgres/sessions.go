package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
)

// endingSessions ends sessions. which selects them as s; its parameters begin with
// the tenant. They are locked in one order, as whoever ends several might otherwise
// wait for each other.
func endingSessions(t tenant.ID, which string, args ...any) statement {
	return stmt(`WITH ended AS MATERIALIZED (
				SELECT s.secret_hash FROM sessions s WHERE s.tenant_id = $1 AND s.ended_at IS NULL AND (`+which+`) ORDER BY s.secret_hash FOR UPDATE)
			UPDATE sessions SET ended_at = now() FROM ended WHERE sessions.tenant_id = $1 AND sessions.secret_hash = ended.secret_hash
			RETURNING sessions.secret_hash, sessions.subject_id, sessions.id`, append([]any{t.UUID()}, args...)...)
}

// endSessions ends sessions on their person's word and records each; detail is SQL
// over act.
func endSessions(ctx context.Context, t tenant.ID, which, detail string, args ...any) statement {
	return audited(ctx, endingSessions(t, which, args...),
		audit.Event{Tenant: t, Kind: audit.SessionEnded, Actor: audit.FromContext(ctx).ActorOr(audit.Person)},
		fromRow{"subject_id": "act.subject_id", "detail": detail}, "", count)
}

// BeginSession stores a session, ends the one that the browser had before, and
// the person's oldest ones beyond the limit.
func (db *DB) BeginSession(ctx context.Context, t tenant.ID, n session.New) error {
	_, err := db.exec(ctx, t, lockSubject(t, n.Subject),
		endSessions(ctx, t, `s.secret_hash = $2 OR s.secret_hash IN (
				SELECT o.secret_hash FROM sessions o WHERE o.tenant_id = $1 AND o.subject_id = $3 AND o.ended_at IS NULL AND o.secret_hash <> $2
				ORDER BY o.created_at DESC, o.id DESC OFFSET $4)`, `CASE WHEN act.secret_hash = $2 THEN 'replaced' ELSE 'too_many' END`,
			n.Ends[:], n.Subject, n.Most-1),
		stmt(`INSERT INTO sessions (tenant_id, secret_hash, id, subject_id, browser) VALUES ($1, $2, $3, $4, $5)`,
			t.UUID(), n.SecretHash[:], n.ID, n.Subject, n.Browser),
		event(ctx, audit.Event{Tenant: t, Kind: audit.Login, Actor: audit.Person, Subject: n.Subject}))
	if err != nil {
		return fmt.Errorf("storing session: %w", err)
	}
	return nil
}

// CountSessions counts the sessions of a person that have not ended, but for the
// one with that secret.
func (db *DB) CountSessions(ctx context.Context, t tenant.ID, subject uuid.UUID, but [sha256.Size]byte) (int, error) {
	var n int
	err := db.row(ctx, t, stmt(`SELECT count(*) FROM sessions WHERE tenant_id = $1 AND subject_id = $2 AND ended_at IS NULL AND secret_hash <> $3`,
		t.UUID(), subject, but[:]), &n)
	if err != nil {
		return 0, fmt.Errorf("counting sessions: %w", err)
	}
	return n, nil
}

// unlessEndedBefore is the condition that no epoch ends a session: those about a
// client's grants do not. $1 is the tenant.
const unlessEndedBefore = `NOT EXISTS (SELECT FROM revocation_epochs e WHERE e.tenant_id = $1 AND e.closed_at IS NULL AND e.client_id = ''
		AND e.revoked_before >= sessions.created_at AND (e.subject_id IS NULL OR e.subject_id = sessions.subject_id))`

// UseSession notes the use of a living session and returns it, in one
// statement: the clock that decides is the database's. It returns
// session.ErrNone.
func (db *DB) UseSession(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, life session.Life) (*session.Session, error) {
	var s session.Session
	err := db.row(ctx, t, stmt(`UPDATE sessions SET last_used_at = now()
		WHERE tenant_id = $1 AND secret_hash = $2 AND ended_at IS NULL
		  AND last_used_at > now() - $3::interval AND created_at > now() - $4::interval AND `+unlessEndedBefore+`
		RETURNING id, subject_id`, t.UUID(), secretHash[:], life.Idle, life.Absolute), &s.ID, &s.Subject)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, session.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("using session: %w", err)
	}
	return &s, nil
}

// EndSession ends the session with that secret. Ending twice is no error.
func (db *DB) EndSession(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) error {
	_, err := db.exec(ctx, t, endSessions(ctx, t, `s.secret_hash = $2`, `'signed_out'`, secretHash[:]))
	if err != nil {
		return fmt.Errorf("ending session: %w", err)
	}
	return nil
}

// EndSubjectSession ends a session of a person by its public id. Another
// person's id ends nothing.
func (db *DB) EndSubjectSession(ctx context.Context, t tenant.ID, subject, id uuid.UUID) error {
	_, err := db.exec(ctx, t, endSessions(ctx, t, `s.subject_id = $2 AND s.id = $3`, `'person_request'`, subject, id))
	if err != nil {
		return fmt.Errorf("ending session: %w", err)
	}
	return nil
}

// EndSubjectSessions signs a person out everywhere.
func (db *DB) EndSubjectSessions(ctx context.Context, t tenant.ID, subject uuid.UUID) error {
	_, err := db.exec(ctx, t, endSessions(ctx, t, `s.subject_id = $2`, `'signed_out_everywhere'`, subject))
	if err != nil {
		return fmt.Errorf("ending sessions: %w", err)
	}
	return nil
}
