package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/upload"
)

const sent = "POST /upload/drive/v3/files" // beginning an upload, and each piece of a large one

// uploadLink asks for an upload link with a token.
func (r *rig) uploadLink(token string, args map[string]any) (link, id string) {
	r.t.Helper()
	out := r.call(token, "drive_upload_file", args)
	link, _ = out.Data["upload_url"].(string)
	id, _ = out.Data["file_id"].(string)
	if link == "" || id == "" {
		r.t.Fatalf("no link: %v", out.Data)
	}
	return link, id
}

// form is a form with one file.
func form(t *testing.T, field, content string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	w, err := m.CreateFormFile(field, "C:\\evil\\other name.exe")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

// made is how many of alice's files have a name.
func (r *rig) made(name string) int {
	r.t.Helper()
	return len(r.ok("drive_search", map[string]any{"name": name})["files"].([]any))
}

// TestUpload: a small file and a large one, by PUT and by the form, as the link says
// and not as the sender does; once; at every replica.
func TestUpload(t *testing.T) {
	t.Parallel()
	r := start(t)
	token, folder := r.as.mint(full), r.file("Projects")
	large := strings.Repeat("0123456789abcdef", (5<<20)/16) + "end"
	for i, content := range []string{"", "small", large} {
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			name := fmt.Sprintf("up %d %s.csv", i, method)
			link, id := r.uploadLink(token, map[string]any{"name": name, "mime_type": "text/csv", "folder_id": folder, "size": len(content)})
			body, contentType := content, "image/png"
			if method == http.MethodPost {
				body, contentType = form(t, "file", content)
			}
			out := r.send(method, link, "", body, "Content-Type", contentType)
			if want := fmt.Sprintf("Uploaded %s (%d bytes) to the Google Drive of %s.\n", name, len(content), alice); out.status != http.StatusCreated || out.body != want {
				t.Fatalf("%s: %d %q", name, out.status, out.body)
			}
			got := r.ok("drive_get_file", map[string]any{"file_id": id})
			if field(got, "file", "name") != name || field(got, "file", "mime_type") != "text/csv" || got["folder_id"] != folder {
				t.Errorf("made: %v", got)
			}
			read := r.ok("drive_read_file", map[string]any{"file_id": id})["download_url"].(string)
			if back := r.send(http.MethodGet, read, "", ""); back.body != content {
				t.Errorf("%s: %d bytes of %d came back", name, len(back.body), len(content))
			}
			for _, at := range []string{link, strings.Replace(link, r.origin, r.replica().origin, 1)} {
				if again := r.send(http.MethodPut, at, "", "another"); again.status != http.StatusConflict || !strings.Contains(again.body, "already uploaded") {
					t.Errorf("replayed: %d %s", again.status, again.body)
				}
			}
			if back := r.send(http.MethodGet, read, "", ""); back.body != content || r.made(name) != 1 {
				t.Errorf("%s: changed by a replay", name)
			}
			if strings.Contains(r.log.String(), name) || strings.Contains(r.log.String(), link[strings.Index(link, "link=")+5:]) {
				t.Error("the link or the name is in the log")
			}
		}
	}
}

// TestUploadPage: the form says whose Drive it is and runs nothing; what the model
// wrote is text.
func TestUploadPage(t *testing.T) {
	t.Parallel()
	r := start(t)
	link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": `<script src="https://evil.test/x.js">`})
	out := r.send(http.MethodGet, link, "", "")
	if out.status != http.StatusOK || !strings.Contains(out.body, alice) || !strings.Contains(out.body, "&lt;script") || strings.Contains(out.body, "<script") || strings.Contains(out.body, "link=") {
		t.Errorf("page: %d %s", out.status, out.body)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-EZ8OP2sqYGpZWqHmIxaxb+1d5Bp5bF1xqN5itF5DTa8='; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
	} {
		if got := out.header.Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, method := range []string{http.MethodOptions, http.MethodDelete, http.MethodHead} {
		if out := r.send(method, link, "", "", "Origin", "https://inspector.example", "Access-Control-Request-Method", "PUT"); out.status != http.StatusMethodNotAllowed || out.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, out.status, out.header)
		}
	}
	if r.google.Count(sent) != 0 {
		t.Error("looking at it uploads")
	}
}

