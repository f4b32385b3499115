package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// DocumentHost is an https server on loopback that publishes client ID metadata
// documents and keys, as the makers of clients do. Safe for concurrent use.
type DocumentHost struct {
	URL   string // https origin
	Addr  string // host:port
	Roots *x509.CertPool

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	hits    map[string]int
}

// NewDocumentHost starts one; it ends with the test.
func NewDocumentHost(t testing.TB) *DocumentHost {
	t.Helper()
	h := &DocumentHost{answers: map[string]http.HandlerFunc{}, hits: map[string]int{}}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.hits[r.URL.Path]++
		answer := h.answers[r.URL.Path]
		h.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	h.URL, h.Addr, h.Roots = srv.URL, srv.Listener.Addr().String(), x509.NewCertPool()
	h.Roots.AddCert(srv.Certificate())
	return h
}

// Answer sets what a path answers.
func (h *DocumentHost) Answer(path string, answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[path] = answer
}

// Hits is how often a path was asked for.
func (h *DocumentHost) Hits(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hits[path]
}

// Publish serves a JSON value at a path and returns its URL.
func (h *DocumentHost) Publish(t testing.TB, path string, value any) string {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	h.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	return h.URL + path
}

// PublishClient serves a client's document at a path, with the given members
// besides the usual ones (nil removes one), and returns its client id.
func (h *DocumentHost) PublishClient(t testing.TB, path string, members map[string]any) string {
	t.Helper()
	all := map[string]any{
		"client_id": h.URL + path, "client_name": "Published app", "redirect_uris": []string{Redirect},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	}
	for k, v := range members {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	return h.Publish(t, path, all)
}

// ClientKey is a client's key for private_key_jwt.
func ClientKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
}

// KeySet is the public set of keys.
func KeySet(keys ...jose.JSONWebKey) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}

// Assertion signs a client assertion (RFC 7523 §2.2); change alters its claims.
func Assertion(t testing.TB, key jose.JSONWebKey, clientID, audience string, change func(*jwt.Claims)) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := jwt.Claims{Issuer: clientID, Subject: clientID, Audience: jwt.Audience{audience}, ID: rand.Text(), IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
	if change != nil {
		change(&c)
	}
	out, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
