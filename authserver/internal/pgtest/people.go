package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

// People makes n persons of the default tenant with a Google account each, as if
// they had signed in: value is what is sealed for the i-th, as address, refresh
// token and access token. 5000 to a transaction.
func People(t testing.TB, dsn string, v *vault.Vault, n int, value func(p vault.Purpose, i int) string) []*connection.Record {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var all []*connection.Record
	for len(all) < n {
		if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL ROLE latchkey_runtime`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT set_config('app.tenant_id', $1, true)`, tenant.DefaultID.String()); err != nil {
				return err
			}
			fresh, err := people(ctx, tx, v, len(all), min(n-len(all), 5000), value)
			all = append(all, fresh...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func people(ctx context.Context, tx pgx.Tx, v *vault.Vault, from, n int, value func(vault.Purpose, int) string) ([]*connection.Record, error) {
	var ids []uuid.UUID
	var subs []string
	for i := range n {
		ids, subs = append(ids, uuid.Must(uuid.NewV7())), append(subs, fmt.Sprintf("sub-%d", from+i))
	}
	if _, err := tx.Exec(ctx, `INSERT INTO subjects (tenant_id, id, google_sub) SELECT $1, id, sub FROM unnest($2::uuid[], $3::text[]) AS x (id, sub)`, tenant.DefaultID.UUID(), ids, subs); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT s.subject_id, s.secret FROM subject_secrets s WHERE s.subject_id = ANY($1) ORDER BY 1`, ids)
	if err != nil {
		return nil, err
	}
	fresh, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) {
		r := &connection.Record{Ref: connection.Ref{Tenant: tenant.DefaultID}}
		var person []byte
		err := row.Scan(&r.Subject, &person)
		r.Connection, r.Person = r.Subject, secret.NewBytes(person)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	var emails, refreshes, accesses [][]byte
	for i, r := range fresh {
		for p, list := range map[vault.Purpose]*[][]byte{vault.Email: &emails, vault.RefreshToken: &refreshes, vault.AccessToken: &accesses} {
			sealed, err := v.Seal(ctx, r.Binding(p), []byte(value(p, from+i)))
			if err != nil {
				return nil, err
			}
			*list = append(*list, sealed)
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default)
		SELECT $1, id, id, id::text, email, true FROM unnest($2::uuid[], $3::bytea[]) AS x (id, email)`, tenant.DefaultID.UUID(), ids, emails); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO credentials (tenant_id, connection_id, upstream_client, refresh_token, access_token, access_expires_at, google_scopes, status)
		SELECT $1, id, 'up', r, a, now() + interval '1 hour', '{openid}', 'active' FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS x (id, r, a)`, tenant.DefaultID.UUID(), ids, refreshes, accesses)
	return fresh, err
}
