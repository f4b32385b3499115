package google

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

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// Timeout bounds every call to Google, and all attempts of a refresh together.
// It must stay below the lease of a refresh, which a test of package connection
// asserts.
const Timeout = 8 * time.Second

const (
	maxBodyBytes   = 1 << 20
	maxRefreshLife = 10 * 365 * 24 * time.Hour
)

// Config configures a Client; every field but HTTP and Now is required.
type Config struct {
	ClientID     string
	ClientSecret secret.Text
	Issuer       string // of ID tokens
	AuthURL      string
	TokenURL     string
	JWKSURL      string
	RevokeURL    string
	RedirectURL  string // our callback, as registered at Google
	HTTP         *http.Client
	Now          func() time.Time
}

// Client speaks to Google with one OAuth client. Safe for concurrent use.
type Client struct {
	id        string
	issuer    string
	config    oauth2.Config
	revokeURL string
	http      *http.Client
	verifier  *oidc.IDTokenVerifier
	now       func() time.Time
}

// New returns a client. It does not call Google: endpoints are settings, and a
// server starts while Google is away. Proxy and roots are Go's defaults
// (DESIGN §7).
func New(c Config) *Client {
	if c.HTTP == nil {
		c.HTTP = NewHTTP()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	keys := oidc.ClientContext(context.Background(), c.HTTP) // lives as long as the client: key sets are fetched later
	provider := (&oidc.ProviderConfig{IssuerURL: c.Issuer, AuthURL: c.AuthURL, TokenURL: c.TokenURL, JWKSURL: c.JWKSURL, Algorithms: []string{oidc.RS256}}).NewProvider(keys)
	return &Client{
		id: c.ClientID, issuer: c.Issuer, http: c.HTTP, revokeURL: c.RevokeURL, now: c.Now,
		config: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), RedirectURL: c.RedirectURL,
			Endpoint: oauth2.Endpoint{AuthURL: c.AuthURL, TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
		},
		verifier: provider.VerifierContext(keys, &oidc.Config{ClientID: c.ClientID, SupportedSigningAlgs: []string{oidc.RS256}, Now: c.Now}),
	}
}

// NewHTTP returns the HTTP client for Google's machine endpoints; several clients
// may share one.
func NewHTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 32
	return &http.Client{
		Timeout: Timeout, Transport: boundedBody{t},
		// A machine endpoint that redirects is not the one that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// boundedBody limits every response body, that of the key set included.
type boundedBody struct{ next http.RoundTripper }

func (b boundedBody) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxBodyBytes), resp.Body}
	}
	return resp, err
}

// ID is the OAuth client id at Google: tokens it minted work with no other.
func (c *Client) ID() string { return c.id }

// Answers reports whether an authorization response may be Google's: one that names
// its issuer names this one (RFC 9207 §2.4), which Google spells in two ways (OpenID
// Connect Core, as it does in ID tokens). Google sends the name without announcing
// it, so a response without is one too.
func (c *Client) Answers(iss []string) bool {
	return len(iss) == 0 || len(iss) == 1 && (iss[0] == c.issuer || "https://"+iss[0] == c.issuer)
}

// AuthRequest is one trip of a person to Google.
type AuthRequest struct {
	State        string
	Nonce        string
	Verifier     string       // PKCE; only its S256 challenge is sent
	Scopes       oauth.Scopes // Google scopes beyond those of the sign-in
	LoginHint    string
	Offline      bool // a refresh token is wanted
	ForceConsent bool // Google must ask again: only when no refresh token is stored

	SelectAccount bool // the person chooses the account again
}

// AuthURL returns where to send the person (DESIGN §5).
func (c *Client) AuthURL(r AuthRequest) string {
	options := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(r.Verifier),
		oauth2.SetAuthURLParam("nonce", r.Nonce),
		oauth2.SetAuthURLParam("include_granted_scopes", "true"),
	}
	if r.Offline {
		options = append(options, oauth2.AccessTypeOffline)
	}
	if r.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", r.LoginHint))
	}
	var prompts []string
	if r.ForceConsent {
		prompts = append(prompts, "consent")
	}
	if r.SelectAccount {
		prompts = append(prompts, "select_account")
	}
	if len(prompts) > 0 {
		options = append(options, oauth2.SetAuthURLParam("prompt", strings.Join(prompts, " ")))
	}
	config := c.config
	config.Scopes = r.Scopes.Union(oauth.NewScopes(scope.Identity()...)).Slice()
	return config.AuthCodeURL(r.State, options...)
}

// Tokens are what Google's token endpoint gave.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text // empty when Google sent none: keep the stored one
	ID      secret.Text // empty on refresh
	Expires time.Time   // of Access
	Scopes  oauth.Scopes

	// RefreshExpires is when Google ends the stored refresh token: seven days after
	// the sign-in for a client in testing mode. Zero: Google names no end.
	RefreshExpires time.Time
}

// Exchange redeems Google's authorization code. The error is an *Error.
func (c *Client) Exchange(ctx context.Context, code, verifier string) (*Tokens, error) {
	token, err := c.config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, c.http), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, classify(err)
	}
	return c.tokens(token, secret.Text{})
}

