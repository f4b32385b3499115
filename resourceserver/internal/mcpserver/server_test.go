package mcpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/approvaltest"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/mcpserver"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

type keys struct{ jose.JSONWebKey }

func (k keys) Key(context.Context, string) (jose.JSONWebKey, error) { return k.Public(), nil }

type in struct {
	What string `json:"what"`
}

type out struct {
	N    int      `json:"n"`
	List []string `json:"list"`
	X    float64  `json:"x,omitzero"`
}

// handler answers as its argument says.
func handler(_ context.Context, v in) (tool.Output[out], error) {
	switch v.What {
	case "panic":
		panic("canary 4711")
	case "error":
		return tool.Output[out]{}, context.DeadlineExceeded
	case "no JSON":
		return tool.Output[out]{Value: out{N: 4711, X: math.NaN()}}, nil
	}
	return tool.Output[out]{Value: out{N: 1}, Text: "one"}, nil
}

// bench is a server with its guard, on a clock that a test can move.
type bench struct {
	t     *testing.T
	s     *mcpserver.Server
	h     http.Handler
	sign  jose.Signer
	page  *approvaltest.Page
	clock time.Time
	log   strings.Builder
}

const resourceURL = "https://mcp.example.com/mcp"

func sealKeys(t *testing.T) *seal.Keys {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.New(jose.JSONWebKey{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// byClient lets clients that can ask do so, and nothing else.
var byClient = policy.Policy{Confirmation: policy.ConfirmByClient}

func newBench(t *testing.T, p policy.Policy, tools ...*tool.Tool) *bench {
	t.Helper()
	b := &bench{t: t, clock: time.Now()}
	logger := slog.New(slog.NewJSONHandler(&b.log, nil))
	b.page = approvaltest.New(t)
	asker, err := elicit.New(sealKeys(t), b.page.Client(), func() time.Time { return b.clock })
	if err != nil {
		t.Fatal(err)
	}
	s, err := mcpserver.New(mcpserver.Config{Version: "1", Tools: tools, Log: logger, Elicit: asker, Policy: p, Limits: ratelimit.New(0, nil)})
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)}
	issuer, _ := oauth.ParseIssuerURL("https://auth.example.com")
	resource, _ := oauth.ParseResource(resourceURL)
	v, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Keys: keys{key}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := bearer.New(bearer.Config{Resource: resource, Verifier: v, Required: s.Required})
	if err != nil {
		t.Fatal(err)
	}
	if b.sign, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt")); err != nil {
		t.Fatal(err)
	}
	b.s, b.h = s, httpx.Observe(logger, g.MCP(s))
	return b
}

// initialize is what a client of 2025-11-25 begins with, and returns its session id.
func (b *bench) initialize(token, capabilities string) string {
	b.t.Helper()
	return b.post(token, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{`+capabilities+`},"clientInfo":{"name":"t","version":"1"}}}`).Header().Get("Mcp-Session-Id")
}

func (b *bench) token(subject, grant string) string { return b.tokenOf("c", subject, grant) }

func (b *bench) tokenOf(client, subject, grant string) string {
	b.t.Helper()
	now := time.Now().Unix()
	payload, _ := json.Marshal(accesstoken.Claims{Issuer: "https://auth.example.com", Subject: subject, Audience: resourceURL, ClientID: client, Scope: "accounts", Expiry: now + 600, IssuedAt: now, ID: rand.Text(), Tenant: "t", Grant: grant})
	jws, err := b.sign.Sign(payload)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// post sends one message; headers are name, value pairs.
func (b *bench) post(token, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, resourceURL, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	return w
}

func description(name string) tool.Description {
	return tool.Description{Name: name, Title: "T", Description: "t", Scopes: oauth.NewScopes("accounts"), Hints: tool.Read}
}

// TestOutcomes: through guard and library, nothing that goes wrong inside shows
// more than a code, a sentence and the request id.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	made, err := tool.New(description("test_tool"), handler)
	if err != nil {
		t.Fatal(err)
	}
	asker, err := elicit.New(sealKeys(t), approvaltest.New(t).Client(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mcpserver.New(mcpserver.Config{Version: "1", Tools: []*tool.Tool{made, made}, Log: slog.New(slog.DiscardHandler), Elicit: asker, Limits: ratelimit.New(0, nil)}); err == nil {
		t.Error("two tools of one name")
	}
	b := newBench(t, byClient, made)
	for what, want := range map[string]string{
		"panic": `"code":"internal"`, "error": `"code":"timeout"`, "no JSON": `"code":"internal"`, "nothing in a list": `"structuredContent":{"n":1,"list":[]}`,
	} {
		w := b.post(b.token("s", "g"), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_tool","arguments":{"what":"`+what+`"}}}`)
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
	if strings.Contains(b.log.String(), "canary") || !strings.Contains(b.log.String(), "goroutine") {
		t.Error("the log should have the panic's place, not its value")
	}
}
