package accesstoken

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/oauth"
)

// ErrInvalid is wrapped by every refusal that is the token's fault: HTTP 401
// invalid_token. Any other error from Verify is doubt about the key set: 503.
var ErrInvalid = errors.New("access token refused")

// KeySource finds the public key of a key id.
type KeySource interface {
	// Key returns the verification key. It returns an error that wraps
	// ErrInvalid for a key id that does not exist, any other error when the
	// key set cannot be read.
	Key(ctx context.Context, kid string) (jose.JSONWebKey, error)
}

const (
	// MaxTokenBytes bounds a token before anything is parsed.
	MaxTokenBytes = 8 << 10
	// Leeway is the clock skew allowed on exp and iat (RFC 9068 §4).
	Leeway = 30 * time.Second
	// MaxLifetime refuses a token whose exp lies implausibly far ahead.
	MaxLifetime = 25 * time.Hour

	maxCached = 10_000
)

var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256}

// Verifier checks access tokens for one issuer and one audience.
type Verifier struct {
	issuer   oauth.IssuerURL
	audience oauth.Resource
	typ      string
	keys     KeySource
	now      func() time.Time

	mu     sync.RWMutex
	cached map[[sha256.Size]byte]*verified // by SHA-256 of the token; at most maxCached
}

// verified is a token whose signature and claims were checked.
type verified struct {
	*Principal
	kid string
}

// VerifierConfig configures a Verifier; all but Type and Now is required.
type VerifierConfig struct {
	Issuer   oauth.IssuerURL
	Audience oauth.Resource
	Type     string // the JOSE header's typ of the only tokens taken; default Type
	Keys     KeySource
	Now      func() time.Time
}

// NewVerifier validates the configuration. There is no way to leave the issuer
// or the audience unchecked.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	if c.Issuer.IsZero() || c.Audience.IsZero() || c.Keys == nil {
		return nil, errors.New("access token verifier needs an issuer, an audience and a key source")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Type == "" {
		c.Type = Type
	}
	return &Verifier{issuer: c.Issuer, audience: c.Audience, typ: c.Type, keys: c.Keys, now: c.Now, cached: map[[sha256.Size]byte]*verified{}}, nil
}

// Verify checks signature and claims (RFC 9068 §4) and returns the principal.
// A token verified before is answered from memory until it expires, or its key
// is gone: one that leaked and was deleted must not live on here.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	if len(token) == 0 || len(token) > MaxTokenBytes {
		return nil, fmt.Errorf("%w: length", ErrInvalid)
	}
	sum := sha256.Sum256([]byte(token))
	v.mu.RLock()
	known := v.cached[sum]
	v.mu.RUnlock()
	if known == nil {
		var err error
		if known, err = v.verify(ctx, token); err != nil {
			return nil, err
		}
		v.remember(sum, known)
	} else if _, err := v.keys.Key(ctx, known.kid); err != nil {
		return nil, fmt.Errorf("finding key: %w", err)
	}
	if !v.now().Before(known.Expires.Add(Leeway)) {
		return nil, fmt.Errorf("%w: expired", ErrInvalid)
	}
	return known.Principal, nil
}

func (v *Verifier) remember(sum [sha256.Size]byte, p *verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cached) >= maxCached {
		now := v.now()
		for k, old := range v.cached {
			if !now.Before(old.Expires) {
				delete(v.cached, k)
			}
		}
		// All alive: drop an arbitrary tenth. Verifying again is cheap.
		for k := range v.cached {
			if len(v.cached) < maxCached*9/10 {
				break
			}
			delete(v.cached, k)
		}
	}
	v.cached[sum] = p
}

func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms) // RFC 9068 §4: "none" and symmetric algorithms are refused here
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	header := jws.Signatures[0].Protected
	// RFC 9068 §4: typ MUST be "at+jwt" or "application/at+jwt".
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != v.typ && typ != "application/"+v.typ {
		return nil, fmt.Errorf("%w: typ", ErrInvalid)
	}
	if header.KeyID == "" {
		return nil, fmt.Errorf("%w: no kid", ErrInvalid)
	}
	key, err := v.keys.Key(ctx, header.KeyID)
	if err != nil {
		return nil, fmt.Errorf("finding key: %w", err)
	}
	// A key verifies only its own algorithm: no RS256 token under an ES256 key id.
	if key.Algorithm != header.Algorithm {
		return nil, fmt.Errorf("%w: algorithm is not the key's", ErrInvalid)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("%w: signature", ErrInvalid)
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrInvalid, err)
	}
	p, err := v.check(c)
	if err != nil {
		return nil, err
	}
	return &verified{p, header.KeyID}, nil
}

func (v *Verifier) check(c Claims) (*Principal, error) {
	now, expires := v.now(), time.Unix(c.Expiry, 0)
	scopes, err := oauth.ParseScopes(c.Scope)
	switch {
	case c.Issuer != v.issuer.String():
		err = errors.New("iss")
	case c.Audience != v.audience.String(): // RFC 9068 §4: aud MUST be this resource
		err = errors.New("aud")
	case c.Expiry == 0 || !now.Before(expires.Add(Leeway)):
		err = errors.New("exp")
	case expires.Sub(now) > MaxLifetime:
		err = errors.New("exp is implausible")
	case c.IssuedAt == 0 || time.Unix(c.IssuedAt, 0).After(now.Add(Leeway)):
		err = errors.New("iat")
	case time.Unix(c.NotBefore, 0).After(now.Add(Leeway)): // RFC 7519 §4.1.5
		err = errors.New("nbf")
	case c.Subject == "" || c.ClientID == "" || c.ID == "" || c.Tenant == "":
		err = errors.New("a required claim is missing")
	case (c.Grant == "") != (c.Subject == ClientSubject(c.ClientID)): // a person's token names its grant, a client's own none
		err = errors.New("sub and gid do not agree")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	granted := time.Unix(c.IssuedAt, 0)
	if c.Granted > 0 {
		granted = time.UnixMicro(c.Granted)
	}
	return &Principal{
		Tenant: c.Tenant, Subject: c.Subject, ClientID: c.ClientID, Grant: c.Grant, TokenID: c.ID,
		Audience: v.audience, Scopes: scopes, Issued: time.Unix(c.IssuedAt, 0), Expires: expires, Granted: granted,
	}, nil
}

// UnverifiedTenant reads the tid claim of a token without verifying anything.
// It only says whose keys to verify with; "" for whatever is no token.
func UnverifiedTenant(token string) string {
	if len(token) > MaxTokenBytes {
		return ""
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return ""
	}
	var c Claims
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c) != nil {
		return ""
	}
	return c.Tenant
}
