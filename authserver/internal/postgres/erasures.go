package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenant"
)

// ofSubject selects a person's rows: $1 tenant, $2 subject.
const (
	ofSubject     = ` WHERE tenant_id = $1 AND subject_id = $2`
	ofConnections = ` WHERE tenant_id = $1 AND connection_id IN (SELECT id FROM connections` + ofSubject + `)`
)

// erasedOfSubject is what becomes of a person's rows when an erasure begins, in
// the order of locks: subject, credentials, grants, sessions, and of each in the
// order of their ids. The subject is marked first:
// a server may delete rows of nobody else. Of a grant its id and end stay, for
// the feed; of a connection its id, and the Google account as long as a token of
// it is to be withdrawn: another person may use the same one. A test compares
// the tables with the catalogue.
var erasedOfSubject = []destruction{
	{"subjects", `UPDATE subjects SET google_sub = 'erased:' || id, erasing_at = now(), erasure_next_at = now() + interval '1 minute' WHERE tenant_id = $1 AND id = $2`},
	{"", `SELECT connection_id::text FROM credentials` + ofConnections + ` ORDER BY connection_id FOR UPDATE`},
	{"google_revocations", `INSERT INTO google_revocations (tenant_id, id, subject_id, connection_id, upstream_client, purpose, token)
		SELECT tenant_id, gen_random_uuid(), $2, connection_id, upstream_client, CASE WHEN refresh_token IS NULL THEN 'access_token' ELSE 'refresh_token' END,
			coalesce(refresh_token, access_token) FROM credentials` + ofConnections + ` AND coalesce(refresh_token, access_token) IS NOT NULL`},
	{"credentials", `DELETE FROM credentials` + ofConnections},
	{"", `SELECT id::text FROM grants` + ofSubject + ` ORDER BY id FOR UPDATE`},
	{"grants", `UPDATE grants SET revoked_at = coalesce(revoked_at, now()), revoked_reason = 'erased', client_id = '', resource = '', scopes = '{}', redirect_uri = '',
		code_challenge = repeat('x', 43)` + ofSubject},
	{"revocation_epochs", `DELETE FROM revocation_epochs` + ofSubject},
	{"consents", `DELETE FROM consents` + ofSubject},
	{"", `SELECT id::text FROM sessions` + ofSubject + ` ORDER BY secret_hash FOR UPDATE`},
	{"sessions", `DELETE FROM sessions` + ofSubject},
	{"links", `DELETE FROM links` + ofSubject},
	{"approvals", `DELETE FROM approvals` + ofSubject},
	{"connections", `UPDATE connections SET email = '', alias = '', hosted_domain = '', is_default = false, status = 'unlinked',
		google_sub = CASE WHEN EXISTS (SELECT FROM google_revocations q WHERE q.tenant_id = $1 AND q.connection_id = connections.id) THEN google_sub ELSE 'erased:' || id END` + ofSubject},
}

