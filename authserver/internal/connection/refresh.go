package connection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// The times of a refresh: HTTP timeout < lease <= wait budget, so that a
// holder that died is replaced before anybody who waits gives up, and a live
// holder never outlives its lease. A test asserts the order.
const (
	Lease      = 15 * time.Second
	WaitBudget = 20 * time.Second

	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
)

// Store is what refreshing needs of the database. Each change is conditional:
// see the methods' contracts in package postgres.
type Store interface {
	Connection(ctx context.Context, ref Ref) (*Record, error)
	TakeLease(ctx context.Context, ref Ref, version int64, owner uuid.UUID, life time.Duration) (bool, error)
	ReleaseLease(ctx context.Context, ref Ref, owner uuid.UUID) error
	PublishRefresh(ctx context.Context, r Refreshed) error
	MarkCredential(ctx context.Context, ref Ref, version int64, owner uuid.UUID, status Status, class string) error
}

// Sealer opens and seals for a binding.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Google refreshes tokens. Errors have a google.Class.
type Google interface {
	ID() string
	Refresh(ctx context.Context, refresh secret.Text, scopes oauth.Scopes) (*google.Tokens, error)
}

// Credentials hands out Google access tokens of connections. Every field but
// Log and Now is required. Safe for concurrent use.
type Credentials struct {
	Store  Store
	Vault  Sealer
	Google Google
	Log    *slog.Logger
	Now    func() time.Time

	flight singleflight.Group
	narrow narrowed
}

// AccessToken is a Google access token with what is known of it.
type AccessToken struct {
	Token   secret.Text
	Expires time.Time
	Scopes  oauth.Scopes // really granted
	Version int64
}

// The reasons why there is no access token.
var (
	// ErrReauth: the person must sign in at Google again.
	ErrReauth = errors.New("the person must sign in at google again")
	// ErrPolicy: an administrator's policy stands against it.
	ErrPolicy = errors.New("an administrator's policy at google refuses")
	// ErrConfiguration: our client at Google is wrong; raise an alarm.
	ErrConfiguration = errors.New("the google client is not set up correctly")
	// ErrTransient: Google or the database does not answer; nothing changed.
	ErrTransient = errors.New("google or the database does not answer")
)

// full returns a token with everything the person granted that lives at least minTTL more, refreshing at
// most once across all replicas. With force the stored token is refreshed
// although it looks alive, because Google refused it. While Google is away the
// stored token is served as long as it lives.
func (c *Credentials) full(ctx context.Context, r *Record, minTTL time.Duration, force bool) (*AccessToken, error) {
	if err := usable(r); err != nil {
		return nil, err
	}
	if !force && c.lives(r, minTTL) {
		return c.open(ctx, r)
	}
	// In this process one goroutine refreshes for all; it outlives any caller
	// that gives up, so a token from Google is never thrown away.
	key := fmt.Sprintf("%s|%s|%d", r.Tenant, r.Connection, r.Version)
	result := c.flight.DoChan(key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), WaitBudget+google.Timeout)
		defer cancel()
		return c.refresh(detached, r)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrTransient, ctx.Err())
	case got := <-result:
		if got.Err == nil {
			return c.open(ctx, got.Val.(*Record))
		}
		if errors.Is(got.Err, ErrTransient) && !force && c.lives(r, 0) {
			return c.open(ctx, r)
		}
		return nil, got.Err
	}
}

func usable(r *Record) error {
	switch {
	case r.Status == Active:
		return nil
	case r.LastError == string(google.ReauthPolicy), r.LastError == string(google.AdminBlocked):
		return ErrPolicy
	}
	return ErrReauth
}

func (c *Credentials) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Credentials) lives(r *Record, ttl time.Duration) bool {
	return r.SealedAccess != nil && r.AccessExpires.Sub(c.now()) > ttl
}

func binding(ref Ref, p vault.Purpose) vault.Binding {
	return vault.Binding{Tenant: ref.Tenant, Subject: ref.Subject, Connection: ref.Connection, Purpose: p}
}

func (c *Credentials) open(ctx context.Context, r *Record) (*AccessToken, error) {
	plain, err := c.Vault.Open(ctx, binding(r.Ref, vault.AccessToken), r.SealedAccess)
	if err != nil {
		return nil, fmt.Errorf("opening access token: %w", err)
	}
	return &AccessToken{Token: secret.NewText(string(plain)), Expires: r.AccessExpires, Scopes: r.GoogleScopes, Version: r.Version}, nil
}

