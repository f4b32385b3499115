package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/mcpserver"
	"latchkey/resourceserver/internal/metadata"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/resource"
	"latchkey/resourceserver/internal/tool"
)

// product is a part of the tools with a resource of its own, below the path of
// the whole: a Gmail token opens no Drive.
type product struct {
	name     string   // for people
	services []string // first words of tool names
}

var products = map[string]product{
	exchange.Gmail:    {"Latchkey: Gmail", []string{"gmail"}},
	exchange.Drive:    {"Latchkey: Drive", []string{"drive", "docs", "sheets", "slides", "forms"}},
	exchange.Calendar: {"Latchkey: Calendar", []string{"calendar", "contacts", "directory", "tasks", "meet"}},
	exchange.Chat:     {"Latchkey: Chat", []string{"chat"}},
}

// common are the services that every resource has.
var common = []string{"account", "accounts"}

// own are the resources of the settings: that of everything first, and those of
// the products. They are served although the authorization server is away.
func (s *server) own() ([]resource.Resource, error) {
	whole := resource.Resource{Issuer: s.config.Issuer, Canonical: s.config.Resource, KeysURL: s.config.JWKSURL, Status: resource.Active}
	all := []resource.Resource{whole}
	for _, name := range exchange.Products() {
		part := whole
		var err error
		if part.Canonical, err = oauth.ParseResource(whole.Canonical.String() + "/" + name); err != nil {
			return nil, fmt.Errorf("naming resource of %s: %w", name, err)
		}
		part.Product = name
		all = append(all, part)
	}
	return all, nil
}

// offered are the tools of a resource: of its product, and allowed by its tenant
// or only reported.
func (s *server) offered(r resource.Resource) []*tool.Tool {
	var tools []*tool.Tool
	for _, t := range s.tools {
		of := r.Product == "" || slices.Contains(products[r.Product].services, t.Service()) || slices.Contains(common, t.Service())
		if of && (r.Allows(t.Name) || r.ToolsReport) {
			tools = append(tools, t)
		}
	}
	return tools
}

// mounted is a resource that serves: its own audience, metadata, guard and tools
// (RFC 9728). A token of one opens no other.
type mounted struct {
	of       resource.Resource
	guard    *bearer.Guard
	metadata *metadata.Handler
	mcp      *mcpserver.Server
	tools    map[string]*tool.Tool
}

// shared is what all resources have together.
type shared struct {
	elicit        *elicit.Elicitor
	policy        policy.Policy
	revoked       func(p *accesstoken.Principal) bool
	called        func(ctx context.Context, tool, outcome string, took time.Duration)
	loopbackHosts bool
	log           *slog.Logger
	limits        *ratelimit.Limits
}

// mount builds the parts of a resource.
func (s *server) mount(r resource.Resource, keys accesstoken.KeySource) (*mounted, error) {
	m := &mounted{of: r, tools: map[string]*tool.Tool{}}
	tools, closed := s.offered(r), closedBy(r.Status)
	if len(tools) == 0 { // the tenant allows none of the tools there are: nothing to serve with
		s.log.Error("a tenant allows none of this server's tools", "tenant", r.Tenant, "resource", r.Canonical.String())
		tools, closed = s.tools, bearer.Unsettled()
	}
	for _, t := range tools {
		m.tools[t.Name] = t
	}
	verifier, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: r.Issuer, Audience: r.Canonical, Keys: keys})
	if err != nil {
		return nil, err
	}
	if m.mcp, err = mcpserver.New(mcpserver.Config{
		Version: version(), Tools: tools, Resources: resources, Prompts: prompts, Log: s.log, Elicit: s.elicit, Policy: s.policy, Called: s.called, Limits: s.limits,
	}); err != nil {
		return nil, err
	}
	name, baseline := resourceName, baselineOf(tools, r.Product)
	if r.Product != "" {
		name = products[r.Product].name
	}
	if m.metadata, err = metadata.New(metadata.Config{Resource: r.Canonical, Issuer: r.Issuer, Baseline: baseline, Name: name}); err != nil {
		return nil, err
	}
	guard := bearer.Config{
		Resource: r.Canonical, Tenant: r.Tenant, Closed: closed, Verifier: verifier, Baseline: baseline, Required: m.mcp.Required, Revoked: s.shared.revoked,
		LoopbackHosts: s.loopbackHosts, AllowedOrigins: s.config.AllowedOrigins,
	}
	s.limit(&guard, r)
	m.guard, err = bearer.New(guard)
	return m, err
}

// closedBy is the answer to everything while a tenant takes no part; nil while
// it does.
func closedBy(status resource.Status) *bearer.Refusal {
	switch status {
	case resource.Active:
		return nil
	case resource.Suspended:
		return bearer.Suspended()
	}
	return bearer.Unsettled()
}

// limit turns the tenant's policies of origins and tools into the guard's.
func (s *server) limit(g *bearer.Config, r resource.Resource) {
	if r.ToolsReport {
		g.Reports.Tool = func(name string) bool { return !r.Allows(name) }
	}
	switch settings := s.config.AllowedOrigins; {
	case len(r.Origins) == 0:
	case r.OriginsReport:
		g.AllowedOrigins = append(slices.Clone(r.Origins), settings...)
		g.Reports.Origin = func(origin string) bool {
			return slices.Contains(settings, origin) && !slices.Contains(r.Origins, origin)
		}
	default:
		g.AllowedOrigins = r.Origins
	}
}

// baselineOf are the scopes to ask for at first: of the tools that only read,
// those of mail, files and events (scope.Baseline), and what the resource of a
// product is there for. The rest is asked for when it is used (MCP, "Scope
// Minimization").
func baselineOf(tools []*tool.Tool, product string) oauth.Scopes {
	first := scope.Baseline()
	if product != "" {
		first = first.Union(oauth.NewScopes(product + ".read"))
	}
	var out oauth.Scopes
	for _, t := range tools {
		if t.Hints.ReadOnly {
			out = out.Union(t.Scopes.Intersect(first))
		}
	}
	for _, name := range out.Slice() { // a narrow scope is not asked for beside one that implies it
		if rest := out.Minus(oauth.NewScopes(name)); scope.Expand(rest).Contains(name) {
			out = rest
		}
	}
	return out
}
