package app_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/browser"
)

// The tests in rows_*_test.go hold docs/rows.tsv: the leading words of a
// subtest's name are the rows it stands for, and `make rows` reads them.

// answer is a response, read.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// ask sends one request and follows no redirect. header is name, value, …
func ask(t testing.TB, method, target, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

const formType = "application/x-www-form-urlencoded"

// page opens a visit's authorization request in a browser.
func page(t testing.TB, s *authtest.Server, b *browser.Browser, v *authtest.Visit) *browser.Page {
	t.Helper()
	p, err := b.Get(t.Context(), s.AuthorizeURL(v))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// callback plays the person up to Google's answer, which the browser does not
// follow, and returns its URL.
func callback(t testing.TB, s *authtest.Server, b *browser.Browser, v *authtest.Visit) *url.URL {
	t.Helper()
	stop := b.Stop
	b.Stop = func(u *url.URL) bool { return u.Path == "/google/callback" }
	defer func() { b.Stop = stop }()
	_, p := s.WalkWith(t, b, v)
	if p == nil || p.URL.Path != "/google/callback" {
		// WalkWith takes any stop for the client's redirect URI.
		t.Fatal("Google's answer did not come")
	}
	return p.URL
}

// follow opens a URL in a browser.
func follow(t testing.TB, b *browser.Browser, u string) *browser.Page {
	t.Helper()
	p, err := b.Get(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rowsOf counts a query's result as the owner of the database sees it for the
// default tenant.
func rowsOf(t testing.TB, dsn, query string, args ...any) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`} {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// copyOf serves a published document once more, with headers of its own.
func copyOf(t *testing.T, s *authtest.Server, header map[string]string) http.HandlerFunc {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Host.Roots}}}
	resp, err := c.Get(s.Host.URL + "/good.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for name, value := range header {
			w.Header().Set(name, value)
		}
		_, _ = w.Write(b)
	}
}

// closed is a server that admits no client ID metadata documents.
func closed(c *config.Server) { c.Documents.Mode = tenant.AdmitNone }
