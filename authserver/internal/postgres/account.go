package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/account"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// liveGrants is the condition that a grant g is of use to its client: the code was
// redeemed, nothing has ended it, and without a refresh token the longest life of
// an access token has not passed. $1 is the tenant, $2 the subject.
var liveGrants = `g.tenant_id = $1 AND g.subject_id = $2 AND g.revoked_at IS NULL AND g.redeemed_at IS NOT NULL
	AND g.expires_at > now() AND g.idle_expires_at > now() AND (g.offline OR g.redeemed_at > now() - interval '24 hours') AND NOT ` + grantEpoch("g")

// Account reads what a person's page shows, in one round trip. Everything is
// found by the subject.
func (db *DB) Account(ctx context.Context, t tenant.ID, subject uuid.UUID, life session.Life) (*account.Overview, error) {
	var o account.Overview
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		if o.Connections, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) { return scanRecord(t, row) }); err != nil {
			return err
		}
		if rows, err = results.Query(); err != nil {
			return err
		}
		if o.Grants, err = pgx.CollectRows(rows, scanAccountGrant); err != nil {
			return err
		}
		if rows, err = results.Query(); err != nil {
			return err
		}
		o.Sessions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s account.Session, err error) {
			err = row.Scan(&s.ID, &s.Browser, &s.Began, &s.Used)
			return s, err
		})
		return err
	},
		stmt(recordQuery+` WHERE c.tenant_id = $1 AND c.subject_id = $2 ORDER BY c.status = 'linked' DESC, c.is_default DESC, c.created_at, c.id LIMIT $3`, t.UUID(), subject, mostConnections),
		stmt(`SELECT g.client_id, g.connection_id, g.scopes, g.created_at, greatest(g.redeemed_at, g.rotated_at),
				coalesce(s.snapshot->>'client_name', ''), coalesce(s.snapshot->>'destination', ''),
				coalesce((SELECT array_agg(x) FROM jsonb_array_elements_text(s.snapshot->'left_out') x), '{}')
			FROM grants g LEFT JOIN consents s ON s.tenant_id = g.tenant_id AND s.subject_id = g.subject_id AND s.client_id = g.client_id AND s.resource = g.resource
			WHERE `+liveGrants+`
			ORDER BY g.created_at DESC LIMIT 500`, t.UUID(), subject),
		stmt(`SELECT id, browser, created_at, last_used_at FROM sessions
			WHERE tenant_id = $1 AND subject_id = $2 AND ended_at IS NULL AND last_used_at > now() - $3::interval AND created_at > now() - $4::interval AND `+unlessEndedBefore+`
			ORDER BY last_used_at DESC LIMIT $5`, t.UUID(), subject, life.Idle, life.Absolute, session.MaxPerSubject))
	if err != nil {
		return nil, fmt.Errorf("reading account: %w", err)
	}
	return &o, nil
}

func scanAccountGrant(row pgx.CollectableRow) (g account.Grant, err error) {
	var scopes, leftOut []string
	err = row.Scan(&g.ClientID, &g.Connection, &scopes, &g.Since, &g.Used, &g.AppName, &g.Destination, &leftOut)
	g.Scopes, g.LeftOut = oauth.NewScopes(scopes...), oauth.NewScopes(leftOut...)
	return g, err
}

// Allowed returns what a client may do at a resource by a person's grants, the
// newest first.
func (db *DB) Allowed(ctx context.Context, t tenant.ID, subject uuid.UUID, clientID, resource string) ([]flow.Allowed, error) {
	var out []flow.Allowed
	err := db.batch(ctx, t, func(results pgx.BatchResults) error {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a flow.Allowed, err error) {
			var scopes []string
			err = row.Scan(&a.Connection, &scopes)
			a.Scopes = oauth.NewScopes(scopes...)
			return a, err
		})
		return err
	}, stmt(`SELECT g.connection_id, g.scopes FROM grants g WHERE `+liveGrants+` AND g.client_id = $3 AND g.resource = $4
		ORDER BY g.created_at DESC LIMIT 500`, t.UUID(), subject, clientID, resource))
	if err != nil {
		return nil, fmt.Errorf("reading what an app may do: %w", err)
	}
	return out, nil
}

// RevokeApp ends every grant that a person gave a client. It reports how many
// ended.
func (db *DB) RevokeApp(ctx context.Context, t tenant.ID, subject uuid.UUID, clientID string) (int64, error) {
	n, err := db.exec(ctx, t, audited(ctx, endingGrants(t, "person_request", `g.subject_id = $3 AND g.client_id = $4`, subject, clientID),
		audit.Event{Tenant: t, Kind: audit.GrantRevoked, Actor: audit.FromContext(ctx).ActorOr(audit.Person), Detail: "person_request"}, grantRow, "", count))
	if err != nil {
		return 0, fmt.Errorf("revoking the grants of an app: %w", err)
	}
	return n, nil
}