// BeginErasure takes everything away from a person that is not needed to
// withdraw their tokens at Google, in one transaction. Called again it only
// stores the new code, if it is not zero. It returns erasure.ErrNoSubject.
func (db *DB) BeginErasure(ctx context.Context, t tenant.ID, subject uuid.UUID, code [sha256.Size]byte) error {
	if t.IsZero() {
		return errors.New("no tenant given")
	}
	err := pgx.BeginFunc(ctx, db.runtime, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setTenant, t.String()); err != nil {
			return err
		}
		var begun bool // the lock lets no sign-in under way pass (refuse_erased)
		if err := tx.QueryRow(ctx, `SELECT erasing_at IS NOT NULL FROM subjects WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, t.UUID(), subject).Scan(&begun); err != nil {
			return err
		}
		if !begun {
			done := erasure.Shredded{Rows: map[string]int64{}}
			if err := shred(ctx, tx, &done, []any{t.UUID(), subject}, erasedOfSubject); err != nil {
				return err
			}
			// Whoever finishes it: this is on whose word it happens.
			begins := event(ctx, audit.Event{Tenant: t, Kind: audit.SubjectErasing, Actor: audit.FromContext(ctx).ActorOr(audit.System), Subject: subject})
			if _, err := tx.Exec(ctx, begins.sql, begins.args...); err != nil {
				return err
			}
		}
		if code == ([sha256.Size]byte{}) {
			return nil
		}
		_, err := tx.Exec(ctx, `UPDATE subjects SET erasure_code = $3 WHERE tenant_id = $1 AND id = $2`, t.UUID(), subject, code[:])
		return err
	})
	return erasureError("beginning an erasure", err)
}

func erasureError(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return erasure.ErrNoSubject
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Erasure returns how far a person's erasure is, or erasure.ErrNoSubject.
func (db *DB) Erasure(ctx context.Context, t tenant.ID, subject uuid.UUID) (*erasure.Erasure, error) {
	return db.erasure(ctx, t, `id = $2`, subject)
}

// ErasureOfCode is Erasure for who holds the code.
func (db *DB) ErasureOfCode(ctx context.Context, t tenant.ID, code [sha256.Size]byte) (*erasure.Erasure, error) {
	return db.erasure(ctx, t, `erasure_code = $2`, code[:])
}

func (db *DB) erasure(ctx context.Context, t tenant.ID, which string, of any) (*erasure.Erasure, error) {
	e := erasure.Erasure{Tenant: t}
	err := db.row(ctx, t, stmt(`SELECT s.id, s.erasing_at, coalesce(s.erasure_google, ''), coalesce(s.erasure_receipt, ''),
			(SELECT count(*) FROM google_revocations q WHERE q.tenant_id = s.tenant_id AND q.subject_id = s.id)
		FROM subjects s WHERE s.tenant_id = $1 AND s.`+which+` AND s.erasing_at IS NOT NULL`, t.UUID(), of), &e.Subject, &e.Since, &e.Google, &e.Receipt, &e.Waiting)
	if err != nil {
		return nil, erasureError("reading an erasure", err)
	}
	return &e, nil
}

// FinishErasure stores the receipt and forgets the Google accounts; the first
// receipt stays.
func (db *DB) FinishErasure(ctx context.Context, t tenant.ID, subject uuid.UUID, google erasure.Google, receipt string) error {
	_, err := db.exec(ctx, t, lockSubject(t, subject),
		stmt(`UPDATE connections SET google_sub = 'erased:' || id`+ofSubject+` AND EXISTS (SELECT FROM subjects s WHERE s.tenant_id = $1 AND s.id = $2 AND s.erasing_at IS NOT NULL)`, t.UUID(), subject),
		stmt(`UPDATE subjects SET erasure_google = $3, erasure_receipt = $4, erasure_next_at = erasing_at + $5::interval
			WHERE tenant_id = $1 AND id = $2 AND erasing_at IS NOT NULL AND erasure_receipt IS NULL`, t.UUID(), subject, string(google), receipt, erasure.Outlives))
	return erasureError("finishing an erasure", err)
}

// ClaimErasures takes erasures that are due, of all tenants, each for one caller.
func (db *DB) ClaimErasures(ctx context.Context, most int) ([]erasure.Erasure, error) {
	rows, err := db.jobs.Query(ctx, `UPDATE subjects s SET erasure_next_at = now() + interval '1 minute'
		FROM (SELECT tenant_id, id FROM subjects WHERE erasure_next_at <= now() ORDER BY erasure_next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
		WHERE s.tenant_id = due.tenant_id AND s.id = due.id
		RETURNING s.tenant_id, s.id, s.erasing_at, coalesce(s.erasure_google, '')`, most)
	if err != nil {
		return nil, fmt.Errorf("claiming erasures: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e erasure.Erasure, err error) {
		var t uuid.UUID
		err = row.Scan(&t, &e.Subject, &e.Since, &e.Google)
		e.Tenant = tenant.FromUUID(t)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming erasures: %w", err)
	}
	return list, nil
}

// ForgetGrants deletes what is left of the grants and connections of a person
// whose erasure was finished and began erasure.Outlives ago.
func (db *DB) ForgetGrants(ctx context.Context, t tenant.ID, subject uuid.UUID) error {
	return db.forget(ctx, t, subject, erasure.Outlives, "grants", "connections")
}

// ForgetSubject deletes the last row of a person whose erasure was finished and
// began erasure.ReceiptKept ago.
func (db *DB) ForgetSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) error {
	return db.forget(ctx, t, subject, erasure.ReceiptKept, "grants", "connections", "subjects")
}

func (db *DB) forget(ctx context.Context, t tenant.ID, subject uuid.UUID, after time.Duration, tables ...string) error {
	const ended = `EXISTS (SELECT FROM subjects s WHERE s.tenant_id = $1 AND s.id = $2 AND s.erasure_receipt IS NOT NULL AND s.erasing_at <= now() - $3::interval)`
	statements := []statement{stmt(`UPDATE subjects SET erasure_next_at = erasing_at + $4::interval WHERE tenant_id = $1 AND id = $2 AND `+ended,
		t.UUID(), subject, after, erasure.ReceiptKept)}
	for _, table := range tables {
		column := "subject_id"
		if table == "subjects" {
			column = "id"
		}
		statements = append(statements, stmt(`DELETE FROM `+table+` WHERE tenant_id = $1 AND `+column+` = $2 AND `+ended, t.UUID(), subject, after))
	}
	_, err := db.exec(ctx, t, statements...)
	return erasureError("forgetting an erased person", err)
}