// refresh takes the lease and refreshes, or waits for whoever holds it and
// adopts the result. It returns the record to use.
func (c *Credentials) refresh(ctx context.Context, began *Record) (*Record, error) {
	deadline := c.now().Add(WaitBudget)
	owner, wait := uuid.Must(uuid.NewV7()), pollFirst
	for {
		mine, err := c.Store.TakeLease(ctx, began.Ref, began.Version, owner, Lease)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTransient, err)
		}
		if mine {
			return c.refreshAsOwner(ctx, began, owner)
		}
		now, err := c.Store.Connection(ctx, began.Ref)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTransient, err)
		}
		if now.Version != began.Version {
			return now, usable(now) // adopt: refreshed, relinked or revoked by another
		}
		if c.now().After(deadline) {
			return nil, fmt.Errorf("%w: another refresh takes too long", ErrTransient)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrTransient, ctx.Err())
		case <-time.After(wait):
		}
		wait = min(2*wait, pollMost)
	}
}

// askGoogle refreshes with the stored refresh token; the caller holds the
// lease. After an error the lease is given back and the credential marked as
// Google's answer demands.
func (c *Credentials) askGoogle(ctx context.Context, r *Record, owner uuid.UUID, scopes oauth.Scopes) (*google.Tokens, error) {
	if r.SealedRefresh == nil || r.UpstreamClient != c.Google.ID() {
		// Nothing to refresh with, or minted by another Google client, with which
		// it does not work (DESIGN §4).
		return nil, c.mark(ctx, r, owner, "no_refresh_token", ErrReauth)
	}
	plain, err := c.Vault.Open(ctx, binding(r.Ref, vault.RefreshToken), r.SealedRefresh)
	if err != nil {
		c.release(ctx, r, owner)
		return nil, fmt.Errorf("opening refresh token: %w", err)
	}
	call, cancel := context.WithTimeout(ctx, google.Timeout)
	defer cancel()
	tokens, err := c.Google.Refresh(call, secret.NewText(string(plain)), scopes)
	if err != nil {
		return nil, c.failed(ctx, r, owner, err)
	}
	return tokens, nil
}

func (c *Credentials) refreshAsOwner(ctx context.Context, r *Record, owner uuid.UUID) (*Record, error) {
	tokens, err := c.askGoogle(ctx, r, owner, oauth.Scopes{})
	if err != nil {
		return nil, err
	}
	out := Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, AccessExpires: tokens.Expires, GoogleScopes: tokens.Scopes}
	if out.SealedAccess, err = c.Vault.Seal(ctx, binding(r.Ref, vault.AccessToken), []byte(tokens.Access.Reveal())); err != nil {
		return nil, fmt.Errorf("sealing access token: %w", err)
	}
	if !tokens.Refresh.Empty() { // an answer without one keeps the stored one (DESIGN §6)
		if out.SealedRefresh, err = c.Vault.Seal(ctx, binding(r.Ref, vault.RefreshToken), []byte(tokens.Refresh.Reveal())); err != nil {
			return nil, fmt.Errorf("sealing refresh token: %w", err)
		}
	}
	err = c.Store.PublishRefresh(ctx, out)
	if err != nil && !errors.Is(err, ErrLost) {
		return nil, fmt.Errorf("%w: %w", ErrTransient, err)
	}
	now, readErr := c.Store.Connection(ctx, r.Ref)
	if readErr != nil {
		return nil, fmt.Errorf("%w: %w", ErrTransient, readErr)
	}
	return now, usable(now) // after ErrLost: what the other writer left, so a revoke stays a revoke
}

// failed turns Google's refusal into the credential's state (DESIGN §6).
func (c *Credentials) failed(ctx context.Context, r *Record, owner uuid.UUID, err error) error {
	class := google.ClassOf(err)
	switch class {
	case google.InvalidGrant:
		return c.mark(ctx, r, owner, string(class), ErrReauth)
	case google.ReauthPolicy, google.AdminBlocked:
		return c.mark(ctx, r, owner, string(class), ErrPolicy)
	case google.Configuration:
		c.release(ctx, r, owner)
		if c.Log != nil {
			c.Log.Error("google refuses this server's OAuth client: check GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET", "error", err)
		}
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	c.release(ctx, r, owner)
	return fmt.Errorf("%w: %w", ErrTransient, err)
}

func (c *Credentials) mark(ctx context.Context, r *Record, owner uuid.UUID, class string, reason error) error {
	err := c.Store.MarkCredential(ctx, r.Ref, r.Version, owner, NeedsReauth, class)
	if err != nil && !errors.Is(err, ErrLost) {
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
