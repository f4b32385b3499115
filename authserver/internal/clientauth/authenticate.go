package clientauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Clients finds clients. It returns client.ErrNotFound for an unknown one, any
// other error is doubt.
type Clients interface {
	Client(ctx context.Context, t *tenant.Tenant, id string) (*client.Client, error)
}

// Assertions use assertions up, each once across replicas. BurnAssertion
// returns client.ErrAssertionUsed for one seen before; any other error is doubt.
type Assertions interface {
	BurnAssertion(ctx context.Context, t tenant.ID, a *client.AssertionID) error
}

// Config configures an Authenticator. Every field is required.
type Config struct {
	Clients    Clients
	Assertions Assertions
	Keys       *Keys
	Now        func() time.Time
}

// Authenticator authenticates clients. Safe for concurrent use.
type Authenticator struct {
	Config
}

// New returns an authenticator.
func New(c Config) *Authenticator { return &Authenticator{Config: c} }

// Proof is an authenticated client. Only an Authenticator makes one.
type Proof struct {
	client    *client.Client
	method    oauth.AuthMethod
	assertion *client.AssertionID
}

// Client is the client that was proven.
func (p *Proof) Client() *client.Client { return p.client }

// Confidential reports whether the client proved itself by a credential, not
// only by its name.
func (p *Proof) Confidential() bool { return p.method != oauth.AuthNone }

// Authenticate checks credentials (RFC 6749 §2.3) and uses an assertion up. It
// returns invalid_client, 429 temporarily_unavailable beyond a rate limit or after
// many failures, or doubt.
func (a *Authenticator) Authenticate(ctx context.Context, t *tenant.Tenant, c Credentials) (*Proof, error) {
	p, assertion, err := a.AuthenticateForClaim(ctx, t, c)
	if err != nil || assertion == nil {
		return p, err
	}
	err = a.Assertions.BurnAssertion(ctx, t.ID, assertion)
	if errors.Is(err, client.ErrAssertionUsed) {
		return nil, Replayed(err)
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return p, nil
}

// Replayed is the answer to an assertion that was used before.
func Replayed(cause error) error {
	return refuse("The client assertion was used before. Make a new one for each request.").WithCause(cause)
}

// AuthenticateForClaim is Authenticate for a caller whose own statement uses the
// returned assertion up, in the same transaction as what it does: one round
// trip instead of two. The assertion is nil for the other methods.
func (a *Authenticator) AuthenticateForClaim(ctx context.Context, t *tenant.Tenant, c Credentials) (*Proof, *client.AssertionID, error) {
	if err := ratelimit.ByClient(ctx, t, c.ClientID); err != nil {
		return nil, nil, err
	}
	found, err := a.Clients.Client(ctx, t, c.ClientID)
	if errors.Is(err, client.ErrNotFound) {
		return nil, nil, a.failed(ctx, t, c, err)
	}
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	p := &Proof{client: found, method: oauth.AuthNone}
	switch {
	case !c.Assertion.Empty():
		if found.AuthMethod != oauth.AuthPrivateKeyJWT {
			return nil, nil, a.failed(ctx, t, c, errors.New("client has no private_key_jwt"))
		}
		p.method = oauth.AuthPrivateKeyJWT
		if p.assertion, err = a.verify(ctx, t, found, c.Assertion.Reveal()); err != nil {
			var doubt *oauth.Error
			if errors.As(err, &doubt) {
				return nil, nil, err
			}
			return nil, nil, a.failed(ctx, t, c, err)
		}
		return p, p.assertion, nil
	case !c.Secret.Empty():
		// A client that registered one transport of its secret and uses the other
		// proves the same thing (real clients do: PROTOCOL 3.6 no. 9).
		if found.AuthMethod != oauth.AuthSecretBasic && found.AuthMethod != oauth.AuthSecretPost {
			return nil, nil, a.failed(ctx, t, c, errors.New("client has no secret"))
		}
		if len(found.SecretHash) == 0 || subtle.ConstantTimeCompare(client.HashSecret(c.Secret.Reveal()), found.SecretHash) != 1 {
			return nil, nil, a.failed(ctx, t, c, errors.New("wrong secret"))
		}
		p.method = found.AuthMethod
		return p, nil, nil
	case !found.Public(): // draft client ID metadata document §6.2, RFC 6749 §3.2.1
		return nil, nil, a.failed(ctx, t, c, errors.New("client did not authenticate"))
	}
	return p, nil, nil
}

func (a *Authenticator) verify(ctx context.Context, t *tenant.Tenant, c *client.Client, assertion string) (*client.AssertionID, error) {
	audiences := []string{t.Issuer.String(), t.Issuer.Endpoint("/token")} // RFC 7523bis, and the form of old clients
	if c.JWKSURI == "" {
		set, err := ParseKeySet(c.JWKS)
		if err != nil {
			return nil, err
		}
		return VerifyAssertion(assertion, c.ID, set, audiences, a.Now())
	}
	check := func(newer bool) (*client.AssertionID, error) {
		set, err := a.Keys.At(ctx, c.JWKSURI, c.Trusted(), newer)
		if err != nil {
			return nil, oauth.Unavailable(err)
		}
		return VerifyAssertion(assertion, c.ID, set, audiences, a.Now())
	}
	id, err := check(false)
	if errors.Is(err, ErrNoKey) { // the client may have rotated
		return check(true)
	}
	return id, err
}

// failed counts a failure.
func (a *Authenticator) failed(ctx context.Context, t *tenant.Tenant, c Credentials, cause error) error {
	return ratelimit.Guessed(ctx, t, ratelimit.GuessClient, c.ClientID, refuse(notKnown).WithCause(cause))
}
