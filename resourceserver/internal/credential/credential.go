package credential

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/tool"
)

const (
	// minTTL is the life a token must still have when the exchange hands it out:
	// longer than a tool call may last.
	minTTL = 2 * time.Minute
	// margin is taken off a token's life: it must not end during a call.
	margin    = 60 * time.Second
	maxCached = 10_000

	// patience is how long a caller with a living token at hand waits for a newer
	// one; downFor is how long it does not even ask, after an exchange that failed.
	patience = 2 * time.Second
	downFor  = 5 * time.Second
)

// Exchanger is the exchange; *exchange.Client is one. It returns *exchange.Error
// for every refusal.
type Exchanger interface {
	Exchange(ctx context.Context, r exchange.Request) (*exchange.Response, error)
}

// Need says what a credential is for.
type Need struct {
	Principal *bearer.Principal
	Scopes    oauth.Scopes // least Google scopes
	Account   string       // handle; "" is the account of the grant
	Tool      string       // for the audit
	RequestID string       // for the audit
}

// Credential is a Google access token for one account.
type Credential struct {
	Token   secret.Text
	Account string       // handle of the account
	Email   string       // for the person in results, never for a log
	Scopes  oauth.Scopes // what Google granted the connection, as far as the exchange says

	// Ends is when Google ends the connection because its OAuth client is in testing
	// mode, as soon as the exchange warns of it; zero before.
	Ends time.Time

	version int64     // of the connection; a larger one outdates older tokens
	fresh   time.Time // until when it is used without asking
	alive   time.Time // until when it is used while the exchange does not answer
}

// Credentials hands out credentials. It is safe for concurrent use.
type Credentials struct {
	exchange Exchanger
	now      func() time.Time
	flights  singleflight.Group

	mu       sync.Mutex
	cached   map[string]*Credential // at most maxCached
	versions map[string]int64       // newest version seen, by tenant and account
	drops    int64                  // calls of Drop so far
	down     time.Time              // until when the exchange is taken for unreachable
}

// New makes Credentials; now may be nil.
func New(e Exchanger, now func() time.Time) *Credentials {
	if now == nil {
		now = time.Now
	}
	return &Credentials{exchange: e, now: now, cached: map[string]*Credential{}, versions: map[string]int64{}}
}

// key names equal needs. The grant is part of it: without an account the
// exchange uses the account of the grant, and a revoked grant must not live on
// in the cache of another one.
func (n Need) key() string {
	p := n.Principal
	return strings.Join([]string{p.Tenant, p.Subject, p.Grant, n.Account, n.Scopes.String()}, "\x00")
}

func (n Need) owner(account string) string { return n.Principal.Tenant + "\x00" + account }

// Get returns a credential from the cache or from the exchange. A cached one that
// should be asked about again is used on while the exchange does not answer, as
// long as its token lives: an outage there ends nobody's work here. Errors are
// *exchange.Error or the context's.
func (c *Credentials) Get(ctx context.Context, n Need) (*Credential, error) {
	cached, fresh := c.lookup(n)
	switch {
	case fresh:
		return cached, nil
	case cached == nil:
		return c.fetch(ctx, n, nil)
	case c.isDown():
		return cached, nil
	}
	impatient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := c.fetch(impatient, n, nil)
	if !unanswered(err) || ctx.Err() != nil {
		return out, err
	}
	c.note(n, err)
	// A newer version or a revocation may have come meanwhile.
	if cached, _ = c.lookup(n); cached != nil {
		return cached, nil
	}
	return c.fetch(ctx, n, nil)
}

// unanswered tells doubt from a refusal, which is final at once.
func unanswered(err error) bool {
	var e *exchange.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Code == oauth.TemporarilyUnavailable
}

// Renew replaces a credential that Google refused. If another call has done so
// already, its result is returned and Google is not asked again; nor is it by the
// exchange, which is told the version that was refused.
func (c *Credentials) Renew(ctx context.Context, n Need, refused *Credential) (*Credential, error) {
	c.mu.Lock()
	if c.cached[n.key()] == refused {
		delete(c.cached, n.key())
	}
	c.mu.Unlock()
	if cached, fresh := c.lookup(n); fresh && !cached.Token.Equal(refused.Token) {
		return cached, nil
	}
	return c.fetch(ctx, n, refused)
}

// Verify asks the exchange for a refreshed credential, whatever is cached.
func (c *Credentials) Verify(ctx context.Context, n Need) (*Credential, error) {
	known, err := c.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return c.fetch(ctx, n, known)
}

