package keyset

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/tenant"
)

const (
	turnTimeout = 10 * time.Second // of one tenant
	// afterFailures in a row a round ends: the database is away, and waiting for
	// it once per tenant helps nobody.
	afterFailures = 3
)

// Run reads every tenant's keys again before their sets are old, and does the
// transitions that are due, until ctx ends. Every replica runs it. What fails
// is logged and tried again at the next turn.
func (k *Keyset) Run(ctx context.Context) {
	for ctx.Err() == nil {
		k.round(ctx)
		// Jitter: replicas that start together do not ask together for ever.
		pause := k.timing.Refresh/2 + rand.N(k.timing.Refresh/2+1)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (k *Keyset) round(ctx context.Context) {
	all := k.tenants().All()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) // one tenant's trouble does not always hit the same others
	failures := 0
	for _, t := range all {
		turn, cancel := context.WithTimeout(ctx, turnTimeout)
		err := k.tend(turn, t)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
			continue
		}
		k.log.Warn("tending signing keys", "tenant", t.ID.String(), "error", err)
		if failures++; failures == afterFailures {
			return
		}
	}
}

// tend does what is due for one tenant.
func (k *Keyset) tend(ctx context.Context, t *tenant.Tenant) error {
	set, err := k.load(ctx, t.ID)
	if err != nil {
		return err
	}
	changed := false
	for _, p := range Purposes() {
		alg, life := algOf(t, p), lifeOf(t, p)
		due := k.timing.Due(set.records, p, alg, life)
		if due.Publish {
			r, err := generate(ctx, k.vault, t.ID, p, alg)
			if err != nil {
				return err
			}
			published, err := k.store.PublishSigningKey(ctx, t.ID, r, Demand{After: k.timing.after(), Max: limits[p]})
			if err != nil {
				return err
			}
			if published {
				changed = true
				k.log.Info("published the next signing key", "tenant", t.ID.String(), "purpose", string(p), "kid", r.KID, "alg", alg)
			}
		}
		if due.Advance {
			done, err := k.store.AdvanceSigningKeys(ctx, t.ID, Advance{Purpose: p, Lead: k.timing.Lead, TokenLife: life, Margin: k.timing.margin(p)})
			if err != nil {
				return err
			}
			changed = true
			if done.Activated != "" {
				k.log.Info("a new signing key signs", "tenant", t.ID.String(), "purpose", string(p), "kid", done.Activated)
			}
			if len(done.Deleted) > 0 {
				k.log.Info("deleted retired signing keys", "tenant", t.ID.String(), "purpose", string(p), "kids", done.Deleted)
			}
		}
	}
	if changed {
		_, err = k.load(ctx, t.ID)
	}
	return err
}

// lifeOf is the longest life of a token that is made now.
func lifeOf(t *tenant.Tenant, p Purpose) time.Duration {
	if p == ForGrants {
		return max(t.Lifetimes.Code, min(t.Lifetimes.RefreshIdle, t.Lifetimes.RefreshAbsolute))
	}
	return t.Lifetimes.AccessToken
}

// Operator changes keys by hand. Both fields are required.
type Operator struct {
	Store Store
	Vault Sealer
}

// The reasons why nothing was published.
var (
	ErrNoKeys      = errors.New("there are no keys yet: a server makes them at the tenant's first use")
	ErrNextExists  = errors.New("a next key is published already and will be activated")
	ErrTooManyKeys = errors.New("there are too many retired keys: wait until they are deleted")
)

// Publish makes a next key, with the active one's algorithm; the servers
// activate it when everybody can know it. It returns one of the errors above
// when there is nothing to be done.
func (o *Operator) Publish(ctx context.Context, t tenant.ID, p Purpose) (kid string, err error) {
	for range 2 {
		active, err := o.active(ctx, t, p)
		if err != nil {
			return "", err
		}
		r, err := generate(ctx, o.Vault, t, p, active.Alg)
		if err != nil {
			return "", err
		}
		published, err := o.Store.PublishSigningKey(ctx, t, r, Demand{ByHand: true, Max: limits[p]})
		if err != nil || published {
			return r.KID, err
		}
	}
	return "", fmt.Errorf("publishing a %s key: others were faster twice", p)
}

// active returns the active key, or why no other can be published beside it.
func (o *Operator) active(ctx context.Context, t tenant.ID, p Purpose) (Record, error) {
	records, err := o.Store.SigningKeys(ctx, t)
	if err != nil {
		return Record{}, fmt.Errorf("reading signing keys: %w", err)
	}
	var active Record
	next, n := false, 0
	for _, r := range records {
		if r.Purpose == p {
			n++
			next = next || r.State == Next
			if r.State == Active {
				active = r
			}
		}
	}
	switch {
	case active.KID == "":
		err = ErrNoKeys
	case next:
		err = ErrNextExists
	case n >= limits[p]:
		err = ErrTooManyKeys
	}
	return active, err
}

// Replace deletes every key of a purpose, the next and the retired ones too,
// because what took one may have taken all, and makes a new one active at
// once. Servers follow when they read their keys again: within Refresh, or
// after an outage before anything else is signed. It returns the new key's id
// and the ids of those that are gone.
func (o *Operator) Replace(ctx context.Context, t tenant.ID, p Purpose) (kid string, deleted []string, err error) {
	active, err := o.active(ctx, t, p)
	if err != nil && !errors.Is(err, ErrNextExists) && !errors.Is(err, ErrTooManyKeys) {
		return "", nil, err
	}
	r, err := generate(ctx, o.Vault, t, p, active.Alg)
	if err != nil {
		return "", nil, err
	}
	if deleted, err = o.Store.ReplaceSigningKeys(ctx, t, r); err != nil {
		return "", nil, err
	}
	return r.KID, deleted, nil
}

// PublicKeys opens a tenant's keys of access tokens and returns their public
// parts: what a database's owner put there instead does not open.
func (o *Operator) PublicKeys(ctx context.Context, t tenant.ID) (jose.JSONWebKeySet, error) {
	var out jose.JSONWebKeySet
	records, err := o.Store.SigningKeys(ctx, t)
	if err != nil {
		return out, fmt.Errorf("reading signing keys: %w", err)
	}
	for _, r := range records {
		if r.Purpose != ForAccessTokens {
			continue
		}
		key, err := openKey(ctx, o.Vault, t, r)
		if err != nil {
			return out, err
		}
		out.Keys = append(out.Keys, key.Public())
	}
	return out, nil
}
