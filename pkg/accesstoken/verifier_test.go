package accesstoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
)

const (
	issuer   = "https://auth.example.com"
	audience = "https://mcp.example.com/mcp"
)

// static is a key source of fixed keys; err replaces every answer.
type static struct {
	keys map[string]jose.JSONWebKey
	err  error
}

func (s *static) Key(_ context.Context, kid string) (jose.JSONWebKey, error) {
	if s.err != nil {
		return jose.JSONWebKey{}, s.err
	}
	if k, ok := s.keys[kid]; ok {
		return k.Public(), nil
	}
	return jose.JSONWebKey{}, fmt.Errorf("%w: unknown", accesstoken.ErrInvalid)
}

func ec(t *testing.T, kid string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: string(jose.ES256)}
}

func sign(t *testing.T, key jose.JSONWebKey, alg jose.SignatureAlgorithm, typ string, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims(change func(*accesstoken.Claims)) accesstoken.Claims {
	now := time.Now().Unix()
	c := accesstoken.Claims{Issuer: issuer, Subject: "s", Audience: audience, ClientID: "c", Scope: "gmail.read accounts", Expiry: now + 600, IssuedAt: now, ID: "j", Tenant: "t", Grant: "g"}
	if change != nil {
		change(&c)
	}
	return c
}

func verifier(t *testing.T, keys accesstoken.KeySource) *accesstoken.Verifier {
	t.Helper()
	i, err := oauth.ParseIssuerURL(issuer)
	if err != nil {
		t.Fatal(err)
	}
	a, err := oauth.ParseResource(audience)
	if err != nil {
		t.Fatal(err)
	}
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: i, Audience: a, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVerify: RFC 9068 §4, one row per rule.
func TestVerify(t *testing.T) {
	t.Parallel()
	t.Run("A14 A15 A27 AS-K1 each rule of RFC 9068 section 4", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, verify) // all at one moment
	})
}