// TestUploadArguments: what no link is made for.
func TestUploadArguments(t *testing.T) {
	t.Parallel()
	r := start(t)
	for what, args := range map[string]map[string]any{
		"too large":         {"name": "x", "size": upload.MaxSize + 1},
		"a Google document": {"name": "x", "mime_type": "application/vnd.google-apps.document"},
		"no type":           {"name": "x", "mime_type": "text"},
		"parameters":        {"name": "x", "mime_type": "text/plain; charset=utf-8"},
		"nothing to see":    {"name": "\u200b"},
		"a path":            {"name": "x", "folder_id": "../x"},
	} {
		if bad := r.call(r.as.mint(full), "drive_upload_file", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	if out := r.ok("drive_upload_file", map[string]any{"name": "a.PDF"}); out["mime_type"] != "application/pdf" {
		t.Errorf("by its ending: %v", out)
	}
	if out := r.ok("drive_upload_file", map[string]any{"name": "a.nonsense"}); out["mime_type"] != "application/octet-stream" {
		t.Errorf("without a known ending: %v", out)
	}
}

// TestUploadEnds: a link gives nothing that its token would not, ends with it, and
// is for one thing; no refusal tells why, and nothing is uploaded.
func TestUploadEnds(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0 }) // it looks often
	args := map[string]any{"name": "never.txt"}
	good, _ := r.uploadLink(r.as.mint(full), args)
	sealed := good[strings.Index(good, "link=")+5:]
	with := func(name string, value any) string {
		c := r.as.claims(full)
		c[name] = value
		return r.as.sign(c, r.as.key, "at+jwt")
	}
	const grant = "0198f000-0000-7000-8000-0000000000ff"
	short, _ := r.uploadLink(with("exp", time.Now().Add(2*time.Second).Unix()), args)
	revoked, _ := r.uploadLink(with("gid", grant), args)
	r.as.set(func() { r.as.revoked = []string{grant} })
	strict := start(t, func(c *config.Server) { *c = *r.settings; c.ToolPreset = "core" })
	status := func(link string) int {
		put, get := r.send(http.MethodPut, link, "", "x"), r.send(http.MethodGet, link, "", "")
		if put.status != get.status || put.status == http.StatusGone && put.body != "This upload link has ended. Ask the assistant for a new one.\n" {
			t.Errorf("PUT %d %s, GET %d", put.status, put.body, get.status)
		}
		return put.status
	}
	read := r.ok("drive_read_file", map[string]any{"file_id": r.file("plan.txt")})["download_url"].(string)
	for name, link := range map[string]string{
		"no link": r.origin + "/upload", "made up": r.origin + "/upload?link=AAAA", "cut": good[:len(good)-4],
		"a character changed":          r.origin + "/upload?link=" + flip(sealed[0]) + sealed[1:],
		"another server":               strings.Replace(good, r.origin, start(t).origin, 1),
		"a preset without the tool":    strings.Replace(good, r.origin, strict.origin, 1),
		"a download link":              strings.Replace(read, "/download?", "/upload?", 1),
		"an access token in its place": r.origin + "/upload?link=" + r.as.mint(full),
	} {
		if got := status(link); got != http.StatusGone {
			t.Errorf("%s: %d", name, got)
		}
	}
	if out := r.send(http.MethodGet, strings.Replace(good, "/upload?", "/download?", 1), "", ""); out.status != http.StatusGone {
		t.Errorf("an upload link for a download: %d", out.status)
	}
	if out := r.send(http.MethodPut, good, "", "x", "Host", "evil.test"); out.status != http.StatusMisdirectedRequest && out.status != http.StatusForbidden {
		t.Errorf("another host: %d", out.status)
	}
	await := func(what, link string) {
		eventually(t, what, func() bool { return r.send(http.MethodGet, link, "", "").status == http.StatusGone })
		if got := status(link); got != http.StatusGone {
			t.Errorf("%s: %d", what, got)
		}
	}
	await("the revocation to arrive", revoked)
	await("the token to end", short)
	r.as.set(func() {
		r.as.answer = func(map[string]string) (int, any) { return 400, exchange.Error{Code: "invalid_grant"} }
	})
	if out := r.send(http.MethodPut, strings.Replace(good, r.origin, r.replica().origin, 1), "", "x"); out.status != http.StatusGone {
		t.Errorf("the exchange says revoked: %d %s", out.status, out.body)
	}
	r.as.set(func() { r.as.answer = nil })
	if r.made("never.txt") != 0 || r.google.Count(sent) != 0 {
		t.Error("uploaded")
	}
	if out := r.send(http.MethodPut, good, "", "x"); out.status != http.StatusCreated {
		t.Errorf("the good one: %d %s", out.status, out.body)
	}
}

