package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
)

const tenantsChannel = "latchkey_tenants"

// TenantIDs returns every tenant's id by its slug. It is for the operator's
// commands; requests find their tenant in the directory.
func (db *DB) TenantIDs(ctx context.Context) (map[string]tenant.ID, error) {
	rows, err := db.jobs.Query(ctx, `SELECT slug, id FROM tenants`)
	if err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	found := map[string]tenant.ID{}
	var slug string
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&slug, &id}, func() error {
		found[slug] = tenant.FromUUID(id)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	return found, nil
}

// Tenants returns every tenant, with host, resources and active Google client.
func (db *DB) Tenants(ctx context.Context) ([]tenancy.Record, error) {
	rows, err := db.jobs.Query(ctx, `SELECT t.id, t.slug, t.name, t.status, t.policy::text, t.upstream, t.generation, t.created_at, t.updated_at,
			coalesce(h.host, ''), coalesce(c.client_id, ''), coalesce(c.generation, 0), coalesce(c.publishing, ''), coalesce(c.created_at, t.created_at),
			coalesce((SELECT max(u.generation) FROM upstream_clients u WHERE u.tenant_id = t.id), 0),
			coalesce((SELECT jsonb_agg(jsonb_build_object('URL', r.url, 'Aliases', r.aliases, 'Product', r.product) ORDER BY r.created_at, r.url)
				FROM resources r WHERE r.tenant_id = t.id), '[]')
		FROM tenants t LEFT JOIN tenant_hosts h ON h.tenant_id = t.id
		LEFT JOIN upstream_clients c ON c.tenant_id = t.id AND c.state = 'active'`)
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTenant)
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	return list, nil
}

func scanTenant(row pgx.CollectableRow) (tenancy.Record, error) {
	var r tenancy.Record
	var c tenancy.Client
	var id uuid.UUID
	var policy string
	if err := row.Scan(&id, &r.Slug, &r.Name, &r.Status, &policy, &r.Upstream, &r.Generation, &r.Created, &r.Updated,
		&r.Host, &c.ClientID, &c.Generation, &c.Publishing, &c.Created, &r.LastClient, &r.Resources); err != nil {
		return r, err
	}
	r.ID, r.Policy = tenant.FromUUID(id), []byte(policy)
	if c.Generation > 0 {
		r.Client = &c
	}
	return r, nil
}

// ListenTenants calls changed when it is connected and after each change of a
// tenant, on a connection of its own. It returns when that has ended.
func (db *DB) ListenTenants(ctx context.Context, changed func()) error {
	config := db.jobs.Config().ConnConfig.Copy()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connecting to listen: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+tenantsChannel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	for {
		changed()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("waiting for notifications: %w", err)
		}
	}
}

// UpstreamSecret returns the sealed secret of the tenant's active Google client,
// and upstream.ErrChanged when that is another generation.
func (db *DB) UpstreamSecret(ctx context.Context, t tenant.ID, generation int64) ([]byte, error) {
	var sealed []byte
	err := db.row(ctx, t, stmt(`SELECT secret FROM upstream_clients WHERE tenant_id = $1 AND generation = $2 AND state = 'active'`,
		t.UUID(), generation), &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, upstream.ErrChanged
	}
	if err != nil {
		return nil, fmt.Errorf("reading a google client: %w", err)
	}
	return sealed, nil
}

// CreateTenant stores a tenant with host and resources, or returns
// tenancy.ErrTaken.
func (db *DB) CreateTenant(ctx context.Context, r tenancy.Record) error {
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO tenants (id, slug, name, status, policy, upstream) VALUES ($1, $2, $3, $4, $5::jsonb, $6)`,
			r.ID.UUID(), r.Slug, r.Name, r.Status, string(r.Policy), r.Upstream); err != nil {
			return err
		}
		if err := adminAct(ctx, tx, r.ID, "tenant created"); err != nil {
			return err
		}
		return places(ctx, tx, r)
	})
	return taken("creating a tenant", err)
}

// UpdateTenant writes a tenant, its host and its resources, if it is still of
// the record's generation; else tenancy.ErrChanged.
func (db *DB) UpdateTenant(ctx context.Context, r tenancy.Record, acts ...tenancy.Act) error {
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		if err := move(ctx, tx, r); err != nil {
			return err
		}
		for _, a := range acts {
			if err := record(ctx, tx, audit.Event{Tenant: r.ID, Detail: a.What, Client: a.Client, Scopes: a.Scopes}); err != nil {
				return err
			}
		}
		for _, table := range []string{"tenant_hosts", "resources"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1`, r.ID.UUID()); err != nil {
				return err
			}
		}
		return places(ctx, tx, r)
	})
	return taken("changing a tenant", err)
}

