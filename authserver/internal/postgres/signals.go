package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/signals"
)

// ActOnSignal does what one of Google's security events asks for, in every
// tenant, or nothing: the event's id is used up in the same transaction by one
// conditional statement, which makes concurrent deliveries wait for each other.
func (db *DB) ActOnSignal(ctx context.Context, s *signals.Signal) (signals.Effect, error) {
	var done signals.Effect
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO google_signals (id_hash, issued_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO NOTHING`, s.ID[:], s.Issued)
		if err != nil {
			return fmt.Errorf("using up a signal: %w", err)
		}
		if tag.RowsAffected() == 0 {
			done.Duplicate = true
			return nil
		}
		for _, a := range s.Acts {
			if err := act(ctx, tx, s, a, &done); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return signals.Effect{}, err
	}
	return done, nil
}

// minted are credentials of one Google account, in any tenant.
type minted struct{ tenants, connections []uuid.UUID }

// act locks the credentials first, in one order, and only then grants and
// sessions, each in the order of endingGrants and endingSessions, as a sign-in
// does: events of one account and sign-ins wait for each other and cannot lock
// each other out.
func act(ctx context.Context, tx pgx.Tx, s *signals.Signal, a signals.Act, done *signals.Effect) error {
	const of = `SELECT k.tenant_id, k.connection_id FROM credentials k `
	const which = ` AND k.upstream_client = ANY($2) ORDER BY 1, 2 FOR UPDATE OF k`
	var found minted
	var err error
	before := s.Issued.Add(signals.Skew)
	switch {
	case a.Subject != "":
		found, err = lockCredentials(ctx, tx, of+`JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id WHERE c.google_sub = $1`+which, a.Subject, s.Clients)
	case a.Token.Hash != nil:
		found, err = lockCredentials(ctx, tx, of+`WHERE k.refresh_hash = $1`+which, a.Token.Hash, s.Clients)
	case a.Token.Prefix != nil:
		found, err = lockCredentials(ctx, tx, of+`WHERE k.refresh_prefix = $1`+which, a.Token.Prefix, s.Clients)
	}
	if err != nil || len(found.tenants) == 0 {
		return err
	}
	done.Matched += int64(len(found.tenants))
	n, err := markCredentials(ctx, tx, found, a, before)
	if err != nil {
		return err
	}
	done.Credentials += n
	if !a.RevokeGrants {
		return nil
	}
	// Of people who sign in with the account, and what was made with it for
	// others; a grant made since is none of the event's.
	acted := audited(ctx, stmt(`WITH ended AS MATERIALIZED (
			SELECT g.tenant_id AS of_tenant, g.id AS of_grant FROM unnest($1::uuid[], $2::uuid[]) AS f (tenant_id, connection_id)
				JOIN connections c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
				JOIN subjects s ON s.tenant_id = c.tenant_id AND s.id = c.subject_id
				JOIN grants g ON g.tenant_id = c.tenant_id AND g.subject_id = c.subject_id AND (s.google_sub = c.google_sub OR g.connection_id = c.id)
			WHERE g.revoked_at IS NULL AND g.created_at < $3 ORDER BY g.tenant_id, g.id FOR UPDATE OF g)
		UPDATE grants SET revoked_at = now(), revoked_reason = $4 FROM ended WHERE grants.tenant_id = ended.of_tenant AND grants.id = ended.of_grant
		RETURNING tenant_id, `+grantColumns, found.tenants, found.connections, before, a.Reason),
		audit.Event{Kind: audit.GrantRevoked, Actor: audit.Google, Detail: a.Reason}, grantRow.with("tenant_id", `act.tenant_id`), "", count)
	tag, err := tx.Exec(ctx, acted.sql, acted.args...)
	if err != nil {
		return fmt.Errorf("revoking grants of a google account: %w", err)
	}
	done.Grants += tag.RowsAffected()
	// Who signs in with the account is signed out here as well; not somebody who has merely linked it.
	acted = audited(ctx, stmt(`WITH ended AS MATERIALIZED (
			SELECT b.tenant_id AS of_tenant, b.secret_hash AS of_secret FROM unnest($1::uuid[], $2::uuid[]) AS f (tenant_id, connection_id)
				JOIN connections c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
				JOIN subjects s ON s.tenant_id = c.tenant_id AND s.id = c.subject_id AND s.google_sub = c.google_sub
				JOIN sessions b ON b.tenant_id = s.tenant_id AND b.subject_id = s.id
			WHERE b.ended_at IS NULL AND b.created_at < $3 ORDER BY b.tenant_id, b.secret_hash FOR UPDATE OF b)
		UPDATE sessions SET ended_at = now() FROM ended WHERE sessions.tenant_id = ended.of_tenant AND sessions.secret_hash = ended.of_secret
		RETURNING tenant_id, subject_id`, found.tenants, found.connections, before),
		audit.Event{Kind: audit.SessionEnded, Actor: audit.Google, Detail: a.Reason}, fromRow{"tenant_id": `act.tenant_id`, "subject_id": `act.subject_id`}, "", count)
	if _, err := tx.Exec(ctx, acted.sql, acted.args...); err != nil {
		return fmt.Errorf("ending sessions of a google account: %w", err)
	}
	return nil
}

func lockCredentials(ctx context.Context, tx pgx.Tx, sql string, args ...any) (minted, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return minted{}, fmt.Errorf("finding credentials of a google account: %w", err)
	}
	var found minted
	var t, c uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&t, &c}, func() error {
		found.tenants, found.connections = append(found.tenants, t), append(found.connections, c)
		return nil
	}); err != nil {
		return minted{}, fmt.Errorf("finding credentials of a google account: %w", err)
	}
	return found, nil
}

// markCredentials takes the credentials out of use. The version moves on, so a
// refresh under way publishes nothing (PublishRefresh). One that was linked
// after the event is another sign-in's; a refresh token named by itself is
// never that.
func markCredentials(ctx context.Context, tx pgx.Tx, found minted, a signals.Act, before time.Time) (int64, error) {
	forget := ""
	if a.Forget { // the jobs role may clear a sealed value, not read it
		forget = `refresh_token = NULL, refresh_hash = NULL, refresh_prefix = NULL, `
	}
	acted := audited(ctx, stmt(`UPDATE credentials k SET `+forget+`access_token = NULL, access_expires_at = NULL,
			status = CASE WHEN k.status = 'revoked' THEN k.status ELSE 'needs_reauth' END, last_error = $4,
			version = k.version + 1, lease_owner = NULL, lease_until = NULL, updated_at = now()
		FROM unnest($1::uuid[], $2::uuid[]) AS f (tenant_id, connection_id)
		JOIN connections c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
		WHERE k.tenant_id = f.tenant_id AND k.connection_id = f.connection_id AND ($5 OR k.linked_at IS NULL OR k.linked_at < $3)
		RETURNING k.tenant_id, c.subject_id, k.connection_id`,
		found.tenants, found.connections, before, a.Reason, a.Subject == ""),
		audit.Event{Kind: audit.NeedsReauth, Actor: audit.Google, Detail: a.Reason},
		fromRow{"tenant_id": `act.tenant_id`, "subject_id": `act.subject_id`, "connection_id": `act.connection_id`}, "", count)
	tag, err := tx.Exec(ctx, acted.sql, acted.args...)
	if err != nil {
		return 0, fmt.Errorf("marking credentials of a google account: %w", err)
	}
	return tag.RowsAffected(), nil
}
