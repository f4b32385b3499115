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

// pairs are rows of any tenant, by id.
type pairs struct{ tenants, ids []uuid.UUID }

// act locks the credentials first, in one order, and only then grants and
// sessions, each in the order of endingGrants and endingSessions, as a sign-in
// does: events of one account and sign-ins wait for each other and cannot lock
// each other out.
func act(ctx context.Context, tx pgx.Tx, s *signals.Signal, a signals.Act, done *signals.Effect) error {
	const of = `SELECT k.tenant_id, k.connection_id FROM credentials k `
	const which = ` AND k.upstream_client = ANY($2) ORDER BY 1, 2 FOR UPDATE OF k`
	var found pairs // credentials
	var err error
	before := s.Issued.Add(signals.Skew)
	switch {
	case a.Subject != "":
		found, err = pairsOf(ctx, tx, of+`JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id WHERE c.google_sub = $1`+which, a.Subject, s.Clients)
	case a.Token.Hash != nil:
		found, err = pairsOf(ctx, tx, of+`WHERE k.refresh_hash = $1`+which, a.Token.Hash, s.Clients)
	case a.Token.Prefix != nil:
		found, err = pairsOf(ctx, tx, of+`WHERE k.refresh_prefix = $1`+which, a.Token.Prefix, s.Clients)
	}
	if err != nil {
		return err
	}
	if len(found.tenants) > 0 {
		done.Matched += int64(len(found.tenants))
		n, err := markCredentials(ctx, tx, found, a, before)
		if err != nil {
			return err
		}
		done.Credentials += n
	}
	if !a.RevokeGrants {
		return nil
	}
	if err := endAccess(ctx, tx, found, a.Reason, before, done); err != nil || a.Subject == "" {
		return err
	}
	return endUnlinked(ctx, tx, a, before, done)
}

// ofAccounts is whose Google account it is, and who has merely linked it.
const ofAccounts = `unnest($1::uuid[], $2::uuid[]) AS f (tenant_id, connection_id)
				JOIN connections c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
				JOIN subjects s ON s.tenant_id = c.tenant_id AND s.id = c.subject_id`

// endAccess ends what was granted with accounts, and signs out who signs in with
// them.
func endAccess(ctx context.Context, tx pgx.Tx, found pairs, reason string, before time.Time, done *signals.Effect) error {
	// Of people who sign in with the account, and what was made with it for
	// others; a grant made since is none of the event's.
	n, err := endGoogleGrants(ctx, tx, reason, ofAccounts+`
				JOIN grants g ON g.tenant_id = c.tenant_id AND g.subject_id = c.subject_id AND (s.google_sub = c.google_sub OR g.connection_id = c.id)`, found.tenants, found.ids, before)
	if err != nil {
		return err
	}
	done.Grants += n
	// Who signs in with the account is signed out here as well; not somebody who has merely linked it.
	return endGoogleSessions(ctx, tx, reason, ofAccounts+` AND s.google_sub = c.google_sub
				JOIN sessions b ON b.tenant_id = s.tenant_id AND b.subject_id = s.id`, found.tenants, found.ids, before)
}

// endUnlinked does the same to people who sign in with a Google account that is not
// linked itself: no credential says by which Google client, and of whose account it
// is Google's word is enough.
func endUnlinked(ctx context.Context, tx pgx.Tx, a signals.Act, before time.Time, done *signals.Effect) error {
	people, err := pairsOf(ctx, tx, `SELECT s.tenant_id, s.id FROM subjects s WHERE s.google_sub = $1 AND NOT EXISTS (
			SELECT FROM connections c JOIN credentials k ON k.tenant_id = c.tenant_id AND k.connection_id = c.id
			WHERE c.tenant_id = s.tenant_id AND c.subject_id = s.id AND c.google_sub = s.google_sub) ORDER BY 1, 2`, a.Subject)
	if err != nil || len(people.tenants) == 0 {
		return err
	}
	const them = `unnest($1::uuid[], $2::uuid[]) AS f (tenant_id, subject_id) JOIN `
	n, err := endGoogleGrants(ctx, tx, a.Reason, them+`grants g ON g.tenant_id = f.tenant_id AND g.subject_id = f.subject_id`, people.tenants, people.ids, before)
	if err != nil {
		return err
	}
	done.Grants += n
	return endGoogleSessions(ctx, tx, a.Reason, them+`sessions b ON b.tenant_id = f.tenant_id AND b.subject_id = f.subject_id`, people.tenants, people.ids, before)
}

