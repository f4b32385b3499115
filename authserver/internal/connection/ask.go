package connection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// How often Google is asked within one lease, all attempts together at most
// google.Timeout. Repeating a refresh is safe: it uses nothing up.
const (
	Attempts       = 3
	attemptTimeout = google.Timeout / 2
	firstPause     = 100 * time.Millisecond
)

// RetryAfter returns how long Google asked to be left alone, of an ErrTransient;
// 0 if it did not say.
func RetryAfter(err error) time.Duration { return google.RetryAfter(err) }

// askGoogle refreshes with the stored refresh token; the caller holds the
// lease. After an error the lease is given back and the credential marked as
// Google's answer demands. It returns ErrLost when Google's answer is about a
// credential that another writer has replaced.
func (c *Credentials) askGoogle(ctx context.Context, r *Record, owner uuid.UUID, scopes oauth.Scopes) (*google.Tokens, error) {
	plain, err := c.Vault.Open(ctx, r.Binding(vault.RefreshToken), r.SealedRefresh)
	if err != nil {
		c.release(ctx, r, owner)
		return nil, fmt.Errorf("opening refresh token: %w", err)
	}
	call, cancel := context.WithTimeout(ctx, google.Timeout)
	defer cancel()
	upstream, err := c.upstream(ctx, r)
	if err != nil {
		c.release(ctx, r, owner)
		return nil, err
	}
	tokens, err := persist(call, upstream, secret.NewText(string(plain)), scopes)
	if err != nil {
		return nil, c.failed(ctx, r, owner, err)
	}
	return tokens, nil
}

// persist repeats what may pass: 5xx, 429, timeouts, lost connections. Pauses
// grow and are jittered, so that a thousand connections do not come back at one
// moment; a Retry-After beyond the time that is left ends it.
func persist(ctx context.Context, upstream Google, refresh secret.Text, scopes oauth.Scopes) (*google.Tokens, error) {
	for attempt := 1; ; attempt++ {
		one, cancel := context.WithTimeout(ctx, attemptTimeout)
		tokens, err := upstream.Refresh(one, refresh, scopes)
		cancel()
		if err == nil || google.ClassOf(err) != google.Transient || attempt == Attempts {
			return tokens, err
		}
		step := firstPause << attempt
		pause := google.RetryAfter(err) + step/2 + rand.N(step)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// failed turns Google's refusal into the credential's state (DESIGN §6).
func (c *Credentials) failed(ctx context.Context, r *Record, owner uuid.UUID, err error) error {
	class := google.ClassOf(err)
	switch class {
	case google.InvalidGrant:
		if r.ended(c.now()) {
			return c.mark(ctx, r, owner, testingEnded, ErrTestingEnded)
		}
		return c.mark(ctx, r, owner, string(class), ErrReauth)
	case google.ReauthPolicy, google.AdminBlocked:
		return c.mark(ctx, r, owner, string(class), ErrPolicy)
	case google.Configuration:
		c.release(ctx, r, owner)
		if c.Log != nil {
			c.Log.Error("google refuses this server's OAuth client: check GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET", "error", err)
		}
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	case google.ScopeRefused: // mint knows more to do
		c.release(ctx, r, owner)
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	c.release(ctx, r, owner)
	if wait := google.RetryAfter(err); wait > 0 {
		now := c.now()
		c.rested.claim(r.Ref, now.Add(wait), now)
	}
	return fmt.Errorf("%w: %w", ErrTransient, err)
}

// mark writes why the credential is unusable and returns the reason, or ErrLost
// when another writer was first: then Google refused what is no longer stored.
func (c *Credentials) mark(ctx context.Context, r *Record, owner uuid.UUID, class string, reason error) error {
	err := c.Store.MarkCredential(ctx, r.Ref, r.Version, owner, NeedsReauth, class)
	switch {
	case errors.Is(err, ErrLost):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return reason
}

// release is best effort: a lease that is not given back ends by itself.
func (c *Credentials) release(ctx context.Context, r *Record, owner uuid.UUID) {
	if err := c.Store.ReleaseLease(ctx, r.Ref, owner); err != nil && c.Log != nil {
		c.Log.Warn("releasing refresh lease", "error", err)
	}
}
