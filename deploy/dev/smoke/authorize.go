package smoke

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/deploy/dev/browser"
)

const maxPages = 6 // consent, chooser, Google's consent, and a second trip

// Register registers the client dynamically (RFC 7591), as a native app with
// a portless loopback redirect: the port is chosen per sign-in (RFC 8252 §7.3).
// While the server says that it cannot at the moment, it tries again when that said
// to (RFC 9110 §10.2.3), for a minute at most: registration is closed as long as the
// server cannot count, and just after a database is back it is not sure of it.
func (c *Client) Register(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{
		"client_name": c.config.Name, "redirect_uris": []string{"http://127.0.0.1/callback"}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "application_type": "native",
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, content, err := c.send(ctx, "registration", http.MethodPost, c.Server.RegistrationEndpoint, "application/json", string(body), nil)
	for err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		seconds, malformed := strconv.Atoi(resp.Header.Get("Retry-After"))
		if malformed != nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("registration: still unavailable: %w", ctx.Err())
		case <-time.After(time.Duration(min(max(seconds, 1), 10)) * time.Second):
		}
		resp, content, err = c.send(ctx, "registration", http.MethodPost, c.Server.RegistrationEndpoint, "application/json", string(body), nil)
	}
	if err != nil {
		return err
	}
	var out struct {
		ClientID string `json:"client_id"`
	}
	if resp.StatusCode != http.StatusCreated || json.Unmarshal(content, &out) != nil || out.ClientID == "" {
		return fmt.Errorf("registration: status %d, no client_id", resp.StatusCode)
	}
	c.clientID = out.ClientID
	return nil
}

// AuthorizeURL starts a new authorization: fresh PKCE verifier and state. Tests
// change the query before they use it.
func (c *Client) AuthorizeURL(redirectURI string) (authorizeURL *url.URL, state string, err error) {
	if authorizeURL, err = url.Parse(c.Server.AuthorizationEndpoint); err != nil {
		return nil, "", fmt.Errorf("authorization endpoint: %w", err)
	}
	c.verifier, state, c.redirectURI = c.secret(rand.Text()+rand.Text()), rand.Text(), redirectURI
	sum := sha256.Sum256([]byte(c.verifier))
	q := authorizeURL.Query()
	for k, v := range map[string]string{
		"response_type": "code", "client_id": c.clientID, "redirect_uri": redirectURI, "scope": c.scope, "state": state,
		"resource": c.Resource.Resource, "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
	} {
		q.Set(k, v)
	}
	authorizeURL.RawQuery = q.Encode()
	return authorizeURL, state, nil
}

// Authorize opens the authorization page, has the person agree at every page,
// and receives the code at a listener of its own.
func (c *Client) Authorize(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the callback: %w", err)
	}
	arrived := make(chan url.Values, 1)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		select {
		case arrived <- r.URL.Query():
		default: // a second visit changes nothing
		}
		_, _ = fmt.Fprintln(w, "Signed in. You may close this page.")
	})}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()

	target, state, err := c.AuthorizeURL("http://" + l.Addr().String() + "/callback")
	if err != nil {
		return err
	}
	if c.config.Person != nil {
		c.config.Person(target.String())
	} else if err := c.browse(ctx, target.String()); err != nil {
		return err
	}
	var q url.Values
	if c.config.Person == nil && len(arrived) == 0 {
		return errors.New("the browser came to an end without the redirect to the client")
	}
	select {
	case q = <-arrived:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the redirect: %w", ctx.Err())
	}
	return c.Accept(q, state)
}

// Accept checks an authorization response as a client must: state, and iss
// before anything else is believed (RFC 9207 §2.4).
func (c *Client) Accept(q url.Values, state string) error {
	if q.Get("state") != state {
		return errors.New("the redirect carries another state")
	}
	if q.Get("iss") != c.Server.Issuer {
		return fmt.Errorf("the redirect carries iss %q, not %q (RFC 9207 §2.4)", q.Get("iss"), c.Server.Issuer)
	}
	if e := q.Get("error"); e != "" {
		return fmt.Errorf("the server refused: %s: %s", e, q.Get("error_description"))
	}
	if c.code = c.secret(q.Get("code")); c.code == "" {
		return errors.New("the redirect carries no code")
	}
	c.note("redirect to the client", "state and iss are right")
	return nil
}

// browse is the person: agrees to everything, as the configured account.
func (c *Client) browse(ctx context.Context, target string) error {
	b := browser.New()
	b.Visited = func(method string, u *url.URL, status int) { c.step("browser", method, u, status) }
	p, err := b.Get(ctx, target)
	if err != nil {
		return fmt.Errorf("opening the authorization page: %w", err)
	}
	for range maxPages {
		f, button, ok := p.Button("account", c.config.Account)
		if !ok {
			f, button, ok = p.Button("decision", "approve")
		}
		if !ok {
			break
		}
		if p, err = b.Submit(ctx, p, f, button); err != nil {
			return fmt.Errorf("submitting a form: %w", err)
		}
	}
	if p.Status != http.StatusOK {
		return fmt.Errorf("the browser ended at %s%s with status %d", p.URL.Host, p.URL.Path, p.Status)
	}
	return nil
}

// RedeemForm is the token request for the code.
func (c *Client) RedeemForm() url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {c.code}, "redirect_uri": {c.redirectURI}, "client_id": {c.clientID},
		"code_verifier": {c.verifier}, "resource": {c.Resource.Resource},
	}
}

// RefreshForm is the token request for the refresh token.
func (c *Client) RefreshForm() url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refreshToken}, "client_id": {c.clientID}, "resource": {c.Resource.Resource}}
}

// Redeem turns the code into tokens.
func (c *Client) Redeem(ctx context.Context) error {
	return c.tokens(ctx, "code for tokens", c.RedeemForm())
}

// Refresh turns the refresh token into new tokens.
func (c *Client) Refresh(ctx context.Context) error { return c.tokens(ctx, "refresh", c.RefreshForm()) }

func (c *Client) tokens(ctx context.Context, what string, form url.Values) error {
	t, err := c.Token(ctx, what, form)
	if err != nil {
		return err
	}
	if t.Status != http.StatusOK || t.AccessToken == "" || !strings.EqualFold(t.TokenType, "Bearer") {
		return fmt.Errorf("%s: status %d, error %q: %s", what, t.Status, t.Error, t.Description)
	}
	if t.RefreshToken == "" {
		return fmt.Errorf("%s: the server gave no refresh token", what)
	}
	c.Use(t)
	return nil
}

// TokenAnswer is the token endpoint's answer, success or error.
type TokenAnswer struct {
	Status int         `json:"-"`
	Header http.Header `json:"-"`

	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// Token sends a form to the token endpoint and returns whatever it answers. It
// is safe for concurrent use.
func (c *Client) Token(ctx context.Context, what string, form url.Values) (*TokenAnswer, error) {
	resp, body, err := c.send(ctx, what, http.MethodPost, c.Server.TokenEndpoint, "application/x-www-form-urlencoded", form.Encode(), http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	t := &TokenAnswer{Status: resp.StatusCode, Header: resp.Header}
	if err := json.Unmarshal(body, t); err != nil {
		return nil, fmt.Errorf("%s: status %d with a body that is no JSON", what, resp.StatusCode)
	}
	return t, nil
}

// Use makes an answer's tokens the client's.
func (c *Client) Use(t *TokenAnswer) {
	c.accessToken, c.refreshToken = c.secret(t.AccessToken), c.secret(t.RefreshToken)
}
