package app

import (
	"fmt"
	"log/slog"
	"slices"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/mcpserver"
	"latchkey/resourceserver/internal/metadata"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// endpoint is one mounted resource: its own audience, metadata, guard and tools
// (RFC 9728). A token of one opens no other.
type endpoint struct {
	resource oauth.Resource
	issuer   oauth.IssuerURL
	keys     accesstoken.KeySource // of the issuer
	tools    []*tool.Tool
	origins  []string // of browser clients
	policy   policy.Policy
	name     string // for people
}

// product is a part of the tools with a resource of its own, below the path of
// the whole: a Gmail token opens no Drive.
type product struct {
	path     string
	name     string
	services []string // first words of tool names
}

var products = []product{
	{"/gmail", "Latchkey: Gmail", []string{"gmail"}},
	{"/drive", "Latchkey: Drive", []string{"drive", "docs", "sheets", "slides", "forms"}},
	{"/calendar", "Latchkey: Calendar", []string{"calendar", "contacts", "tasks", "meet"}},
}

// common are the services that every resource has.
var common = []string{"account", "accounts"}

// endpointsOf returns the resource of everything and those of the products.
func endpointsOf(whole endpoint) ([]endpoint, error) {
	all := []endpoint{whole}
	for _, p := range products {
		part := whole
		var err error
		if part.resource, err = oauth.ParseResource(whole.resource.String() + p.path); err != nil {
			return nil, fmt.Errorf("naming resource of %s: %w", p.path, err)
		}
		part.name, part.tools = p.name, nil
		for _, t := range whole.tools {
			if slices.Contains(p.services, t.Service()) || slices.Contains(common, t.Service()) {
				part.tools = append(part.tools, t)
			}
		}
		all = append(all, part)
	}
	return all, nil
}

// mounted is an endpoint that serves.
type mounted struct {
	resource oauth.Resource
	guard    *bearer.Guard
	metadata *metadata.Handler
	mcp      *mcpserver.Server
	tools    map[string]*tool.Tool
}

// shared is what all endpoints have together.
type shared struct {
	elicit        *elicit.Elicitor
	revoked       func(grant string) bool
	loopbackHosts bool
	log           *slog.Logger
}

// mount builds the parts of an endpoint.
func (e endpoint) mount(s shared) (*mounted, error) {
	m := &mounted{resource: e.resource, tools: map[string]*tool.Tool{}}
	for _, t := range e.tools {
		m.tools[t.Name] = t
	}
	verifier, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: e.issuer, Audience: e.resource, Keys: e.keys})
	if err != nil {
		return nil, err
	}
	if m.mcp, err = mcpserver.New(mcpserver.Config{Version: version(), Tools: e.tools, Log: s.log, Elicit: s.elicit, Policy: e.policy}); err != nil {
		return nil, err
	}
	baseline := baselineOf(e.tools)
	if m.metadata, err = metadata.New(metadata.Config{Resource: e.resource, Issuer: e.issuer, Baseline: baseline, Name: e.name}); err != nil {
		return nil, err
	}
	m.guard, err = bearer.New(bearer.Config{
		Resource: e.resource, Verifier: verifier, Baseline: baseline, Required: m.mcp.Required, Revoked: s.revoked, AllowedOrigins: e.origins,
		LoopbackHosts: s.loopbackHosts,
	})
	return m, err
}

// baselineOf are the scopes to ask for at first: those of the tools that only
// read. What writes is asked for when it is used (MCP, "Scope Minimization").
func baselineOf(tools []*tool.Tool) oauth.Scopes {
	var out oauth.Scopes
	for _, t := range tools {
		if t.Hints.ReadOnly {
			out = out.Union(t.Scopes)
		}
	}
	return out
}
