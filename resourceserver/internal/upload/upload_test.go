package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/linktest"
	"latchkey/resourceserver/internal/signedlink"
	"latchkey/resourceserver/internal/tool"
	"latchkey/resourceserver/internal/upload"
)

// store is where files go: an id takes one file, as at Google.
type store struct {
	mu    sync.Mutex
	files map[string]string // by id: owner, account, name and content
	err   error             // of the next file
	sizes map[string]int64  // of those that are too large to hold
}

func (s *store) take(ctx context.Context, account string, t upload.Target, body io.Reader) error {
	s.mu.Lock()
	_, used := s.files[t.FileID]
	err := s.err
	s.mu.Unlock()
	switch {
	case used:
		return &tool.Error{Code: tool.CodeConflict, Message: "The link was used before."}
	case err != nil:
		return err
	}
	var b bytes.Buffer
	if _, err := io.CopyBuffer(&b, io.LimitReader(body, 1<<20), make([]byte, 64<<10)); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, make([]byte, upload.Piece))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := bearer.From(ctx)
	s.files[t.FileID] = fmt.Sprintf("%s/%s/%s: %s", p.Tenant, p.Subject, account, b.String())
	s.sizes[t.FileID] = int64(b.Len()) + n
	return nil
}

func (s *store) file(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[id]
}

type fixture struct {
	*linktest.Server
	*store
	links   *upload.Links
	handler http.Handler
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Server: linktest.New(t, "x_upload"), store: &store{files: map[string]string{}, sizes: map[string]int64{}}}
	var err error
	if f.links, err = upload.NewLinks(f.Keys, f.Now); err != nil {
		t.Fatal(err)
	}
	if f.handler, err = upload.New(f.links, f.Rules(), map[string]upload.Source{"x_upload": f.take}); err != nil {
		t.Fatal(err)
	}
	return f
}

var file = upload.Target{FileID: "id-1", Name: "report.csv", Type: "text/csv", Email: "alice@acme.example"}

// link is alice's, for a file.
func (f *fixture) link(t *testing.T, to upload.Target, c bearertest.Token) string {
	t.Helper()
	link, _, err := f.links.Make(f.Call(t, "acme", "alice", c), "account-1", to)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// send opens a link at the host of a tenant.
func (f *fixture) send(t *testing.T, tenant, method, link string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, upload.Path+"?"+u.RawQuery, body)
	r.Host = linktest.Host(tenant)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// form is a form whose file the sender gave a name.
func form(t *testing.T, disposition, content string) (body *bytes.Reader, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	w, err := m.CreatePart(map[string][]string{"Content-Disposition": {disposition}, "Content-Type": {"text/html"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, content)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes()), m.FormDataContentType()
}

// TestSentName: what the sender says of the file's name and type counts nowhere: the
// file is the link's, and so is the answer.
func TestSentName(t *testing.T) {
	t.Parallel()
	for what, name := range map[string]string{
		"a path": `../../etc/passwd`, "a path of Windows": `C:\\evil\\other.exe`, "a line end, written": `a%0d%0aX-Evil: 1`,
		"another encoding": `=?utf-8?B?ZXZpbA==?=`, "from right to left": "a\u202efdp.exe", "very long": strings.Repeat("n", 4000),
	} {
		f := newFixture(t)
		body, contentType := form(t, `form-data; name="file"; filename="`+name+`"`, "content")
		out := f.send(t, "acme", http.MethodPost, f.link(t, file, bearertest.Token{}), body, "Content-Type", contentType)
		if out.Code != http.StatusCreated || out.Body.String() != "Uploaded report.csv (7 bytes) to the Google Drive of alice@acme.example.\n" || f.file("id-1") != "acme/alice/account-1: content" {
			t.Errorf("%s: %d %q, made %q", what, out.Code, out.Body, f.file("id-1"))
		}
		if out.Header().Get("Content-Type") != "text/plain; charset=utf-8" || out.Header().Get("X-Evil") != "" {
			t.Errorf("%s: %v", what, out.Header())
		}
	}
}

// TestLinkName: the model's name for the file is text on the page, whatever is in it,
// and is never a header.
func TestLinkName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	to := file
	to.Name, to.Type, to.Email = "a\"><script>x</script>\r\nSet-Cookie: a=b", "text/<b>", "a<img>@acme.example"
	link := f.link(t, to, bearertest.Token{})
	page := f.send(t, "acme", http.MethodGet, link, nil)
	if page.Code != http.StatusOK || strings.Contains(page.Body.String(), "<script") || strings.Contains(page.Body.String(), "<img") || strings.Contains(page.Body.String(), "/<b>") || !strings.Contains(page.Body.String(), "&lt;script&gt;") {
		t.Errorf("page: %d %s", page.Code, page.Body)
	}
	_, rest, _ := strings.Cut(page.Body.String(), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style)) // CSP Level 3 §8.3: the page's own style sheet and no other
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	if style == "" || page.Header().Get("Content-Security-Policy") != want || page.Header().Get("Set-Cookie") != "" {
		t.Errorf("page: %v", page.Header())
	}
	out := f.send(t, "acme", http.MethodPut, link, strings.NewReader("x"))
	if out.Code != http.StatusCreated || out.Header().Get("Set-Cookie") != "" || out.Header().Get("X-Content-Type-Options") != "nosniff" || out.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("answer: %d %v", out.Code, out.Header())
	}
}

