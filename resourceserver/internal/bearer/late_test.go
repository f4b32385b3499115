package bearer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearer"
)

type keys struct{ jose.JSONWebKey }

func (k keys) Key(context.Context, string) (jose.JSONWebKey, error) { return k.Public(), nil }

// guarded serves next behind a guard and returns a request that passes it.
func guarded(t *testing.T, next http.HandlerFunc) (http.Handler, *http.Request) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)}
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Keys: keys{key}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := bearer.New(bearer.Config{Resource: resource, Verifier: v, Baseline: oauth.NewScopes("base"), Required: func(method, target string) (string, oauth.Scopes, bool) {
		return target, oauth.NewScopes("more"), slices.Contains([]string{"tools/call guarded_tool", "prompts/get guarded_tool", "resources/read gmail://thread/1"}, method+" "+target)
	}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	payload, err := json.Marshal(accesstoken.Claims{Issuer: issuer.String(), Subject: "s", Audience: resource.String(), ClientID: "c", Scope: "held", Expiry: now + 60, IssuedAt: now, ID: "j", Tenant: "t", Grant: "g"})
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://mcp.example.com/mcp", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	return g.MCP(next), r
}

// TestLateRefusal: the exchange's word replaces the answer while nothing was
// sent, and never mixes with one that was begun.
func TestLateRefusal(t *testing.T) {
	t.Parallel()
	var possible bool
	for name, c := range map[string]struct {
		next   http.HandlerFunc
		status int
		header string
		body   string
	}{
		"401 with the baseline": {func(w http.ResponseWriter, r *http.Request) {
			possible = bearer.Refuse(r.Context(), bearer.InvalidToken())
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write([]byte("protocol"))
		}, 401, `scope="base"`, "revoked"},
		"403 with what is held": {func(w http.ResponseWriter, r *http.Request) {
			possible = bearer.Refuse(r.Context(), bearer.InsufficientScope(oauth.NewScopes("more")))
			w.WriteHeader(http.StatusOK)
		}, 403, `scope="held more"`, "insufficient_scope"},
		"nobody writes": {func(_ http.ResponseWriter, r *http.Request) {
			possible = bearer.Refuse(r.Context(), bearer.InvalidToken())
		}, 401, `error="invalid_token"`, "revoked"},
		"already begun": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("protocol"))
			possible = !bearer.Refuse(r.Context(), bearer.InvalidToken())
		}, 200, "", "protocol"},
		"not refused": {func(w http.ResponseWriter, _ *http.Request) { possible = true; w.WriteHeader(http.StatusAccepted) }, 202, "", ""},
	} {
		possible = false
		h, r := guarded(t, c.next)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != c.status || !strings.Contains(challenge, c.header) || (c.header == "" && challenge != "") || !strings.Contains(w.Body.String(), c.body) || !possible {
			t.Errorf("%s: %d %s %s", name, w.Code, challenge, w.Body)
		}
		if c.status != 200 && strings.Contains(w.Body.String(), "protocol") {
			t.Errorf("%s: mixed: %s", name, w.Body)
		}
	}
	if bearer.Refuse(t.Context(), bearer.InvalidToken()) {
		t.Error("refused without a request")
	}
}

// TestGuardComesFirst: a call without the tool's scopes never reaches the
// protocol library; the tool layer's check is the second one.
func TestGuardComesFirst(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{"method":"tools/call","params":{"name":"guarded_tool"}}`:                       http.StatusForbidden,
		`{"METHOD":"tools/call","Params":{"name":"free","NAME":"guarded_tool"}}`:         http.StatusForbidden,
		`{"method":"tools/call","params":{"name":"x"},"params":{"name":"guarded_tool"}}`: http.StatusForbidden,
		`{"method":"tools/call","params":{"name":"guarded_tool"},"params":{}}`:           http.StatusOK,
		`{"method":"tools/call","params":{"name":"free"}}`:                               http.StatusOK,
		`{"method":"tools/list","params":{"name":"guarded_tool"}}`:                       http.StatusOK,
		// Of these the library lays one params member over the other.
		`{"method":"resources/read","params":{"uri":"gmail://thread/1"}}`:                       http.StatusForbidden,
		`{"method":"resources/read","params":{"uri":"gmail://thread/1"},"params":{}}`:           http.StatusForbidden,
		`{"method":"resources/read","params":{"uri":"x"},"PARAMS":{"URI":"gmail://thread/1"}}`:  http.StatusForbidden,
		`{"method":"resources/read","params":{"uri":"gmail://thread/1"},"params":{"uri":"x"}}`:  http.StatusOK,
		`{"method":"resources/read","params":{"name":"guarded_tool"}}`:                          http.StatusOK,
		`{"method":"prompts/get","params":{"name":"guarded_tool"}}`:                             http.StatusForbidden,
		`{"method":"prompts/get","params":{"name":"guarded_tool"},"params":{"arguments":null}}`: http.StatusForbidden,
		`{"method":"prompts/get","params":{"uri":"gmail://thread/1"}}`:                          http.StatusOK,
		// What the library does not read of one cannot make it another.
		`{"method":"resources/read","params":{"uri":"gmail://thread/1","name":7}}`: http.StatusForbidden,
		`{"method":"prompts/get","params":{"name":"guarded_tool","uri":[]}}`:       http.StatusForbidden,
		`{"method":"tools/call","params":{"name":"guarded_tool","uri":7}}`:         http.StatusForbidden,
		`{"method":"tools/call","method":null,"params":{"name":"guarded_tool"}}`:   http.StatusForbidden,
		`{"method":"tools/call","params":{"name":"guarded_tool","name":null}}`:     http.StatusForbidden,
		`{"method":"tools/call","param\u017f":{"name":"guarded_tool"}}`:            http.StatusForbidden,
		`{"id":1e999,"method":"tools/call","params":{"name":"guarded_tool"}}`:      http.StatusForbidden,
	} {
		reached := false
		h, r := guarded(t, func(http.ResponseWriter, *http.Request) { reached = true })
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || reached != (want == http.StatusOK) {
			t.Errorf("%s: %d, reached %v", body, w.Code, reached)
		}
	}
}
