package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

const maxNarrowed = 10_000

// narrowed keeps tokens that carry less than the person granted, in memory: at
// most maxNarrowed.
type narrowed struct {
	mu     sync.Mutex
	tokens map[string]*AccessToken
}

func (n *narrowed) get(key string) *AccessToken {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tokens[key]
}

func (n *narrowed) put(key string, t *AccessToken, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tokens == nil {
		n.tokens = map[string]*AccessToken{}
	}
	if len(n.tokens) >= maxNarrowed {
		for k, old := range n.tokens {
			if !now.Before(old.Expires) || len(n.tokens) >= maxNarrowed {
				delete(n.tokens, k)
			}
		}
	}
	n.tokens[key] = t
}

// AccessToken returns a Google access token that lives at least minTTL more and
// opens nothing beyond the allowed scopes and who the person is (DESIGN §1.1):
// the shared token where everything the person granted is allowed, else one
// that Google issued for less. With force the token is minted anew although it
// looks alive, because Google refused it. It returns one of the reasons below
// when there is none.
func (c *Credentials) AccessToken(ctx context.Context, r *Record, allowed oauth.Scopes, minTTL time.Duration, force bool) (*AccessToken, error) {
	identity := scope.IdentityOf(r.GoogleScopes)
	if allowed.ContainsAll(r.GoogleScopes.Minus(identity)) {
		return c.full(ctx, r, minTTL, force)
	}
	if err := usable(r); err != nil {
		return nil, err
	}
	want := r.GoogleScopes.Intersect(allowed).Union(identity)
	key := fmt.Sprintf("%s|%s|%d|%s", r.Tenant, r.Connection, r.Version, want)
	kept := c.narrow.get(key)
	if kept != nil && !force && kept.Expires.Sub(c.now()) > minTTL {
		return kept, nil
	}
	result := c.flight.DoChan("narrow|"+key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), WaitBudget+google.Timeout)
		defer cancel()
		return c.mint(detached, r, want, key)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrTransient, ctx.Err())
	case got := <-result:
		if got.Err == nil {
			return got.Val.(*AccessToken), nil
		}
		if errors.Is(got.Err, ErrTransient) && !force && kept != nil && kept.Expires.After(c.now()) {
			return kept, nil
		}
		return nil, got.Err
	}
}

// mint asks Google for a token with less, one at a time for a credential
// across replicas.
func (c *Credentials) mint(ctx context.Context, r *Record, want oauth.Scopes, key string) (*AccessToken, error) {
	owner, err := c.awaitLease(ctx, r)
	if err != nil {
		return nil, err
	}
	tokens, err := c.askGoogle(ctx, r, owner, want)
	if err != nil {
		return nil, err
	}
	if !want.ContainsAll(tokens.Scopes) || tokens.Scopes.Empty() {
		// Google gave more than asked: nobody may have it (DESIGN §1.1).
		c.release(ctx, r, owner)
		return nil, fmt.Errorf("%w: google does not narrow access tokens", ErrConfiguration)
	}
	if tokens.Refresh.Empty() {
		c.release(ctx, r, owner)
	} else if err := c.keepRefresh(ctx, r, owner, tokens.Refresh); err != nil {
		return nil, err
	}
	t := &AccessToken{Token: tokens.Access, Expires: tokens.Expires, Scopes: tokens.Scopes, Version: r.Version}
	c.narrow.put(key, t, c.now())
	return t, nil
}

// keepRefresh stores a new refresh token that came with a narrowed access token
// and leaves the shared access token as it is.
func (c *Credentials) keepRefresh(ctx context.Context, r *Record, owner uuid.UUID, refresh secret.Text) error {
	sealed, err := c.Vault.Seal(ctx, binding(r.Ref, vault.RefreshToken), []byte(refresh.Reveal()))
	if err != nil {
		return fmt.Errorf("sealing refresh token: %w", err)
	}
	err = c.Store.PublishRefresh(ctx, Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, SealedRefresh: sealed, SealedAccess: r.SealedAccess, AccessExpires: r.AccessExpires})
	if err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return nil
}

// awaitLease waits until this caller alone may call Google for the credential.
func (c *Credentials) awaitLease(ctx context.Context, r *Record) (uuid.UUID, error) {
	owner, wait, deadline := uuid.Must(uuid.NewV7()), pollFirst, c.now().Add(WaitBudget)
	for {
		mine, err := c.Store.TakeLease(ctx, r.Ref, r.Version, owner, Lease)
		if err != nil {
			return owner, fmt.Errorf("%w: %w", ErrTransient, err)
		}
		if mine {
			return owner, nil
		}
		if now, err := c.Store.Connection(ctx, r.Ref); err != nil {
			return owner, fmt.Errorf("%w: %w", ErrTransient, err)
		} else if now.Version != r.Version {
			return owner, fmt.Errorf("%w: the credential has changed", ErrTransient) // the next call reads the new one
		}
		if c.now().After(deadline) {
			return owner, fmt.Errorf("%w: another refresh takes too long", ErrTransient)
		}
		select {
		case <-ctx.Done():
			return owner, fmt.Errorf("%w: %w", ErrTransient, ctx.Err())
		case <-time.After(wait):
		}
		wait = min(2*wait, pollMost)
	}
}
