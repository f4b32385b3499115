// Command goclients runs Go clients that others wrote against an MCP URL, from
// the 401 to a tool result and through a refresh: mcp-go's client, the official
// Go SDK's, and golang.org/x/oauth2 with plain HTTP.
// usage: goclients MCP_URL DOCUMENT_URL
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/oauth2"

	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

const redirect = "http://127.0.0.1:1/callback"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	for _, c := range []struct {
		name string
		run  func(ctx context.Context, mcpURL string) error
	}{
		{"mcp-go", mcpGo}, {"golang.org/x/oauth2", plainOAuth2},
		{"official go-sdk, dynamic", goSDK("")}, {"official go-sdk, document", goSDK(os.Args[2])},
	} {
		if err := c.run(ctx, os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
			os.Exit(1)
		}
		fmt.Println("  " + c.name + ": 401, tool result, refresh, tool result")
	}
}

// approve plays the person and returns the authorization response.
func approve(ctx context.Context, authorizeURL string) (url.Values, error) {
	b := browser.New()
	b.Stop = func(u *url.URL) bool { return strings.HasPrefix(u.String(), redirect) }
	p, err := b.Get(ctx, authorizeURL)
	if err != nil {
		return nil, err
	}
	f, button, ok := p.Button("decision", "approve")
	if !ok {
		return nil, fmt.Errorf("no consent page: status %d", p.Status)
	}
	if p, err = b.Submit(ctx, p, f, button); err != nil {
		return nil, err
	}
	if p, err = fakegoogle.Proceed(ctx, b, p, fakegoogle.Choice{}); err != nil {
		return nil, err
	}
	return p.URL.Query(), nil
}

func mcpGo(ctx context.Context, mcpURL string) error {
	store := transport.NewMemoryTokenStore()
	c, err := client.NewOAuthStreamableHttpClient(mcpURL, client.OAuthConfig{RedirectURI: redirect, TokenStore: store, PKCEEnabled: true, Scopes: []string{"gmail.read", "accounts"}})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	initialize := mcp.InitializeRequest{}
	initialize.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	initialize.Params.ClientInfo = mcp.Implementation{Name: "conformance", Version: "1"}
	start := func() error {
		if err := c.Start(ctx); err != nil {
			return err
		}
		_, err := c.Initialize(ctx, initialize)
		return err
	}
	err = start()
	if !client.IsOAuthAuthorizationRequiredError(err) {
		return fmt.Errorf("no request for authorization without a token: %v", err)
	}
	handler := client.GetOAuthHandler(err)
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	if err := handler.RegisterClient(ctx, "mcp-go"); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	authorizeURL, err := handler.GetAuthorizationURL(ctx, state, oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		return err
	}
	response, err := approve(ctx, authorizeURL)
	if err != nil {
		return err
	}
	if err := handler.ProcessAuthorizationResponse(ctx, response.Get("code"), response.Get("state"), verifier); err != nil {
		return fmt.Errorf("redeeming: %w", err)
	}
	if err := start(); err != nil {
		return err
	}
	call := mcp.CallToolRequest{}
	call.Params.Name, call.Params.Arguments = "gmail_search_threads", map[string]any{"query": "budget"}
	read := func() error {
		result, err := c.CallTool(ctx, call)
		if err != nil {
			return err
		}
		text, ok := result.Content[0].(mcp.TextContent)
		if !ok || result.IsError || !strings.Contains(text.Text, "alice@example.com") {
			return errors.New("the tool's result is not alice's")
		}
		return nil
	}
	if err := read(); err != nil {
		return err
	}
	before, err := store.GetToken(ctx)
	if err != nil {
		return err
	}
	old := *before
	old.ExpiresAt = time.Now().Add(-time.Minute) // the client refreshes before it sends
	if err := store.SaveToken(ctx, &old); err != nil {
		return err
	}
	if err := read(); err != nil {
		return fmt.Errorf("after a refresh: %w", err)
	}
	if after, err := store.GetToken(ctx); err != nil || after.RefreshToken == old.RefreshToken {
		return fmt.Errorf("the refresh token was not rotated: %v", err)
	}
	return nil
}

func plainOAuth2(ctx context.Context, mcpURL string) error {
	resp, err := http.Post(mcpURL, "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("without a token: status %d", resp.StatusCode)
	}
	_, after, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	metadataURL, _, _ := strings.Cut(after, `"`)
	var prm struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers"`
	}
	if err := getJSON(metadataURL, &prm); err != nil {
		return err
	}
	var as struct {
		AuthorizationEndpoint string `json:"authorization_endpoint"`
		TokenEndpoint         string `json:"token_endpoint"`
		RegistrationEndpoint  string `json:"registration_endpoint"`
	}
	if err := getJSON(prm.AuthorizationServers[0]+"/.well-known/oauth-authorization-server", &as); err != nil {
		return err
	}
	resp, err = http.Post(as.RegistrationEndpoint, "application/json", strings.NewReader(`{"redirect_uris":["`+redirect+`"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`))
	if err != nil {
		return err
	}
	var registered struct {
		ClientID string `json:"client_id"`
	}
	if err := decode(resp, &registered); err != nil {
		return err
	}
	// AuthStyle is left to x/oauth2, which first probes with Basic and no secret.
	config := oauth2.Config{ClientID: registered.ClientID, RedirectURL: redirect, Scopes: []string{"gmail.read"}, Endpoint: oauth2.Endpoint{AuthURL: as.AuthorizationEndpoint, TokenURL: as.TokenEndpoint}}
	verifier := oauth2.GenerateVerifier()
	response, err := approve(ctx, config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", prm.Resource)))
	if err != nil {
		return err
	}
	token, err := config.Exchange(ctx, response.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return err
	}
	if err := callTool(ctx, config.Client(ctx, token), mcpURL); err != nil {
		return err
	}
	expired := *token
	expired.Expiry = time.Now().Add(-time.Minute)
	source := config.TokenSource(ctx, &expired)
	fresh, err := source.Token()
	if err != nil || fresh.RefreshToken == token.RefreshToken {
		return fmt.Errorf("refresh: %v", err)
	}
	return callTool(ctx, oauth2.NewClient(ctx, source), mcpURL)
}

func callTool(ctx context.Context, c *http.Client, mcpURL string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, mcpURL, bytes.NewReader([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gmail_search_threads","arguments":{"query":"budget"}}}`)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("MCP-Protocol-Version", "2025-06-18")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("alice@example.com")) {
		return fmt.Errorf("the tool answered status %d: %.200s", resp.StatusCode, body)
	}
	return nil
}

func getJSON(target string, into any) error {
	resp, err := http.Get(target)
	if err != nil {
		return err
	}
	return decode(resp, into)
}

func decode(resp *http.Response, into any) error {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode > 299 {
		return fmt.Errorf("%s answered status %d", resp.Request.URL, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
