package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"latchkey/authserver/internal/tenant"
)

const (
	// Every is the time between two rounds of the sealer.
	Every = 2 * time.Second
	// Interval is the least time between two checkpoints of a tenant. What
	// happens to sealed rows within it is shown by nothing.
	Interval = time.Minute

	sealBatch   = 1000
	maxBatches  = 50 // of one tenant in one round: others wait
	turnTimeout = 30 * time.Second
)

// Due is a tenant for which there is something to do.
type Due struct {
	Tenant     tenant.ID
	Unsealed   bool
	Checkpoint bool // the chain has grown past the last checkpoint, or its key is gone
}

// Store is what sealing needs of the database.
type Store interface {
	// AuditDue lists tenants with events that are not sealed, and those whose last
	// checkpoint is older than interval and does not cover the chain.
	AuditDue(ctx context.Context, interval time.Duration) ([]Due, error)
	// SealAudit chains up to limit events that are committed and not sealed, in
	// one transaction. While another process is at it for this tenant it does
	// nothing. It returns the chain's head and how many events it sealed, and
	// ErrBroken for a chain that contradicts its last checkpoint.
	SealAudit(ctx context.Context, t tenant.ID, limit int) (Head, int, error)
	// AddCheckpoint stores a checkpoint; false if its place and key have one.
	AddCheckpoint(ctx context.Context, c Checkpoint) (bool, error)
}

// Sealer chains events in the background and signs checkpoints. Every replica
// runs one; the database lets one work for a tenant at a time. Every field is
// required.
type Sealer struct {
	Store Store
	Keys  func(ctx context.Context, t tenant.ID) (Signer, error)
	Log   *slog.Logger
	Now   func() time.Time
}

// Run seals until ctx ends. What fails is logged and tried again.
func (s *Sealer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Round(ctx, Interval); err != nil && ctx.Err() == nil {
			s.Log.Warn("sealing the audit trail", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(Every - Every/4 + rand.N(Every/2)): // replicas spread out
		}
	}
}

// Round seals what there is, and makes a checkpoint of each chain that has
// grown and whose last checkpoint is older than interval. One tenant's trouble
// stops no other's.
func (s *Sealer) Round(ctx context.Context, interval time.Duration) error {
	due, err := s.Store.AuditDue(ctx, interval)
	if err != nil {
		return err
	}
	var failed error
	for _, d := range due {
		turn, cancel := context.WithTimeout(ctx, turnTimeout)
		err := s.tend(turn, d, interval)
		cancel()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("tenant %s: %w", d.Tenant, err))
		}
	}
	return failed
}

func (s *Sealer) tend(ctx context.Context, d Due, interval time.Duration) error {
	head, n, err := s.Store.SealAudit(ctx, d.Tenant, sealBatch)
	for i := 1; err == nil && n == sealBatch && i < maxBatches; i++ {
		head, n, err = s.Store.SealAudit(ctx, d.Tenant, sealBatch)
	}
	if errors.Is(err, ErrBroken) {
		s.Log.Error("the audit trail was tampered with, or the database was restored from parts of different age: nothing more is sealed for this tenant", "tenant", d.Tenant.String(), "error", err)
	}
	if err != nil || !d.Checkpoint || head.Seq == 0 {
		return err
	}
	signer, err := s.Keys(ctx, d.Tenant)
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	c, err := sign(signer, d.Tenant, head, s.Now())
	if err != nil {
		return err
	}
	added, err := s.Store.AddCheckpoint(ctx, c)
	if err != nil || !added {
		return err
	}
	// The anchor: a log that goes elsewhere remembers what the database said.
	s.Log.Info("audit checkpoint", "anchor", Anchor{d.Tenant, c.Seq, c.Hash}.String())
	return nil
}
