package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
)

// Act is what an operator did to a tenant, for the audit trail beside the change.
type Act struct {
	What   string
	Client string
	Scopes []string
}

// ErrNotApproved says that there is no approval to be withdrawn.
var ErrNotApproved = errors.New("the client is not approved")

// Approve approves a client for scopes, in place of what was approved of it before,
// and returns the client as it is known. One that is not registered, and no document
// either, is a mistake and not approved in advance.
func (o *Operator) Approve(ctx context.Context, slug string, a tenant.Approval) (*Record, *client.Client, error) {
	var c *client.Client
	r, err := o.changePolicy(ctx, slug, func(r *Record, p *tenant.Policy) (err error) {
		p.Approve(a)
		if err := p.Check(); err != nil {
			return err
		}
		c, err = o.Known(ctx, r.ID, a.ClientID)
		if errors.Is(err, client.ErrNotFound) {
			return fmt.Errorf("tenant %s has no client %q: give the id of a registration, or the https address of a client's metadata document", slug, a.ClientID)
		}
		return err
	})
	return r, c, err
}

// Unapprove withdraws an approval, or returns ErrNotApproved. Under the rule
// "approved" the client's people are refused from now on; nothing of theirs is
// deleted.
func (o *Operator) Unapprove(ctx context.Context, slug, clientID string) (*Record, error) {
	return o.changePolicy(ctx, slug, func(_ *Record, p *tenant.Policy) error {
		if !p.Unapprove(clientID) {
			return fmt.Errorf("%w: %s", ErrNotApproved, clientID)
		}
		return nil
	})
}

// changePolicy changes the policy that stands.
func (o *Operator) changePolicy(ctx context.Context, slug string, change func(*Record, *tenant.Policy) error) (*Record, error) {
	r, err := o.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	p, err := tenant.ParsePolicy(r.Policy)
	if err != nil {
		return nil, err
	}
	if err := change(r, &p); err != nil {
		return nil, err
	}
	return o.UpdateFrom(ctx, r, Change{Policy: &p})
}

// approvalActs are the approvals that one policy has and the other has not, however
// the change came about. A policy that cannot be read has none.
func approvalActs(before, after []byte) []Act {
	was, _ := tenant.ParsePolicy(before)
	is, _ := tenant.ParsePolicy(after)
	var acts []Act
	for _, a := range is.Approvals {
		if old := was.Approval(a.ClientID); old == nil || !slices.Equal(old.Scopes, a.Scopes) {
			acts = append(acts, Act{"client approved", a.ClientID, a.Scopes})
		}
	}
	for _, a := range was.Approvals {
		if is.Approval(a.ClientID) == nil {
			acts = append(acts, Act{"client's approval withdrawn", a.ClientID, a.Scopes})
		}
	}
	return acts
}
