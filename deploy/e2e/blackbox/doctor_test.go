package blackbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/pgcluster"
	"latchkey/deploy/dev/stack"
	"latchkey/deploy/dev/testcert"
)

// front is a reverse proxy in front of a server, which a test can break.
type front struct {
	URL   string
	to    atomic.Pointer[url.URL]
	spoil atomic.Pointer[spoil]
}

// spoil is what is wrong with a proxy; each field may be nil.
type spoil struct {
	request  func(*httputil.ProxyRequest)
	response func(*http.Response)
	instead  http.HandlerFunc
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to := f.to.Load() // set before anybody asks
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			if s := f.spoil.Load(); s != nil && s.request != nil {
				s.request(r)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if s := f.spoil.Load(); s != nil && s.response != nil {
				s.response(r)
			}
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := f.spoil.Load(); s != nil && s.instead != nil {
			s.instead(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// lead makes the proxy lead to one of the listeners.
func (f *front) lead(t *testing.T, listeners []string, name string) {
	t.Helper()
	to, err := url.Parse("http://" + setting(&stack.Process{Env: listeners}, name))
	must(t, err)
	f.to.Store(to)
}

// finding is a step of the doctor's report.
type finding struct{ Step, State, Found, Advice string }

// examine runs authserver doctor and returns its report.
func examine(t *testing.T, program string, env []string, args ...string) (report []finding, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"doctor", "--json"}, args...)...)
	cmd.Env = append([]string{}, env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		must(t, err)
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errOut.String())
	}
	return report, code
}

