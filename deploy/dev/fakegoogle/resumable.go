package fakegoogle

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// session is one resumable upload (Drive API, "Upload file data", resumable). It is
// the person's and the app's who began it.
type session struct {
	user        *User
	app         string
	meta        map[string]any
	contentType string
	content     []byte
	file        *file // once it is complete
}

// sessionAnswer is what a session says besides a file.
type sessionAnswer struct {
	location string // of a session that was begun
	received int    // bytes so far, of one that goes on
}

// write answers as Google does: a client that asks for it is not told 308, which
// has another meaning elsewhere.
func (a *sessionAnswer) write(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.location != "":
		w.Header().Set("Location", "http://"+r.Host+a.location)
		return
	case a.received > 0:
		w.Header().Set("Range", "bytes=0-"+strconv.Itoa(a.received-1))
	}
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		return
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

// resumable begins a session, or takes the next piece of its file.
func (c *call) resumable() (any, error) {
	id := c.query.Get("upload_id")
	if id == "" {
		meta := map[string]any{}
		if err := c.decode(&meta); err != nil {
			return nil, err
		}
		if _, err := c.usable(meta); err != nil {
			return nil, err
		}
		id = rand.Text()
		c.s.sessions[id] = &session{user: c.user, app: c.token.client, meta: meta, contentType: c.r.Header.Get("X-Upload-Content-Type")}
		q := c.r.URL.Query()
		q.Set("upload_id", id)
		return &sessionAnswer{location: c.r.URL.Path + "?" + q.Encode()}, nil
	}
	s := c.s.sessions[id]
	if s == nil || s.user != c.user || s.app != c.token.client {
		return nil, notFound("Upload session")
	}
	if s.file != nil {
		return s.file.view(c.user), nil
	}
	first, total, err := contentRange(c.r.Header.Get("Content-Range"), len(c.body))
	if err != nil {
		return nil, err
	}
	if first > len(s.content) {
		return nil, badRequest("Content-Range does not follow what was received.")
	}
	s.content = append(s.content[:first], c.body...) // a piece may come twice
	switch {
	case total < 0 && len(c.body)%(256<<10) != 0:
		return nil, badRequest("A piece that is not the last has to be a multiple of 256 KiB.")
	case total < 0 || len(s.content) < total:
		return &sessionAnswer{received: len(s.content)}, nil
	case len(s.content) > total:
		return nil, badRequest("More was received than the file has.")
	}
	f, err := c.create(s.meta) // somebody else may have used the id meanwhile
	if err != nil {
		return nil, err
	}
	s.file = f
	return c.apply(f, s.meta, s.content, s.contentType)
}

// contentRange reads where a piece begins and how long the whole is, -1 if that is
// not known yet: "bytes 0-524287/2000000", "bytes 0-524287/*", "bytes */2000000".
func contentRange(s string, size int) (first, total int, err error) {
	bad := badRequest("Invalid Content-Range")
	span, whole, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	if !ok || !strings.HasPrefix(s, "bytes ") {
		return 0, 0, bad
	}
	if total = -1; whole != "*" {
		if total, err = strconv.Atoi(whole); err != nil || total < 0 {
			return 0, 0, bad
		}
	}
	if span == "*" {
		if size != 0 || total < 0 {
			return 0, 0, bad
		}
		return total, total, nil
	}
	var last int
	if n, err := fmt.Sscanf(span, "%d-%d", &first, &last); n != 2 || err != nil || first < 0 || last-first+1 != size {
		return 0, 0, bad
	}
	return first, total, nil
}
