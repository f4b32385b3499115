package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Who asks at the admin API belongs to no tenant before it was read, so reading
// and making administrators is the jobs role's work.

var _ admin.Administrators = (*DB)(nil)

const administrators = `SELECT tenant_id, id, everywhere, name, scopes, secret_hash, jwks, created_at, last_used_at FROM admin_clients`

func scanAdministrator(row pgx.CollectableRow) (admin.Administrator, error) {
	var a admin.Administrator
	var t uuid.UUID
	var scopes []string
	var jwks []byte
	var used *time.Time
	err := row.Scan(&t, &a.ID, &a.Everywhere, &a.Name, &scopes, &a.SecretHash, &jwks, &a.Created, &used)
	a.Tenant, a.Scopes, a.Created, a.Used = tenant.FromUUID(t), oauth.NewScopes(scopes...), a.Created.UTC(), orZero(used)
	if jwks != nil {
		a.JWKS = json.RawMessage(jwks)
	}
	return a, err
}

func (db *DB) administrators(ctx context.Context, where string, args ...any) ([]admin.Administrator, error) {
	rows, err := db.jobs.Query(ctx, administrators+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading administrators: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanAdministrator)
	if err != nil {
		return nil, fmt.Errorf("reading administrators: %w", err)
	}
	return found, nil
}

// Administrators returns all of them, oldest first.
func (db *DB) Administrators(ctx context.Context) ([]admin.Administrator, error) {
	return db.administrators(ctx, ` ORDER BY created_at, id`)
}

// Administrator returns one, or admin.ErrNoAdministrator.
func (db *DB) Administrator(ctx context.Context, id string) (*admin.Administrator, error) {
	found, err := db.administrators(ctx, ` WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, admin.ErrNoAdministrator
	}
	return &found[0], nil
}

// CreateAdministrator stores one. Its tenant must exist.
func (db *DB) CreateAdministrator(ctx context.Context, a *admin.Administrator) error {
	var jwks any // a nil RawMessage would be JSON null
	if a.JWKS != nil {
		jwks = string(a.JWKS)
	}
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO admin_clients (tenant_id, id, everywhere, name, scopes, secret_hash, jwks) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			a.Tenant.UUID(), a.ID, a.Everywhere, a.Name, a.Scopes.Slice(), a.SecretHash, jwks); err != nil {
			return err
		}
		return adminAct(ctx, tx, a.Tenant, "administrator created "+a.ID)
	})
	if err != nil {
		return fmt.Errorf("storing administrator: %w", err)
	}
	return nil
}

// DeleteAdministrator deletes one: its tokens end with it. It returns
// admin.ErrNoAdministrator.
func (db *DB) DeleteAdministrator(ctx context.Context, id string) error {
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		var t uuid.UUID
		if err := tx.QueryRow(ctx, `DELETE FROM admin_clients WHERE id = $1 RETURNING tenant_id`, id).Scan(&t); err != nil {
			return err
		}
		return adminAct(ctx, tx, tenant.FromUUID(t), "administrator deleted "+id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return admin.ErrNoAdministrator
	}
	if err != nil {
		return fmt.Errorf("deleting administrator: %w", err)
	}
	return nil
}

// UseAdministrator notes a token and uses its assertion up, together: of
// concurrent calls with one assertion one wins, the others get
// client.ErrAssertionUsed. One that was deleted meanwhile is
// admin.ErrNoAdministrator.
func (db *DB) UseAdministrator(ctx context.Context, a *admin.Administrator, assertion *client.AssertionID, scopes oauth.Scopes) error {
	var statements []statement
	if assertion != nil {
		statements = append(statements, burn(a.Tenant, assertion))
	}
	statements = append(statements, audited(ctx, stmt(`UPDATE admin_clients SET last_used_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING id`, a.Tenant.UUID(), a.ID),
		audit.Event{Tenant: a.Tenant, Kind: audit.AdminToken, Actor: audit.Administrator(a.ID), Scopes: scopes.Slice()}, nil, "", count))
	n, err := db.exec(ctx, a.Tenant, statements...)
	if err = burnt(err); errors.Is(err, client.ErrAssertionUsed) {
		return err
	}
	if err != nil {
		return fmt.Errorf("using administrator: %w", err)
	}
	if n == 0 {
		return admin.ErrNoAdministrator
	}
	return nil
}
