package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/discovery"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// document reads a JSON document.
func document(t *testing.T, body string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("not JSON: %s", body)
	}
	return m
}

func texts(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, one := range list {
		s, _ := one.(string)
		out = append(out, s)
	}
	return out
}

var wellKnown = []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}

// TestRowsDiscovery: PROTOCOL 1.1 against a running server.
func TestRowsDiscovery(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	got := ask(t, http.MethodGet, s.URL+wellKnown[0], "")
	m := document(t, got.Body)
	t.Run("AS-D1 AS-D2 the document is served and names its own issuer", func(t *testing.T) {
		for _, path := range wellKnown {
			a := ask(t, http.MethodGet, s.URL+path, "")
			if a.Status != 200 || a.Header.Get("Content-Type") != "application/json" || document(t, a.Body)["issuer"] != s.URL {
				t.Errorf("%s: %d %v %s", path, a.Status, a.Header, a.Body)
			}
		}
		if strings.HasSuffix(s.URL, "/") || !strings.Contains(got.Body, `"issuer":"`+s.URL+`"`) {
			t.Error("the issuer is not spelled byte for byte")
		}
	})
	t.Run("AS-D4 other places are a clean 404", func(t *testing.T) {
		for _, path := range []string{"/.well-known/oauth-authorization-server/t/nobody", "/.well-known/oauth-authorization-server/", "/.well-known/oauth-authorization-server/mcp",
			"/.well-known/openid-configuration/t/nobody", "/t/nobody/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/t/default"} {
			a := ask(t, http.MethodGet, s.URL+path, "")
			if a.Status != http.StatusNotFound || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d %s", path, a.Status, a.Header.Get("Location"))
			}
			if strings.HasPrefix(path, wellKnown[0]) && a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s", path, a.Header.Get("Content-Type"))
			}
		}
	})
	t.Run("AS-D5 required members, nothing empty", func(t *testing.T) {
		for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "response_types_supported"} {
			if m[name] == nil {
				t.Errorf("no %s", name)
			}
		}
		if !slices.Equal(texts(m["response_types_supported"]), []string{"code"}) {
			t.Errorf("response types %v", m["response_types_supported"])
		}
		for name, v := range m {
			list, isList := v.([]any)
			if v == nil || v == "" || isList && len(list) == 0 {
				t.Errorf("%s is empty", name)
			}
		}
	})
	t.Run("AS-D6 A7 S256 and nothing else", func(t *testing.T) {
		if !slices.Equal(texts(m["code_challenge_methods_supported"]), []string{"S256"}) {
			t.Error(m["code_challenge_methods_supported"])
		}
	})
	t.Run("AS-D8 client ID metadata documents are advertised", func(t *testing.T) {
		if m["client_id_metadata_document_supported"] != true || !slices.Contains(texts(m["token_endpoint_auth_methods_supported"]), "none") { // PROTOCOL 3.6 no. 10
			t.Error(m["client_id_metadata_document_supported"])
		}
	})
	t.Run("AS-D7 iss is advertised and sent", func(t *testing.T) {
		v := s.NewVisit(t)
		v.Deny = true
		if q, _ := s.Walk(t, v); m["authorization_response_iss_parameter_supported"] != true || q.Get("iss") != m["issuer"] {
			t.Error(m["authorization_response_iss_parameter_supported"], q)
		}
	})
	t.Run("AS-D9 A27 algorithms are listed wherever private_key_jwt is, and only asymmetric ones", func(t *testing.T) {
		for _, endpoint := range []string{"token", "revocation", "introspection"} {
			algs := texts(m[endpoint+"_endpoint_auth_signing_alg_values_supported"])
			if !slices.Contains(texts(m[endpoint+"_endpoint_auth_methods_supported"]), "private_key_jwt") || !slices.Contains(algs, "ES256") {
				t.Errorf("%s: %v", endpoint, algs)
			}
			for _, alg := range algs {
				if !slices.Contains([]string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "PS256"}, alg) {
					t.Errorf("%s lists %s", endpoint, alg)
				}
			}
		}
		if slices.Contains(texts(m["introspection_endpoint_auth_methods_supported"]), "none") {
			t.Error("introspection is advertised to public clients")
		}
	})
	t.Run("AS-D10 what is supported is published, and works", func(t *testing.T) {
		for name, want := range map[string][]string{
			"grant_types_supported":                 {"authorization_code", "refresh_token", "client_credentials"},
			"token_endpoint_auth_methods_supported": {"none", "client_secret_basic", "client_secret_post", "private_key_jwt"},
			"scopes_supported":                      {"gmail.read", "offline_access"}, "response_modes_supported": {"query"},
		} {
			for _, one := range want {
				if !slices.Contains(texts(m[name]), one) {
					t.Errorf("%s lacks %s: %v", name, one, m[name])
				}
			}
		}
		for name, path := range map[string]string{ // the paths that clients without metadata use (PROTOCOL 3.6 no. 16)
			"authorization_endpoint": "/authorize", "token_endpoint": "/token", "registration_endpoint": "/register", "jwks_uri": "/jwks",
			"revocation_endpoint": "/revoke", "introspection_endpoint": "/introspect", "pushed_authorization_request_endpoint": "/par",
		} {
			if m[name] != s.URL+path {
				t.Errorf("%s: %v", name, m[name])
			}
		}
		for name, v := range m {
			u, _ := v.(string)
			if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
				continue
			}
			if a := ask(t, http.MethodGet, u, ""); a.Status == http.StatusNotFound || a.Status >= 500 {
				t.Errorf("%s is advertised and answers %d", name, a.Status)
			}
		}
	})
	t.Run("AS-D11 every endpoint has the issuer's origin", func(t *testing.T) {
		for name, v := range m {
			if u, _ := v.(string); (strings.HasSuffix(name, "_endpoint") || strings.HasSuffix(name, "_uri")) && !strings.HasPrefix(u, s.URL+"/") {
				t.Errorf("%s: %v", name, v)
			}
		}
	})
	t.Run("AS-D12 the OpenID document has OpenID's members", func(t *testing.T) {
		open := document(t, ask(t, http.MethodGet, s.URL+wellKnown[1], "").Body)
		for _, name := range []string{"jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported", "code_challenge_methods_supported"} {
			if open[name] == nil {
				t.Errorf("no %s", name)
			}
		}
	})
	t.Run("AS-D13 protected resources and the optional endpoint are listed, nothing that is not served", func(t *testing.T) {
		if status, _ := s.Post(t, "/par", formType, visit(s.Register(t), authtest.Redirect).Query.Encode()); status != http.StatusCreated || m["pushed_authorization_request_endpoint"] == nil {
			t.Errorf("pushed requests: %d, advertised %v", status, m["pushed_authorization_request_endpoint"])
		}
		if !slices.Equal(texts(m["protected_resources"]), []string{authtest.Resource, authtest.Resource + "/gmail", authtest.Resource + "/drive", authtest.Resource + "/calendar", authtest.Resource + "/chat"}) {
			t.Error(m["protected_resources"])
		}
		for _, name := range []string{"dpop_signing_alg_values_supported", "device_authorization_endpoint", "userinfo_endpoint", "end_session_endpoint"} {
			if m[name] != nil {
				t.Errorf("%s is advertised and not served", name)
			}
		}
	})
	t.Run("AS-D14 CORS at machine endpoints only", func(t *testing.T) {
		machine := []string{wellKnown[0], wellKnown[1], "/jwks", "/token", "/register"}
		for name, v := range m {
			if path, ok := strings.CutPrefix(v2s(v), s.URL); ok && strings.HasSuffix(name, "_endpoint") && name != "authorization_endpoint" {
				machine = append(machine, path)
			}
		}
		for _, path := range machine {
			for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
				a := ask(t, method, s.URL+path, "", "Origin", "https://inspector.example", "Access-Control-Request-Method", "POST")
				if a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Access-Control-Allow-Credentials") != "" || method == http.MethodOptions && a.Status != http.StatusNoContent {
					t.Errorf("%s %s: %d %v", method, path, a.Status, a.Header)
				}
			}
		}
		for _, path := range []string{"/authorize", "/authorize/consent", "/google/callback", "/nothing"} {
			for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
				a := ask(t, method, s.URL+path, "", "Origin", "https://inspector.example", "Access-Control-Request-Method", "POST")
				for name := range a.Header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s %s: %s", method, path, name)
					}
				}
			}
		}
	})
}