// TestReplay: a link makes one file, whoever opens it again and however.
func TestReplay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	link := f.link(t, file, bearertest.Token{})
	if out := f.send(t, "acme", http.MethodPut, link, strings.NewReader("first")); out.Code != http.StatusCreated {
		t.Fatalf("%d %s", out.Code, out.Body)
	}
	for range 2 {
		body, contentType := form(t, `form-data; name="file"; filename="f"`, "second")
		if out := f.send(t, "acme", http.MethodPost, link, body, "Content-Type", contentType); out.Code != http.StatusConflict || !strings.Contains(out.Body.String(), "used before") {
			t.Errorf("%d %s", out.Code, out.Body)
		}
	}
	if got := f.file("id-1"); got != "acme/alice/account-1: first" {
		t.Errorf("made %q", got)
	}
}

// TestEnded: a link that has ended, was changed, or is another tenant's takes nothing
// and shows nothing, by any method.
func TestEnded(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		tenant  string
		token   bearertest.Token
		change  func(string) string
		changes []linktest.Change
	}{
		"expired":            {changes: []linktest.Change{linktest.Later(signedlink.Lifetime)}, token: bearertest.Token{Life: time.Hour}},
		"its token expired":  {changes: []linktest.Change{linktest.Later(time.Minute)}, token: bearertest.Token{Life: time.Minute}},
		"its grant is gone":  {changes: []linktest.Change{linktest.Revoked("g")}},
		"its tool is gone":   {changes: []linktest.Change{linktest.Withdrawn}},
		"tampered":           {change: func(l string) string { return l[:len(l)-10] + "AAAA" + l[len(l)-6:] }},
		"of another tenant":  {tenant: "globex"},
		"an empty parameter": {change: func(string) string { return upload.Path + "?link=" }},
	} {
		f := newFixture(t)
		link := f.link(t, file, c.token)
		if c.change != nil {
			link = c.change(link)
		}
		if c.tenant == "" {
			c.tenant = "acme"
		}
		f.Set(c.changes...)
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			out := f.send(t, c.tenant, method, link, strings.NewReader("x"))
			if out.Code != http.StatusGone || strings.Contains(out.Body.String(), "report") || strings.Contains(out.Body.String(), "alice") || f.file("id-1") != "" {
				t.Errorf("%s, %s: %d %s", what, method, out.Code, out.Body)
			}
		}
	}
}

// TestBrowser: whoever sees a form sees pages after it, of what was done and of what was
// not.
func TestBrowser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	link := f.link(t, upload.Target{FileID: "id-1", Name: "<b>.csv", Type: "text/csv", Email: "alice@acme.example"}, bearertest.Token{})
	browser := []string{"Accept", "text/html,*/*;q=0.8"}
	sent := func(disposition string) *httptest.ResponseRecorder {
		body, contentType := form(t, disposition, "x")
		return f.send(t, "acme", http.MethodPost, link, body, append(browser, "Content-Type", contentType)...)
	}
	for what, c := range map[string]struct {
		answer *httptest.ResponseRecorder
		status int
		text   string
	}{
		"nothing chosen": {sent(`form-data; name="file"; filename=""`), http.StatusBadRequest, "<p>Choose one file. Nothing was uploaded.</p>"},
		"a file":         {sent(`form-data; name="file"; filename="f"`), http.StatusCreated, "<p>Uploaded &lt;b&gt;.csv (1 byte) to the Google Drive of alice@acme.example.</p>"},
		"an ended link":  {f.send(t, "acme", http.MethodGet, link[:len(link)-1], nil, browser...), http.StatusGone, "<p>This upload link has ended. Ask the assistant for a new one.</p>"},
		"a method":       {f.send(t, "acme", http.MethodDelete, link, nil, browser...), http.StatusMethodNotAllowed, "<p>An upload link is"},
		"no length":      {f.send(t, "acme", http.MethodPost, link, struct{ io.Reader }{strings.NewReader("x")}, browser...), http.StatusLengthRequired, "<p>Say how long"},
	} {
		if c.answer.Code != c.status || c.answer.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(c.answer.Body.String(), c.text) {
			t.Errorf("%s: %d %s", what, c.answer.Code, c.answer.Body)
		}
	}
}

