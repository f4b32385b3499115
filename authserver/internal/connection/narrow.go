package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/google"
	"latchkey/pkg/oauth"
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

func narrowKey(r *Record, want oauth.Scopes) string {
	return fmt.Sprintf("%s|%s|%d|%s", r.Tenant, r.Connection, r.Version, want)
}

// mint asks Google for a token with less, one call at a time for a credential
// across replicas; the caller holds the lease. With force the version moves on,
// so that every replica knows that the tokens before were refused.
func (c *Credentials) mint(ctx context.Context, r *Record, owner uuid.UUID, want oauth.Scopes, force bool) (*outcome, error) {
	tokens, err := c.askGoogle(ctx, r, owner, want)
	if errors.Is(err, ErrLost) {
		now, err := c.read(ctx, r.Ref)
		return &outcome{now: now}, err
	}
	if google.ClassOf(err) == google.ScopeRefused {
		return c.learn(ctx, r, owner, want, err)
	}
	if err != nil {
		return nil, err
	}
	if !want.ContainsAll(tokens.Scopes) || tokens.Scopes.Empty() {
		// Google gave more than asked: nobody may have it (DESIGN §1.1).
		c.release(ctx, r, owner)
		return nil, fmt.Errorf("%w: google does not narrow access tokens", ErrConfiguration)
	}
	if tokens.Refresh.Empty() && !force {
		c.release(ctx, r, owner)
	} else {
		// A new refresh token is kept; the shared access token stays as it is.
		keep := Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, RefreshExpires: tokens.RefreshExpires}
		if err := c.store(ctx, r, keep, tokens.Refresh); err != nil && !errors.Is(err, ErrLost) {
			return nil, err
		}
	}
	now, err := c.read(ctx, r.Ref)
	if err != nil {
		return nil, err
	}
	if err := usable(now); err != nil {
		return nil, err // a revoke meanwhile stays a revoke
	}
	t := &AccessToken{Token: tokens.Access, Expires: tokens.Expires, Scopes: tokens.Scopes, Version: now.Version, RefreshExpires: now.RefreshExpires}
	c.narrow.put(narrowKey(now, want), t, c.now())
	return &outcome{token: t}, nil
}

// learn follows a refusal of the scopes asked for: the stored refresh token
// covers less than was noted at a sign-in, since Google's scopes grow per person
// but not per refresh token. Refreshing the shared token tells what it covers
// (RFC 6749 §5.1). Where that is what was refused, the refusal stands.
func (c *Credentials) learn(ctx context.Context, r *Record, owner uuid.UUID, want oauth.Scopes, refusal error) (*outcome, error) {
	if now, err := c.lease(ctx, r, owner); err != nil || now != nil {
		return &outcome{now: now}, err
	}
	out, err := c.refresh(ctx, r, owner)
	if err != nil {
		return nil, err
	}
	if out.now.GoogleScopes.ContainsAll(want) {
		return nil, refusal
	}
	return out, nil
}