// TestDoctor: a whole system is well; of each broken one the doctor names the one step that is wrong, in words that say what it is and what to do,
// and no secret.
func TestDoctor(t *testing.T) {
	t.Parallel()
	as, rs := newFront(t), newFront(t)
	listen, err := listeners()
	must(t, err)
	as.lead(t, listen, "AS_LISTEN")
	rs.lead(t, listen, "RS_LISTEN")
	s := own(t, append(listen, "ISSUER="+as.URL, "RESOURCE_URL="+rs.URL+"/mcp", "RATE_LIMIT_SCALE=100")...)
	program, env, mcpURL := s.AS.Args[0], s.AS.Env, rs.URL+"/mcp"
	secrets := []string{setting(s.AS, "GOOGLE_CLIENT_SECRET"), "wrong-secret-canary"}

	for name, args := range map[string][]string{"from inside": nil, "from outside": {mcpURL}} {
		report, code := examine(t, program, env, args...)
		for _, f := range report {
			if f.State != "ok" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if code != 0 || len(report) < 15 {
			t.Errorf("%s: exit code %d, %d steps", name, code, len(report))
		}
	}

	s.Google.AddClient(fakegoogle.Client{ID: "without-redirect", Secret: "s"})
	key := filepath.Join(t.TempDir(), "kek.json")
	must(t, exec.Command(program, "keys", "init", "--kek-file", key).Run())
	ca := testcert.New(t)
	secure := func(change func(*x509.Certificate), names ...string) string {
		pair := ca.Issue(t, change, names...)
		certificate, err := tls.LoadX509KeyPair(pair.CertFile, pair.KeyFile)
		must(t, err)
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		server.Config.ErrorLog = nil
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL + "/mcp"
	}
	const closed = "127.0.0.1:1"             // no system gives this port to anyone by chance
	dir, err := os.MkdirTemp(work, "doctor") // the database's user passes through
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	other, err := pgcluster.Start(t.Context(), pgcluster.Config{Dir: filepath.Join(dir, "pg"), BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	must(t, err)
	t.Cleanup(func() { _ = other.Close() })
	replace := func(path string, with func(body []byte) []byte) func(*http.Response) {
		return func(r *http.Response) {
			if !strings.HasPrefix(r.Request.URL.Path, path) {
				return
			}
			b, _ := io.ReadAll(r.Body)
			b = with(b)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			r.Header.Del("Content-Length")
		}
	}
	for name, row := range map[string]struct {
		as, rs *spoil
		env    []string // beside the server's
		args   []string
		step   string
		words  []string
	}{
		"name that does not resolve": {args: []string{"https://mcp.nowhere.invalid/mcp"}, step: "name of the resource server", words: []string{"does not resolve", "DNS"}},
		"nothing listens":            {args: []string{"http://" + closed + "/mcp"}, step: "connection to the resource server", words: []string{closed, "firewall"}},
		"certificate has ended": {args: []string{"--ca-file", ca.File, secure(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.Add(-48*time.Hour), c.NotAfter.Add(-48*time.Hour)
		}, "127.0.0.1")},
			step: "certificate of the resource server", words: []string{"valid from", "Renew"}},
		"certificate of another name":         {args: []string{"--ca-file", ca.File, secure(nil, "other.example")}, step: "certificate of the resource server", words: []string{"other.example", "127.0.0.1"}},
		"authority that is not known":         {args: []string{secure(nil, "127.0.0.1")}, step: "certificate of the resource server", words: []string{"authority", "SSL_CERT_FILE"}},
		"plain http where the URL says https": {args: []string{strings.Replace(mcpURL, "http:", "https:", 1)}, step: "certificate of the resource server", words: []string{"does not speak TLS"}},
		"another path":                        {args: []string{mcpURL + "/other"}, step: "answer without a token", words: []string{"404", "RESOURCE_URL"}},
		"proxy changes the Host header": {rs: &spoil{request: func(r *httputil.ProxyRequest) { r.Out.Host = "rs.internal" }}, args: []string{mcpURL},
			step: "answer without a token", words: []string{"403", "Host header"}},
		"proxy removes WWW-Authenticate": {rs: &spoil{response: func(r *http.Response) { r.Header.Del("WWW-Authenticate") }}, args: []string{mcpURL},
			step: "answer without a token", words: []string{"no WWW-Authenticate"}},
		"proxy removes Authorization": {rs: &spoil{request: func(r *httputil.ProxyRequest) { r.Out.Header.Del("Authorization") }}, args: []string{mcpURL},
			step: "way of the Authorization header", words: []string{"Authorization header"}},
		"proxy redirects": {rs: &spoil{instead: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://www.example.com/mcp", http.StatusMovedPermanently)
		}},
			args: []string{mcpURL}, step: "answer without a token", words: []string{"redirect (301)", "https://www.example.com/mcp"}},
		"proxy reaches nobody": {rs: &spoil{instead: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }},
			args: []string{mcpURL}, step: "answer without a token", words: []string{"502", "readyz"}},
		"clock is an hour off": {rs: &spoil{response: func(r *http.Response) { r.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) }},
			args: []string{mcpURL}, step: "clock of the resource server", words: []string{"1h0m", "NTP"}},
		"resource metadata is about another URL": {rs: &spoil{response: replace("/.well-known/oauth-protected-resource", func(b []byte) []byte {
			return bytes.Replace(b, []byte(mcpURL), []byte("https://mcp.example.com/mcp"), 1)
		})}, args: []string{mcpURL}, step: "protected resource metadata", words: []string{"https://mcp.example.com/mcp", "to the letter"}},
		"proxy keeps the server's metadata back": {as: &spoil{request: func(r *httputil.ProxyRequest) {
			if strings.HasPrefix(r.In.URL.Path, "/.well-known/") {
				r.Out.URL.Path = "/gone"
			}
		}}, args: []string{mcpURL}, step: "metadata of the authorization server", words: []string{"404", "/.well-known/oauth-authorization-server"}},
		"issuers differ by a slash": {as: &spoil{response: replace("/.well-known/oauth-authorization-server", func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"issuer":"`+as.URL+`"`), []byte(`"issuer":"`+as.URL+`/"`), 1)
		})}, args: []string{mcpURL}, step: "metadata of the authorization server", words: []string{as.URL + `/"`, "ISSUER"}},
		"login in front of the token endpoint": {as: &spoil{response: func(r *http.Response) {
			if r.Request.URL.Path == "/token" {
				r.StatusCode = http.StatusForbidden
			}
		}}, args: []string{mcpURL}, step: "token endpoint", words: []string{"403", "POST"}},

		"setting missing":          {env: []string{"GOOGLE_CLIENT_ID="}, step: "settings", words: []string{"GOOGLE_CLIENT_ID"}},
		"database away":            {env: []string{"DATABASE_URL=postgres://nobody@" + closed + "/latchkey"}, step: "schema", words: []string{"does not answer", "DATABASE_URL"}},
		"schema behind":            {env: []string{"DATABASE_URL=" + other.DSN(pgcluster.Database)}, step: "schema", words: []string{"authserver migrate up"}},
		"wrong key-encryption key": {env: []string{"KEK_FILE=" + key}, step: "what is sealed", words: []string{"another key-encryption key", "KEK_FILE"}},
		"key file lost":            {env: []string{"KEK_FILE=" + key + ".gone"}, step: "key-encryption key", words: []string{"KEK_FILE"}},
		"resource server's keys":   {env: []string{"RS_JWKS_FILE=" + key}, step: "keys of the resource server", words: []string{"RS_JWKS_FILE", "resourceserver keys init"}},
		"no such tenant":           {args: []string{"--tenant", "acme"}, step: "tenant", words: []string{`"acme"`, "tenants list"}},
		"Google client secret":     {env: []string{"GOOGLE_CLIENT_SECRET=wrong-secret-canary"}, step: "Google: client secret", words: []string{"invalid_client", "GOOGLE_CLIENT_SECRET"}},
		"redirect URI at Google": {env: []string{"GOOGLE_CLIENT_ID=without-redirect", "GOOGLE_CLIENT_SECRET=s"}, step: "Google: redirect URI",
			words: []string{as.URL + "/google/callback", "Google Cloud console"}},
	} {
		t.Run(name, func(t *testing.T) {
			as.spoil.Store(row.as)
			rs.spoil.Store(row.rs)
			defer as.spoil.Store(nil)
			defer rs.spoil.Store(nil)
			with := append([]string{}, env...)
			for _, pair := range row.env {
				with = replaced(with, pair)
			}
			report, code := examine(t, program, with, row.args...)
			failed := 0
			for _, f := range report {
				if f.State != "FAIL" {
					continue
				}
				if failed++; f.Step != row.step || f.Advice == "" {
					t.Errorf("%+v", f)
				}
				for _, word := range row.words {
					if !strings.Contains(f.Found+" "+f.Advice, word) {
						t.Errorf("%q lacks %q", f.Found+" "+f.Advice, word)
					}
				}
			}
			if failed != 1 || code != 1 {
				t.Errorf("%d steps failed, exit code %d: %+v", failed, code, report)
			}
			b, _ := json.Marshal(report)
			for _, secret := range secrets {
				if bytes.Contains(b, []byte(secret)) {
					t.Error("the report holds a secret")
				}
			}
		})
	}

	t.Run("internal URL leads nowhere", func(t *testing.T) { // the server itself may run elsewhere: a warning
		report, code := examine(t, program, replaced(append([]string{}, env...), "AS_INTERNAL_URL=http://"+closed))
		for _, f := range report {
			if (f.State == "warn") != (f.Step == "internal listener") {
				t.Errorf("%+v", f)
			}
		}
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}
