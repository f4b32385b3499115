package smoke_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/deploy/dev/smoke"
)

// server is a resource and an authorization server that can lie.
type server struct {
	*httptest.Server
	resource, issuer, challenge string // "" for the truth
	methods                     []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{methods: []string{"S256"}}
	mux := http.NewServeMux()
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	or := func(lie, truth string) string {
		if lie != "" {
			return lie
		}
		return truth
	}
	mux.HandleFunc("POST /mcp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", or(s.challenge, `Bearer scope="gmail.read", resource_metadata="`+s.URL+`/prm"`))
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("GET /prm", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"resource": or(s.resource, s.URL+"/mcp"), "authorization_servers": []string{s.URL}})
	})
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": or(s.issuer, s.URL), "authorization_endpoint": s.URL + "/authorize", "code_challenge_methods_supported": s.methods,
		})
	})
	return s
}

// TestBelievesNoLie: a smoke test that believes everything shows nothing.
func TestBelievesNoLie(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		lie  func(*server)
		want string // in the error; "" for none
	}{
		"honest":                             {func(*server) {}, ""},
		"RFC 9728 §3.3 other resource":       {func(s *server) { s.resource = "https://other.example/mcp" }, "other.example"},
		"RFC 8414 §3.3 other issuer":         {func(s *server) { s.issuer = "https://other.example" }, "other.example"},
		"RFC 9728 §5.1 no metadata":          {func(s *server) { s.challenge = `Bearer scope="x"` }, "resource_metadata"},
		"challenge of another scheme first":  {func(s *server) { s.challenge = `Basic realm="x", Bearer resource_metadata="x"` }, "resource_metadata"},
		"RFC 9700 §2.1.1 only PKCE by plain": {func(s *server) { s.methods = []string{"plain"} }, "S256"},
	} {
		s := newServer(t)
		row.lie(s)
		c, err := smoke.New(smoke.Config{MCPURL: s.URL + "/mcp"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Discover(t.Context()); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChecksTheResponse: state, then iss (RFC 9207 §2.4), before a code is
// believed; and none of it is printed.
func TestChecksTheResponse(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var out bytes.Buffer
	c, err := smoke.New(smoke.Config{MCPURL: s.URL + "/mcp", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		change func(url.Values)
		ok     bool
	}{
		"right":         {func(url.Values) {}, true},
		"no state":      {func(q url.Values) { q.Del("state") }, false},
		"another state": {func(q url.Values) { q.Set("state", "x") }, false},
		"no iss":        {func(q url.Values) { q.Del("iss") }, false},
		"another iss":   {func(q url.Values) { q.Set("iss", "https://other.example") }, false},
		"error":         {func(q url.Values) { q.Set("error", "access_denied") }, false},
		"no code":       {func(q url.Values) { q.Del("code") }, false},
	} {
		q := url.Values{"state": {"the-state"}, "iss": {s.URL}, "code": {"canary-code"}}
		row.change(q)
		if err := c.Accept(q, "the-state"); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(out.String(), "canary") {
		t.Errorf("a code was printed: %s", out.String())
	}
}

// TestRegistersWhenItCan: RFC 9110 §10.2.3: an answer that says when to come again is
// no failure; one that does not is.
func TestRegistersWhenItCan(t *testing.T) {
	t.Parallel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked++; asked {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"client_id":"c"}`))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	c, err := smoke.New(smoke.Config{MCPURL: s.URL + "/mcp"})
	if err != nil {
		t.Fatal(err)
	}
	c.Server.RegistrationEndpoint = s.URL
	if err := c.Register(t.Context()); err != nil || asked != 2 {
		t.Errorf("%v after %d requests", err, asked)
	}
	if err := c.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "503") || asked != 3 {
		t.Errorf("%v after %d requests", err, asked)
	}
}