// TestUploadAcrossTenants: a tenant's link works under its own host, and under no other's.
func TestUploadAcrossTenants(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme, globex := r.twoTenants(nil)
	origin := func(s served) string { return strings.TrimSuffix(strings.TrimSuffix(s.url, "/mcp"), "/t/acme") }
	for _, c := range []struct{ from, other served }{{acme, globex}, {globex, acme}} {
		token := c.from.token(r.as, func(claims map[string]any) { claims["scope"] = full })
		link, _ := r.callAt(c.from.url, token, "drive_upload_file", map[string]any{"name": "tenant.txt"}).Data["upload_url"].(string)
		if !strings.HasPrefix(link, origin(c.from)+"/upload?link=") {
			t.Fatal(link)
		}
		before := r.google.Count(sent)
		for _, method := range []string{http.MethodPut, http.MethodGet} {
			if out := r.send(method, strings.Replace(link, origin(c.from), origin(c.other), 1), "", "x"); out.status != http.StatusGone {
				t.Errorf("at another tenant's host: %d %s", out.status, out.body)
			}
		}
		if r.google.Count(sent) != before {
			t.Error("uploaded")
		}
		if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusCreated {
			t.Errorf("at its own: %d %s", out.status, out.body)
		}
	}
}

// TestUploadRefused: bodies that are refused unread, and what is no file; the link
// is not used up.
func TestUploadRefused(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0 })
	link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": "never.txt"})
	empty, emptyType := form(t, "other", "x")
	two, twoType := form(t, "file", "x")
	boundary := "--" + twoType[strings.Index(twoType, "boundary=")+9:]
	two = strings.Replace(two, boundary+"--", boundary+"\r\nContent-Disposition: form-data; name=\"more\"\r\n\r\ny\r\n"+boundary+"--", 1)
	unfinished, unfinishedType := form(t, "file", "x")
	unfinished = unfinished[:len(unfinished)-6]
	for name, c := range map[string]struct {
		method, body string
		length       int64 // said
		headers      []string
		want         int
	}{
		"too large, said":            {http.MethodPut, "x", upload.MaxSize + 1, nil, 413},
		"too large a form":           {http.MethodPost, "x", upload.MaxSize + 5<<10, []string{"Content-Type", twoType}, 413},
		"of no length":               {http.MethodPut, "x", -1, nil, 411},
		"a part of a file":           {http.MethodPut, "x", 1, []string{"Content-Range", "bytes 0-0/2"}, 400},
		"compressed":                 {http.MethodPut, "x", 1, []string{"Content-Encoding", "gzip"}, 400},
		"no form":                    {http.MethodPost, "x", 1, []string{"Content-Type", "text/plain"}, 400},
		"a form without the file":    {http.MethodPost, empty, int64(len(empty)), []string{"Content-Type", emptyType}, 400},
		"something after the file":   {http.MethodPost, two, int64(len(two)), []string{"Content-Type", twoType}, 400},
		"a form that does not end":   {http.MethodPost, unfinished, int64(len(unfinished)), []string{"Content-Type", unfinishedType}, 503},
		"an empty form, well formed": {http.MethodPost, boundary + "--\r\n", int64(len(boundary) + 4), []string{"Content-Type", twoType}, 400},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		req, err := http.NewRequestWithContext(ctx, c.method, link, io.NopCloser(strings.NewReader(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		if c.length > int64(len(c.body)) { // the server answers before the rest could come
			held, end := io.Pipe()
			req.Body = held
			go func() { <-ctx.Done(); _ = end.Close() }()
		}
		req.ContentLength = c.length
		for i := 0; i < len(c.headers); i += 2 {
			req.Header.Set(c.headers[i], c.headers[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			cancel()
			continue
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		cancel()
		if resp.StatusCode != c.want || len(text) < 20 {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	if r.made("never.txt") != 0 {
		t.Error("uploaded")
	}
	if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusCreated {
		t.Errorf("after them: %d %s", out.status, out.body)
	}
}

// TestUploadTooLarge: a file that is too large although its form is not is given up
// while it streams, and was never held: it went on in pieces.
func TestUploadTooLarge(t *testing.T) {
	t.Parallel()
	r := start(t)
	link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": "never.bin"})
	head, foot := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n", "\r\n--b--\r\n"
	const size = upload.MaxSize + 1
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link, io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size), strings.NewReader(foot)))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(head)+len(foot)) + size
	req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if pieces := r.google.Count(sent) - 1; resp.StatusCode != http.StatusRequestEntityTooLarge || pieces != upload.MaxSize/upload.Piece || r.made("never.bin") != 0 {
		t.Errorf("%d, %d pieces", resp.StatusCode, pieces)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestUploadGoneAway: who goes away in the middle leaves no file, whether Google
// has got a piece by then or not, and the link still works.
func TestUploadGoneAway(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0 })
	for _, part := range []int{10, upload.Piece + 10} {
		name := fmt.Sprintf("cut %d.bin", part)
		link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": name})
		before := r.google.Count(sent)
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{})
		trace := &httptrace.ClientTrace{Got100Continue: func() { close(asked) }}
		held, begin := io.Pipe()
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPut, link, held)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 3 * upload.Piece
		req.Header.Set("Expect", "100-continue") // answered when the file begins to be read: the place is taken
		ended := make(chan error, 1)
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			ended <- err
		}()
		if _, err := begin.Write(make([]byte, part)); err != nil {
			t.Fatal(err)
		}
		if part > upload.Piece { // the first piece is at Google before the rest is sent
			eventually(t, "a piece at Google", func() bool { return r.google.Count(sent) == before+2 })
		} else {
			<-asked
			if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusTooManyRequests {
				t.Errorf("beside it: %d %s", out.status, out.body)
			}
		}
		cancel()
		_ = begin.Close()
		if err := <-ended; err == nil {
			t.Error("it was answered")
		}
		var out reply
		eventually(t, "the place to be free", func() bool {
			out = r.send(http.MethodPut, link, "", "whole")
			return out.status != http.StatusTooManyRequests
		})
		if out.status != http.StatusCreated || !strings.Contains(out.body, "(5 bytes)") || r.made(name) != 1 {
			t.Errorf("%s: %d %s", name, out.status, out.body)
		}
	}
}

