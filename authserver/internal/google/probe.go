package google

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// What a probe finds out about a client at Google.
var (
	ErrRedirectURI   = errors.New("google does not know the redirect URI")
	ErrUnknownClient = errors.New("google does not know the client")
	// ErrPage is an error page that names neither.
	ErrPage = errors.New("google shows an error page")
)

// RedirectURL is our callback, as it must be registered at Google.
func (c *Client) RedirectURL() string { return c.config.RedirectURL }

// ProbePage asks Google's authorization endpoint for its first page, as a browser
// does, and nobody signs in. Google shows a page about a client or redirect URI
// that it does not know, at once or after a redirect to its own error page, whose
// address carries the error's name. It returns ErrRedirectURI, ErrUnknownClient
// or ErrPage, or that Google was not reached.
func (c *Client) ProbePage(ctx context.Context) error {
	to := c.AuthURL(AuthRequest{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return withoutQuery(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body) // bounded by the transport
	if err != nil {
		return withoutQuery(err)
	}
	text := string(body)
	failed := resp.StatusCode >= 400
	if location, err := resp.Location(); err == nil {
		if location.Host == req.URL.Host && strings.HasSuffix(location.Path, "/error") {
			failed = true
		}
		text = nameOf(location)
	}
	switch {
	case !failed:
		return nil
	case strings.Contains(text, "redirect_uri_mismatch"):
		return ErrRedirectURI
	case strings.Contains(text, "invalid_client"), strings.Contains(text, "deleted_client"):
		return ErrUnknownClient
	}
	return fmt.Errorf("%w (%d)", ErrPage, resp.StatusCode)
}

// nameOf reads the error's name from the address of Google's error page: it is in
// authError, encoded as base64.
func nameOf(u *url.URL) string {
	value := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(u.Query().Get("authError"))
	b, _ := base64.RawStdEncoding.DecodeString(value)
	return string(b)
}

// withoutQuery leaves the request's address out of an error.
func withoutQuery(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// ProbeSecret asks Google's token endpoint to redeem a code that does not exist:
// it says invalid_grant to a client whose secret is right, invalid_client to any
// other. nil means that the secret is right; the error is an *Error.
func (c *Client) ProbeSecret(ctx context.Context) error {
	_, err := c.Exchange(ctx, "doctor-"+rand.Text(), oauth2.GenerateVerifier())
	if err == nil || ClassOf(err) == InvalidGrant {
		return nil
	}
	return err
}
