package upload

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"time"
)

var (
	errTooLarge = errors.New("file is larger than what is taken")
	errNoFile   = errors.New("form has no file")
	errForm     = errors.New("form is malformed")
)

// body is the file in a request. It remembers why it could not be read, which the
// source cannot tell.
type body struct {
	file    io.Reader
	control *http.ResponseController
	end     time.Time
	size    int64 // read
	err     error // other than io.EOF
}

// Read reads on. Whoever sends nothing for a while is gone, and more than MaxSize
// is an error, never a cut file.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	until := time.Now().Add(maxSilence)
	if b.end.Before(until) {
		until = b.end
	}
	_ = b.control.SetReadDeadline(until)
	n, err := b.file.Read(p)
	if b.size += int64(n); b.size > MaxSize {
		n, err = 0, errTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// fileOf finds the file of a request: the body of a PUT, the first file of a form.
func fileOf(r *http.Request) (io.Reader, error) {
	if r.Method == http.MethodPut {
		return r.Body, nil
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, errNoFile
	}
	part, err := form.NextPart()
	var malformed textproto.ProtocolError
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoFile
	case errors.As(err, &malformed): // no control character may stand in a name (RFC 7578 §4.2, RFC 9110 §5.5)
		return nil, errForm
	}
	if err != nil {
		return nil, err
	}
	if part.FormName() != "file" || part.FileName() == "" { // a form sent without a choice has a nameless file
		return nil, errNoFile
	}
	return &alone{form, part}, nil
}

// alone is a part that is the last of its form: a form that was cut after the part
// could be one whose part was cut.
type alone struct {
	form *multipart.Reader
	part *multipart.Part
}

func (a *alone) Read(p []byte) (int, error) {
	n, err := a.part.Read(p)
	if errors.Is(err, io.EOF) {
		switch _, next := a.form.NextPart(); {
		case next == nil:
			return n, errNoFile
		case !errors.Is(next, io.EOF):
			return n, next
		}
	}
	return n, err
}