func v2s(v any) string { s, _ := v.(string); return s }

// TestRowsDiscoveryOfTenants: PROTOCOL AS-D4 with an issuer that has a path.
func TestRowsDiscoveryOfTenants(t *testing.T) {
	t.Parallel()
	issuer := func(s string) oauth.IssuerURL {
		i, err := oauth.ParseIssuerURL(s)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	directory, err := tenant.NewDirectory(
		&tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Issuer: issuer("https://auth.example.com")},
		&tenant.Tenant{ID: tenant.FromUUID(uuid.Must(uuid.NewV7())), Slug: "acme", Issuer: issuer("https://auth.example.com/t/acme")},
		&tenant.Tenant{ID: tenant.FromUUID(uuid.Must(uuid.NewV7())), Slug: "own", Issuer: issuer("https://own.example.com")},
	)
	if err != nil {
		t.Fatal(err)
	}
	h := &discovery.Handler{Tenants: func() *tenant.Directory { return directory }}
	get := func(name, path string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.Inserted(name)(rec, httptest.NewRequest(http.MethodGet, "https://evil.example/.well-known/"+name+path, nil))
		return rec
	}
	t.Run("AS-D4 AS-D2 an issuer with a path is found by insertion only under that path", func(t *testing.T) {
		for _, name := range []string{"oauth-authorization-server", "openid-configuration"} {
			for path, want := range map[string]string{
				"": "https://auth.example.com", "/t/acme": "https://auth.example.com/t/acme", "/t/acme/": "", "/t/own": "", "/t/default": "", "/t/ACME": "", "/t/acme/x": "", "/t": "",
			} {
				rec := get(name, path)
				if want == "" {
					if rec.Code != http.StatusNotFound {
						t.Errorf("%s%s: %d", name, path, rec.Code)
					}
					continue
				}
				m := document(t, rec.Body.String())
				if rec.Code != 200 || m["issuer"] != want || m["token_endpoint"] != want+"/token" {
					t.Errorf("%s%s: %d %s", name, path, rec.Code, rec.Body)
				}
			}
		}
	})
	t.Run("A25 the document of a request to another host is the same", func(t *testing.T) {
		if m := document(t, get("oauth-authorization-server", "").Body.String()); m["issuer"] != "https://auth.example.com" {
			t.Error(m["issuer"])
		}
	})
}
