package postgres

import (
	"context"
	"strings"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/grant"
)

// Erased are the tables of a tenant's erasure, in order.
var Erased = erased

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
