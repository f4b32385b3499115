package linktest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/signedlink"
	"latchkey/resourceserver/internal/tool"
)

// Scope is the one that Tool needs.
const Scope = "accounts"

// The hosts of the two tenants, by the tenant's id.
var hosts = map[string]string{"acme": "acme.example.com", "globex": "globex.example.com"}

// Host is where a tenant's links lead.
func Host(tenant string) string { return hosts[tenant] }

// Server makes links and lets people in by them.
type Server struct {
	Keys      *seal.Keys
	Tool      *tool.Tool
	endpoints map[string]*bearertest.Endpoint // by resource
	limits    *ratelimit.Limits

	mu       sync.Mutex
	now      time.Time
	revoked  string
	gone     bool
	doubt    *bearer.Refusal
	outcomes []string
}

// New has one tool of a name.
func New(t testing.TB, name string) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	s := &Server{endpoints: map[string]*bearertest.Endpoint{}, now: time.Now().Truncate(time.Second)}
	s.limits = ratelimit.New(0, s.Now)
	s.Keys, err = seal.New(jose.JSONWebKey{Key: key})
	check(t, err)
	s.Tool, err = tool.New(tool.Description{Name: name, Title: "T", Description: "D", Scopes: oauth.NewScopes(Scope), Hints: tool.Read}, handler)
	check(t, err)
	for tenant, host := range hosts {
		at := "https://" + host + "/mcp"
		s.endpoints[at] = bearertest.New(t, at, s.Now, func(c *bearer.Config) {
			c.Tenant = tenant
			c.Revoked = func(p *accesstoken.Principal) bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return p.Grant == s.revoked
			}
		})
	}
	return s
}

type nothing struct{}

type result struct {
	Done bool `json:"done"`
}

func handler(context.Context, nothing) (tool.Output[result], error) {
	return tool.Output[result]{Value: result{true}, Text: "done"}, nil
}

// Now is the server's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Change changes what the server knows.
type Change func(s *Server)

// Later moves the clock.
func Later(d time.Duration) Change { return func(s *Server) { s.now = s.now.Add(d) } }

// Revoked takes back a grant.
func Revoked(grant string) Change { return func(s *Server) { s.revoked = grant } }

// Withdrawn takes the tool out of the table.
func Withdrawn(s *Server) { s.gone = true }

// InDoubt cannot tell whether a token is good.
func InDoubt(s *Server) {
	s.doubt = &bearer.Refusal{Status: 503, Code: oauth.TemporarilyUnavailable, RetryAfter: 2 * time.Second, Sentence: "The server cannot check access tokens right now."}
}

// Set applies changes.
func (s *Server) Set(changes ...Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		c(s)
	}
}

// Outcomes are how uses of links ended.
func (s *Server) Outcomes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.outcomes...)
}

// Call is the context of a running call of the tool, by a person of a tenant; c may
// say more of the token.
func (s *Server) Call(t testing.TB, tenant, subject string, c bearertest.Token) context.Context {
	t.Helper()
	c.Tenant, c.Subject, c.Scope = tenant, subject, Scope
	ctx, err := s.Tool.Enter(s.endpoints["https://"+hosts[tenant]+"/mcp"].As(t.Context(), t, c))
	check(t, err)
	return ctx
}

// Rules let people in as the server does: at the host of the link's own resource.
func (s *Server) Rules() signedlink.Rules {
	return signedlink.Rules{
		Limits: s.limits,
		Admit: func(ctx context.Context, host string, p signedlink.Presented) (context.Context, *bearer.Refusal, bool) {
			e := s.endpoints[p.Resource()]
			if e == nil || e.Resource.Origin() != "https://"+host {
				return nil, nil, false
			}
			s.mu.Lock()
			doubt := s.doubt
			s.mu.Unlock()
			if doubt != nil {
				return nil, doubt, true
			}
			admitted, refusal := p.Redeem(ctx, e.Guard)
			return admitted, refusal, true
		},
		Tool: func(resource, name string) *tool.Tool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.gone || s.endpoints[resource] == nil || name != s.Tool.Name {
				return nil
			}
			return s.Tool
		},
		Called: func(_ context.Context, _, outcome string, _ time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.outcomes = append(s.outcomes, outcome)
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