// TestUploadRace: one link 16 times at once, over four replicas that know nothing of
// each other: one file.
func TestUploadRace(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0 })
	origins := []string{r.origin, r.replica().origin, r.replica().origin, r.replica().origin}
	for _, size := range []int{100, upload.Piece + 100} {
		name := fmt.Sprintf("race %d.bin", size)
		link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": name})
		statuses := make([]int, 16)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() {
				statuses[i] = r.send(http.MethodPut, strings.Replace(link, r.origin, origins[i%4], 1), "", strings.Repeat("x", size)).status
			})
		}
		wg.Wait()
		got := map[int]int{}
		for _, s := range statuses {
			got[s]++
		}
		if got[http.StatusCreated] != 1 || got[http.StatusCreated]+got[http.StatusConflict]+got[http.StatusTooManyRequests] != 16 || r.made(name) != 1 {
			t.Errorf("%d bytes: %v, %d files", size, got, r.made(name))
		}
	}
}

// TestUploadLimits: an upload is a call of its tool to the limits and to the trail,
// one at a time; looking at the form is none. What Google says comes in words.
func TestUploadLimits(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *config.Server) { c.RateLimitScale = 0.06 }) // 6 a minute per tool, of which the link is one
	link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": "limits.txt"})
	for range 8 {
		if out := r.send(http.MethodGet, link, "", ""); out.status != http.StatusOK {
			t.Fatalf("form: %d", out.status)
		}
	}
	for _, c := range []struct{ google, want int }{{503, 503}, {403, 502}, {404, 404}} {
		r.google.Inject(fakegoogle.Fault{Prefix: "/upload/", Status: c.google, Code: "forbidden"})
		if out := r.send(http.MethodPut, link, "", "x"); out.status != c.want || !strings.Contains(out.body, " ") {
			t.Errorf("Google %d: %d %s", c.google, out.status, out.body)
		}
		r.google.Clear()
	}
	if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusCreated {
		t.Errorf("%d %s", out.status, out.body)
	}
	eventually(t, "the limit of the tool", func() bool {
		out := r.send(http.MethodPut, link, "", "x")
		return out.status == http.StatusTooManyRequests && out.header.Get("Retry-After") != "" && strings.Contains(out.body, "of this tool")
	})
	seen := map[string]int{}
	for deadline := time.After(time.Minute); seen["ok"] < 2 || seen["temporarily_unavailable"] < 1 || seen["permission_denied"] < 1 || seen["not_found"] < 1 || seen["conflict"] < 1 || seen["rate_limited"] < 1; {
		select {
		case o := <-r.as.outcomes:
			if o.Tool == "drive_upload_file" {
				seen[o.Outcome]++
			}
		case <-deadline:
			t.Fatalf("reported: %v", seen)
		}
	}
}

