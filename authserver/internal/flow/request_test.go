package flow_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

type clients map[string]*client.Client

func (c clients) Introduce(ctx context.Context, t *tenant.Tenant, id, _ string) (*client.Client, error) {
	return c.Client(ctx, t, id)
}

func (c clients) Client(_ context.Context, _ *tenant.Tenant, id string) (*client.Client, error) {
	if found, ok := c[id]; ok {
		return found, nil
	}
	return nil, client.ErrNotFound
}

// FuzzParse: whatever the query, the person is sent to a registered redirect
// URI or nowhere, and what is accepted is a code request with PKCE.
func FuzzParse(f *testing.F) {
	known := clients{"c1": {ID: "c1", RedirectURIs: []string{"https://a.example/cb", "http://127.0.0.1/cb"}, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode}}}
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		f.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		f.Fatal(err)
	}
	t1 := &tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Issuer: issuer, Resources: []tenant.Resource{{Canonical: resource}}, DefaultScopes: scope.Baseline(), Profile: scope.Full, Lifetimes: tenant.DefaultLifetimes()}
	const good = "client_id=c1&redirect_uri=https://a.example/cb&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
	f.Add(good)
	f.Add(good + "&scope=gmail.read&state=x&resource=https://mcp.example.com/mcp")
	f.Add("client_id=c1&redirect_uri=https://evil.example/cb")
	f.Add("client_id=c1&redirect_uri=http://127.0.0.1:80@evil.example/cb&response_type=token")
	f.Add("%zz&;;client_id")
	f.Fuzz(func(t *testing.T, query string) {
		uri, err := flow.Parse(t.Context(), known, t1, query)
		var redirect *web.RedirectError
		if errors.As(err, &redirect) {
			uri = redirect.RedirectURI
			if redirect.Issuer != issuer || redirect.Err.Code == "" {
				t.Error("an error redirect without issuer or code")
			}
		}
		if uri != "" && !slices.Contains(known["c1"].RedirectURIs, uri) && !known["c1"].MatchRedirect(uri) {
			t.Errorf("leads to %q", uri)
		}
		if err != nil {
			return
		}
		// OAuth 2.1 §3.1, §4.1.1: accepted is one code request with one S256 challenge and nothing said twice.
		q, _ := url.ParseQuery(query)
		for name, values := range q {
			if len(values) > 1 && slices.Contains(flow.SingleValued, name) {
				t.Errorf("accepted %s %d times", name, len(values))
			}
		}
		if uri == "" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q["client_id"]) != 1 || len(q["redirect_uri"]) > 1 || len(q["resource"]) > 1 || q.Has("request") || q.Has("request_uri") {
			t.Errorf("accepted %q", query)
		}
	})
}

// TestResourceRemovedMeanwhile: a resource that the tenant stops serving, or serves under another name, while a person signs in: no grant for
// what they were not shown, and none for nothing.
func TestResourceRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	known := clients{"c1": {ID: "c1", RedirectURIs: []string{"https://a.example/cb"}, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode}}}
	resources := map[string]oauth.Resource{}
	for _, name := range []string{"https://mcp.example.com/mcp", "https://other.example.com/mcp"} {
		r, err := oauth.ParseResource(name)
		if err != nil {
			t.Fatal(err)
		}
		resources[name] = r
	}
	first, other := resources["https://mcp.example.com/mcp"], resources["https://other.example.com/mcp"]
	serves := func(r ...tenant.Resource) *tenant.Tenant {
		return &tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Resources: r, DefaultScopes: scope.Baseline(), Profile: scope.Full, Lifetimes: tenant.DefaultLifetimes()}
	}
	const query = "client_id=c1&redirect_uri=https://a.example/cb&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
	for name, row := range map[string]struct {
		after *tenant.Tenant
		ok    bool
	}{
		"as before":       {serves(tenant.Resource{Canonical: first}), true},
		"one more":        {serves(tenant.Resource{Canonical: other}, tenant.Resource{Canonical: first}), true},
		"none":            {serves(), false},
		"another":         {serves(tenant.Resource{Canonical: other}), false},
		"another's alias": {serves(tenant.Resource{Canonical: other, Aliases: []string{first.String()}}), false},
	} {
		err := flow.Return(t.Context(), known, serves(tenant.Resource{Canonical: first}), row.after, query)
		var page *web.PageError
		if row.ok && err != nil || !row.ok && (!errors.As(err, &page) || page.Title != "The app has changed meanwhile") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
