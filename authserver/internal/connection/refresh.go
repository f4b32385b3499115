package connection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// The times of a refresh: one attempt < google.Timeout < lease <= wait budget,
// so that a holder that died is replaced before anybody who waits gives up, and
// a live holder never outlives its lease. A test asserts the order.
const (
	Lease      = 10 * time.Second
	WaitBudget = 12 * time.Second

	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond

	// flightLimit leaves time to store what Google said at the last moment.
	flightLimit = WaitBudget + google.Timeout + 10*time.Second
	// maxTurns bounds how often a caller looks again at a credential that others
	// keep changing.
	maxTurns = 4
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
// Endings, Log and Now is required. Safe for concurrent use.
type Credentials struct {
	Store   Store
	Vault   Sealer
	Google  func(ctx context.Context, t tenant.ID) (Google, error) // the tenant's OAuth client; an error is doubt
	Endings EndingStore                                            // nil: a coming end is not logged
	Log     *slog.Logger
	Now     func() time.Time

	flight   singleflight.Group
	narrow   narrowed
	rested   notes        // credentials about which Google said when to come back
	hurried  notes        // credentials refreshed ahead of their end, until the next attempt
	told     notes        // credentials whose coming end was seen to
	hurrying atomic.Int32 // refreshes ahead that run now
}

// AccessToken is a Google access token with what is known of it.
type AccessToken struct {
	Token   secret.Text
	Expires time.Time
	Scopes  oauth.Scopes // really granted
	Version int64

	RefreshExpires time.Time // when Google ends the connection by itself; zero: it named no end
}

// The reasons why there is no access token.
var (
	// ErrReauth: the person must sign in at Google again.
	ErrReauth = errors.New("the person must sign in at google again")
	// ErrTestingEnded: Google has ended the connection because the OAuth client is in
	// testing mode; the person must sign in again, as every seven days.
	ErrTestingEnded = errors.New("google has ended the connection of an OAuth client in testing mode")
	// ErrPolicy: an administrator's policy stands against it.
	ErrPolicy = errors.New("an administrator's policy at google refuses")
	// ErrConfiguration: our client at Google is wrong; raise an alarm.
	ErrConfiguration = errors.New("the google client is not set up correctly")
	// ErrTransient: Google or the database does not answer; nothing changed.
	ErrTransient = errors.New("google or the database does not answer")
)

// AccessToken returns a Google access token that lives at least minTTL more and
// opens nothing beyond the allowed scopes and who the person is (DESIGN §1.1):
// the shared token where everything the person granted is allowed, else one
// that Google issued for less. The shared token is refreshed at most once
// across all replicas, ahead of its end where somebody asks for it then. With
// force a token is fetched anew although it looks alive, because Google refused
// that of r's version; the version moves on, so it is refused and forced once.
// While Google is away the token at hand is served as long as it lives. The error
// is one of the reasons above, or that of the vault.
func (c *Credentials) AccessToken(ctx context.Context, r *Record, allowed oauth.Scopes, minTTL time.Duration, force bool) (*AccessToken, error) {
	for range maxTurns {
		if err := usable(r); err != nil {
			return nil, err
		}
		// Chosen anew in every turn: a sign-in meanwhile may have granted more than
		// this caller may have.
		h := c.atHand(r, allowed)
		life := h.expires.Sub(c.now())
		if life > minTTL && !force {
			if life <= Ahead {
				c.hurry(ctx, r, h)
			}
			return c.serve(ctx, r, h)
		}
		upstream, err := c.upstream(ctx, r)
		if err != nil && life > 0 && !force {
			return c.serve(ctx, r, h)
		}
		if err != nil {
			return nil, err
		}
		if r.SealedRefresh == nil || r.UpstreamClient != upstream.ID() {
			// Nothing to refresh with, or minted by another Google client, with which
			// alone it works (DESIGN §4). The row stays as it is: it says so itself,
			// and the client id in the settings may be the mistake.
			return nil, ErrReauth
		}
		got, err := c.once(ctx, r, h, force)
		switch {
		case err != nil && life > 0 && !force && errors.Is(err, ErrTransient):
			return c.serve(ctx, r, h)
		case err != nil:
			return nil, err
		case got.token != nil:
			return c.ending(ctx, r.Ref, got.token), nil
		}
		// The credential has changed, by us or by another writer: look again. A new
		// token is taken with whatever life Google gave it.
		r, minTTL, force = got.now, 0, false
	}
	return nil, fmt.Errorf("%w: the credential keeps changing", ErrTransient)
}

// hand is the token at hand for a caller: the shared one, or one with less.
type hand struct {
	shared  bool
	want    oauth.Scopes // of the one with less
	kept    *AccessToken // the one with less, if there is one
	expires time.Time    // zero: there is none
}

func (c *Credentials) atHand(r *Record, allowed oauth.Scopes) hand {
	identity := scope.IdentityOf(r.GoogleScopes)
	if allowed.ContainsAll(r.GoogleScopes.Minus(identity)) {
		h := hand{shared: true}
		if r.SealedAccess != nil {
			h.expires = r.AccessExpires
		}
		return h
	}
	h := hand{want: r.GoogleScopes.Intersect(allowed).Union(identity)}
	if h.kept = c.narrow.get(narrowKey(r, h.want)); h.kept != nil {
		h.expires = h.kept.Expires
	}
	return h
}

func (c *Credentials) serve(ctx context.Context, r *Record, h hand) (*AccessToken, error) {
	t, err := h.kept, error(nil)
	if h.shared {
		t, err = c.open(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	return c.ending(ctx, r.Ref, t), nil
}

// outcome is a narrowed token, or the credential as it stands after a change.
type outcome struct {
	token *AccessToken
	now   *Record
}

// once lets one goroutine of this process ask for all that want the same. It
// outlives any caller that gives up, so a token from Google is never thrown
// away.
func (c *Credentials) once(ctx context.Context, r *Record, h hand, force bool) (*outcome, error) {
	if wait := c.rested.left(r.Ref, c.now()); wait > 0 {
		return nil, fmt.Errorf("%w: %w", ErrTransient, &google.Error{Class: google.Transient, Code: "retry_after", After: wait})
	}
	key := fmt.Sprintf("%s|%s|%d", r.Tenant, r.Connection, r.Version)
	if !h.shared {
		key = "narrow|" + narrowKey(r, h.want)
	}
	result := c.flight.DoChan(key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightLimit)
		defer cancel()
		owner := uuid.Must(uuid.NewV7())
		if now, err := c.lease(detached, r, owner); err != nil || now != nil {
			return &outcome{now: now}, err
		}
		if h.shared {
			return c.refresh(detached, r, owner)
		}
		return c.mint(detached, r, owner, h.want, force)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrTransient, ctx.Err())
	case got := <-result:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*outcome), nil
	}
}

