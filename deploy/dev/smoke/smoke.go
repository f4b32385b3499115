package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultTool is the tool that Run calls: it reads something at Google.
const DefaultTool = "gmail_search_threads"

const (
	requestTimeout = 60 * time.Second
	maxBody        = 4 << 20
)

// Config configures a client. MCPURL is required.
type Config struct {
	MCPURL    string
	Tool      string          // default DefaultTool
	Arguments json.RawMessage // of the tool; default {}
	Scope     string          // to ask for; default: what the 401 names
	Account   string          // at the stand-in for Google; default alice@example.com
	Name      string          // of the client; default "Latchkey smoke client"

	// Person, if set, is handed the authorization URL in place of the built-in
	// browser, for pages that no program can fill in. The sign-in then waits for
	// the redirect until the context ends.
	Person func(authorizeURL string)
	// Out is told each step in one line; may be nil.
	Out io.Writer
}

// Client is one MCP client with its registration and tokens. The steps are
// called in the order of the methods Discover, Register, Authorize, Redeem;
// then Initialize, ListTools, CallTool and Refresh at will. Not safe for
// concurrent use.
type Client struct {
	config Config
	http   *http.Client

	// Found by Discover.
	Resource resourceMetadata
	Server   serverMetadata
	scope    string

	clientID     string
	redirectURI  string
	code         string
	verifier     string
	accessToken  string
	refreshToken string
	secrets      []string
	lastID       int
	session      string // the server's, "" if it keeps none
}

// New returns a client that has done nothing yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.MCPURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not an absolute MCP URL such as http://127.0.0.1:8090/mcp", c.MCPURL)
	}
	if c.Tool == "" {
		c.Tool = DefaultTool
	}
	if len(c.Arguments) == 0 {
		c.Arguments = json.RawMessage("{}")
	}
	if !json.Valid(c.Arguments) {
		return nil, errors.New("the tool's arguments are no JSON object")
	}
	if c.Account == "" {
		c.Account = "alice@example.com"
	}
	if c.Name == "" {
		c.Name = "Latchkey smoke client"
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	// Machine endpoints must not redirect (PROTOCOL 3.6 no. 17).
	return &Client{config: c, http: &http.Client{Timeout: requestTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Result is what a whole run found.
type Result struct {
	Issuer string
	Tools  []string
	Call   *ToolResult // the tool's answer after the refresh
	Took   time.Duration
}

// Run plays the whole flow and stops at the first step that goes wrong.
func Run(ctx context.Context, config Config) (*Result, error) {
	start := time.Now()
	c, err := New(config)
	if err != nil {
		return nil, err
	}
	if err := c.SignIn(ctx); err != nil {
		return nil, err
	}
	if err := c.Initialize(ctx); err != nil {
		return nil, err
	}
	tools, err := c.ListTools(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.CallTool(ctx, c.config.Tool, c.config.Arguments); err != nil {
		return nil, err
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	call, err := c.CallTool(ctx, c.config.Tool, c.config.Arguments)
	if err != nil {
		return nil, err
	}
	return &Result{Issuer: c.Server.Issuer, Tools: tools, Call: call, Took: time.Since(start)}, nil
}

// SignIn plays the steps up to the first access token.
func (c *Client) SignIn(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.Discover, c.Register, c.Authorize, c.Redeem} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// AccessToken is the one in use, for requests that a test makes itself.
func (c *Client) AccessToken() string { return c.accessToken }

// Secrets returns every secret the client has seen, for tests that look for
// them where they must not be.
func (c *Client) Secrets() []string { return c.secrets }

func (c *Client) secret(s string) string {
	if s != "" {
		c.secrets = append(c.secrets, s)
	}
	return s
}

// step prints one request: what for, where, and how it was answered. Queries
// are left out, because they carry codes and state.
func (c *Client) step(what, method string, u *url.URL, status int) {
	_, _ = fmt.Fprintf(c.config.Out, "  %-24s %-4s %s://%s%s -> %d\n", what, method, u.Scheme, u.Host, u.Path, status)
}

func (c *Client) note(what, text string) {
	_, _ = fmt.Fprintf(c.config.Out, "  %-24s %s\n", what, text)
}

// send makes a request and reads the bounded answer.
func (c *Client) send(ctx context.Context, what, method, target, contentType, body string, header http.Header) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.step(what, method, req.URL, resp.StatusCode)
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: reading the answer: %w", what, err)
	}
	return resp, content, nil
}