// move takes a tenant from the record's generation to the next.
func move(ctx context.Context, tx pgx.Tx, r tenancy.Record) error {
	tag, err := tx.Exec(ctx, `UPDATE tenants SET name = $3, status = $4, policy = $5::jsonb, upstream = $6, generation = generation + 1, updated_at = now()
		WHERE id = $1 AND generation = $2`, r.ID.UUID(), r.Generation, r.Name, r.Status, string(r.Policy), r.Upstream)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return tenancy.ErrChanged
	}
	return adminAct(ctx, tx, r.ID, "tenant changed, "+string(r.Status))
}

// adminAct records what an operator did to a tenant.
func adminAct(ctx context.Context, tx pgx.Tx, t tenant.ID, detail string) error {
	return record(ctx, tx, audit.Event{Tenant: t, Detail: detail})
}

func record(ctx context.Context, tx pgx.Tx, e audit.Event) error {
	e.Kind, e.Actor = audit.AdminAct, audit.FromContext(ctx).ActorOr(audit.Operator)
	s := event(ctx, e)
	_, err := tx.Exec(ctx, s.sql, s.args...)
	return err
}

func places(ctx context.Context, tx pgx.Tx, r tenancy.Record) error {
	if r.Host != "" {
		if _, err := tx.Exec(ctx, `INSERT INTO tenant_hosts (tenant_id, host) VALUES ($1, $2)`, r.ID.UUID(), r.Host); err != nil {
			return err
		}
	}
	for _, res := range r.Resources {
		if _, err := tx.Exec(ctx, `INSERT INTO resources (tenant_id, url, aliases, product) VALUES ($1, $2, $3, $4)`,
			r.ID.UUID(), res.URL, res.Aliases, res.Product); err != nil {
			return err
		}
	}
	return nil
}

// taken maps a violated uniqueness.
func taken(doing string, err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, tenancy.ErrChanged):
		return err
	case errors.As(err, &refused) && refused.Code == "23505":
		return tenancy.ErrTaken
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// ActivateClient makes a Google client the tenant's own and ends the one before,
// if the tenant is still of the record's generation; else tenancy.ErrChanged.
func (db *DB) ActivateClient(ctx context.Context, r tenancy.Record, c tenancy.Client, sealed []byte) error {
	r.Upstream = tenancy.Own
	err := pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error {
		if err := retire(ctx, tx, r); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO upstream_clients (tenant_id, generation, client_id, secret, publishing, state) VALUES ($1, $2, $3, $4, $5, 'active')`,
			r.ID.UUID(), c.Generation, c.ClientID, sealed, c.Publishing)
		return err
	})
	return taken("storing a google client", err)
}

// RetireClient ends the tenant's own Google client; from now on it uses the
// deployment's.
func (db *DB) RetireClient(ctx context.Context, r tenancy.Record) error {
	r.Upstream = tenancy.OfDeployment
	return taken("retiring a google client", pgx.BeginFunc(ctx, db.jobs, func(tx pgx.Tx) error { return retire(ctx, tx, r) }))
}

func retire(ctx context.Context, tx pgx.Tx, r tenancy.Record) error {
	if err := move(ctx, tx, r); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE upstream_clients SET state = 'retired', secret = NULL, retired_at = now() WHERE tenant_id = $1 AND state = 'active'`, r.ID.UUID())
	return err
}

// exported are the tables of a tenant's export with the columns in it: nothing
// sealed, no key, no hash of a secret.
var exported = []struct{ table, columns string }{
	{"clients", `id, kind, name, client_uri, redirect_uris, grant_types, auth_method, application_type, scope, jwks, jwks_uri, created_at, last_used_at, expires_at`},
	{"client_documents", `id, fetched_at, changed_at, last_used_at`},
	{"subjects", `id, google_sub, created_at`},
	{"connections", `id, subject_id, google_sub, hosted_domain, is_default, created_at`},
	{"credentials", `connection_id, upstream_client, google_scopes, status, last_error, access_expires_at, refreshed_at, linked_at, created_at, updated_at`},
	{"consents", `subject_id, client_id, resource, scopes, snapshot, granted_at`},
	{"grants", `id, client_id, subject_id, connection_id, resource, scopes, offline, redirect_uri, redeemed_at, rotated_at, idle_expires_at, expires_at, revoked_at, revoked_reason, created_at`},
	{"sessions", `id, subject_id, browser, created_at, last_used_at, ended_at`},
	{"signing_keys", `kid, purpose, alg, state, created_at, activated_at, retired_at`},
	{"upstream_clients", `generation, client_id, publishing, state, created_at, retired_at`},
}

