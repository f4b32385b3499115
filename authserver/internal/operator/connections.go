package operator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

// Unlinked is the status of a connection that was disconnected, or whose first
// sign-in was not completed; the others are its credential's.
const Unlinked connection.Status = "unlinked"

// ConnectionStatuses are all of them.
func ConnectionStatuses() []connection.Status {
	return []connection.Status{connection.Active, connection.NeedsReauth, connection.Revoked, Unlinked}
}

// Connection is a person's Google account here. It has no token and no e-mail
// address; the alias is the person's own name for the account.
type Connection struct {
	ID             uuid.UUID         `json:"id"`
	Subject        uuid.UUID         `json:"subject"`
	Alias          string            `json:"alias"`
	Default        bool              `json:"default"`
	Status         connection.Status `json:"status"`
	TokenGroup     string            `json:"token_group"`
	HostedDomain   string            `json:"hosted_domain,omitempty"`
	GoogleScopes   []string          `json:"google_scopes"`             // really granted, as Google said
	UpstreamClient string            `json:"upstream_client,omitempty"` // Google client that its tokens work with
	LastError      string            `json:"last_error,omitempty"`      // class, never Google's text
	Created        time.Time         `json:"created_at"`
	Refreshed      time.Time         `json:"refreshed_at,omitzero"`       // last sign-in or refresh
	RefreshExpires time.Time         `json:"refresh_expires_at,omitzero"` // when Google ends it by itself
}

// ConnectionFilter narrows a list; its zero value does not.
type ConnectionFilter struct {
	Subject uuid.UUID
	Status  connection.Status
}

// Connections returns a page of connections in the order of ids.
func (o *Operator) Connections(ctx context.Context, t tenant.ID, f ConnectionFilter, p Page) ([]Connection, error) {
	after, err := p.uuid()
	if err != nil {
		return nil, err
	}
	if f.Status != "" && !slices.Contains(ConnectionStatuses(), f.Status) {
		return nil, tenancy.Invalid("the status of a connection is one of %v", ConnectionStatuses())
	}
	return o.Store.OperatorConnections(ctx, t, f, after, p.Limit)
}

// Connection returns one connection, or ErrNotFound.
func (o *Operator) Connection(ctx context.Context, t tenant.ID, id uuid.UUID) (*Connection, error) {
	return o.Store.OperatorConnection(ctx, t, id)
}

// Disconnect takes a Google account away from everything here, as its person can:
// it ends at once, with every grant made with it, and its tokens are queued to be
// withdrawn at Google. It returns ErrNotFound for one that is not linked.
func (o *Operator) Disconnect(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	c, err := o.Store.OperatorConnection(ctx, t, id)
	if err != nil {
		return err
	}
	err = o.Store.Disconnect(ctx, connection.Ref{Tenant: t, Subject: c.Subject, Connection: id})
	if errors.Is(err, connection.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// RequireReauth lets a connection serve nothing until its person signs in at
// Google again; nothing is deleted. It returns ErrNotFound for one that is not
// linked or has no credential.
func (o *Operator) RequireReauth(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	return o.Store.RequireReauth(ctx, t, id)
}
