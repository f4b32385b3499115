package exchange

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/oauth"
)

// AssertionLifetime is how long a client assertion lives: one request.
const AssertionLifetime = 60 * time.Second

const maxRetryAfter = 3600 // seconds; a larger value is a mistake

// Client calls the exchange and follows the revocations. It authenticates with private_key_jwt
// (RFC 7523 §2.2): a fresh assertion per request, its jti used once.
type Client struct {
	endpoint string
	clientID string
	http     *http.Client
	signer   jose.Signer
	now      func() time.Time
}

// ClientConfig configures a Client; every field is required but HTTP and Now.
type ClientConfig struct {
	Endpoint string          // URL of the exchange, also the assertion's audience
	ClientID string          // the resource server's client id
	Key      jose.JSONWebKey // private key with kid and alg (ES256 or EdDSA)
	HTTP     *http.Client    // default: a client with Timeout
	Now      func() time.Time
}

// NewClient validates the configuration.
func NewClient(c ClientConfig) (*Client, error) {
	if c.Endpoint == "" || c.ClientID == "" {
		return nil, errors.New("exchange client needs an endpoint and a client id")
	}
	if c.Key.IsPublic() || !c.Key.Valid() || c.Key.KeyID == "" {
		return nil, errors.New("exchange client needs a private key with a key id")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(c.Key.Algorithm), Key: c.Key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("exchange client key: %w", err)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: Timeout}
	}
	// A redirect would carry the subject token and the assertion elsewhere.
	noRedirect := *c.HTTP
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Client{endpoint: c.Endpoint, clientID: c.ClientID, http: &noRedirect, signer: signer, now: c.Now}, nil
}

// Exchange returns a Google access token or an *Error. A transport failure or
// an answer that is none of ours becomes temporarily_unavailable, never a
// reason to sign in again.
func (c *Client) Exchange(ctx context.Context, r Request) (*Response, error) {
	body, err := c.post(ctx, c.endpoint, r.Form())
	if err != nil {
		return nil, err
	}
	var out Response
	if err := json.Unmarshal(body, &out); err != nil || out.AccessToken == "" {
		return nil, unavailable(errors.New("exchange answered 200 without a token"))
	}
	return &out, nil
}

// post sends a form with client authentication and returns the body of a 200.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values) ([]byte, error) {
	assertion, err := c.assertion(endpoint)
	if err != nil {
		return nil, fmt.Errorf("signing client assertion: %w", err)
	}
	form.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
	form.Set("client_assertion", assertion)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("building exchange request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBodyBytes))
	if err != nil {
		return nil, unavailable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	e := &Error{Status: resp.StatusCode}
	if err := json.Unmarshal(body, e); err != nil || e.Code == "" {
		return nil, unavailable(fmt.Errorf("exchange answered status %d without an OAuth error", resp.StatusCode))
	}
	// DESIGN §1.5: a failing server's words never end a session.
	if e.Status >= http.StatusInternalServerError && e.Code != oauth.ServerError && e.Code != oauth.TemporarilyUnavailable {
		return nil, unavailable(fmt.Errorf("exchange answered status %d with code %q", resp.StatusCode, e.Code))
	}
	if e.RetryAfter <= 0 {
		e.RetryAfter, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
	}
	e.RetryAfter = min(max(e.RetryAfter, 0), maxRetryAfter)
	return nil, e
}

// beside is the URL of another endpoint of the internal listener.
func (c *Client) beside(path string) (string, error) {
	base, ok := strings.CutSuffix(c.endpoint, Path)
	if !ok {
		return "", errors.New("the exchange's URL does not end in " + Path)
	}
	return base + path, nil
}

// get asks another endpoint of the internal listener, with an assertion for it as
// bearer token. etag is that of the answer known, "" for none.
func (c *Client) get(ctx context.Context, path, query, etag string) (*http.Response, error) {
	endpoint, err := c.beside(path)
	if err != nil {
		return nil, err
	}
	assertion, err := c.assertion(endpoint)
	if err != nil {
		return nil, fmt.Errorf("signing client assertion: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+query, nil)
	if err != nil {
		return nil, fmt.Errorf("building request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+assertion)
	req.Header.Set("Accept", "application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	return c.http.Do(req)
}

func unavailable(cause error) *Error {
	var urlErr *url.Error
	if errors.As(cause, &urlErr) { // keep the log line short: without the URL
		cause = urlErr.Err
	}
	return &Error{
		Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: 2,
		Description: "The authorization server cannot be reached right now.", Cause: cause,
	}
}

func (c *Client) assertion(audience string) (string, error) {
	now := c.now()
	return jwt.Signed(c.signer).Claims(jwt.Claims{
		Issuer: c.clientID, Subject: c.clientID, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(AssertionLifetime)),
	}).Serialize()
}
