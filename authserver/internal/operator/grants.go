package operator

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

// GrantStatus says whether a grant still gives anything.
type GrantStatus string

const (
	GrantPending GrantStatus = "pending" // its code was not redeemed yet
	GrantLive    GrantStatus = "live"
	GrantExpired GrantStatus = "expired"
	GrantRevoked GrantStatus = "revoked"
)

// GrantStatuses are all of them.
func GrantStatuses() []GrantStatus {
	return []GrantStatus{GrantPending, GrantLive, GrantExpired, GrantRevoked}
}

// Grant is what a person allowed a client.
type Grant struct {
	ID            uuid.UUID   `json:"id"`
	Client        string      `json:"client"`
	Subject       uuid.UUID   `json:"subject"`
	Connection    uuid.UUID   `json:"connection"`
	Resource      string      `json:"resource"`
	Scopes        []string    `json:"scopes"`
	Offline       bool        `json:"offline"` // refresh tokens are issued
	Status        GrantStatus `json:"status"`
	Created       time.Time   `json:"created_at"`
	Used          time.Time   `json:"last_used_at,omitzero"` // code redeemed or token refreshed
	Expires       time.Time   `json:"expires_at"`            // at the latest, whatever its use
	Revoked       time.Time   `json:"revoked_at,omitzero"`
	RevokedReason string      `json:"revoked_reason,omitempty"`
}

// GrantFilter narrows a list; its zero value does not.
type GrantFilter struct {
	Subject uuid.UUID
	Client  string
	Status  GrantStatus
}

// Grants returns a page of grants in the order of ids, which is that of time.
func (o *Operator) Grants(ctx context.Context, t tenant.ID, f GrantFilter, p Page) ([]Grant, error) {
	after, err := p.uuid()
	if err != nil {
		return nil, err
	}
	if f.Status != "" && !slices.Contains(GrantStatuses(), f.Status) {
		return nil, tenancy.Invalid("the status of a grant is one of %v", GrantStatuses())
	}
	return o.Store.OperatorGrants(ctx, t, f, after, p.Limit)
}

// Grant returns one grant, or ErrNotFound.
func (o *Operator) Grant(ctx context.Context, t tenant.ID, id uuid.UUID) (*Grant, error) {
	return o.Store.OperatorGrant(ctx, t, id)
}

// Revoke ends a grant: its refresh token at once, its access tokens as soon as
// the resource servers hear of it. Revoking twice keeps the first reason. It
// returns ErrNotFound.
func (o *Operator) Revoke(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	return o.Store.EndGrant(ctx, t, id)
}
