package keyset

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

// DefaultAlg signs access tokens where the tenant names no other. The others
// are EdDSA and RS256, which RFC 9068 §2.1 wants supported.
const DefaultAlg = string(jose.ES256)

const (
	macAlg  = "HS256"
	rsaBits = 2048
)

// algOf is the algorithm that a tenant's keys of a purpose shall have.
func algOf(t *tenant.Tenant, p Purpose) string {
	switch {
	case p == ForGrants:
		return macAlg
	case t.AccessTokenAlg == "":
		return DefaultAlg
	}
	return t.AccessTokenAlg
}

func binding(t tenant.ID, kid string) vault.Binding {
	return vault.Binding{Tenant: t, Purpose: vault.SigningKey, Context: kid}
}

// generate makes a key and seals it.
func generate(ctx context.Context, v Sealer, t tenant.ID, p Purpose, alg string) (Record, error) {
	r := Record{Purpose: p, Alg: alg}
	var private []byte
	if p == ForGrants {
		private = make([]byte, 32)
		_, _ = rand.Read(private) // never fails (crypto/rand)
		var id [4]byte
		_, _ = rand.Read(id[:])
		r.KID = hex.EncodeToString(id[:])
	} else {
		key, err := newPrivate(alg)
		if err != nil {
			return r, fmt.Errorf("making signing key: %w", err)
		}
		if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return r, fmt.Errorf("encoding signing key: %w", err)
		}
		public, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256) // RFC 7638
		if err != nil {
			return r, fmt.Errorf("naming signing key: %w", err)
		}
		r.KID = hex.EncodeToString(public[:16])
	}
	var err error
	if r.Sealed, err = v.Seal(ctx, binding(t, r.KID), private); err != nil {
		return r, fmt.Errorf("sealing signing key: %w", err)
	}
	return r, nil
}

func newPrivate(alg string) (crypto.Signer, error) {
	switch jose.SignatureAlgorithm(alg) {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case jose.RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, fmt.Errorf("no signature algorithm %q", alg)
}

// openKey returns the private key of access tokens.
func openKey(ctx context.Context, v Sealer, t tenant.ID, r Record) (jose.JSONWebKey, error) {
	private, err := v.Open(ctx, binding(t, r.KID), r.Sealed)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("opening signing key %s: %w", r.KID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("decoding signing key %s", r.KID)
	}
	return jose.JSONWebKey{Key: parsed, KeyID: r.KID, Algorithm: r.Alg, Use: "sig"}, nil
}

// openMAC returns the key of codes and refresh tokens.
func openMAC(ctx context.Context, v Sealer, t tenant.ID, r Record) (grant.MACKey, error) {
	raw, err := v.Open(ctx, binding(t, r.KID), r.Sealed)
	if err != nil {
		return grant.MACKey{}, fmt.Errorf("opening signing key %s: %w", r.KID, err)
	}
	id, err := hex.DecodeString(r.KID)
	if err != nil || len(id) != 4 {
		return grant.MACKey{}, fmt.Errorf("grant key %s has no valid id", r.KID)
	}
	return grant.MACKey{ID: [4]byte(id), Key: secret.NewBytes(raw)}, nil
}
