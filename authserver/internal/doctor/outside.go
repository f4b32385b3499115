package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"latchkey/pkg/oauth"
)

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"latchkey-doctor","version":"1"}}}`
	wellKnown  = "/.well-known/oauth-authorization-server"
)

// The steps from outside that others need.
const (
	stepURL       = "MCP URL"
	stepChallenge = "answer without a token"
	stepResource  = "protected resource metadata"
	stepIssuer    = "metadata of the authorization server"
)

// Outside goes the way of an MCP client from its MCP URL to the authorization
// server's endpoints.
func Outside(ctx context.Context, c Client, mcpURL string) *Report {
	r := &Report{}
	r.outside(ctx, c, mcpURL)
	return r
}

func (r *Report) outside(ctx context.Context, c Client, mcpURL string, needs ...string) {
	var resource oauth.Resource
	r.look(ctx, stepURL, needs, func(context.Context) (string, error) {
		var err error
		if resource, err = oauth.ParseResource(mcpURL); err != nil {
			return "", bad(oneLine(err), "Give the URL that people enter in their client, such as https://mcp.example.com/mcp.")
		}
		return resource.String(), nil
	})
	at, _ := url.Parse(resource.String())
	way := r.reach(ctx, c, "resource server", at, stepURL)
	var metadataURL string
	var first *answer
	post := []string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}
	r.look(ctx, stepChallenge, []string{way}, func(ctx context.Context) (found string, err error) {
		if first, err = c.do(ctx, http.MethodPost, mcpURL, initialize, post...); err != nil {
			return "", bad("the request fails: "+oneLine(err), "Look at the log of the reverse proxy and of the resource server.")
		}
		metadataURL, err = challenge(first, mcpURL)
		return "401, and says where its metadata is", err
	})
	r.look(ctx, "clock of the resource server", []string{stepChallenge}, func(context.Context) (string, error) { return c.clock(first) })
	r.look(ctx, "way of the Authorization header", []string{stepChallenge}, func(ctx context.Context) (string, error) {
		a, err := c.do(ctx, http.MethodPost, mcpURL, initialize, append(post, "Authorization", "Bearer doctor")...)
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			return "", bad(fmt.Sprintf("a token that is none is answered with %d as if there were none", a.status), "Something in front removes the Authorization header: let it pass.")
		}
		return "it arrives", nil
	})
	var issuer oauth.IssuerURL
	r.look(ctx, stepResource, []string{stepChallenge}, func(ctx context.Context) (string, error) {
		if want := resource.MetadataURL(); metadataURL != want {
			return "", bad("the challenge names "+metadataURL+" and not "+want, "RESOURCE_URL of the resource server must be this MCP URL, to the letter; or a reverse proxy changes the Host header.")
		}
		var doc oauth.ResourceMetadata
		if err := c.document(ctx, metadataURL, &doc, "Let the reverse proxy pass /.well-known/oauth-protected-resource"+resource.Path()+" on to the resource server."); err != nil {
			return "", err
		}
		if doc.Resource != mcpURL {
			return "", bad(fmt.Sprintf("it is about %q, the client was given %q", doc.Resource, mcpURL), "Clients compare them to the letter: set RESOURCE_URL to the URL that people enter, or enter that of RESOURCE_URL.")
		}
		if len(doc.AuthorizationServers) == 0 {
			return "", bad("it names no authorization server", "Set ISSUER of the resource server.")
		}
		var err error
		if issuer, err = oauth.ParseIssuerURL(doc.AuthorizationServers[0]); err != nil {
			return "", bad(oneLine(err), "Correct ISSUER of the resource server.")
		}
		return "authorization server " + issuer.String(), nil
	})
	r.issuer(ctx, c, issuer, stepResource)
}

// challenge reads the 401 that begins everything (RFC 9728 §5.1).
func challenge(a *answer, mcpURL string) (metadataURL string, err error) {
	if err := a.redirected(mcpURL); err != nil {
		return "", err
	}
	switch {
	case a.status == http.StatusNotFound:
		return "", bad("there is nothing at this path (404)", "Compare the URL with RESOURCE_URL, to the letter: a slash at the end makes another URL. Let the reverse proxy keep the path.")
	case a.status == http.StatusForbidden:
		return "", bad("it is refused (403)", "The resource server does not know this host: let the reverse proxy pass the Host header on unchanged, and compare it with RESOURCE_URL. Or the tenant is suspended.")
	case a.status >= 500:
		return "", bad(fmt.Sprintf("the server answers %d", a.status), "The reverse proxy does not reach the resource server, or that is not ready: look at its /readyz and its log.")
	case a.status != http.StatusUnauthorized:
		return "", bad(fmt.Sprintf("a request without a token is answered with %d, not 401", a.status), "Something else than the resource server answers there: look at the reverse proxy.")
	}
	header := a.header.Get("WWW-Authenticate")
	if header == "" {
		return "", bad("the 401 has no WWW-Authenticate header", "Something in front removes it, or answers itself: let the resource server's header pass.")
	}
	_, rest, ok := strings.Cut(header, `resource_metadata="`)
	metadataURL, _, closed := strings.Cut(rest, `"`)
	if !strings.HasPrefix(header, "Bearer ") || !ok || !closed {
		return "", bad("its WWW-Authenticate names no resource_metadata: "+header, "Something else than the resource server asks for a login: let requests to the MCP URL pass without one.")
	}
	return metadataURL, nil
}

