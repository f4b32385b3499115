package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenant"
)

// exportedOfSubject are the tables of a person's export with the columns in it,
// and which rows: nothing sealed, no secret, no hash of one. E-mail addresses
// are opened by the caller. A test compares tables and columns with the catalogue.
var exportedOfSubject = []struct{ table, columns, rows string }{
	{"subjects", `id, google_sub, created_at, erasing_at`, ` WHERE tenant_id = $1 AND id = $2`},
	{"connections", `id, google_sub, hosted_domain, alias, status, is_default, token_group, created_at`, ofSubject},
	{"credentials", `connection_id, upstream_client, google_scopes, status, last_error, version, access_expires_at, refresh_expires_at, refreshed_at, linked_at, warned_at, created_at, updated_at`, ofConnections},
	{"consents", `client_id, resource, scopes, snapshot, granted_at`, ofSubject},
	{"grants", `id, client_id, connection_id, resource, scopes, offline, redirect_uri, redeemed_at, generation, rotated_at, replays, code_expires_at, idle_expires_at, expires_at, revoked_at, revoked_reason, created_at`, ofSubject},
	{"sessions", `id, browser, created_at, last_used_at, ended_at`, ofSubject},
	{"links", `connection_id, client_id, reason, google_scopes, created_at, expires_at, used_at`, ofSubject},
	{"approvals", `grant_id, connection_id, client_id, tool, status, session_id, created_at, answered_at, expires_at`, ofSubject},
	{"google_revocations", `id, connection_id, upstream_client, purpose, tries, next_try_at, created_at`, ofSubject},
	{"revocation_epochs", `job_id, client_id, google, revoked_before, stage, total, grants, sessions, connections, finished_at, closed_at`, ofSubject},
	{"subject_secrets", `id, created_at`, ofSubject},
	// The newest: every refresh and every exchange is one.
	{"audit_events", `at, kind, actor, outcome, detail, client_id, grant_id, connection_id, resource, scopes, tool, duration_ms, request_id, caller_request_id, source`,
		ofSubject + ` ORDER BY id DESC LIMIT 10000`},
}

// ExportSubject reads what is stored of a person, and records that it was read,
// in one transaction. It returns
// erasure.ErrNoSubject.
func (db *DB) ExportSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) (*erasure.Stored, error) {
	s := &erasure.Stored{Tables: map[string][]map[string]any{}}
	err := db.slowly(ctx, t, func(tx pgx.Tx) error {
		for _, e := range exportedOfSubject {
			rows, err := tx.Query(ctx, `SELECT to_jsonb(x) FROM (SELECT `+e.columns+` FROM `+e.table+e.rows+`) x`, t.UUID(), subject)
			if err != nil {
				return err
			}
			if s.Tables[e.table], err = pgx.CollectRows(rows, pgx.RowTo[map[string]any]); err != nil {
				return fmt.Errorf("%s: %w", e.table, err)
			}
		}
		if len(s.Tables["subjects"]) == 0 {
			return pgx.ErrNoRows
		}
		rows, err := tx.Query(ctx, recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2`, t.UUID(), subject)
		if err != nil {
			return err
		}
		if s.Connections, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) { return scanRecord(t, row) }); err != nil {
			return err
		}
		exported := event(ctx, audit.Event{Tenant: t, Kind: audit.SubjectExported, Actor: audit.FromContext(ctx).ActorOr(audit.Person), Subject: subject})
		_, err = tx.Exec(ctx, exported.sql, exported.args...)
		return err
	})
	if err != nil {
		return nil, erasureError("exporting a subject", err)
	}
	return s, nil
}

// SubjectOf returns the person of a Google account, or erasure.ErrNoSubject. It
// makes nobody known.
func (db *DB) SubjectOf(ctx context.Context, t tenant.ID, googleSub string) (uuid.UUID, error) {
	var id uuid.UUID
	err := db.row(ctx, t, stmt(`SELECT id FROM subjects WHERE tenant_id = $1 AND google_sub = $2`, t.UUID(), googleSub), &id)
	if err != nil {
		return uuid.Nil, erasureError("finding a subject", err)
	}
	return id, nil
}
