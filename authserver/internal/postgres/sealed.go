package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

// sealedTable is how a table keeps its sealed values. Rows are read and changed
// in the order of their ids, so that two runs, or a run and a sign-in, cannot
// lock each other out.
type sealedTable struct {
	// $1 tenant, $2 id to begin after, $3 data key, $4 format, $5 limit. Columns:
	// id, subject, secret, connection, context, then of each value its purpose,
	// itself and whether it is stale.
	stale  string
	values int
	// $1 tenant, $2 id, then for each value the old one and the new one or NULL.
	replace string
}

var sealedTables = map[rewrap.Table]sealedTable{
	rewrap.Credentials: {
		stale: `SELECT k.connection_id::text, c.subject_id, p.secret, k.connection_id, '',
				'refresh_token', k.refresh_token, coalesce(k.refresh_key <> $3 OR get_byte(k.refresh_token, 0) <> $4, false),
				'access_token', k.access_token, coalesce(k.access_key <> $3 OR get_byte(k.access_token, 0) <> $4, false)
			FROM credentials k JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id
			LEFT JOIN subject_secrets p ON p.tenant_id = c.tenant_id AND p.subject_id = c.subject_id
			WHERE k.tenant_id = $1 AND ($2 = '' OR k.connection_id > nullif($2, '')::uuid)
			  AND (k.refresh_key <> $3 OR k.access_key <> $3 OR k.refresh_key IS NOT NULL AND get_byte(k.refresh_token, 0) <> $4
			       OR k.access_key IS NOT NULL AND get_byte(k.access_token, 0) <> $4)
			ORDER BY k.connection_id LIMIT $5`,
		values: 2,
		replace: `UPDATE credentials SET refresh_token = coalesce($4, refresh_token), access_token = coalesce($6, access_token)
			WHERE tenant_id = $1 AND connection_id = $2::uuid AND refresh_token IS NOT DISTINCT FROM $3 AND access_token IS NOT DISTINCT FROM $5`,
	},
	rewrap.Connections: {
		stale: `SELECT c.id::text, c.subject_id, p.secret, c.id, '', 'email', c.email, true
			FROM connections c LEFT JOIN subject_secrets p ON p.tenant_id = c.tenant_id AND p.subject_id = c.subject_id
			WHERE c.tenant_id = $1 AND ($2 = '' OR c.id > nullif($2, '')::uuid)
			  AND (c.email_key <> $3 OR c.email_key IS NOT NULL AND get_byte(c.email, 0) <> $4)
			ORDER BY c.id LIMIT $5`,
		values:  1,
		replace: `UPDATE connections SET email = coalesce($4, email) WHERE tenant_id = $1 AND id = $2::uuid AND email = $3`,
	},
	rewrap.Revocations: {
		stale: `SELECT q.id::text, q.subject_id, p.secret, q.connection_id, '', q.purpose, q.token, true
			FROM google_revocations q LEFT JOIN subject_secrets p ON p.tenant_id = q.tenant_id AND p.subject_id = q.subject_id
			WHERE q.tenant_id = $1 AND ($2 = '' OR q.id > nullif($2, '')::uuid)
			  AND (q.data_key <> $3 OR q.data_key IS NOT NULL AND get_byte(q.token, 0) <> $4)
			ORDER BY q.id LIMIT $5`,
		values:  1,
		replace: `UPDATE google_revocations SET token = coalesce($4, token) WHERE tenant_id = $1 AND id = $2::uuid AND token = $3`,
	},
	rewrap.Upstream: { // bound as package upstream says
		stale: `SELECT generation::text, NULL::uuid, NULL::bytea, NULL::uuid, generation || ' ' || client_id, 'upstream_client_secret', secret, true FROM upstream_clients
			WHERE tenant_id = $1 AND ($2 = '' OR generation > nullif($2, '')::bigint) AND (secret_key <> $3 OR secret_key IS NOT NULL AND get_byte(secret, 0) <> $4)
			ORDER BY generation LIMIT $5`,
		values:  1,
		replace: `UPDATE upstream_clients SET secret = coalesce($4, secret) WHERE tenant_id = $1 AND generation = $2::bigint AND secret = $3`,
	},
	rewrap.SigningKeys: {
		stale: `SELECT kid, NULL::uuid, NULL::bytea, NULL::uuid, kid, 'signing_key', sealed_key, true FROM signing_keys
			WHERE tenant_id = $1 AND kid > $2 AND (data_key <> $3 OR data_key IS NOT NULL AND get_byte(sealed_key, 0) <> $4)
			ORDER BY kid LIMIT $5`,
		values: 1,
		// The runtime role may not change what a key is; the same key, sealed anew,
		// takes the row's place.
		replace: `WITH old AS (DELETE FROM signing_keys WHERE tenant_id = $1 AND kid = $2 AND sealed_key = $3
				RETURNING tenant_id, kid, purpose, alg, sealed_key, state, created_at, activated_at, retired_at, token_life)
			INSERT INTO signing_keys (tenant_id, kid, purpose, alg, sealed_key, state, created_at, activated_at, retired_at, token_life)
			SELECT tenant_id, kid, purpose, alg, coalesce($4, sealed_key), state, created_at, activated_at, retired_at, token_life FROM old`,
	},
}

