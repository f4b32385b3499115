package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"
)

// goSDK runs the official Go SDK's client, registered dynamically, or by a
// metadata document where one is named.
func goSDK(document string) func(context.Context, string) error {
	return func(ctx context.Context, mcpURL string) error {
		refreshed := &hastened{}
		visits := 0
		config := &auth.AuthorizationCodeHandlerConfig{
			RedirectURL: redirect, RequestRefreshToken: true,
			AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
				visits++
				q, err := approve(ctx, args.URL)
				if err != nil {
					return nil, err
				}
				return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
			},
			NewTokenSource: refreshed.source,
		}
		if document != "" {
			config.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: document}
		} else {
			config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName: "go-sdk", RedirectURIs: []string{redirect}, GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
			}}
		}
		handler, err := auth.NewAuthorizationCodeHandler(config)
		if err != nil {
			return err
		}
		c := mcp.NewClient(&mcp.Implementation{Name: "conformance", Version: "1"}, nil)
		session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: mcpURL, OAuthHandler: handler, HTTPClient: &http.Client{Timeout: time.Minute}}, nil)
		if err != nil {
			return err
		}
		defer func() { _ = session.Close() }()
		for range 2 {
			result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "gmail_search_threads", Arguments: map[string]any{"query": "budget"}})
			if err != nil {
				return err
			}
			text, ok := result.Content[0].(*mcp.TextContent)
			if !ok || result.IsError || !strings.Contains(text.Text, "alice@example.com") {
				return errors.New("the tool's result is not alice's")
			}
			refreshed.expire()
		}
		if visits != 1 || refreshed.count < 2 {
			return fmt.Errorf("%d visits of the person, %d refresh tokens seen", visits, refreshed.count)
		}
		return nil
	}
}

// hastened is x/oauth2's token source whose token can be made to expire at once.
type hastened struct {
	config *oauth2.Config
	ctx    context.Context //nolint:containedctx // as x/oauth2 keeps it
	now    *oauth2.Token
	count  int // different refresh tokens
}

func (h *hastened) source(ctx context.Context, config *oauth2.Config, t *oauth2.Token) (oauth2.TokenSource, error) {
	h.ctx, h.config, h.now, h.count = ctx, config, t, 1
	return h, nil
}

func (h *hastened) expire() { h.now.Expiry = time.Now().Add(-time.Minute) }

// Token refreshes when the token at hand has expired.
func (h *hastened) Token() (*oauth2.Token, error) {
	t, err := h.config.TokenSource(h.ctx, h.now).Token()
	if err != nil {
		return nil, err
	}
	if t.RefreshToken != h.now.RefreshToken {
		h.count++
	}
	copied := *t
	h.now = &copied
	return t, nil
}