const longWork = `SET LOCAL statement_timeout = '30min'`

// ExportTenant reads a tenant's rows as the runtime role, which sees no other
// tenant's.
func (db *DB) ExportTenant(ctx context.Context, t tenant.ID, row func(table string, columns json.RawMessage) error) error {
	return pgx.BeginTxFunc(ctx, db.runtime, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, longWork); err != nil {
			return fmt.Errorf("exporting: %w", err)
		}
		if _, err := tx.Exec(ctx, setTenant, t.String()); err != nil {
			return fmt.Errorf("exporting: %w", err)
		}
		for _, e := range exported {
			rows, err := tx.Query(ctx, `SELECT to_jsonb(x) FROM (SELECT `+e.columns+` FROM `+e.table+` WHERE tenant_id = $1) x`, t.UUID())
			if err != nil {
				return fmt.Errorf("exporting %s: %w", e.table, err)
			}
			var columns json.RawMessage
			if _, err := pgx.ForEachRow(rows, []any{&columns}, func() error { return row(e.table, columns) }); err != nil {
				return fmt.Errorf("exporting %s: %w", e.table, err)
			}
		}
		return nil
	})
}

// erased are a tenant's tables in the order of their end, after it was shredded:
// what refers before what is referred to. A test compares the list with the
// catalogue.
var erased = []string{
	"upstream_clients", "signing_keys", "google_revocations", "links", "approvals", "sessions", "revocation_epochs", "grants", "consents", "credentials", "flows", "pushed_requests", "assertion_ids", "rate_limits",
	"clients", "client_documents", "admin_clients", "connections", "subject_secrets", "subjects", "data_keys", "resources", "tenant_hosts",
}

// lockedInOrder are tables of which others lock many rows at once, in the order of
// that column: Google's signals come for a suspended tenant too (see act).
var lockedInOrder = map[string]string{"credentials": "connection_id", "grants": "id", "sessions": "secret_hash"}

// EraseTenant shreds a suspended tenant, so that what is left opens for nobody,
// and then deletes every row of it, a table a transaction. It returns how many
// rows of each went. Called again it goes on.
func (db *DB) EraseTenant(ctx context.Context, t tenant.ID) (map[string]int64, error) {
	gone := map[string]int64{}
	shredded, err := db.ShredTenant(ctx, t)
	if err != nil {
		return gone, err
	}
	for _, table := range deletedByShred {
		gone[table] = shredded.Rows[table]
	}
	for _, table := range append(erased[:len(erased):len(erased)], "tenants") {
		err := db.longJob(ctx, func(tx pgx.Tx) error {
			if err := suspended(ctx, tx, t); err != nil {
				return err
			}
			column := "tenant_id"
			if table == "tenants" {
				column = "id"
			}
			if id, ok := lockedInOrder[table]; ok {
				if _, err := tx.Exec(ctx, `SELECT count(*) FROM (SELECT FROM `+table+` WHERE tenant_id = $1 ORDER BY `+id+` FOR UPDATE) AS locked`, t.UUID()); err != nil {
					return err
				}
			}
			tag, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE `+column+` = $1`, t.UUID())
			gone[table] += tag.RowsAffected()
			if err == nil && table == "tenants" {
				// In the deployment's trail: the tenant's own has no keys any more. That stays,
				// because nobody may delete from it; it names nobody but by ids.
				err = adminAct(ctx, tx, tenant.DefaultID, "tenant erased "+t.String())
			}
			return err
		})
		if err != nil {
			return gone, fmt.Errorf("erasing %s: %w", table, err)
		}
	}
	return gone, nil
}

// suspended makes sure that a tenant is suspended and stays so until the
// transaction, which may take long, is done.
func suspended(ctx context.Context, tx pgx.Tx, t tenant.ID) error {
	if _, err := tx.Exec(ctx, longWork); err != nil {
		return err
	}
	var is bool
	if err := tx.QueryRow(ctx, `SELECT status = 'suspended' FROM tenants WHERE id = $1 FOR UPDATE`, t.UUID()).Scan(&is); err != nil {
		return err
	}
	if !is {
		return tenancy.ErrNotSuspended
	}
	return nil
}
