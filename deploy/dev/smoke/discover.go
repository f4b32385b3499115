package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// resourceMetadata is what a client reads of RFC 9728 §2.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported"`
}

// serverMetadata is what a client reads of RFC 8414 §2.
type serverMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	Scopes                []string `json:"scopes_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	IssInResponse         bool     `json:"authorization_response_iss_parameter_supported"`
}

// Discover asks without a token and follows the 401 to the resource's
// metadata (RFC 9728 §5) and from there to the authorization server's.
func (c *Client) Discover(ctx context.Context) error {
	resp, _, err := c.send(ctx, "call without a token", http.MethodPost, c.config.MCPURL, "application/json",
		`{"jsonrpc":"2.0","id":0,"method":"tools/list"}`, mcpHeader(""))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("a call without a token was answered %d, not 401", resp.StatusCode)
	}
	challenge := resp.Header.Get("WWW-Authenticate")
	metadataURL, ok := parameter(challenge, "resource_metadata")
	if !ok {
		return errors.New("the 401 names no resource_metadata (RFC 9728 §5.1)")
	}
	if c.scope, ok = parameter(challenge, "scope"); !ok {
		return errors.New("the 401 names no scope")
	}
	if c.config.Scope != "" {
		c.scope = c.config.Scope
	}
	if err := c.document(ctx, "resource metadata", metadataURL, &c.Resource); err != nil {
		return err
	}
	if c.Resource.Resource != c.config.MCPURL || len(c.Resource.AuthorizationServers) == 0 {
		return fmt.Errorf("the resource metadata is about %q, not about %q (RFC 9728 §3.3)", c.Resource.Resource, c.config.MCPURL)
	}
	issuer := c.Resource.AuthorizationServers[0]
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("the issuer %q is no URL", issuer)
	}
	well := u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	if err := c.document(ctx, "server metadata", well, &c.Server); err != nil {
		return err
	}
	if c.Server.Issuer != issuer {
		return fmt.Errorf("the metadata of %q says issuer %q (RFC 8414 §3.3)", issuer, c.Server.Issuer)
	}
	if !slices.Contains(c.Server.ChallengeMethods, "S256") {
		return errors.New("the server does not offer PKCE with S256")
	}
	return nil
}

func (c *Client) document(ctx context.Context, what, target string, into any) error {
	resp, body, err := c.send(ctx, what, http.MethodGet, target, "", "", http.Header{"Accept": {"application/json"}, "Mcp-Protocol-Version": {protocolVersion}})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", what, resp.StatusCode)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// parameter reads a quoted parameter of a challenge the way deployed clients
// do: the first occurrence of name="value".
func parameter(challenge, name string) (string, bool) {
	_, rest, ok := strings.Cut(challenge, name+`="`)
	if !ok || !strings.HasPrefix(challenge, "Bearer ") {
		return "", false
	}
	value, _, ok := strings.Cut(rest, `"`)
	return value, ok
}