// endless is a body of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestSizes: what is larger than may be is refused unread where it is said, and as it
// streams where it is not; the largest is taken.
func TestSizes(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		size, said int64
		want       int
	}{
		"the largest":               {upload.MaxSize, upload.MaxSize, http.StatusCreated},
		"one byte more":             {upload.MaxSize + 1, upload.MaxSize + 1, http.StatusRequestEntityTooLarge},
		"one byte more, not said":   {upload.MaxSize + 1, 10, http.StatusRequestEntityTooLarge},
		"much more, not said":       {1 << 40, 10, http.StatusRequestEntityTooLarge},
		"of no length":              {10, -1, http.StatusLengthRequired},
		"nothing":                   {0, 0, http.StatusCreated},
		"as much as a number holds": {10, 1<<63 - 1, http.StatusRequestEntityTooLarge},
	} {
		f := newFixture(t)
		u, err := url.Parse(f.link(t, file, bearertest.Token{}))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, upload.Path+"?"+u.RawQuery, io.LimitReader(endless{}, c.size))
		r.Host, r.ContentLength = linktest.Host("acme"), c.said
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != c.want || (w.Code == http.StatusCreated) != (f.file("id-1") != "") || w.Code == http.StatusCreated && f.sizes["id-1"] != c.size {
			t.Errorf("%s: %d %s, %d bytes", what, w.Code, w.Body, f.sizes["id-1"])
		}
		if w.Code != http.StatusCreated && w.Header().Get("Connection") != "close" {
			t.Errorf("%s: the rest of the body would be the next request", what)
		}
	}
}

// cut is a body whose rest does not come.
type cut struct{ io.Reader }

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestNoFile: a body that did not come whole, and a form that has no file or more
// than one, are no file; the link can be used again.
func TestNoFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	link := f.link(t, file, bearertest.Token{})
	part := func(disposition string) string {
		return "--b\r\nContent-Disposition: " + disposition + "\r\n\r\nx\r\n"
	}
	const good, end = `form-data; name="file"; filename="f"`, "--b--\r\n"
	type row struct {
		method string
		body   io.Reader
		header string
		want   int
	}
	multi := "multipart/form-data; boundary=b"
	for what, c := range map[string]row{
		"a body that is cut":        {http.MethodPut, cut{strings.NewReader("half")}, "", http.StatusServiceUnavailable},
		"a form that is cut":        {http.MethodPost, strings.NewReader(part(good)), multi, http.StatusServiceUnavailable},
		"a form cut in its file":    {http.MethodPost, cut{strings.NewReader(part(good)[:len(part(good))-2])}, multi, http.StatusServiceUnavailable},
		"two files":                 {http.MethodPost, strings.NewReader(part(good) + part(good) + end), multi, http.StatusBadRequest},
		"another field first":       {http.MethodPost, strings.NewReader(part(`form-data; name="x"`) + part(good) + end), multi, http.StatusBadRequest},
		"a field in place of one":   {http.MethodPost, strings.NewReader(part(`form-data; name="file"`) + end), multi, http.StatusBadRequest},
		"nothing chosen":            {http.MethodPost, strings.NewReader(part(`form-data; name="file"; filename=""`) + end), multi, http.StatusBadRequest},
		"a name with controls":      {http.MethodPost, strings.NewReader(part("form-data; name=\"file\"; filename=\"a\x01\x1b[2J.exe\"") + end), multi, http.StatusBadRequest},
		"no parts":                  {http.MethodPost, strings.NewReader(end), multi, http.StatusBadRequest},
		"no form":                   {http.MethodPost, strings.NewReader("x"), "text/plain", http.StatusBadRequest},
		"a form without a boundary": {http.MethodPost, strings.NewReader(part(good) + end), "multipart/form-data", http.StatusBadRequest},
		"a part of a file":          {http.MethodPut, strings.NewReader("x"), "range", http.StatusBadRequest},
		"packed":                    {http.MethodPut, strings.NewReader("x"), "gzip", http.StatusBadRequest},
		"another method":            {http.MethodPatch, strings.NewReader("x"), "", http.StatusMethodNotAllowed},
	} {
		headers := []string{"Content-Type", c.header}
		switch c.header {
		case "range":
			headers = []string{"Content-Range", "bytes 0-0/2"}
		case "gzip":
			headers = []string{"Content-Encoding", "gzip"}
		}
		u, _ := url.Parse(link)
		r := httptest.NewRequestWithContext(t.Context(), c.method, upload.Path+"?"+u.RawQuery, c.body)
		r.Host, r.ContentLength = linktest.Host("acme"), 100
		r.Header.Set(headers[0], headers[1])
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != c.want || f.file("id-1") != "" || len(w.Body.String()) < 20 {
			t.Errorf("%s: %d %s, made %q", what, w.Code, w.Body, f.file("id-1"))
		}
	}
	f.mu.Lock()
	f.err = errors.New("canary 4711")
	f.mu.Unlock()
	if out := f.send(t, "acme", http.MethodPut, link, strings.NewReader("x")); out.Code != http.StatusInternalServerError || strings.Contains(out.Body.String(), "canary") {
		t.Errorf("an error of ours: %d %s", out.Code, out.Body)
	}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	if out := f.send(t, "acme", http.MethodPut, link, strings.NewReader("whole")); out.Code != http.StatusCreated || f.file("id-1") != "acme/alice/account-1: whole" {
		t.Errorf("after them: %d %s", out.Code, out.Body)
	}
}
