package google_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"latchkey/authserver/internal/google"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const (
	clientID = "google-id"
	callback = "http://127.0.0.1:7/google/callback"
	mailRead = "https://www.googleapis.com/auth/gmail.readonly"
)

func config(base string) google.Config {
	return google.Config{
		ClientID: clientID, ClientSecret: secret.NewText("google-secret"), Issuer: base, AuthURL: base + "/o/oauth2/v2/auth",
		TokenURL: base + "/token", JWKSURL: base + "/oauth2/v3/certs", RevokeURL: base + "/revoke", RedirectURL: callback,
	}
}

// TestSignInRefreshRevoke: the whole life of a credential against the stand-in.
func TestSignInRefreshRevoke(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	fake := fakegoogle.Start(t, fakegoogle.Config{Clients: []fakegoogle.Client{{ID: clientID, Secret: "google-secret", RedirectURIs: []string{callback}}}})
	c := google.New(config(fake.URL))
	verifier := oauth2.GenerateVerifier()
	ask := google.AuthRequest{State: "s-1", Nonce: "n-1", Verifier: verifier, Scopes: oauth.NewScopes(mailRead), Offline: true, LoginHint: "bob@example.com"}
	back, err := fakegoogle.SignIn(ctx, c.AuthURL(ask), fakegoogle.Choice{Account: "bob@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if back.Query().Get("state") != "s-1" {
		t.Error("state is lost")
	}
	code := back.Query().Get("code")
	if _, err := c.Exchange(ctx, code, oauth2.GenerateVerifier()); google.ClassOf(err) != google.InvalidGrant {
		t.Errorf("RFC 7636 §4.6: another verifier: %v", err)
	}
	tokens, err := c.Exchange(ctx, code, verifier)
	if err != nil {
		t.Fatal(err)
	}
	if tokens.Access.Empty() || tokens.Refresh.Empty() || !tokens.Scopes.Contains(mailRead) || time.Until(tokens.Expires) < 50*time.Minute {
		t.Errorf("tokens: scopes %v, expires %v", tokens.Scopes, tokens.Expires)
	}
	who, err := c.Verify(ctx, tokens.ID, "n-1")
	if err != nil || who.Email != "bob@example.com" || who.HostedDomain != "example.com" || who.Subject == "" {
		t.Errorf("identity: %v", err)
	}
	fresh, err := c.Refresh(ctx, tokens.Refresh, oauth.Scopes{})
	if err != nil {
		t.Fatal(err)
	}
	if !fresh.Refresh.Empty() || fresh.Access.Equal(tokens.Access) || !fresh.Scopes.Equal(tokens.Scopes) {
		t.Error("a refresh gives a new access token for the same scopes and no refresh token")
	}
	less, err := c.Refresh(ctx, tokens.Refresh, oauth.NewScopes("openid"))
	if err != nil || !less.Scopes.Equal(oauth.NewScopes("openid")) {
		t.Errorf("RFC 6749 §6: a refresh for less: %v", err)
	}
	for range 2 { // a token that Google no longer knows counts as revoked
		if err := c.Revoke(ctx, tokens.Refresh); err != nil {
			t.Errorf("revoking: %v", err)
		}
	}
	if _, err := c.Refresh(ctx, tokens.Refresh, oauth.Scopes{}); google.ClassOf(err) != google.InvalidGrant {
		t.Errorf("after revoking: %v", err)
	}
}

// TestAuthURL: DESIGN §5: PKCE, nonce, incremental scopes; the consent page is forced only when wanted.
func TestAuthURL(t *testing.T) {
	t.Parallel()
	c := google.New(config("https://google.test"))
	query := func(r google.AuthRequest) url.Values {
		u, err := url.Parse(c.AuthURL(r))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	r := google.AuthRequest{State: "s", Nonce: "n", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", Scopes: oauth.NewScopes(mailRead)}
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": callback, "state": "s", "nonce": "n", "code_challenge_method": "S256",
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", // RFC 7636 appendix B
		"scope":          "email " + mailRead + " openid profile", "include_granted_scopes": "true",
		"prompt": "", "access_type": "", "login_hint": "", "client_secret": "", "code_verifier": "",
	} {
		if got := query(r).Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	r.Offline, r.ForceConsent, r.LoginHint = true, true, "bob@example.com"
	if q := query(r); q.Get("access_type") != "offline" || q.Get("prompt") != "consent" || q.Get("login_hint") != "bob@example.com" {
		t.Errorf("offline with forced consent: %v", q)
	}
}

const canary = "1//canary-7d1f"

// TestClasses: DESIGN §6: what each answer of the token endpoint means for a credential, and that no token of the request comes back in an error text.
func TestClasses(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(strings.ReplaceAll(body, "ECHO", r.PostFormValue("refresh_token")+r.PostFormValue("code")+r.PostFormValue("client_secret"))))
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    google.Class
	}{
		"revoked":                    {answer(400, `{"error":"invalid_grant","error_description":"ECHO"}`), google.InvalidGrant},
		"session policy":             {answer(400, `{"error":"invalid_grant","error_subtype":"invalid_rapt","error_description":"ECHO"}`), google.ReauthPolicy},
		"session policy, other name": {answer(400, `{"error":"invalid_grant","error_subtype":"rapt_required"}`), google.ReauthPolicy},
		"unknown subtype":            {answer(400, `{"error":"invalid_grant","error_subtype":"something"}`), google.InvalidGrant},
		"secret is wrong":            {answer(401, `{"error":"invalid_client","error_description":"ECHO"}`), google.Configuration},
		"client may not refresh":     {answer(401, `{"error":"unauthorized_client"}`), google.Configuration},
		"client deleted":             {answer(401, `{"error":"deleted_client"}`), google.Configuration},
		"client disabled by Google":  {answer(401, `{"error":"disabled_client"}`), google.Configuration},
		"more than it covers":        {answer(400, `{"error":"invalid_scope"}`), google.ScopeRefused},
		"administrator":              {answer(400, `{"error":"admin_policy_enforced"}`), google.AdminBlocked},
		"for another organisation":   {answer(400, `{"error":"org_internal"}`), google.AdminBlocked},
		"outage":                     {answer(503, `{"error":"internal_failure","error_description":"ECHO"}`), google.Transient},
		"outage that says revoked":   {answer(500, `{"error":"invalid_grant"}`), google.Transient},
		"too many calls":             {answer(429, `{"error":"invalid_grant"}`), google.Transient},
		"proxy page":                 {answer(403, `<html>ECHO</html>`), google.Transient},
		"portal page":                {answer(200, `<html>ECHO</html>`), google.Transient},
		"unknown code":               {answer(400, `{"error":"ECHO"}`), google.Transient},
		"error of another shape":     {answer(400, `{"error":{"code":400,"message":"ECHO"}}`), google.Transient},
		"no access token":            {answer(200, `{"expires_in":3600,"scope":"openid"}`), google.Transient},
		"no lifetime":                {answer(200, `{"access_token":"a","token_type":"Bearer","scope":"openid"}`), google.Transient},
		"malformed scopes":           {answer(200, `{"access_token":"a","token_type":"Bearer","expires_in":3600,"scope":"\"ECHO"}`), google.Transient},
		"endless body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"access_token":"`))
			for range 2 << 10 {
				if _, err := w.Write([]byte(strings.Repeat("a", 1<<10))); err != nil {
					return
				}
			}
			_, _ = w.Write([]byte(`","token_type":"Bearer","expires_in":3600,"scope":"openid"}`))
		}, google.Transient},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, google.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			cfg := config(server.URL)
			cfg.ClientSecret = secret.NewText(canary)
			client := google.New(cfg)
			_, refreshErr := client.Refresh(t.Context(), secret.NewText(canary), oauth.Scopes{})
			_, exchangeErr := client.Exchange(t.Context(), canary, canary)
			for call, err := range map[string]error{"refresh": refreshErr, "exchange": exchangeErr} {
				if err == nil || google.ClassOf(err) != c.want {
					t.Errorf("%s: class %s, want %s: %v", call, google.ClassOf(err), c.want, err)
				}
				for ; err != nil; err = unwrap(err) {
					if strings.Contains(err.Error(), "canary") {
						t.Errorf("%s: a secret is in the error text %q", call, err)
					}
				}
			}
		})
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// TestRetryAfter: an outage says when to come back, a refusal does not, and nobody is kept away for longer than a minute.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		after  string
		want   time.Duration
	}{
		{503, "7", 7 * time.Second}, {429, "7", 7 * time.Second}, {503, "86400", time.Minute}, {503, "", 0}, {503, "soon", 0}, {400, "7", 0},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", row.after)
			w.WriteHeader(row.status)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		}))
		t.Cleanup(server.Close)
		_, err := google.New(config(server.URL)).Refresh(t.Context(), secret.NewText("r"), oauth.Scopes{})
		if got := google.RetryAfter(err); err == nil || got != row.want {
			t.Errorf("%d with %q: %v, want %v", row.status, row.after, got, row.want)
		}
	}
}

