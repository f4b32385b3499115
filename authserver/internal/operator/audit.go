package operator

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
)

// ChainStore is the sealed audit trail.
type ChainStore interface {
	LastCheckpoint(ctx context.Context, t tenant.ID) (int64, error)
	// AuditRange returns audit.ErrNoEvents.
	AuditRange(ctx context.Context, t tenant.ID, q audit.Query) (audit.Range, error)
	AuditEvents(ctx context.Context, t tenant.ID, r audit.Range) iter.Seq2[audit.Sealed, error]
	AuditCheckpoints(ctx context.Context, t tenant.ID, after, last int64) iter.Seq2[audit.Checkpoint, error]
}

// ExportAudit writes the sealed events of a span of time as JSON lines, which
// audit.VerifyFile can check; a zero time bounds nothing. A part goes on to the next
// checkpoint, which attests it. Who read the trail stands in it.
func (o *Operator) ExportAudit(ctx context.Context, t tenant.ID, since, until time.Time, w io.Writer) error {
	if err := o.record(ctx, t, uuid.Nil, "audit export"); err != nil {
		return err
	}
	last, err := o.Store.LastCheckpoint(ctx, t)
	if err != nil {
		return err
	}
	r, err := o.Store.AuditRange(ctx, t, audit.Query{Since: since, Until: until})
	if errors.Is(err, audit.ErrNoEvents) {
		return nil
	}
	if err != nil {
		return err
	}
	if !until.IsZero() { // else also the checkpoints of events that are gone
		last = r.Last
	}
	_, err = audit.Export(w, audit.Evidence{
		Tenant: t, From: r.From, Now: time.Now(), Events: o.Store.AuditEvents(ctx, t, r), Checkpoints: o.Store.AuditCheckpoints(ctx, t, r.From.Seq, last),
	})
	return err
}

// TenantExporter is what writes a tenant: *tenancy.Ender.
type TenantExporter interface {
	Export(ctx context.Context, slug string, w io.Writer) error
}

// ExportTenant writes what is stored of a tenant, without secrets and addresses. Who
// did stands in its trail.
func (o *Operator) ExportTenant(ctx context.Context, t tenant.ID, slug string, from TenantExporter, w io.Writer) error {
	if err := o.record(ctx, t, uuid.Nil, "tenant export"); err != nil {
		return err
	}
	return from.Export(ctx, slug, w)
}

// VerifyAudit shows whether a tenant's audit trail is as it was sealed, by the
// signatures of these keys.
func (o *Operator) VerifyAudit(ctx context.Context, t tenant.ID, keys jose.JSONWebKeySet, anchors ...audit.Anchor) (*audit.Report, error) {
	// First: while this reads, servers seal. Every event that a checkpoint of now
	// covers is there to be read later.
	last, err := o.Store.LastCheckpoint(ctx, t)
	if err != nil {
		return nil, err
	}
	return audit.Verify(audit.Evidence{
		Tenant: t, Keys: keys, Now: time.Now(), Anchors: audit.AnchorsOf(t, anchors),
		Events: o.Store.AuditEvents(ctx, t, audit.Range{}), Checkpoints: o.Store.AuditCheckpoints(ctx, t, 0, last),
	})
}
