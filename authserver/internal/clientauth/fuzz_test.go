package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/clientauth"
	"latchkey/pkg/oauth"
)

// FuzzVerifyAssertion: whatever is sent, only what the client's key signed is a
// proof, and changing a byte of it takes the proof away (PEERS A16, A27).
func FuzzVerifyAssertion(f *testing.F) {
	const id, audience = "c1", "https://auth.example.com"
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: "ES256", Use: "sig"}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
	now := time.Now()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: id, Subject: id, Audience: jwt.Audience{audience}, ID: "j", Expiry: jwt.NewNumericDate(now.Add(time.Minute))}).Serialize()
	if err != nil {
		f.Fatal(err)
	}
	if _, err := clientauth.VerifyAssertion(good, id, set, []string{audience}, now); err != nil {
		f.Fatal(err)
	}
	f.Add(good, 0, byte('A'))
	f.Add("eyJhbGciOiJub25lIn0.e30.", 3, byte('.'))
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJjMSJ9.AAAA", 1, byte(0))
	f.Fuzz(func(t *testing.T, assertion string, at int, b byte) {
		if assertion != good {
			if _, err := clientauth.VerifyAssertion(assertion, id, set, []string{audience}, now); err == nil {
				t.Errorf("accepted %q", assertion)
			}
		}
		changed := []byte(good)
		if at < 0 || at >= len(changed) || changed[at] == b {
			return
		}
		changed[at] = b
		if _, err := clientauth.VerifyAssertion(string(changed), id, set, []string{audience}, now); err == nil {
			t.Errorf("accepted with byte %d changed", at)
		}
	})
}

// FuzzCredentials: one way of naming and proving the client, or invalid_client.
func FuzzCredentials(f *testing.F) {
	f.Add("client_id=c1", "")
	f.Add("client_id=c1&client_secret=s", "Basic YzE6cw==")
	f.Add("", "Basic aHR0cHMlM0ElMkYlMkZhLmV4YW1wbGUlMkZjOg==")
	f.Add("client_assertion=x&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "")
	f.Fuzz(func(t *testing.T, form, authorization string) {
		values, err := url.ParseQuery(form)
		if err != nil {
			return
		}
		r := &http.Request{Header: http.Header{}}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		c, err := clientauth.Parse(r, values)
		var e *oauth.Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Code != oauth.InvalidClient):
			t.Errorf("%v", err)
		case err == nil && (c.ClientID == "" || (!c.Secret.Empty() && !c.Assertion.Empty())):
			t.Errorf("accepted %q", c.ClientID)
		case err == nil && values.Get("client_id") != "" && c.ClientID != values.Get("client_id"):
			t.Errorf("client %q became %q", values.Get("client_id"), c.ClientID)
		}
	})
}