func (c *Credentials) upstream(ctx context.Context, r *Record) (Google, error) {
	upstream, err := c.Google(ctx, r.Tenant)
	if err != nil {
		return nil, fmt.Errorf("%w: finding the tenant's google client: %w", ErrTransient, err)
	}
	return upstream, nil
}

func usable(r *Record) error {
	switch {
	case r.Status == Active:
		return nil
	case r.LastError == string(google.ReauthPolicy), r.LastError == string(google.AdminBlocked):
		return ErrPolicy
	case r.LastError == testingEnded:
		return ErrTestingEnded
	}
	return ErrReauth
}

func (c *Credentials) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Credentials) open(ctx context.Context, r *Record) (*AccessToken, error) {
	plain, err := c.Vault.Open(ctx, r.Binding(vault.AccessToken), r.SealedAccess)
	if err != nil {
		return nil, fmt.Errorf("opening access token: %w", err)
	}
	return &AccessToken{Token: secret.NewText(string(plain)), Expires: r.AccessExpires, Scopes: r.GoogleScopes, Version: r.Version,
		RefreshExpires: r.RefreshExpires}, nil
}

// lease waits until owner alone may call Google for the credential as r knows
// it. It returns the newer record, and no lease, when another writer refreshed,
// relinked or revoked it meanwhile.
func (c *Credentials) lease(ctx context.Context, r *Record, owner uuid.UUID) (*Record, error) {
	deadline, wait := c.now().Add(WaitBudget), pollFirst
	for {
		mine, err := c.Store.TakeLease(ctx, r.Ref, r.Version, owner, Lease)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTransient, err)
		}
		if mine {
			return nil, nil
		}
		now, err := c.read(ctx, r.Ref)
		if err != nil {
			return nil, err
		}
		if now.Version != r.Version {
			return now, nil
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

func (c *Credentials) read(ctx context.Context, ref Ref) (*Record, error) {
	now, err := c.Store.Connection(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return now, nil
}

// refresh replaces the shared token; the caller holds the lease.
func (c *Credentials) refresh(ctx context.Context, r *Record, owner uuid.UUID) (*outcome, error) {
	tokens, err := c.askGoogle(ctx, r, owner, oauth.Scopes{})
	if err == nil {
		err = c.publish(ctx, r, owner, tokens)
	}
	if err != nil && !errors.Is(err, ErrLost) {
		return nil, err
	}
	// After ErrLost: what the other writer left, so a revoke stays a revoke.
	now, err := c.read(ctx, r.Ref)
	return &outcome{now: now}, err
}

func (c *Credentials) publish(ctx context.Context, r *Record, owner uuid.UUID, tokens *google.Tokens) error {
	out := Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, AccessExpires: tokens.Expires, GoogleScopes: tokens.Scopes, RefreshExpires: tokens.RefreshExpires}
	var err error
	if out.SealedAccess, err = c.Vault.Seal(ctx, r.Binding(vault.AccessToken), []byte(tokens.Access.Reveal())); err != nil {
		c.release(ctx, r, owner)
		return fmt.Errorf("sealing access token: %w", err)
	}
	return c.store(ctx, r, out, tokens.Refresh)
}

// store publishes a refresh. An answer without a refresh token keeps the stored
// one (DESIGN §6).
func (c *Credentials) store(ctx context.Context, r *Record, out Refreshed, refresh secret.Text) error {
	if !refresh.Empty() {
		var err error
		if out.SealedRefresh, err = c.Vault.Seal(ctx, r.Binding(vault.RefreshToken), []byte(refresh.Reveal())); err != nil {
			c.release(ctx, r, out.Owner)
			return fmt.Errorf("sealing refresh token: %w", err)
		}
		out.RefreshID = IdentifyRefresh(refresh)
	}
	err := c.Store.PublishRefresh(ctx, out)
	if err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return err
}
