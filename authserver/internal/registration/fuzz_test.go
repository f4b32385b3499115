package registration_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/registration"
	"latchkey/pkg/oauth"
)

// sound checks what every accepted client must hold, wherever it came from.
func sound(t *testing.T, c *client.Client) {
	t.Helper()
	if len(c.RedirectURIs) == 0 || len(c.RedirectURIs) > 20 || !c.Allows(oauth.GrantAuthorizationCode) || c.Allows(oauth.GrantClientCredentials) {
		t.Errorf("accepted %v %v", c.RedirectURIs, c.GrantTypes)
	}
	for _, uri := range c.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.User != nil || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http" && uri != registration.DefaultCustomRedirects[0]) {
			t.Errorf("accepted redirect URI %q", uri)
		}
		if u.Scheme == "http" && !oauth.LoopbackHost(u.Hostname()) {
			t.Errorf("accepted http at %q", uri)
		}
		if !c.MatchRedirect(uri) {
			t.Errorf("%q is registered but does not match itself", uri)
		}
	}
	if strings.ContainsFunc(c.Name, unicode.IsControl) || len(c.Name) > 200 {
		t.Errorf("accepted name %q", c.Name)
	}
	if (c.AuthMethod == oauth.AuthPrivateKeyJWT) != (c.JWKS != nil || c.JWKSURI != "") {
		t.Errorf("method %q with keys %v", c.AuthMethod, c.JWKS != nil || c.JWKSURI != "")
	}
}

// FuzzRegistration: whatever the body, what is registered is sound, or the error is RFC 7591's.
func FuzzRegistration(f *testing.F) {
	f.Add([]byte(`{"redirect_uris":["https://a.example/cb","http://localhost/cb"],"client_name":"x","token_endpoint_auth_method":"none","scope":""}`))
	f.Add([]byte(`{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback"],"grant_types":["authorization_code","refresh_token"],"jwks":{"keys":[]}}`))
	f.Add([]byte(`{"redirect_uris":null,"application_type":"web","response_types":["code"]}`))
	f.Add([]byte(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := registration.ReadMetadata(body, registration.DefaultCustomRedirects)
		if err != nil {
			var e *oauth.Error
			if errors.As(err, &e) && e.Code != oauth.InvalidClientMetadata && e.Code != oauth.InvalidRedirectURI {
				t.Errorf("%v", err)
			}
			return
		}
		sound(t, c)
	})
}

// FuzzDocument: whatever a document says, it is about its own address, brings no secret, and is sound.
func FuzzDocument(f *testing.F) {
	const id = "https://a.example/client.json"
	f.Add([]byte(`{"client_id":"https://a.example/client.json","client_name":"x","redirect_uris":["http://127.0.0.1/cb"]}`))
	f.Add([]byte(`{"client_id":"https://a.example/client.json","CLIENT_ID":"https://b.example/","client_name":"x","redirect_uris":["http://127.0.0.1/cb","weird://x"],"client_secret":null}`))
	f.Add([]byte(`{"client_id":"https://a.example/client.json","client_name":"x","redirect_uris":["https://b.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/jwks","token_endpoint_auth_methods_supported":["none"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := registration.ParseDocument(id, body, registration.DefaultCustomRedirects)
		if err != nil {
			var e *registration.DocumentError
			if !errors.As(err, &e) || e.PersonAdvice() == "" {
				t.Errorf("no words for a person: %v", err)
			}
			return
		}
		if c.ID != id || c.SecretHash != nil || c.Name == "" || (c.AuthMethod != oauth.AuthNone && c.AuthMethod != oauth.AuthPrivateKeyJWT) {
			t.Errorf("accepted %+v", c)
		}
		sound(t, c)
	})
}

// FuzzDocumentURL: an accepted address means the same to Go, to a browser and to the eye (PEERS A6, A12).
func FuzzDocumentURL(f *testing.F) {
	for _, s := range []string{"https://a.example/client.json", "https://a.example:8443/a/b?c", "https://a.example/../x", "https://a.example/%2e%2e/x", "https://u@a.example/x", `https://a.example\x`, "https://a.example", "HTTPS://a.example/x", "https://a.example/x#f", "https://a.example/\tx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if registration.CheckDocumentURL(s) != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Path == "" || u.Path == "/" || len(s) > registration.MaxDocumentURL {
			t.Fatalf("accepted %q, which Go reads as %v %v", s, u, err)
		}
		if labels := strings.Split(u.Hostname(), "."); labels[len(labels)-1] == "" || strings.ContainsAny(labels[len(labels)-1][:1], "0123456789") {
			return // browsers read such hosts as IPv4 addresses; the fetcher never goes there (outbound.FuzzURL)
		}
		w, err := whatwg.NewParser().Parse(s)
		if err != nil { // a browser cannot go there; neither can a client
			return
		}
		if !strings.EqualFold(w.Hostname(), u.Hostname()) || w.Username() != "" || w.Hash() != "" || w.Pathname() != u.EscapedPath() {
			t.Errorf("%q: Go reads %q %q, a browser %q %q", s, u.Host, u.EscapedPath(), w.Host(), w.Pathname())
		}
	})
}
