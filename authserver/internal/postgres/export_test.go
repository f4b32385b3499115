package postgres

import (
	"context"

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
