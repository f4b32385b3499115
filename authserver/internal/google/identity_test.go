package google_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/google"
	"latchkey/pkg/secret"
)

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestVerify: OpenID Connect Core §3.1.3.7 and the attacks on each of its steps.
func TestVerify(t *testing.T) {
	t.Parallel()
	t.Run("A21 A15 AS-A23 every claim of the ID token is checked", verify)
}

func verify(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	public := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	}))
	t.Cleanup(server.Close)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := config(server.URL)
	c.Now = func() time.Time { return now }
	client := google.New(c)
	claims := func(change map[string]any) map[string]any {
		m := map[string]any{
			"iss": server.URL, "aud": clientID, "azp": clientID, "sub": "1001", "email": "bob@example.com", "email_verified": true, "hd": "example.com",
			"nonce": "n-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}
		for name, v := range change {
			if m[name] = v; v == nil {
				delete(m, name)
			}
		}
		return m
	}
	if who, err := client.Verify(t.Context(), secret.NewText(sign(t, jose.RS256, key, claims(nil))), "n-1"); err != nil || *who != (google.Identity{Subject: "1001", Email: "bob@example.com", HostedDomain: "example.com"}) {
		t.Fatalf("a good token: %v", err)
	}
	if _, err := client.Verify(t.Context(), secret.NewText(sign(t, jose.RS256, key, claims(map[string]any{"azp": nil, "hd": nil}))), "n-1"); err != nil {
		t.Errorf("azp and hd may be absent: %v", err)
	}
	for name, change := range map[string]map[string]any{
		"iss of another":               {"iss": "https://evil.test"},
		"iss with a slash more":        {"iss": server.URL + "/"},
		"no iss":                       {"iss": nil},
		"aud of another client":        {"aud": "other"},
		"aud of two":                   {"aud": []string{clientID, "other"}},
		"no aud":                       {"aud": nil},
		"azp of another client":        {"azp": "other"},
		"expired":                      {"exp": now.Add(-time.Second).Unix()},
		"no exp":                       {"exp": nil},
		"not valid yet":                {"nbf": now.Add(time.Hour).Unix()},
		"nonce of another trip":        {"nonce": "n-2"},
		"no nonce":                     {"nonce": nil},
		"e-mail not verified":          {"email_verified": false},
		"e-mail verified as text":      {"email_verified": "true"},
		"e-mail verified as number":    {"email_verified": 1},
		"e-mail verified not there":    {"email_verified": nil},
		"e-mail not there":             {"email": nil},
		"no sub":                       {"sub": nil},
		"sub too long for the storage": {"sub": strings.Repeat("1", 256)},
		"hd too long":                  {"hd": strings.Repeat("a", 256)},
		"hd of another type":           {"hd": true},
	} {
		_, err := client.Verify(t.Context(), secret.NewText(sign(t, jose.RS256, key, claims(change))), "n-1")
		if !errors.Is(err, google.ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "bob@") {
			t.Errorf("%s: the e-mail address is in %q", name, err)
		}
	}
	good := sign(t, jose.RS256, key, claims(nil))
	parts := strings.Split(good, ".")
	modulus := key.N.Bytes()
	for name, raw := range map[string]string{
		"no token":                       "",
		"not a token":                    "x",
		"alg none":                       "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"signature cut off":              parts[0] + "." + parts[1] + ".",
		"another key under the same kid": sign(t, jose.RS256, rsaKey(t), claims(nil)),
		"HS256 with the public key":      sign(t, jose.HS256, modulus, claims(nil)),
		"PS256":                          sign(t, jose.PS256, key, claims(nil)),
	} {
		if _, err := client.Verify(t.Context(), secret.NewText(raw), "n-1"); !errors.Is(err, google.ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.Verify(t.Context(), secret.NewText(sign(t, jose.RS256, key, claims(map[string]any{"nonce": nil}))), ""); !errors.Is(err, google.ErrIdentity) {
		t.Errorf("an absent nonce equals an absent nonce: %v", err)
	}
}

// TestVerifyWithoutKeys: while Google's key set cannot be read nothing is said about the token; afterwards it is good.
func TestVerifyWithoutKeys(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	}))
	t.Cleanup(server.Close)
	client := google.New(config(server.URL))
	raw := secret.NewText(sign(t, jose.RS256, key, map[string]any{
		"iss": server.URL, "aud": clientID, "sub": "1001", "email": "bob@example.com", "email_verified": true, "nonce": "n-1", "exp": time.Now().Add(time.Hour).Unix(),
	}))
	away.Store(true)
	var classified *google.Error
	if _, err := client.Verify(t.Context(), raw, "n-1"); errors.Is(err, google.ErrIdentity) || !errors.As(err, &classified) || classified.Class != google.Transient {
		t.Errorf("no keys: %v", err)
	}
	away.Store(false)
	if _, err := client.Verify(t.Context(), raw, "n-1"); err != nil {
		t.Errorf("keys are back: %v", err)
	}
}
