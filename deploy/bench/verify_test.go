package bench_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
)

type keys struct{ key jose.JSONWebKey }

func (k keys) Key(context.Context, string) (jose.JSONWebKey, error) { return k.key, nil }

// BenchmarkVerify compares the verification of an access token, first and
// repeated, with the bare signature check it contains.
func BenchmarkVerify(b *testing.B) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: "ES256"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType(accesstoken.Type))
	if err != nil {
		b.Fatal(err)
	}
	issuer, _ := oauth.ParseIssuerURL("https://auth.example.com")
	audience, _ := oauth.ParseResource("https://mcp.example.com/mcp")
	verifier, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: audience, Keys: keys{jwk.Public()}})
	if err != nil {
		b.Fatal(err)
	}
	token := func(id int) string {
		payload, _ := json.Marshal(accesstoken.Claims{
			Issuer: issuer.String(), Audience: audience.String(), Subject: "s", ClientID: "c", Scope: "gmail.read", ID: fmt.Sprint(id), Tenant: "t", Grant: "g",
			IssuedAt: time.Now().Unix(), Expiry: time.Now().Add(time.Hour).Unix(),
		})
		jws, err := signer.Sign(payload)
		if err != nil {
			b.Fatal(err)
		}
		s, err := jws.CompactSerialize()
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	b.Run("bare-signature", func(b *testing.B) {
		sum := sha256.Sum256([]byte("x"))
		sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.VerifyASN1(&private.PublicKey, sum[:], sig) {
				b.Fatal("signature")
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		tokens := make([]string, 2000)
		for i := range tokens {
			tokens[i] = token(i)
		}
		i := 0
		for b.Loop() {
			fresh := verifierOf(b, issuer, audience, jwk)
			if _, err := fresh.Verify(context.Background(), tokens[i%len(tokens)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("repeated", func(b *testing.B) {
		t := token(0)
		for b.Loop() {
			if _, err := verifier.Verify(context.Background(), t); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func verifierOf(b *testing.B, issuer oauth.IssuerURL, audience oauth.Resource, jwk jose.JSONWebKey) *accesstoken.Verifier {
	b.Helper()
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: audience, Keys: keys{jwk.Public()}})
	if err != nil {
		b.Fatal(err)
	}
	return v
}