func verify(t *testing.T) {
	key := ec(t, "k1")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs := jose.JSONWebKey{Key: private, KeyID: "rs", Algorithm: string(jose.RS256)}
	disguised := rs
	disguised.KeyID = "k1"
	_, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := jose.JSONWebKey{Key: edPrivate, KeyID: "ed", Algorithm: string(jose.EdDSA)}
	// Keys whose alg is not what they are used for: the key says, not the token.
	edAsES, rsAsPS, bare := ed, rs, ed
	edAsES.KeyID, edAsES.Algorithm = "ed-as-es", string(jose.ES256)
	rsAsPS.KeyID, rsAsPS.Algorithm = "rs-as-ps", string(jose.PS256)
	bare.KeyID, bare.Algorithm = "bare", ""
	edDisguised := ed
	edDisguised.KeyID = "rs"
	v := verifier(t, &static{keys: map[string]jose.JSONWebKey{"k1": key, "rs": rs, "ed": ed, "ed-as-es": edAsES, "rs-as-ps": rsAsPS, "bare": bare}})
	now := time.Now().Unix()
	es := func(change func(*accesstoken.Claims)) string {
		return sign(t, key, jose.ES256, "at+jwt", claims(change))
	}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"good":                             {es(nil), true},
		"long typ":                         {sign(t, key, jose.ES256, "application/at+jwt", claims(nil)), true},
		"RS256":                            {sign(t, rs, jose.RS256, "at+jwt", claims(nil)), true},
		"EdDSA":                            {sign(t, ed, jose.EdDSA, "at+jwt", claims(nil)), true},
		"EdDSA under an RS256 key id":      {sign(t, edDisguised, jose.EdDSA, "at+jwt", claims(nil)), false},
		"EdDSA with a key for ES256":       {sign(t, edAsES, jose.EdDSA, "at+jwt", claims(nil)), false},
		"RS256 with a key for PS256":       {sign(t, rsAsPS, jose.RS256, "at+jwt", claims(nil)), false},
		"a key without algorithm":          {sign(t, bare, jose.EdDSA, "at+jwt", claims(nil)), false},
		"expired within the leeway":        {es(func(c *accesstoken.Claims) { c.Expiry = now - 20 }), true},
		"expired":                          {es(func(c *accesstoken.Claims) { c.Expiry = now - 31 }), false},
		"no exp":                           {es(func(c *accesstoken.Claims) { c.Expiry = 0 }), false},
		"exp in a year":                    {es(func(c *accesstoken.Claims) { c.Expiry = now + 365*86400 }), false},
		"iat in the future":                {es(func(c *accesstoken.Claims) { c.IssuedAt = now + 60 }), false},
		"no iat":                           {es(func(c *accesstoken.Claims) { c.IssuedAt = 0 }), false},
		"nbf in the future":                {es(func(c *accesstoken.Claims) { c.NotBefore = now + 60 }), false},
		"nbf in the past":                  {es(func(c *accesstoken.Claims) { c.NotBefore = now - 60 }), true},
		"iss with a trailing slash":        {es(func(c *accesstoken.Claims) { c.Issuer += "/" }), false},
		"aud is the issuer":                {es(func(c *accesstoken.Claims) { c.Audience = issuer }), false},
		"aud with a trailing slash":        {es(func(c *accesstoken.Claims) { c.Audience += "/" }), false},
		"no sub":                           {es(func(c *accesstoken.Claims) { c.Subject = "" }), false},
		"no client":                        {es(func(c *accesstoken.Claims) { c.ClientID = "" }), false},
		"no jti":                           {es(func(c *accesstoken.Claims) { c.ID = "" }), false},
		"no tenant":                        {es(func(c *accesstoken.Claims) { c.Tenant = "" }), false},
		"no grant":                         {es(func(c *accesstoken.Claims) { c.Grant = "" }), false},
		"malformed scope":                  {es(func(c *accesstoken.Claims) { c.Scope = "a\"b" }), false},
		"typ JWT":                          {sign(t, key, jose.ES256, "JWT", claims(nil)), false},
		"unknown kid":                      {sign(t, ec(t, "k2"), jose.ES256, "at+jwt", claims(nil)), false},
		"another key, our kid":             {sign(t, ec(t, "k1"), jose.ES256, "at+jwt", claims(nil)), false},
		"another algorithm under our kid":  {sign(t, disguised, jose.RS256, "at+jwt", claims(nil)), false},
		"PS256, which is not on the list":  {sign(t, rs, jose.PS256, "at+jwt", claims(nil)), false},
		"HS256 with a public key as bytes": {sign(t, jose.JSONWebKey{Key: private.N.Bytes(), KeyID: "rs"}, jose.HS256, "at+jwt", claims(nil)), false},
		"empty":                            {"", false},
		"too long":                         {strings.Repeat("a", accesstoken.MaxTokenBytes+1), false},
		"four parts":                       {es(nil) + ".x", false},
		"JSON serialisation":               {`{"payload":"","signatures":[]}`, false},
	} {
		p, err := v.Verify(t.Context(), c.token)
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, accesstoken.ErrInvalid)) {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && err == nil && (p.Tenant != "t" || p.Grant != "g" || p.Subject != "s" || p.ClientID != "c" || !p.Scopes.Contains("gmail.read")) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestTamperedToken: no single changed byte passes.
func TestTamperedToken(t *testing.T) {
	t.Parallel()
	t.Run("A16 no changed or cut access token passes", tamperedToken)
}

func tamperedToken(t *testing.T) {
	t.Parallel()
	key := ec(t, "k1")
	v := verifier(t, &static{keys: map[string]jose.JSONWebKey{"k1": key}})
	good := sign(t, key, jose.ES256, "at+jwt", claims(nil))
	// The last character of each part has bits that base64 does not use.
	unused := map[int]bool{len(good) - 1: true, strings.IndexByte(good, '.') - 1: true, strings.LastIndexByte(good, '.') - 1: true}
	for i := range good {
		b := []byte(good)
		b[i] ^= 1
		if p, err := v.Verify(t.Context(), string(b)); err == nil && !(unused[i] && p.Subject == "s") {
			t.Errorf("byte %d", i)
		}
	}
	for n := range good {
		if _, err := v.Verify(t.Context(), good[:n]); err == nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
}

// TestDoubtIsNotRefusal: a key set that cannot be read is not the token's fault.
func TestDoubtIsNotRefusal(t *testing.T) {
	t.Parallel()
	key := ec(t, "k1")
	v := verifier(t, &static{err: errors.New("unreachable")})
	if _, err := v.Verify(t.Context(), sign(t, key, jose.ES256, "at+jwt", claims(nil))); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
		t.Error(err)
	}
}

// TestVerifyFromMemory: a token is verified once and expires all the same; when its key is gone, it is refused from memory
// too: a key that leaked and was deleted must not live on in the tokens that were seen before.
func TestVerifyFromMemory(t *testing.T) {
	t.Parallel()
	key, another := ec(t, "k1"), ec(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		keys := &static{keys: map[string]jose.JSONWebKey{"k1": key}}
		v := verifier(t, keys)
		token := sign(t, key, jose.ES256, "at+jwt", claims(nil))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		keys.keys["k1"] = another // would fail a signature that is checked again
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal("verified again: ", err)
		}
		keys.err = errors.New("unreachable")
		if _, err := v.Verify(t.Context(), token); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
			t.Error("doubt about the key:", err)
		}
		keys.err = nil
		delete(keys.keys, "k1")
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, accesstoken.ErrInvalid) {
			t.Error("accepted from memory although its key is gone:", err)
		}
		keys.keys["k1"] = key
		time.Sleep(600*time.Second + accesstoken.Leeway) // the bubble's clock
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, accesstoken.ErrInvalid) {
			t.Error("accepted from memory after its end")
		}
	})
}

// TestNewVerifier: nothing can be left unchecked.
func TestNewVerifier(t *testing.T) {
	t.Parallel()
	if _, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Keys: &static{}}); err == nil {
		t.Error("a verifier without issuer and audience")
	}
}

// TestVerifierOfAnotherType: RFC 8725 §3.11: a verifier takes tokens of its own type and of no other, whichever of the two it is.
func TestVerifierOfAnotherType(t *testing.T) {
	t.Parallel()
	key := ec(t, "k")
	keys := &static{keys: map[string]jose.JSONWebKey{"k": key}}
	i, err := oauth.ParseIssuerURL(issuer)
	if err != nil {
		t.Fatal(err)
	}
	a, err := oauth.ParseResource(audience)
	if err != nil {
		t.Fatal(err)
	}
	for of, takes := range map[string][]string{"": {"at+jwt", "application/at+jwt"}, "admin+jwt": {"admin+jwt", "application/admin+jwt"}} {
		v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: i, Audience: a, Keys: keys, Type: of})
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range []string{"at+jwt", "application/at+jwt", "admin+jwt", "application/admin+jwt", "JWT", "x"} {
			_, err := v.Verify(context.Background(), sign(t, key, jose.ES256, typ, claims(nil)))
			if (err == nil) != slices.Contains(takes, typ) {
				t.Errorf("a verifier of %q and a token of %q: %v", of, typ, err)
			}
		}
	}
}
