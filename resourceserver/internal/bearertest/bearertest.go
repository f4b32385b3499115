package bearertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
)

// Endpoint is a resource with its guard, and whoever signs its tokens.
type Endpoint struct {
	Guard    *bearer.Guard
	Resource oauth.Resource
	// Key is of the authorization server, private.
	Key    jose.JSONWebKey
	issuer oauth.IssuerURL
	now    func() time.Time
}

// Token is what a token says. The zero value is for the person s of the tenant t,
// with no scope, for ten minutes.
type Token struct {
	Tenant, Subject, Grant, Scope string
	Life                          time.Duration
}

// Change makes an endpoint another than usual.
type Change func(*bearer.Config)

type keys struct{ jose.JSONWebKey }

func (k keys) Key(context.Context, string) (jose.JSONWebKey, error) { return k.Public(), nil }

// New returns the endpoint at an address; now may be nil.
func New(t testing.TB, at string, now func() time.Time, changes ...Change) *Endpoint {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	e := &Endpoint{Key: jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)}, now: now}
	e.issuer, err = oauth.ParseIssuerURL("https://auth.example.com")
	check(t, err)
	e.Resource, err = oauth.ParseResource(at)
	check(t, err)
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: e.issuer, Audience: e.Resource, Keys: keys{e.Key}, Now: now})
	check(t, err)
	c := bearer.Config{Resource: e.Resource, Verifier: v, Required: func(string, string) (string, oauth.Scopes, bool) { return "", oauth.Scopes{}, false }}
	for _, change := range changes {
		change(&c)
	}
	e.Guard, err = bearer.New(c)
	check(t, err)
	return e
}

// Sign returns a token.
func (e *Endpoint) Sign(t testing.TB, c Token) secret.Text {
	t.Helper()
	for value, usual := range map[*string]string{&c.Tenant: "t", &c.Subject: "s", &c.Grant: "g"} {
		if *value == "" {
			*value = usual
		}
	}
	if c.Life == 0 {
		c.Life = 10 * time.Minute
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: e.Key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	check(t, err)
	now := e.now()
	payload, err := json.Marshal(accesstoken.Claims{
		Issuer: e.issuer.String(), Subject: c.Subject, Audience: e.Resource.String(), ClientID: "c", Scope: c.Scope,
		Expiry: now.Add(c.Life).Unix(), IssuedAt: now.Unix(), ID: rand.Text(), Tenant: c.Tenant, Grant: c.Grant,
	})
	check(t, err)
	signed, err := signer.Sign(payload)
	check(t, err)
	s, err := signed.CompactSerialize()
	check(t, err)
	return secret.NewText(s)
}

// As returns a context of a request with a token, behind the guard.
func (e *Endpoint) As(ctx context.Context, t testing.TB, c Token) context.Context {
	t.Helper()
	admitted, refusal := e.Guard.Redeem(ctx, e.Sign(t, c))
	if refusal != nil {
		t.Fatalf("refused: %d %s", refusal.Status, refusal.Sentence)
	}
	return admitted
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