// document reads JSON metadata.
func (c Client) document(ctx context.Context, from string, into any, missing string) error {
	a, err := c.do(ctx, http.MethodGet, from, "", "Accept", "application/json")
	if err != nil {
		return bad(from+" cannot be read: "+oneLine(err), missing)
	}
	if err := a.redirected(from); err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return bad(fmt.Sprintf("%s answers %d", from, a.status), missing)
	}
	if kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type")); kind != "application/json" {
		return bad(fmt.Sprintf("%s has the type %q, not application/json", from, kind), missing)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return bad(from+" is no JSON document", missing)
	}
	return nil
}

// issuer looks at an authorization server by its issuer.
func (r *Report) issuer(ctx context.Context, c Client, issuer oauth.IssuerURL, needs ...string) {
	at, _ := url.Parse(issuer.String())
	way := r.reach(ctx, c, "authorization server", at, needs...)
	var doc oauth.ServerMetadata
	r.look(ctx, stepIssuer, []string{way}, func(ctx context.Context) (string, error) {
		from := issuer.Origin() + issuer.WellKnown("oauth-authorization-server")
		// RFC 8414 §3.1: the well-known part stands between host and path.
		if err := c.document(ctx, from, &doc, "Let the reverse proxy pass "+wellKnown+issuer.Path()+" on to the authorization server: the well-known part comes before the issuer's path."); err != nil {
			return "", err
		}
		if doc.Issuer != issuer.String() { // RFC 8414 §3.3
			return "", bad(fmt.Sprintf("it says issuer %q, the resource server says %q", doc.Issuer, issuer), "They must be the same to the letter: set ISSUER alike in both servers, without a slash at the end.")
		}
		for name, endpoint := range map[string]string{"authorization_endpoint": doc.AuthorizationEndpoint, "token_endpoint": doc.TokenEndpoint, "jwks_uri": doc.JWKSURI} {
			if !strings.HasPrefix(endpoint, issuer.String()+"/") {
				return "", bad(fmt.Sprintf("its %s is %q, not below the issuer", name, endpoint), "Set ISSUER to the origin at which clients reach the server.")
			}
		}
		return "issuer, endpoints and PKCE are as they must be", nil
	})
	r.look(ctx, "registration of clients", []string{stepIssuer}, func(context.Context) (string, error) {
		switch {
		case doc.ClientIDMetadataDocument && doc.RegistrationEndpoint != "":
			return "by metadata document and by registration", nil
		case doc.ClientIDMetadataDocument || doc.RegistrationEndpoint != "":
			return "", odd("one of metadata documents and registration is off", "Clients that know only the other one cannot connect.")
		}
		return "", odd("neither metadata documents nor registration are offered", "Only clients entered by authserver clients create can connect.")
	})
	r.look(ctx, "keys of the authorization server", []string{stepIssuer}, func(ctx context.Context) (string, error) {
		var keys struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := c.document(ctx, doc.JWKSURI, &keys, "Look at /readyz and the log of the authorization server."); err != nil {
			return "", err
		}
		if len(keys.Keys) == 0 {
			return "", bad("there is none", "Look at the log of the authorization server, and at: authserver keys list.")
		}
		return fmt.Sprintf("%d", len(keys.Keys)), nil
	})
	r.look(ctx, "authorization endpoint", []string{stepIssuer}, func(ctx context.Context) (string, error) {
		a, err := c.do(ctx, http.MethodGet, doc.AuthorizationEndpoint, "")
		if err != nil {
			return "", err
		}
		if err := a.redirected(doc.AuthorizationEndpoint); err != nil {
			return "", err
		}
		if a.status != http.StatusBadRequest { // a request without a client
			return "", bad(fmt.Sprintf("a request that asks for nothing is answered with %d, not 400", a.status), "Let the reverse proxy pass it on without a login of its own.")
		}
		return "it answers", nil
	})
	r.look(ctx, "token endpoint", []string{stepIssuer}, func(ctx context.Context) (string, error) {
		a, err := c.do(ctx, http.MethodPost, doc.TokenEndpoint, "", "Content-Type", "application/x-www-form-urlencoded")
		if err != nil {
			return "", err
		}
		if err := a.redirected(doc.TokenEndpoint); err != nil {
			return "", err
		}
		var e oauth.ErrorBody
		if (a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized) || json.Unmarshal(a.body, &e) != nil || e.Error == "" {
			return "", bad(fmt.Sprintf("an empty request is answered with %d and no OAuth error", a.status), "Let the reverse proxy pass POST requests and their answers on unchanged.")
		}
		return "it answers", nil
	})
	r.look(ctx, "clients in browsers", []string{stepIssuer}, func(ctx context.Context) (string, error) {
		a, err := c.do(ctx, http.MethodOptions, doc.TokenEndpoint, "", "Origin", "https://client.example", "Access-Control-Request-Method", "POST")
		if err != nil {
			return "", err
		}
		if a.header.Get("Access-Control-Allow-Origin") == "" {
			return "", odd("the token endpoint answers a preflight without CORS headers", "Let OPTIONS requests and Access-Control headers pass, or clients in browsers cannot connect.")
		}
		return "CORS headers arrive", nil
	})
}
