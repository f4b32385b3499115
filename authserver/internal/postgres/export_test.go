package postgres

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
)

// Erased are the tables of a tenant's erasure, in order.
var Erased = erased

// Busy is DB while long work of the jobs role is under way, until free is called.
func (db *DB) Busy() (free func()) {
	db.long <- struct{}{}
	return func() { <-db.long }
}

// RotateWithoutAudit is RotateRefresh as it would be without its event, to
// measure what that costs.
func (db *DB) RotateWithoutAudit(ctx context.Context, r grant.Rotation) (*grant.Grant, error) {
	s := rotate(r)
	return db.claim(ctx, r.Tenant, r.Assertion, stmt(`WITH act AS (`+s.sql+`) `+claimed, s.args...))
}

// RotateWithoutEpoch is RotateRefresh as it would be without looking for an epoch,
// to measure what that costs.
func (db *DB) RotateWithoutEpoch(ctx context.Context, r grant.Rotation) (*grant.Grant, error) {
	s := rotate(r)
	s.sql = strings.Replace(s.sql, ` AND `+unlessRevokedBefore, "", 1)
	return db.claim(ctx, r.Tenant, r.Assertion, audited(ctx, s, audit.Event{Tenant: r.Tenant, Kind: audit.Refreshed, Actor: audit.Client}, refreshedWhole, "", claimed))
}

// ErasedOfSubject are the tables that an erasure of a person changes.
func ErasedOfSubject() (tables []string) {
	for _, d := range erasedOfSubject {
		if d.table != "" {
			tables = append(tables, d.table)
		}
	}
	return append(tables, "subject_secrets") // ShredSubject
}

// ExportedOfSubject are the columns of a person's export, by table.
func ExportedOfSubject() map[string][]string {
	out := map[string][]string{}
	for _, e := range exportedOfSubject {
		out[e.table] = strings.Split(e.columns, ", ")
	}
	return out
}

// Unbound is what a database without row-level security could do instead: the same
// statements, and no tenant set before them.
type Unbound struct{ DB *DB }

// RotateRefresh is DB.RotateRefresh.
func (u Unbound) RotateRefresh(ctx context.Context, r grant.Rotation) (*grant.Grant, error) {
	var g *grant.Grant
	err := u.batch(ctx, rotateAudited(ctx, r), func(row pgx.Row) (err error) {
		g, err = scanGrant(r.Tenant, row)
		return err
	})
	return g, err
}

// GrantState is DB.GrantState but for what it makes of the row.
func (u Unbound) GrantState(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	return u.batch(ctx, stmt(grantState, t.UUID(), id), func(row pgx.Row) error { return row.Scan(nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil) })
}

func (u Unbound) batch(ctx context.Context, s statement, read func(pgx.Row) error) error {
	b := &pgx.Batch{}
	b.Queue(s.sql, s.args...)
	results := u.DB.runtime.SendBatch(ctx, b)
	if err := read(results.QueryRow()); err != nil {
		_ = results.Close()
		return err
	}
	return results.Close()
}
