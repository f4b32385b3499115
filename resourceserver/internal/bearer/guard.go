package bearer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// DefaultMaxBody is the largest request body, in bytes.
const DefaultMaxBody = 1 << 20

const retryAfter = 2 * time.Second

// Config configures a Guard. Resource, Verifier and Required are needed.
type Config struct {
	Resource oauth.Resource
	Verifier *accesstoken.Verifier
	// Baseline are the scopes a client should ask for at first.
	Baseline oauth.Scopes
	// Required returns the MCP scopes of a tool or prompt by its name, or of a
	// resource by its address, with the tool that would run ("" for a prompt);
	// false if there is none.
	Required func(method, target string) (tool string, required oauth.Scopes, ok bool)
	// Revoked reports whether a token's grant is known to be revoked; nil for
	// never.
	Revoked func(p *accesstoken.Principal) bool
	// AllowedOrigins are the exact origins of browser clients, besides the
	// resource's own.
	AllowedOrigins []string
	// Tenant is whose tokens they must be, beside the issuer; "" is not compared.
	Tenant string
	// Closed answers every request that came from no foreign page; nil lets them
	// on.
	Closed *Refusal
	// Reports says what the tenant's policy would refuse were it enforced; nil:
	// nothing.
	Reports Reports
	// LoopbackHosts admits localhost, 127.0.0.0/8 and [::1] as Host, with any
	// port: for a server that listens on loopback only.
	LoopbackHosts bool
	MaxBody       int64 // bytes; 0 is DefaultMaxBody
}

// Reports are policies that refuse nothing and are logged.
type Reports struct {
	Origin func(origin string) bool
	Tool   func(tool string) bool
}

// Guard protects the MCP endpoint.
type Guard struct {
	resource    oauth.Resource
	tenant      string
	closed      *Refusal
	reports     Reports
	verifier    *accesstoken.Verifier
	metadataURL string
	baseline    oauth.Scopes
	required    func(method, target string) (tool string, required oauth.Scopes, ok bool)
	revoked     func(*accesstoken.Principal) bool
	origins     map[string]bool
	hosts       hosts
	maxBody     int64
}

// New validates the configuration.
func New(c Config) (*Guard, error) {
	if c.Resource.IsZero() || c.Verifier == nil || c.Required == nil {
		return nil, errors.New("bearer guard needs a resource, a verifier and the tools' scopes")
	}
	g := &Guard{
		resource: c.Resource, tenant: c.Tenant, closed: c.Closed, reports: c.Reports,
		verifier: c.Verifier, metadataURL: c.Resource.MetadataURL(), baseline: c.Baseline, required: c.Required, revoked: c.Revoked,
		origins: map[string]bool{c.Resource.Origin(): true}, hosts: newHosts(c.Resource, c.LoopbackHosts), maxBody: c.MaxBody,
	}
	for _, o := range c.AllowedOrigins {
		g.origins[o] = true
	}
	if g.maxBody == 0 {
		g.maxBody = DefaultMaxBody
	}
	return g, nil
}

// MCP guards the MCP endpoint. The order is deliberate: what a foreign web page
// can send comes first; 401 comes before every 400 and 404 of the protocol,
// because clients take a 4xx of their first probe for an older server
// (PROTOCOL 3.3).
func (g *Guard) MCP(next http.Handler) http.Handler {
	return g.Host(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.cors(w, r) {
			return
		}
		if g.closed != nil {
			httpx.Annotate(r.Context(), slog.String("refused", "closed"))
			g.refuse(w, g.closed)
			return
		}
		p, refusal := g.authenticate(r)
		if refusal != nil {
			g.refuse(w, refusal)
			return
		}
		ctx := withPrincipal(r.Context(), p)
		httpx.Annotate(ctx, slog.String("tenant", p.Tenant), slog.String("subject", p.Subject), slog.String("client", p.ClientID), slog.String("grant", p.Grant))
		if r.Method != http.MethodPost {
			// No server-sent stream, no session to delete (MCP 2026-07-28, Streamable HTTP).
			w.Header().Set("Allow", "POST, OPTIONS")
			g.refuse(w, &Refusal{Status: http.StatusMethodNotAllowed, Sentence: "This endpoint takes POST."})
			return
		}
		body, refusal := g.read(w, r)
		if refusal != nil {
			g.refuse(w, refusal)
			return
		}
		message, method, target := messageOf(body), "", ""
		if message != nil {
			method, target = message.Method, message.Target
		}
		httpx.Annotate(ctx, slog.String("mcp_method", known(method)))
		tool, required, ok := g.required(method, target)
		if tool != "" && g.reports.Tool != nil && g.reports.Tool(tool) {
			Report(ctx, "allowed_tools", p.Tenant, p.ClientID)
		}
		if ok && !scope.Satisfies(p.Scopes, required) {
			if tool != "" {
				httpx.Annotate(ctx, slog.String("tool", tool))
			}
			httpx.Annotate(ctx, slog.String("outcome", string(oauth.InsufficientScope)))
			refusal := InsufficientScope(required)
			// 2025-11-25 recommends to repeat what was granted, 2026-07-28 allows it.
			refusal.Scopes = required.Union(p.Scopes)
			g.refuse(w, refusal)
			return
		}
		l := &late{ResponseWriter: w, guard: g, body: body, message: message}
		r = r.WithContext(context.WithValue(ctx, lateKey{}, l))
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(l, r)
		l.finish()
	}))
}

