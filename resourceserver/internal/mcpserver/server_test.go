package mcpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/mcpserver"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

type keys struct{ jose.JSONWebKey }

func (k keys) Key(context.Context, string) (jose.JSONWebKey, error) { return k.Public(), nil }

type in struct {
	What string `json:"what"`
}

type out struct {
	N int `json:"n" limit:"max=5"`
}

// handler answers as its argument says.
func handler(_ context.Context, v in) (tool.Output[out], error) {
	switch v.What {
	case "panic":
		panic("canary 4711")
	case "error":
		return tool.Output[out]{}, context.DeadlineExceeded
	case "bad result":
		return tool.Output[out]{Value: out{N: 4711}}, nil
	}
	return tool.Output[out]{Value: out{N: 1}, Text: "one"}, nil
}

func asker(t *testing.T) *elicit.Elicitor {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.New(jose.JSONWebKey{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	e, err := elicit.New(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestOutcomes: through guard and library, nothing that goes wrong inside shows
// more than a code, a sentence and the request id.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	d := tool.Description{Name: "test_tool", Title: "T", Description: "t", Scopes: oauth.NewScopes("accounts"), Hints: tool.Read}
	made, err := tool.New(d, handler)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mcpserver.New(mcpserver.Config{Version: "1", Tools: []*tool.Tool{made}, Log: logger, Elicit: asker(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mcpserver.New(mcpserver.Config{Version: "1", Tools: []*tool.Tool{made, made}, Log: logger, Elicit: asker(t)}); err == nil {
		t.Error("two tools of one name")
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)}
	issuer, _ := oauth.ParseIssuerURL("https://auth.example.com")
	resource, _ := oauth.ParseResource("https://mcp.example.com/mcp")
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Keys: keys{key}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := bearer.New(bearer.Config{Resource: resource, Verifier: v, Required: s.Required})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	payload, _ := json.Marshal(accesstoken.Claims{Issuer: issuer.String(), Subject: "s", Audience: resource.String(), ClientID: "c", Scope: "accounts", Expiry: now + 60, IssuedAt: now, ID: "j", Tenant: "t", Grant: "g"})
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := jws.CompactSerialize()
	h := httpx.Observe(logger, g.MCP(s))
	for what, want := range map[string]string{
		"panic": `"code":"internal"`, "error": `"code":"timeout"`, "bad result": `"code":"internal"`, "fine": `"structuredContent":{"n":1}`,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://mcp.example.com/mcp",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_tool","arguments":{"what":"`+what+`"}}}`))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", what, w.Code, body)
		}
		for _, leak := range []string{"goroutine", "4711", ".go:", "deadline"} {
			if strings.Contains(body, leak) {
				t.Errorf("%s: %q shows in %s", what, leak, body)
			}
		}
	}
	if strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "goroutine") {
		t.Error("the log should have the panic's place, not its value")
	}
}
