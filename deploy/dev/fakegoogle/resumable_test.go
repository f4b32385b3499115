package fakegoogle_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"latchkey/deploy/dev/fakegoogle"
)

// drive signs alice in for some of Drive.
func (r *rig) drive(t *testing.T, scopes ...string) (*drive.Service, *http.Client) {
	t.Helper()
	r.config.Scopes = []string{"openid", "email"}
	for _, s := range scopes {
		r.config.Scopes = append(r.config.Scopes, auth+s)
	}
	client := oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(r.signIn(t, fakegoogle.Choice{Account: "alice@example.com"})))
	service, err := drive.NewService(t.Context(), option.WithHTTPClient(client), option.WithEndpoint(r.URL+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	return service, client
}

// TestResumableUpload: Drive API, "Upload file data": by Google's own library in
// pieces, under a reserved id, once; and by hand with PUT and 308.
func TestResumableUpload(t *testing.T) {
	t.Parallel()
	r := start(t)
	service, client := r.drive(t, "drive.file")
	ids, err := service.Files.GenerateIds().Count(1).Do()
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789abcdef", (600<<10)/16)
	create := func() (*drive.File, error) {
		return service.Files.Create(&drive.File{Id: ids.Ids[0], Name: "big"}).Media(strings.NewReader(content), googleapi.ContentType("image/png"), googleapi.ChunkSize(256<<10)).Fields("id,size,mimeType").Do()
	}
	f, err := create()
	if err != nil || f.Id != ids.Ids[0] || f.Size != int64(len(content)) || f.MimeType != "image/png" || r.Count("POST /upload/drive/v3/files") != 4 {
		t.Fatalf("%+v %v", f, err)
	}
	var e *googleapi.Error
	if _, err := create(); !errors.As(err, &e) || e.Code != http.StatusConflict {
		t.Errorf("a second under the id: %v", err)
	}
	send := func(method, url, body string, headers ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp
	}
	begun := send(http.MethodPost, r.URL+"/upload/drive/v3/files?uploadType=resumable", `{"name":"by hand"}`, "Content-Type", "application/json", "X-Upload-Content-Type", "text/plain")
	session := begun.Header.Get("Location")
	if begun.StatusCode != http.StatusOK || session == "" {
		t.Fatalf("begun: %d", begun.StatusCode)
	}
	piece := strings.Repeat("x", 256<<10)
	for _, c := range []struct {
		body, span string
		want       int
	}{
		{"y", "bytes 0-0/*", 400},                  // no multiple of 256 KiB
		{piece, "bytes 262144-524287/*", 400},      // a gap
		{piece, "bytes 0-262144/*", 400},           // not as long as it says
		{piece, "bytes 0-262143/*", 308},           //
		{piece, "bytes 0-262143/*", 308},           // again: its answer was lost
		{"end", "bytes 262144-262146/262147", 200}, //
		{"end", "bytes 262144-262146/262147", 200}, // complete, and stays so
	} {
		if got := send(http.MethodPut, session, c.body, "Content-Range", c.span); got.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.span, got.StatusCode, c.want)
		}
	}
	found, err := service.Files.List().Q("name = 'by hand'").Fields("files(size,mimeType)").Do()
	if err != nil || len(found.Files) != 1 || found.Files[0].Size != 262147 || found.Files[0].MimeType != "text/plain" {
		t.Errorf("%+v %v", found, err)
	}
	if _, other := r.drive(t, "drive.readonly"); other != nil {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/upload/drive/v3/files?uploadType=resumable", strings.NewReader(`{}`))
		if resp, err := other.Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("with access to read only: %v %v", resp, err)
		}
	}
}

// TestOwnFilesOnly: a token of drive.file alone sees what its app made.
func TestOwnFilesOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	service, _ := r.drive(t, "drive.file")
	all, _ := r.drive(t, "drive.readonly")
	before, err := service.Files.List().Do()
	if err != nil || len(before.Files) != 0 {
		t.Errorf("before: %v %v", before, err)
	}
	everything, err := all.Files.List().Do()
	if err != nil || len(everything.Files) == 0 {
		t.Fatal(err)
	}
	missing := func(what string, err error) {
		t.Helper()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != http.StatusNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	id := everything.Files[0].Id
	_, err = service.Files.Get(id).Do()
	missing("get", err)
	_, err = service.Files.Update(id, &drive.File{Name: "x"}).Do()
	missing("update", err)
	_, err = service.Files.Create(&drive.File{Name: "x", Parents: []string{id}}).Do()
	missing("create below", err)
	made, err := service.Files.Create(&drive.File{Name: "x"}).Do()
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]*drive.Service{"its app": service, "all of Drive": all} {
		if _, err := s.Files.Get(made.Id).Do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now, err := service.Files.List().Do(); err != nil || len(now.Files) != 1 {
		t.Errorf("after: %v %v", now, err)
	}
}
