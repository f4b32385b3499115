package operator

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// MaxPage is the most that one page of a list has.
const MaxPage = 200

// ErrNotFound says that the tenant has no such thing. What is wrong with a request
// is a *tenancy.InvalidError.
var ErrNotFound = errors.New("the tenant has no such thing")

// Page is a part of a list in the order of ids. The zero Page is refused.
type Page struct {
	After string // id of the last one of the page before; "": the first page
	Limit int    // 1 to MaxPage
}

func (p Page) check() error {
	if p.Limit < 1 || p.Limit > MaxPage {
		return tenancy.Invalid("a page has 1 to %d entries", MaxPage)
	}
	return nil
}

// uuid is After for lists whose ids are UUIDs; zero: from the beginning.
func (p Page) uuid() (uuid.UUID, error) {
	if err := p.check(); err != nil || p.After == "" {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(p.After)
	if err != nil {
		return uuid.Nil, tenancy.Invalid("a page begins after the id of the one before")
	}
	return id, nil
}

// ConnectionStore is the database for connections. Each method is one
// transaction; what is another tenant's is ErrNotFound.
type ConnectionStore interface {
	OperatorConnections(ctx context.Context, t tenant.ID, f ConnectionFilter, after uuid.UUID, limit int) ([]Connection, error)
	OperatorConnection(ctx context.Context, t tenant.ID, id uuid.UUID) (*Connection, error)
	Disconnect(ctx context.Context, ref connection.Ref) error
	RequireReauth(ctx context.Context, t tenant.ID, id uuid.UUID) error
}

// GrantStore is the database for grants, as ConnectionStore. EndGrant of one that
// has ended changes nothing.
type GrantStore interface {
	OperatorGrants(ctx context.Context, t tenant.ID, f GrantFilter, after uuid.UUID, limit int) ([]Grant, error)
	OperatorGrant(ctx context.Context, t tenant.ID, id uuid.UUID) (*Grant, error)
	EndGrant(ctx context.Context, t tenant.ID, id uuid.UUID) error
}

// SessionStore is the database for browser sessions, as ConnectionStore.
type SessionStore interface {
	OperatorSessions(ctx context.Context, t tenant.ID, f SessionFilter, after uuid.UUID, limit int) ([]Session, error)
	OperatorEndSession(ctx context.Context, t tenant.ID, id uuid.UUID) error
	OperatorEndSessions(ctx context.Context, t tenant.ID, subject uuid.UUID) (int64, error)
}

// AuditStore is the audit trail.
type AuditStore interface {
	Record(ctx context.Context, e audit.Event) error
	SearchAudit(ctx context.Context, t tenant.ID, q audit.Query) ([]audit.Sealed, error)
}

// Store is all of them: *postgres.DB.
type Store interface {
	ConnectionStore
	GrantStore
	SessionStore
	ClientStore
	AuditStore
	ChainStore
	DataKeyStore
}

// Operator does it. Store is required; the others where they are used.
type Operator struct {
	Store Store

	CustomRedirects []string // exact private-use redirect URIs that clients may have
	Now             func() time.Time
	Keys            *keyset.Operator
	KEK             *vault.KEK // for data keys
	Export          *erasure.Exporter
	Erase           *erasure.Eraser
}
