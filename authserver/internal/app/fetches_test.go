package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/pkg/oauth"
)

// TestFetchesHaveAnAuthor: AS-C12, PEERS A12: whoever makes this server ask strangers' hosts is counted for it, wherever they name them: as
// a client's document at an endpoint of machines, or as the keys of a client that anybody may register. Nobody has more than the
// budget of an address by that, nor uses up what others need.
func TestFetchesHaveAnAuthor(t *testing.T) {
	t.Parallel()
	const many, budget = 30, 15 + 10 // of an address at once, and what a slow test's seconds add
	var hosts []*authtest.DocumentHost
	s := authtest.Start(t, authtest.Limits(1), func(c *config.Server) {
		for range many {
			h := authtest.NewDocumentHost(t)
			hosts, c.TestHosts = append(hosts, h), append(c.TestHosts, h.Addr)
		}
	})
	key := authtest.ClientKey(t, "k")
	asked := func(path string) (n int) {
		for _, h := range hosts {
			n += h.Hits(path)
		}
		return n
	}
	for i, path := range []string{"/token", "/par", "/revoke", "/introspect"} {
		where := fmt.Sprintf("/client%d.json", i)
		for _, h := range hosts {
			form := url.Values{"client_id": {h.URL + where}, "grant_type": {string(oauth.GrantRefreshToken)}, "refresh_token": {"x"}, "token": {"x"}}
			send(t, http.MethodPost, s.URL+path, formType, form.Encode(), fmt.Sprintf("192.0.%d.1", i+2))
		}
		if n := asked(where); n == 0 || n > budget {
			t.Errorf("%s made the server ask %d hosts", path, n)
		}
	}
	var clients []string
	for i, h := range hosts {
		body := fmt.Sprintf(`{"redirect_uris":[%q],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":%q}`, authtest.Redirect, h.URL+"/keys.json")
		status, _, out := send(t, http.MethodPost, s.URL+"/register", "application/json", body, fmt.Sprintf("198.51.100.%d", i+1))
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, out)
		}
		clients = append(clients, document(t, out)["client_id"].(string))
	}
	for _, id := range clients {
		form := url.Values{"grant_type": {string(oauth.GrantRefreshToken)}, "refresh_token": {"x"}, "client_assertion_type": {oauth.ClientAssertionJWTBearer}, "client_assertion": {authtest.Assertion(t, key, id, s.URL, nil)}}
		send(t, http.MethodPost, s.URL+"/token", formType, form.Encode(), "203.0.113.1")
	}
	if n := asked("/keys.json"); n == 0 || n > budget {
		t.Errorf("keys of clients made the server ask %d hosts", n)
	}
}