// TestTestingMode: Google names the end of a refresh token of a client in testing mode; what makes no sense is no end.
func TestTestingMode(t *testing.T) {
	t.Parallel()
	fake := fakegoogle.Start(t, fakegoogle.Config{Clients: []fakegoogle.Client{{ID: clientID, Secret: "google-secret", RedirectURIs: []string{callback}, Testing: 7 * 24 * time.Hour}}})
	c := google.New(config(fake.URL))
	verifier := oauth2.GenerateVerifier()
	back, err := fakegoogle.SignIn(t.Context(), c.AuthURL(google.AuthRequest{State: "s", Nonce: "n", Verifier: verifier, Scopes: oauth.NewScopes(mailRead), Offline: true}), fakegoogle.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := c.Exchange(t.Context(), back.Query().Get("code"), verifier)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(tokens.RefreshExpires); left < 7*24*time.Hour-time.Minute || left > 7*24*time.Hour {
		t.Errorf("ends in %v", left)
	}
	for value, want := range map[string]bool{"3600": true, "0": false, "-1": false, `"3600"`: false, "null": false, "1e300": false, "{}": false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":3600,"scope":"openid","refresh_token_expires_in":` + value + `}`))
		}))
		t.Cleanup(server.Close)
		got, err := google.New(config(server.URL)).Refresh(t.Context(), secret.NewText("r"), oauth.Scopes{})
		if err != nil || got.RefreshExpires.IsZero() == want {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestTokenEndpointRedirects: a token endpoint that redirects gets no secret sent along (RFC 9700 §4.12: a 307 repeats the body).
func TestTokenEndpointRedirects(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	server := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	c := google.New(config(server.URL))
	_, refreshErr := c.Refresh(t.Context(), secret.NewText("r"), oauth.Scopes{})
	_, exchangeErr := c.Exchange(t.Context(), "code", "verifier")
	for _, err := range []error{refreshErr, exchangeErr, c.Revoke(t.Context(), secret.NewText("r"))} {
		if err == nil || google.ClassOf(err) != google.Transient {
			t.Errorf("a redirect answers %v", err)
		}
	}
	if stolen.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestHang: a Google that never answers ends with the caller's deadline, as transient.
func TestHang(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // the body must be read for the server to see the caller go
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := google.New(config(server.URL)).Refresh(ctx, secret.NewText("r"), oauth.Scopes{}); err == nil || google.ClassOf(err) != google.Transient {
		t.Errorf("a hanging Google: %v", err)
	}
}