// authenticate verifies the token of every request, whatever its method
// (MCP authorization, "Token Requirements").
func (g *Guard) authenticate(r *http.Request) (*Principal, *Refusal) {
	// OAuth 2.1 §5.1: a token in a URL ends in logs and histories.
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return nil, g.unauthorized(oauth.InvalidToken, "Send the access token in the Authorization header only.")
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return nil, g.unauthorized("", "This MCP server needs an access token. An MCP client gets one by signing in.")
	}
	if len(headers) > 1 {
		return nil, g.unauthorized(oauth.InvalidToken, "Send one Authorization header.")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, g.unauthorized("", "This MCP server needs a Bearer access token.")
	}
	return g.verify(r.Context(), token)
}

// Redeem authenticates with a token that a client sent here before and that this
// server kept sealed in a link: by every rule of a header's token, so that a link
// ends with the token's life, with its grant and with its keys. The caller opens
// the seal, and answers a refusal in its own form.
func (g *Guard) Redeem(ctx context.Context, token secret.Text) (context.Context, *Refusal) {
	if g.closed != nil {
		return nil, g.closed
	}
	p, refusal := g.verify(ctx, token.Reveal())
	if refusal != nil {
		return nil, refusal
	}
	httpx.Annotate(ctx, slog.String("tenant", p.Tenant), slog.String("subject", p.Subject), slog.String("client", p.ClientID), slog.String("grant", p.Grant))
	return withPrincipal(ctx, p), nil
}

func (g *Guard) verify(ctx context.Context, token string) (*Principal, *Refusal) {
	p, err := g.verifier.Verify(ctx, token)
	switch {
	case err == nil && g.tenant != "" && p.Tenant != g.tenant:
		httpx.Annotate(ctx, slog.String("refused", "tid"))
		return nil, g.unauthorized(oauth.InvalidToken, "The access token is not valid here. Sign in again.")
	case err == nil && g.revoked != nil && g.revoked(p):
		httpx.Annotate(ctx, slog.String("refused", "revoked"))
		return nil, g.unauthorized(oauth.InvalidToken, "The access was revoked. Sign in again.")
	case err == nil:
		return &Principal{Principal: *p, Token: secret.NewText(token), Resource: g.resource}, nil
	case errors.Is(err, accesstoken.ErrInvalid):
		httpx.Annotate(ctx, slog.String("refused", reason(err)))
		return nil, g.unauthorized(oauth.InvalidToken, "The access token is expired or not valid here. Sign in again.")
	default:
		// DESIGN §1.5: doubt about the keys is no reason to sign anyone out.
		httpx.Failed(ctx, fmt.Errorf("verifying access token: %w", err))
		return nil, &Refusal{Status: http.StatusServiceUnavailable, Code: oauth.TemporarilyUnavailable, RetryAfter: retryAfter,
			Sentence: "The server cannot check access tokens right now. Try again shortly."}
	}
}

// Report notes what a policy would have refused.
func Report(ctx context.Context, policy, tenant, client string) {
	httpx.Annotate(ctx, slog.Group("would_refuse", slog.String("policy", policy), slog.String("tenant", tenant), slog.String("client", client)))
}

// reason is the rule a token broke, for the log. Decoding errors may quote the
// token, so only the verifier's own words pass.
func reason(err error) string {
	s := strings.TrimPrefix(err.Error(), accesstoken.ErrInvalid.Error()+": ")
	if s, _, _ = strings.Cut(s, ":"); len(s) > 40 {
		return "malformed"
	}
	return s
}

// read reads the body within the limit.
func (g *Guard) read(w http.ResponseWriter, r *http.Request) ([]byte, *Refusal) {
	tooLarge := &Refusal{Status: http.StatusRequestEntityTooLarge, Sentence: fmt.Sprintf("A request may have at most %d bytes.", g.maxBody)}
	if r.ContentLength > g.maxBody {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.maxBody))
	if err != nil {
		var limit *http.MaxBytesError
		if errors.As(err, &limit) {
			return nil, tooLarge
		}
		return nil, &Refusal{Status: http.StatusBadRequest, Sentence: "The request body could not be read."}
	}
	return body, nil
}

// known keeps text that a client chose out of the log.
func known(method string) string {
	switch method {
	case "initialize", "server/discover", "ping", "tools/list", MethodCallTool, "notifications/initialized", "notifications/cancelled", "subscriptions/listen",
		"resources/list", "resources/templates/list", MethodReadResource, "prompts/list", MethodGetPrompt, "completion/complete":
		return method
	}
	return "other"
}
