package provider_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/provider"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// FuzzTokenForm: whatever the body and the Authorization header, a token request
// is one of the three grants of one named client, or the protocol's own error.
func FuzzTokenForm(f *testing.F) {
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		f.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		f.Fatal(err)
	}
	t1 := &tenant.Tenant{ID: tenant.DefaultID, Issuer: issuer, Resources: []tenant.Resource{{Canonical: resource}}}
	for _, seed := range [][2]string{
		{"grant_type=authorization_code&code=lkc_x&client_id=c1&code_verifier=v&redirect_uri=http://127.0.0.1/cb", ""},
		{"grant_type=refresh_token&refresh_token=lkr_x&scope=gmail.read%20offline_access&resource=https://mcp.example.com/mcp", "Basic YzE6c2VjcmV0"},
		{"grant_type=client_credentials&client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ""},
		{"grant_type=password&username=u&password=p&client_id=c1", "Bearer x"},
		{"grant_type=authorization_code&grant_type=refresh_token&code=%zz;&client_id=", "Basic Og=="},
	} {
		f.Add(seed[0], seed[1])
	}
	grants := []string{"authorization_code", "refresh_token", "client_credentials"}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r := httptest.NewRequest("POST", "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header["Authorization"] = []string{authorization}
		if authorization == "" {
			r.Header.Del("Authorization")
		}
		grantType, clientID, err := provider.ParseToken(t1, httptest.NewRecorder(), r)
		var e *oauth.Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.HTTPStatus() >= 500):
			t.Errorf("not the protocol's error: %v", err)
		case err == nil && (clientID == "" || !slices.Contains(grants, grantType)):
			t.Errorf("accepted grant %q of client %q", grantType, clientID)
		case err == nil:
			form, _ := url.ParseQuery(body)
			for name, values := range form { // OAuth 2.1 §3.2
				if len(values) > 1 && (slices.Contains(provider.SingleValued, name) || name == "resource") {
					t.Errorf("accepted %s %d times", name, len(values))
				}
			}
		}
	})
}
