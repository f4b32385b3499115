package tenant_test

import (
	"errors"
	"testing"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"

	"github.com/google/uuid"
)

func make2(t *testing.T) (*tenant.Directory, *tenant.Tenant) {
	t.Helper()
	parse := func(s string) oauth.IssuerURL {
		i, err := oauth.ParseIssuerURL(s)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	r, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	first := &tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Issuer: parse("https://auth.example.com"), Resources: []tenant.Resource{{Canonical: r, Aliases: tenant.DefaultAliases(r, true)}}}
	acme := &tenant.Tenant{ID: tenant.FromUUID(uuid.Must(uuid.NewV7())), Slug: "acme", Issuer: parse("https://auth.example.com/t/acme")}
	d, err := tenant.NewDirectory(first, acme)
	if err != nil {
		t.Fatal(err)
	}
	return d, first
}

// TestResolve: DESIGN §3: a path belongs to exactly one tenant; the default one is not reachable under a slug.
func TestResolve(t *testing.T) {
	t.Parallel()
	d, _ := make2(t)
	for path, want := range map[string][2]string{
		"/token": {"default", "/token"}, "/": {"default", "/"}, "/t/acme/token": {"acme", "/token"}, "/t/acme": {"acme", "/"},
		"/t/acme/": {"acme", "/"}, "/tx/acme": {"default", "/tx/acme"}, "/t/acme/t/acme/token": {"acme", "/t/acme/token"},
		"/t/nobody/token": {}, "/t/default/token": {}, "/t//token": {}, "/t/ACME/token": {}, "/t/acme%2f/token": {},
	} {
		found, rest, ok := d.Resolve("auth.example.com", path)
		if !ok {
			if want[0] != "" {
				t.Errorf("%s: nobody's", path)
			}
			continue
		}
		if found.Slug != want[0] || rest != want[1] {
			t.Errorf("%s: %s %s", path, found.Slug, rest)
		}
	}
}

// TestResource: RFC 8707 §2 with the spellings of PROTOCOL 3.6 nos. 1 to 3; everything else is unknown.
func TestResource(t *testing.T) {
	t.Parallel()
	_, first := make2(t)
	for requested, ok := range map[string]bool{
		"": true, "https://mcp.example.com/mcp": true, "https://mcp.example.com/mcp/": true, "https://mcp.example.com": true, "https://mcp.example.com/": true,
		"HTTPS://MCP.Example.com/mcp": true,
		"https://mcp.example.com/MCP": false, "https://mcp.example.com/mcp#f": false, "https://mcp.example.com/mcp?x": false, "https://mcp.example.com.evil.example/mcp": false,
		"http://mcp.example.com/mcp": false, "mcp.example.com/mcp": false, "https://mcp.example.com:443/mcp": false, "https://mcp.example.com/other": false,
	} {
		got, err := first.Resource(requested)
		if (err == nil) != ok || (ok && got.String() != "https://mcp.example.com/mcp") || (!ok && !errors.Is(err, tenant.ErrUnknownResource)) {
			t.Errorf("%q: %v %v", requested, got, err)
		}
	}
}

// TestParseID: one spelling per tenant.
func TestParseID(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		tenant.DefaultID.String(): true, "": false, "00000000-0000-0000-0000-000000000000": false, "{00000000-0000-7000-8000-000000000001}": false,
		"00000000-0000-7000-8000-00000000000A": false, "urn:uuid:00000000-0000-7000-8000-000000000001": false,
	} {
		if _, err := tenant.ParseID(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