// StaleValues returns rows of a table with a value under another data key than
// the page's, or of an older format, with the persons' secrets.
func (db *DB) StaleValues(ctx context.Context, t tenant.ID, p rewrap.Page) ([]rewrap.Row, error) {
	table, ok := sealedTables[p.Table]
	if !ok {
		return nil, errors.New("no table with sealed values")
	}
	var found []rewrap.Row
	err := db.slowly(ctx, t, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, table.stale, t.UUID(), p.After, p.Active, vault.Format, p.Limit)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (rewrap.Row, error) { return table.scan(t, row) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading sealed values of %s: %w", p.Table, err)
	}
	return found, nil
}

func (s sealedTable) scan(t tenant.ID, row pgx.CollectableRow) (rewrap.Row, error) {
	r := rewrap.Row{Values: make([]rewrap.Value, s.values)}
	var subject, connection *uuid.UUID
	var person []byte
	var context string
	into := []any{&r.ID, &subject, &person, &connection, &context}
	for i := range r.Values {
		v := &r.Values[i]
		into = append(into, &v.Binding.Purpose, &v.Old, &v.Stale)
	}
	if err := row.Scan(into...); err != nil {
		return r, err
	}
	for i := range r.Values {
		b := &r.Values[i].Binding
		b.Tenant, b.Context = t, context
		if subject != nil {
			b.Subject, b.Connection, b.Person = *subject, *connection, secret.NewBytes(person)
		}
	}
	return r, nil
}

// ReplaceValues writes new values where the old ones still stand, all in one
// transaction, and returns how many rows that was.
func (db *DB) ReplaceValues(ctx context.Context, t tenant.ID, name rewrap.Table, rows []rewrap.Row) (int64, error) {
	table, ok := sealedTables[name]
	if !ok {
		return 0, errors.New("no table with sealed values")
	}
	var done int64
	replace := func(tx pgx.Tx) error {
		done = 0
		b := &pgx.Batch{}
		for _, r := range rows {
			args := []any{t.UUID(), r.ID}
			for _, v := range r.Values {
				args = append(args, v.Old, v.New)
			}
			b.Queue(table.replace, args...).Exec(func(tag pgconn.CommandTag) error {
				done += tag.RowsAffected()
				return nil
			})
		}
		return tx.SendBatch(ctx, b).Close()
	}
	var err error
	if name == rewrap.SigningKeys { // never while a server moves them through their life
		_, err = db.changeKeys(ctx, t, true, replace)
	} else {
		err = db.slowly(ctx, t, replace)
	}
	if err != nil {
		return 0, fmt.Errorf("storing sealed values of %s: %w", name, err)
	}
	return done, nil
}

// CountValues counts a tenant's sealed values by kind, data key and format.
func (db *DB) CountValues(ctx context.Context, t tenant.ID) ([]rewrap.Count, error) {
	var counts []rewrap.Count
	err := db.slowly(ctx, t, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT kind, coalesce(key, '00000000-0000-0000-0000-000000000000'), CASE WHEN key IS NULL THEN 0 ELSE format END, moves, count(*) FROM (
			SELECT 'credentials.refresh_token', refresh_key, get_byte(refresh_token, 0), true FROM credentials WHERE tenant_id = $1 AND refresh_token <> ''
			UNION ALL SELECT 'credentials.access_token', access_key, get_byte(access_token, 0), true FROM credentials WHERE tenant_id = $1 AND access_token <> ''
			UNION ALL SELECT 'connections.email', email_key, get_byte(email, 0), true FROM connections WHERE tenant_id = $1 AND email <> ''
			UNION ALL SELECT 'signing_keys.sealed_key', data_key, get_byte(sealed_key, 0), true FROM signing_keys WHERE tenant_id = $1 AND sealed_key <> ''
			UNION ALL SELECT 'google_revocations.token', data_key, get_byte(token, 0), true FROM google_revocations WHERE tenant_id = $1 AND token <> ''
			UNION ALL SELECT 'upstream_clients.secret', secret_key, get_byte(secret, 0), true FROM upstream_clients WHERE tenant_id = $1 AND secret <> ''
			UNION ALL SELECT 'flows.request', data_key, get_byte(request, 0), false FROM flows WHERE tenant_id = $1 AND request <> ''
			UNION ALL SELECT 'pushed_requests.request', data_key, get_byte(request, 0), false FROM pushed_requests WHERE tenant_id = $1 AND request <> ''
			UNION ALL SELECT 'approvals.question', data_key, get_byte(question, 0), false FROM approvals WHERE tenant_id = $1 AND question <> ''
		) AS v (kind, key, format, moves) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3`, t.UUID())
		if err != nil {
			return err
		}
		counts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c rewrap.Count, err error) {
			err = row.Scan(&c.Kind, &c.Key, &c.Format, &c.Moves, &c.Rows)
			return c, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting sealed values: %w", err)
	}
	return counts, nil
}

// slowly runs f in a transaction of a tenant that may take longer than a
// request's.
func (db *DB) slowly(ctx context.Context, t tenant.ID, f func(pgx.Tx) error) error {
	if t.IsZero() {
		return errors.New("no tenant given")
	}
	return pgx.BeginFunc(ctx, db.runtime, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(setTenant, t.String())
		b.Queue(patient)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return f(tx)
	})
}
