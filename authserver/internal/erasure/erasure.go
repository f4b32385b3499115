package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Shredded is what one shredding destroyed.
type Shredded struct {
	Keys []string         // ids of the person's secret, or of the tenant's data keys
	Rows map[string]int64 // rows whose sealed values were overwritten or that were deleted, by table
}

// Store destroys in the database. Each method is one transaction.
type Store interface {
	// ShredSubject deletes a person's secret and overwrites everything sealed for
	// the person, what is still to be revoked at Google included. A refresh under
	// way publishes nothing.
	ShredSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) (Shredded, error)
	// ShredTenant deletes a suspended tenant's data keys, signing keys and persons'
	// secrets and overwrites everything sealed. It returns tenancy.ErrNotSuspended.
	ShredTenant(ctx context.Context, t tenant.ID) (Shredded, error)
}

// Shredder shreds and makes receipts. Every field is required.
type Shredder struct {
	Store   Store
	Keys    func(ctx context.Context, t tenant.ID) (*keyset.Set, error)
	Tenants func() *tenant.Directory
	Now     func() time.Time
}

// ErrDefaultTenant says that the default tenant cannot be shredded: its key
// signs the receipts of the others, and a server does not run without it.
var ErrDefaultTenant = errors.New("the default tenant cannot be shredded")

// Subject shreds a person and returns the receipt, signed by the tenant.
// Nothing is destroyed when the receipt could not be signed. A second call
// destroys nothing, and its receipt says so.
func (s *Shredder) Subject(ctx context.Context, t tenant.ID, subject uuid.UUID) (string, Receipt, error) {
	return s.subject(ctx, t, subject, "")
}

func (s *Shredder) subject(ctx context.Context, t tenant.ID, subject uuid.UUID, google Google) (string, Receipt, error) {
	if subject == uuid.Nil {
		return "", Receipt{}, errors.New("no subject given")
	}
	return s.shred(ctx, t, t, Receipt{Tenant: t.String(), Subject: subject.String(), Kind: KindSubject, Google: google},
		func() (Shredded, error) { return s.Store.ShredSubject(ctx, t, subject) })
}

// Tenant shreds a whole tenant and returns the receipt, signed by the default
// tenant. Servers that have the tenant's keys in memory forget them within
// vault.TTL. It returns ErrDefaultTenant for that one, and
// tenancy.ErrNotSuspended.
func (s *Shredder) Tenant(ctx context.Context, t tenant.ID) (string, Receipt, error) {
	if t == tenant.DefaultID {
		return "", Receipt{}, ErrDefaultTenant
	}
	return s.shred(ctx, tenant.DefaultID, t, Receipt{Tenant: t.String(), Kind: KindTenant},
		func() (Shredded, error) { return s.Store.ShredTenant(ctx, t) })
}

func (s *Shredder) shred(ctx context.Context, signer, t tenant.ID, r Receipt, destroy func() (Shredded, error)) (string, Receipt, error) {
	issuer, err := s.issuer(signer)
	if err != nil {
		return "", Receipt{}, err
	}
	if t.IsZero() {
		return "", Receipt{}, errors.New("no tenant given")
	}
	set, err := s.Keys(ctx, signer) // before anything is destroyed: from here on nothing that signs can fail
	if err != nil {
		return "", Receipt{}, fmt.Errorf("reading the key that signs the receipt: %w", err)
	}
	done, err := destroy()
	if err != nil {
		return "", Receipt{}, fmt.Errorf("shredding: %w", err)
	}
	r.Issuer, r.ID, r.IssuedAt = issuer.String(), uuid.NewString(), s.Now().Unix()
	r.Keys, r.Rows, r.Backups = done.Keys, done.Rows, backups
	_, signed, err := set.SignDocument(ReceiptType, r)
	if err != nil {
		return "", Receipt{}, fmt.Errorf("signing the receipt: %w", err)
	}
	return signed, r, nil
}

func (s *Shredder) issuer(t tenant.ID) (oauth.IssuerURL, error) {
	known, ok := s.Tenants().ByID(t)
	if !ok {
		return oauth.IssuerURL{}, errors.New("unknown tenant")
	}
	return known.Issuer, nil
}