// endGoogleGrants ends grants that from selects as g; $1 and $2 are the lists, $3 is
// the time before which they were made.
func endGoogleGrants(ctx context.Context, tx pgx.Tx, reason, from string, tenants, ids []uuid.UUID, before time.Time) (int64, error) {
	acted := audited(ctx, stmt(`WITH ended AS MATERIALIZED (
			SELECT g.tenant_id AS of_tenant, g.id AS of_grant FROM `+from+`
			WHERE g.revoked_at IS NULL AND g.created_at < $3 ORDER BY g.tenant_id, g.id FOR UPDATE OF g)
		UPDATE grants SET revoked_at = now(), revoked_reason = $4 FROM ended WHERE grants.tenant_id = ended.of_tenant AND grants.id = ended.of_grant
		RETURNING tenant_id, `+grantColumns, tenants, ids, before, reason),
		audit.Event{Kind: audit.GrantRevoked, Actor: audit.Google, Detail: reason}, grantRow.with("tenant_id", `act.tenant_id`), "", count)
	tag, err := tx.Exec(ctx, acted.sql, acted.args...)
	if err != nil {
		return 0, fmt.Errorf("revoking grants of a google account: %w", err)
	}
	return tag.RowsAffected(), nil
}

// endGoogleSessions ends sessions that from selects as b, as endGoogleGrants does.
func endGoogleSessions(ctx context.Context, tx pgx.Tx, reason, from string, tenants, ids []uuid.UUID, before time.Time) error {
	acted := audited(ctx, stmt(`WITH ended AS MATERIALIZED (
			SELECT b.tenant_id AS of_tenant, b.secret_hash AS of_secret FROM `+from+`
			WHERE b.ended_at IS NULL AND b.created_at < $3 ORDER BY b.tenant_id, b.secret_hash FOR UPDATE OF b)
		UPDATE sessions SET ended_at = now() FROM ended WHERE sessions.tenant_id = ended.of_tenant AND sessions.secret_hash = ended.of_secret
		RETURNING tenant_id, subject_id`, tenants, ids, before),
		audit.Event{Kind: audit.SessionEnded, Actor: audit.Google, Detail: reason}, fromRow{"tenant_id": `act.tenant_id`, "subject_id": `act.subject_id`}, "", count)
	if _, err := tx.Exec(ctx, acted.sql, acted.args...); err != nil {
		return fmt.Errorf("ending sessions of a google account: %w", err)
	}
	return nil
}

func pairsOf(ctx context.Context, tx pgx.Tx, sql string, args ...any) (pairs, error) {
	var found pairs
	rows, err := tx.Query(ctx, sql, args...)
	if err == nil {
		var t, id uuid.UUID
		_, err = pgx.ForEachRow(rows, []any{&t, &id}, func() error {
			found.tenants, found.ids = append(found.tenants, t), append(found.ids, id)
			return nil
		})
	}
	if err != nil {
		return pairs{}, fmt.Errorf("finding what is of a google account: %w", err)
	}
	return found, nil
}

// markCredentials takes the credentials out of use. The version moves on, so a
// refresh under way publishes nothing (PublishRefresh). One that was linked
// after the event is another sign-in's; a refresh token named by itself is
// never that.
func markCredentials(ctx context.Context, tx pgx.Tx, found pairs, a signals.Act, before time.Time) (int64, error) {
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
		found.tenants, found.ids, before, a.Reason, a.Subject == ""),
		audit.Event{Kind: audit.NeedsReauth, Actor: audit.Google, Detail: a.Reason},
		fromRow{"tenant_id": `act.tenant_id`, "subject_id": `act.subject_id`, "connection_id": `act.connection_id`}, "", count)
	tag, err := tx.Exec(ctx, acted.sql, acted.args...)
	if err != nil {
		return 0, fmt.Errorf("marking credentials of a google account: %w", err)
	}
	return tag.RowsAffected(), nil
}