// TestUploadFolder: the folder is looked at again when the file comes; what others
// see takes none.
func TestUploadFolder(t *testing.T) {
	t.Parallel()
	r := start(t)
	folder := r.google.AddFile(alice, fakegoogle.NewFile{Name: "folder", MimeType: "application/vnd.google-apps.folder"})
	args := map[string]any{"name": "x.txt", "folder_id": folder}
	link, _ := r.uploadLink(r.as.mint(full), args)
	if out, _ := r.confirm("drive_share", map[string]any{"file_id": folder, "with": []string{carol}, "role": "reader"}); out.IsError {
		t.Fatal(out.Data)
	}
	if out := r.send(http.MethodPut, link, "", "x"); out.status != http.StatusForbidden || r.made("x.txt") != 0 {
		t.Errorf("shared meanwhile: %d %s", out.status, out.body)
	}
	if bad := r.call(r.as.mint(full), "drive_upload_file", args); bad.Data["code"] != "policy_blocked" {
		t.Errorf("shared: %v", bad.Data)
	}
}

// TestUploadLostAnswer: Google's lost answer to the last piece does not lose the
// file, nor make two.
func TestUploadLostAnswer(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, size := range []int{3, upload.Piece + 1} {
		name := fmt.Sprintf("lost %d.bin", size)
		link, _ := r.uploadLink(r.as.mint(full), map[string]any{"name": name})
		r.google.Inject(fakegoogle.Fault{Prefix: "/upload/", After: true, Status: 503, Times: 1})
		out := r.send(http.MethodPut, link, "", strings.Repeat("x", size))
		if out.status != http.StatusCreated && out.status != http.StatusConflict || r.made(name) != 1 {
			t.Errorf("%s: %d %s, %d files", name, out.status, out.body, r.made(name))
		}
		r.google.Clear()
	}
}