// lookup returns the cached credential that may still be used, and whether it is
// fresh.
func (c *Credentials) lookup(n Need) (cached *Credential, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached = c.cached[n.key()]; cached == nil {
		return nil, false
	}
	now := c.now()
	if !now.Before(cached.alive) || cached.version < c.versions[n.owner(cached.Account)] {
		delete(c.cached, n.key())
		return nil, false
	}
	return cached, now.Before(cached.fresh)
}

func (c *Credentials) isDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.down)
}

// note remembers whether the exchange answers. What it refuses for good is not
// served from the cache when it is away later.
func (c *Credentials) note(n Need, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down = (time.Time{}); unanswered(err) {
		c.down = c.now().Add(downFor)
	}
	var e *exchange.Error
	if errors.As(err, &e) {
		switch e.Code {
		case oauth.InteractionRequired, oauth.InvalidGrant, oauth.InsufficientScope, exchange.AccountSelectionRequired:
			delete(c.cached, n.key())
		}
	}
}

// ErrMachine answers a client's own token (client_credentials): the exchange
// would refuse it, and signing in again would not help.
var ErrMachine = &tool.Error{Code: tool.CodeNotConnected, Message: "This access token belongs to an app itself and to no person, so no Google account stands behind it.",
	NextAction: "Let a person sign in with the authorization_code grant."}

// fetch runs one exchange for all callers that present the same token and need
// the same. It is detached from the first caller, whose leaving must not fail
// the others. refused is the credential that Google refused, nil if none.
func (c *Credentials) fetch(ctx context.Context, n Need, refused *Credential) (*Credential, error) {
	if n.Principal.Machine() {
		return nil, ErrMachine
	}
	flight := n.key() + "\x00" + n.Principal.TokenID
	request := exchange.Request{
		SubjectToken: n.Principal.Token, Scopes: n.Scopes, Account: n.Account, MinTTL: minTTL, Tool: n.Tool, RequestID: n.RequestID,
	}
	if refused != nil {
		request.ForceRefresh, request.GrantVersion = true, refused.version
		flight += "\x00force"
	}
	done := c.flights.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchange.Timeout)
		defer cancel()
		c.mu.Lock()
		drops := c.drops
		c.mu.Unlock()
		r, err := c.exchange.Exchange(ctx, request)
		c.note(n, err)
		if err != nil {
			return nil, err
		}
		return c.store(n, r, drops)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*Credential), nil
	}
}

// store keeps an answer of the exchange. One that was under way while a grant was
// revoked is used once and not kept: it may be of that grant.
func (c *Credentials) store(n Need, r *exchange.Response, drops int64) (*Credential, error) {
	scopes, err := oauth.ParseScopes(r.Scope)
	if err != nil || !strings.EqualFold(r.TokenType, "Bearer") {
		return nil, &exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2, Cause: errors.New("exchange answered something that is no bearer token")}
	}
	now := c.now()
	life := time.Duration(r.ExpiresIn)*time.Second - margin
	out := &Credential{
		Token: secret.NewText(r.AccessToken), Account: r.Account, Email: r.AccountEmail, Scopes: scopes,
		version: r.GrantVersion, alive: now.Add(life), fresh: now.Add(min(time.Duration(r.CacheTTL)*time.Second, life)),
	}
	if r.Warning != nil && r.Warning.Code == exchange.TestingEnds {
		out.Ends = now.Add(time.Duration(r.Warning.EndsIn) * time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	owner := n.owner(r.Account)
	c.versions[owner] = max(c.versions[owner], r.GrantVersion)
	if life > 0 && r.CacheTTL > 0 && c.drops == drops {
		c.prune(now)
		c.cached[n.key()] = out
	}
	return out, nil
}

// Drop forgets what is cached of the grants that were revoked, and keeps nothing
// of a fetch under way.
func (c *Credentials) Drop(revoked func(tenant, subject, grant string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for k := range c.cached {
		if parts := strings.SplitN(k, "\x00", 4); len(parts) == 4 && revoked(parts[0], parts[1], parts[2]) {
			delete(c.cached, k)
		}
	}
}

// prune keeps both maps bounded. c.mu must be held.
func (c *Credentials) prune(now time.Time) {
	if len(c.cached) < maxCached && len(c.versions) <= 2*maxCached {
		return
	}
	for k, v := range c.cached {
		if !now.Before(v.alive) {
			delete(c.cached, k)
		}
	}
	// All alive: drop an arbitrary tenth. Asking the exchange again is cheap.
	for k := range c.cached {
		if len(c.cached) < maxCached*9/10 {
			break
		}
		delete(c.cached, k)
	}
	alive := map[string]int64{}
	for k, v := range c.cached {
		tenant, _, _ := strings.Cut(k, "\x00")
		owner := tenant + "\x00" + v.Account
		alive[owner] = c.versions[owner]
	}
	c.versions = alive
}
