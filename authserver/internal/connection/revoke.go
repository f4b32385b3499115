package connection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/every"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

const (
	// RevocationGivesUp is how long a token is tried to be revoked at Google.
	RevocationGivesUp = 7 * 24 * time.Hour

	revokeEvery = 5 * time.Second
	revokeBatch = 20
)

// Revocation is a token of a disconnected account that is still to be revoked
// at Google. Claiming one moves its next try on, so that nobody else has it
// meanwhile and a worker that dies costs a delay.
type Revocation struct {
	Ref
	ID      uuid.UUID
	Purpose vault.Purpose // what the token is sealed for
	Tries   int           // with this one
	Since   time.Time
	// InUse: another connection lives on the same grant at Google. Revoking any
	// token there ends the account's grant for our client as a whole.
	InUse bool
}

// RevocationQueue keeps what is still to be revoked. ClaimRevocations takes due
// rows across tenants, each for one caller; ClaimSubjectRevocations those of one
// subject, due or not; RevocationToken reads the sealed
// token with the person's secret, nil when the row is gone.
type RevocationQueue interface {
	ClaimRevocations(ctx context.Context, most int) ([]Revocation, error)
	ClaimSubjectRevocations(ctx context.Context, t tenant.ID, subject uuid.UUID, most int) ([]Revocation, error)
	RevocationToken(ctx context.Context, r Revocation) (sealed []byte, person secret.Bytes, err error)
	DropRevocation(ctx context.Context, r Revocation) error
}

// Revoker revokes at Google what people have disconnected, in the background.
// Replicas may run it at once. Every field is required.
type Revoker struct {
	Queue  RevocationQueue
	Vault  Sealer
	Google func(ctx context.Context, t tenant.ID) (Revokes, error)
	Log    *slog.Logger
}

// Revokes ends a token at Google.
type Revokes interface {
	Revoke(ctx context.Context, token secret.Text) error
}

// Run works until ctx ends.
func (v *Revoker) Run(ctx context.Context) {
	every.Run(ctx, revokeEvery, func(ctx context.Context) {
		if err := v.Step(ctx); err != nil && ctx.Err() == nil {
			v.Log.Warn("revoking tokens at google", "error", err)
		}
	})
}

// Step tries what is due. Each is claimed when its turn comes: whether another
// connection lives on the grant is as old as the claim, and Google may take its
// time over those before.
func (v *Revoker) Step(ctx context.Context) error {
	for range revokeBatch {
		due, err := v.Queue.ClaimRevocations(ctx, 1)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := v.settle(ctx, due[0]); err != nil {
			return err
		}
	}
	return nil
}

// Subject tries once, all at a time, what waits for one subject, due or not. What
// Google does not take stays queued; an error is about the queue.
func (v *Revoker) Subject(ctx context.Context, t tenant.ID, subject uuid.UUID) error {
	due, err := v.Queue.ClaimSubjectRevocations(ctx, t, subject, 2*MaxPerSubject)
	if err != nil {
		return err
	}
	failed := make([]error, len(due))
	var all sync.WaitGroup
	for i, r := range due {
		all.Go(func() { failed[i] = v.settle(ctx, r) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// settle tries one token, and takes it out of the queue when that is over.
func (v *Revoker) settle(ctx context.Context, r Revocation) error {
	log := v.Log.With("tenant", r.Tenant.String(), "connection", r.Connection.String(), "tries", r.Tries)
	switch err := v.revoke(ctx, r); {
	case err == nil:
		return v.Queue.DropRevocation(ctx, r)
	case time.Since(r.Since) > RevocationGivesUp:
		log.Error("giving up revoking a token at google: the person can remove the access on their account page there", "error", err)
		return v.Queue.DropRevocation(ctx, r)
	default:
		log.Info("google did not take a revocation; it is tried again", "error", err)
		return nil
	}
}

func (v *Revoker) revoke(ctx context.Context, r Revocation) error {
	if r.InUse {
		v.Log.Info("a disconnected account stays allowed at google: another connection uses it", "tenant", r.Tenant.String(), "connection", r.Connection.String())
		return nil
	}
	sealed, person, err := v.Queue.RevocationToken(ctx, r)
	if err != nil || sealed == nil {
		return err
	}
	plain, err := v.Vault.Open(ctx, (&Record{Ref: r.Ref, Person: person}).Binding(r.Purpose), sealed)
	if err != nil {
		return fmt.Errorf("opening a token to be revoked: %w", err)
	}
	upstream, err := v.Google(ctx, r.Tenant)
	if err != nil {
		return fmt.Errorf("finding the tenant's google client: %w", err)
	}
	return upstream.Revoke(ctx, secret.NewText(string(plain)))
}
