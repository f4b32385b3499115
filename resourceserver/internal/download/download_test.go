package download_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/linktest"
)

// body is a file's, which must be closed.
type body struct {
	io.Reader
	closed int
}

func (b *body) Close() error {
	b.closed++
	return nil
}

// serve downloads a file through a link of its own, over HTTP, and returns when the
// server has ended.
func serve(t *testing.T, f *download.File) (header http.Header, text string, err error) {
	t.Helper()
	s := linktest.New(t, "x_download")
	links, err := download.NewLinks(s.Keys, s.Now)
	if err != nil {
		t.Fatal(err)
	}
	h, err := download.New(links, s.Rules(), map[string]download.Source{"x_download": func(_ context.Context, account, file string) (*download.File, error) {
		if account != "account-1" || file != "file-1" {
			t.Errorf("%s of %s", file, account)
		}
		return f, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	link, _, err := links.Make(s.Call(t, "acme", "alice", bearertest.Token{}), "account-1", "file-1")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+download.Path+"?"+u.RawQuery, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = linktest.Host("acme")
	out, err := server.Client().Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = out.Body.Close() }()
	read, err := io.ReadAll(out.Body)
	return out.Header, string(read), err
}

// TestName: a file is saved under a name without a path, without what hides its
// ending or ends a header, and never shown as what it says it is (RFC 6266 §4.3).
func TestName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"report.pdf":                   "report.pdf",
		"Grüße an alle.txt":            "Grüße an alle.txt",
		"../../etc/passwd":             "_.._etc_passwd",
		"/etc/passwd":                  "_etc_passwd",
		`C:\Windows\evil.exe`:          "C__Windows_evil.exe",
		"..":                           "download",
		" . . ":                        "download",
		"":                             "download",
		"\u200b\u202e":                 "download",
		".bashrc":                      "bashrc",
		"a\r\nSet-Cookie: evil=1":      "a Set-Cookie_ evil=1",
		"a\"; filename=\"evil.exe":     "a_; filename=_evil.exe",
		"a%2f..%2fb":                   "a_2f.._2fb",
		"a\x00b\x1b[2J\x7fc.txt":       "ab[2Jc.txt",
		"invoice\u202efdp.exe":         "invoicefdp.exe",
		"a\u2028b":                     "a b",
		"a:b|c<d>e?f*g":                "a_b_c_d_e_f_g",
		strings.Repeat("é", 200):       strings.Repeat("é", 150) + "…",
		"bad\xff\xfeutf8":              "badutf8",
		strings.Repeat("../", 100_000): strings.Trim(strings.Repeat(".._", 50), ". ") + "…",
	} {
		b := &body{Reader: strings.NewReader("<script>alert(1)</script>")}
		header, text, err := serve(t, &download.File{Name: name, Body: b})
		kind, params, parsed := mime.ParseMediaType(header.Get("Content-Disposition"))
		if err != nil || text != "<script>alert(1)</script>" || parsed != nil || kind != "attachment" || params["filename"] != want || len(params) != 1 {
			t.Errorf("%.40q: %s %.80q, %v %v", name, kind, params, err, parsed)
		}
		if header.Get("Content-Type") != "application/octet-stream" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Set-Cookie") != "" || header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" {
			t.Errorf("%.40q: %v", name, header)
		}
		if b.closed != 1 {
			t.Errorf("%.40q: closed %d times", name, b.closed)
		}
	}
}

// TestCut: a file whose rest does not come is no file: the connection breaks.
func TestCut(t *testing.T) {
	t.Parallel()
	for what, rest := range map[string]io.Reader{"at once": strings.NewReader(""), "in the middle": strings.NewReader(strings.Repeat("x", 100_000))} {
		b := &body{Reader: io.MultiReader(rest, broken{})}
		_, _, err := serve(t, &download.File{Name: "a", Body: b})
		if err == nil || b.closed != 1 {
			t.Errorf("%s: passes for the whole, closed %d times", what, b.closed)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("gone") }
