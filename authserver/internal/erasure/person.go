package erasure

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/every"
	"latchkey/authserver/internal/tenant"
)

const (
	// atGoogle bounds how long somebody who asks to be erased waits for Google.
	atGoogle = 8 * time.Second
	// Outlives is how long after an erasure the ids of its grants stay, so that
	// resource servers hear that they ended: longer than any access token lives.
	Outlives = 25 * time.Hour
	// ReceiptKept is how long the receipt can be fetched.
	ReceiptKept = 30 * 24 * time.Hour

	erasureEvery = 5 * time.Second
	erasureBatch = 20
)

// ErrNoSubject says that the tenant has no such subject.
var ErrNoSubject = errors.New("there is no such person")

// Google says, at the end of a person's erasure, what is known about Google.
type Google string

const (
	GoogleDone        Google = "done"        // nothing that was stored is left to be withdrawn there
	GoogleUnconfirmed Google = "unconfirmed" // it did not answer for connection.RevocationGivesUp
)

// Erasure is how far the erasure of a person is.
type Erasure struct {
	Tenant  tenant.ID
	Subject uuid.UUID
	Since   time.Time
	Waiting int    // tokens that are still to be withdrawn at Google
	Google  Google // "": not finished
	Receipt string // "": not finished
}

// PersonStore erases persons in the database. Each method is one transaction.
type PersonStore interface {
	// BeginErasure takes everything of a subject away but what withdrawing their
	// tokens at Google needs: nothing works for them from then on, and nothing can
	// be added. Called again it changes nothing. It returns ErrNoSubject.
	BeginErasure(ctx context.Context, t tenant.ID, subject uuid.UUID, code [sha256.Size]byte) error
	// Erasure and ErasureOfCode return ErrNoSubject.
	Erasure(ctx context.Context, t tenant.ID, subject uuid.UUID) (*Erasure, error)
	ErasureOfCode(ctx context.Context, t tenant.ID, code [sha256.Size]byte) (*Erasure, error)
	// FinishErasure stores the receipt of a shredded subject; the first one stays.
	// The next turn is due in Outlives.
	FinishErasure(ctx context.Context, t tenant.ID, subject uuid.UUID, google Google, receipt string) error
	// ClaimErasures takes what is due, of all tenants, each for one caller.
	ClaimErasures(ctx context.Context, most int) ([]Erasure, error)
	// ForgetGrants deletes the ids that are left of grants and connections, after
	// Outlives; ForgetSubject the rest, after ReceiptKept.
	ForgetGrants(ctx context.Context, t tenant.ID, subject uuid.UUID) error
	ForgetSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) error
}

// Revoker tries once to withdraw at Google what is queued for a subject.
type Revoker interface {
	Subject(ctx context.Context, t tenant.ID, subject uuid.UUID) error
}

var _ Revoker = (*connection.Revoker)(nil)

// Eraser erases persons. Replicas may run it at once. Every field is required.
type Eraser struct {
	Store   PersonStore
	Shred   *Shredder
	Revoker Revoker
	Now     func() time.Time
	Log     *slog.Logger
}

// Erase erases a person: at once everything that Google is not needed for; then
// Google is asked, for some seconds; then the person is shredded. Where Google
// does not answer, the tokens stay, sealed and for nothing but being withdrawn,
// for at most connection.RevocationGivesUp: the result says so, and Run goes on.
//
// An error means that nothing was changed. A second call goes on where the
// first one was interrupted. code is the hash of what opens the receipt later.
func (e *Eraser) Erase(ctx context.Context, t tenant.ID, subject uuid.UUID, code [sha256.Size]byte) (*Erasure, error) {
	if err := e.Store.BeginErasure(ctx, t, subject, code); err != nil {
		return nil, err
	}
	done, err := e.proceed(ctx, t, subject)
	if err != nil {
		e.Log.Warn("an erasure has begun and is finished later", "tenant", t.String(), "subject", subject.String(), "error", err)
		return &Erasure{Tenant: t, Subject: subject, Since: e.Now()}, nil
	}
	return done, nil
}

// proceed finishes an erasure if it can be finished.
func (e *Eraser) proceed(ctx context.Context, t tenant.ID, subject uuid.UUID) (*Erasure, error) {
	call, cancel := context.WithTimeout(ctx, atGoogle)
	err := e.Revoker.Subject(call, t, subject)
	cancel()
	if err != nil {
		e.Log.Warn("withdrawing the tokens of an erased person at google", "tenant", t.String(), "subject", subject.String(), "error", err)
	}
	now, err := e.Store.Erasure(ctx, t, subject)
	if err != nil || now.Receipt != "" {
		return now, err
	}
	google := GoogleDone
	if e.Now().Sub(now.Since) >= connection.RevocationGivesUp {
		google = GoogleUnconfirmed
	} else if now.Waiting > 0 {
		return now, nil
	}
	receipt, _, err := e.Shred.subject(ctx, t, subject, google)
	if err != nil {
		return nil, err
	}
	if err := e.Store.FinishErasure(ctx, t, subject, google, receipt); err != nil {
		return nil, err
	}
	e.Log.Info("a person is erased", "tenant", t.String(), "subject", subject.String(), "google", string(google))
	return e.Store.Erasure(ctx, t, subject)
}

// Run goes on with what could not be finished, until ctx ends.
func (e *Eraser) Run(ctx context.Context) {
	every.Run(ctx, erasureEvery, func(ctx context.Context) {
		if err := e.Step(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("erasing people", "error", err)
		}
	})
}

// Step does what is due, once. One person's trouble is not another's.
func (e *Eraser) Step(ctx context.Context) error {
	due, err := e.Store.ClaimErasures(ctx, erasureBatch)
	if err != nil {
		return err
	}
	var failed []error
	for _, one := range due {
		switch age := e.Now().Sub(one.Since); {
		case one.Google == "":
			_, err = e.proceed(ctx, one.Tenant, one.Subject)
		case age < ReceiptKept:
			err = e.Store.ForgetGrants(ctx, one.Tenant, one.Subject)
		default:
			err = e.Store.ForgetSubject(ctx, one.Tenant, one.Subject)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("subject %s of tenant %s: %w", one.Subject, one.Tenant, err))
		}
	}
	return errors.Join(failed...)
}