// Refresh gets a fresh access token, for the given scopes only unless they are
// empty (RFC 6749 §6). The error is an *Error. x/oauth2 sends no scope on
// refresh, so the request is made here.
func (c *Client) Refresh(ctx context.Context, refresh secret.Text, scopes oauth.Scopes) (*Tokens, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}, "client_id": {c.id}, "client_secret": {c.config.ClientSecret},
	}
	if !scopes.Empty() {
		form.Set("scope", scopes.String())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.Endpoint.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &Error{Class: Transient, cause: fmt.Errorf("building refresh: %w", err)}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes))
	if err != nil {
		return nil, classify(err)
	}
	var out struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int64  `json:"expires_in"`
		Scope   string `json:"scope"`
		Ends    any    `json:"refresh_token_expires_in"`
		Error   string `json:"error"`
	}
	err = json.Unmarshal(body, &out)
	if resp.StatusCode != http.StatusOK || err != nil || out.Access == "" || out.Expires <= 0 {
		return nil, classify(&oauth2.RetrieveError{Response: resp, Body: body, ErrorCode: out.Error})
	}
	token := (&oauth2.Token{AccessToken: out.Access, RefreshToken: out.Refresh, Expiry: c.now().Add(time.Duration(out.Expires) * time.Second)}).
		WithExtra(map[string]any{"scope": out.Scope, "refresh_token_expires_in": out.Ends})
	return c.tokens(token, refresh)
}

func (c *Client) tokens(token *oauth2.Token, previous secret.Text) (*Tokens, error) {
	t := &Tokens{Access: secret.NewText(token.AccessToken), Expires: token.Expiry}
	// x/oauth2 carries the old refresh token over; report only a new one.
	if fresh := secret.NewText(token.RefreshToken); !fresh.Empty() && !fresh.Equal(previous) {
		t.Refresh = fresh
	}
	if id, ok := token.Extra("id_token").(string); ok {
		t.ID = secret.NewText(id)
	}
	granted, _ := token.Extra("scope").(string) // RFC 6749 §5.1: what was really granted
	scopes, err := oauth.ParseScopes(granted)
	if err != nil {
		return nil, &Error{Class: Transient, cause: fmt.Errorf("parsing granted scopes: %w", err)}
	}
	t.Scopes = scopes
	// A value that makes no sense is none: the person is not warned of an end that
	// Google did not name.
	if seconds, ok := token.Extra("refresh_token_expires_in").(float64); ok && seconds >= 1 && seconds < maxRefreshLife.Seconds() {
		t.RefreshExpires = c.now().Add(time.Duration(seconds) * time.Second)
	}
	if t.Expires.IsZero() {
		return nil, &Error{Class: Transient, cause: errors.New("the answer has no expires_in")}
	}
	return t, nil
}

// Identity is who signed in. Subject is the key; the e-mail address is only
// shown (OpenID Connect Core §5.7).
type Identity struct {
	Subject      string
	Email        string
	HostedDomain string // hd claim: the Workspace domain, "" for personal accounts
}

// ErrIdentity says that an ID token is not proof of who signed in.
var ErrIdentity = errors.New("google's ID token was refused")

// Verify checks an ID token (OpenID Connect Core §3.1.3.7): signature, iss,
// aud, azp, exp and nonce, and that Google verified the e-mail address. The
// error wraps ErrIdentity when the token is at fault, and is an *Error of class
// Transient when Google's keys cannot be read.
func (c *Client) Verify(ctx context.Context, idToken secret.Text, nonce string) (*Identity, error) {
	if idToken.Empty() || nonce == "" {
		return nil, fmt.Errorf("%w: no token or no nonce", ErrIdentity)
	}
	token, err := c.verifier.Verify(oidc.ClientContext(ctx, c.http), idToken.Reveal())
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") { // go-oidc has no type for it
			return nil, &Error{Class: Transient, cause: errors.New("google's key set cannot be read")}
		}
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if !secret.NewText(token.Nonce).Equal(secret.NewText(nonce)) {
		return nil, fmt.Errorf("%w: nonce", ErrIdentity)
	}
	var claims struct {
		Party         string `json:"azp"`
		Email         string `json:"email"`
		EmailVerified any    `json:"email_verified"`
		HostedDomain  string `json:"hd"`
	}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: claims", ErrIdentity)
	}
	if len(token.Audience) != 1 || (claims.Party != "" && claims.Party != c.id) {
		return nil, fmt.Errorf("%w: aud or azp", ErrIdentity)
	}
	// Only the JSON boolean: "true" and 1 have been mistaken for it (PEERS A21).
	if verified, ok := claims.EmailVerified.(bool); !ok || !verified {
		return nil, fmt.Errorf("%w: e-mail address is not verified", ErrIdentity)
	}
	if token.Subject == "" || len(token.Subject) > 255 || claims.Email == "" || len(claims.Email) > 320 || len(claims.HostedDomain) > 255 {
		return nil, fmt.Errorf("%w: sub, email or hd", ErrIdentity)
	}
	return &Identity{Subject: token.Subject, Email: claims.Email, HostedDomain: claims.HostedDomain}, nil
}

// Revoke ends a token at Google; revoking a refresh token ends the whole grant
// of this client. A token that Google does not know counts as revoked.
func (c *Client) Revoke(ctx context.Context, token secret.Text) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.revokeURL, strings.NewReader(url.Values{"token": {token.Reveal()}}.Encode()))
	if err != nil {
		return fmt.Errorf("building revocation: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(req)
	if err != nil {
		return &Error{Class: Transient, cause: err}
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusBadRequest {
		return nil
	}
	return &Error{Class: Transient, Code: fmt.Sprintf("status_%d", resp.StatusCode)}
}
