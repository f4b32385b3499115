package exchange_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

func key(t *testing.T) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: "rs-1", Algorithm: string(jose.ES256)}
}

// client calls a server that answers with h.
func client(t *testing.T, k jose.JSONWebKey, h http.HandlerFunc) (*exchange.Client, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := exchange.NewClient(exchange.ClientConfig{Endpoint: s.URL + exchange.Path, ClientID: "rs", Key: k})
	if err != nil {
		t.Fatal(err)
	}
	return c, s.URL
}

func full() exchange.Request {
	return exchange.Request{
		SubjectToken: secret.NewText("subject-token"), Scopes: oauth.NewScopes("b", "a"), Account: "acc_1", MinTTL: 2 * time.Minute,
		ForceRefresh: true, GrantVersion: 7, Tool: "gmail_search_threads", RequestID: "r1",
	}
}

// TestAssertion: RFC 7523 §3: signed by our key, for this endpoint, short-lived,
// never twice the same.
func TestAssertion(t *testing.T) {
	t.Parallel()
	k := key(t)
	seen := map[string]bool{}
	c, base := client(t, k, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != exchange.Path || r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.Header.Get("Authorization") != "" {
			t.Error("form:", r.Method, r.URL)
		}
		token, err := jwt.ParseSigned(r.FormValue("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Error(err)
			return
		}
		var claims jwt.Claims
		if err := token.Claims(k.Public(), &claims); err != nil || token.Headers[0].KeyID != "rs-1" {
			t.Error("signature", err)
		}
		if claims.Issuer != "rs" || claims.Subject != "rs" || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) != exchange.AssertionLifetime || seen[claims.ID] || claims.ID == "" {
			t.Errorf("claims: %+v", claims)
		}
		if err := claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{"http://" + r.Host + exchange.Path}, Time: time.Now()}); err != nil {
			t.Error(err)
		}
		seen[claims.ID] = true
		_, _ = w.Write([]byte(`{"access_token":"g","token_type":"Bearer","expires_in":3599,"scope":"a b","account":"acc_1","grant_version":7,"cache_ttl":240,"unknown":1}`))
	})
	for range 3 {
		r, err := c.Exchange(t.Context(), full())
		if err != nil || r.AccessToken != "g" || r.GrantVersion != 7 || r.CacheTTL != 240 || r.ExpiresIn != 3599 {
			t.Error(base, r, err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d assertions", len(seen))
	}
}

// TestAnswers: every answer becomes one error the caller can act on; what is none
// of ours is an outage and never a reason to sign in again (DESIGN §1.5).
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   exchange.Error // Description, Cause and Status are not compared
	}{
		"interaction": {400, `{"error":"interaction_required","error_code":"missing_google_scopes","interaction_uri":"https://a/i","missing_scopes":["x"],"account":"acc_1"}`,
			exchange.Error{Code: oauth.InteractionRequired, Reason: exchange.MissingGoogleScopes, InteractionURI: "https://a/i", MissingScopes: []string{"x"}, Account: "acc_1"}},
		"scope":                     {403, `{"error":"insufficient_scope","scope":"gmail.read"}`, exchange.Error{Code: oauth.InsufficientScope, Scope: "gmail.read"}},
		"accounts":                  {400, `{"error":"account_selection_required","accounts":[{"handle":"acc_1","alias":"work"}]}`, exchange.Error{Code: exchange.AccountSelectionRequired, Accounts: []exchange.Account{{Handle: "acc_1", Alias: "work"}}}},
		"invalid_grant":             {400, `{"error":"invalid_grant"}`, exchange.Error{Code: oauth.InvalidGrant}},
		"retry_after":               {503, `{"error":"temporarily_unavailable","retry_after":9}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 9}},
		"server_error":              {500, `{"error":"server_error"}`, exchange.Error{Code: oauth.ServerError, RetryAfter: 4}},
		"Retry-After header":        {429, `{"error":"slow_down"}`, exchange.Error{Code: oauth.SlowDown, RetryAfter: 4}},
		"absurd retry_after":        {503, `{"error":"temporarily_unavailable","retry_after":99999999}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 3600}},
		"invalid_grant with a 500":  {500, `{"error":"invalid_grant"}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
		"HTML of a proxy":           {502, `<html>Bad Gateway`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
		"200 without a token":       {200, `{}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
		"200 with a broken body":    {200, `{"access_token":"g"`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
		"404 of something else":     {404, `{"message":"no"}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
		"an error larger than 64 k": {400, `{"error":"invalid_grant","error_description":"` + strings.Repeat("a", 70<<10) + `"}`, exchange.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 2}},
	} {
		cl, _ := client(t, key(t), func(w http.ResponseWriter, _ *http.Request) {
			if c.want.RetryAfter == 4 {
				w.Header().Set("Retry-After", "4")
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := cl.Exchange(t.Context(), full())
		var e *exchange.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := *e
		got.Description, got.Cause, got.Status = "", nil, 0
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestUnreachable: no server, an outage; and the error does not carry the token.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	c, err := exchange.NewClient(exchange.ClientConfig{Endpoint: "http://127.0.0.1:1" + exchange.Path, ClientID: "rs", Key: key(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Exchange(t.Context(), full())
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != oauth.TemporarilyUnavailable || strings.Contains(err.Error(), "subject-token") {
		t.Error(err)
	}
}

// TestNoRedirect: a redirect would carry subject token and assertion to another host.
func TestNoRedirect(t *testing.T) {
	t.Parallel()
	var reached bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(other.Close)
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		c, _ := client(t, key(t), func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := c.Exchange(t.Context(), full()); err == nil || reached {
			t.Errorf("%d: followed (%v)", status, err)
		}
	}
}

// TestNewClient: what the client cannot work with is refused at start.
func TestNewClient(t *testing.T) {
	t.Parallel()
	good := key(t)
	unnamed := good
	unnamed.KeyID = ""
	for name, c := range map[string]exchange.ClientConfig{
		"no endpoint": {ClientID: "rs", Key: good}, "no client id": {Endpoint: "http://x", Key: good}, "public key": {Endpoint: "http://x", ClientID: "rs", Key: good.Public()},
		"no key id": {Endpoint: "http://x", ClientID: "rs", Key: unnamed}, "no key": {Endpoint: "http://x", ClientID: "rs"},
	} {
		if _, err := exchange.NewClient(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
