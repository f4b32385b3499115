package operator

import (
	"context"
	"crypto/sha256"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

// record writes who looked at what is personal before it is shown.
func (o *Operator) record(ctx context.Context, t tenant.ID, subject uuid.UUID, act string) error {
	return o.Store.Record(ctx, audit.Event{Tenant: t, Kind: audit.AdminAct, Actor: audit.FromContext(ctx).ActorOr(audit.Operator), Subject: subject, Detail: act})
}

// SearchAudit returns a page of the audit trail, newest first. Who read it stands
// in it.
func (o *Operator) SearchAudit(ctx context.Context, t tenant.ID, q audit.Query) ([]audit.Sealed, error) {
	if err := o.record(ctx, t, uuid.Nil, "audit search"); err != nil {
		return nil, err
	}
	return o.Store.SearchAudit(ctx, t, q)
}

// ExportSubject returns everything that is stored of a person as JSON, e-mail
// addresses included, tokens and secrets not. It returns erasure.ErrNoSubject.
func (o *Operator) ExportSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) ([]byte, error) {
	return o.Export.Export(ctx, t, subject) // which records it
}

// Erased is how far the erasure of a person is.
type Erased struct {
	Subject string         `json:"subject"`
	Google  erasure.Google `json:"google,omitempty"`
	Waiting int            `json:"waiting_at_google"`
	Receipt string         `json:"receipt,omitempty"` // missing: not finished
}

// EraseSubject erases a person for good, or goes on with it. confirm is the
// person's id once more. It returns erasure.ErrNoSubject.
func (o *Operator) EraseSubject(ctx context.Context, t tenant.ID, subject uuid.UUID, confirm string) (*Erased, *erasure.Erasure, error) {
	if confirm != subject.String() {
		return nil, nil, tenancy.Invalid("this erases person %s, for good: confirm it with that id", subject)
	}
	done, err := o.Erase.Erase(ctx, t, subject, [sha256.Size]byte{})
	if err != nil {
		return nil, nil, err
	}
	return &Erased{Subject: subject.String(), Google: done.Google, Waiting: done.Waiting, Receipt: done.Receipt}, done, nil
}
