package office

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"latchkey/resourceserver/internal/content"
)

const (
	// MaxFile is the largest file that is read, in bytes.
	MaxFile    = 16 << 20
	maxEntries = 5_000
	maxToken   = 1 << 20 // bytes of one XML token: attributes cost many times their size
	maxColumns = 500
)

// Limits bound what is made of one file.
type Limits struct {
	Unpacked int64 // bytes that its parts unpack to
	Text     int   // bytes of text; the rest is cut
	Tokens   int   // of XML
}

// Default are the limits of the server.
var Default = Limits{Unpacked: 48 << 20, Text: 2 << 20, Tokens: 3_000_000}

// ErrUnreadable means that a file is damaged, encrypted, or not of its type.
var ErrUnreadable = errors.New("file cannot be read as text")

// ErrTooLarge means that a file unpacks to more than is read.
var ErrTooLarge = errors.New("file unpacks to too much")

// errFull ends the reading when the text is long enough.
var errFull = errors.New("text is full")

// readers by media type.
var readers = map[string]func(*reading, []byte) error{
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   archived(readWord),
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         archived(readExcel),
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": archived(readPowerPoint),
}

// Reads reports whether a media type can be read.
func Reads(mediaType string) bool { return readers[mediaType] != nil }

// Text returns a file's text, and whether it was cut. Errors are ErrUnreadable,
// ErrTooLarge and those of the context.
func Text(ctx context.Context, mediaType string, file []byte, l Limits) (text string, cut bool, err error) {
	read := readers[mediaType]
	if read == nil || len(file) > MaxFile {
		return "", false, ErrUnreadable
	}
	r := &reading{ctx: ctx, unpacked: l.Unpacked, tokens: l.Tokens, most: l.Text}
	err = read(r, file)
	if errors.Is(err, errFull) {
		cut, err = true, nil
	}
	if ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = ErrUnreadable
	}
	return content.Clean(strings.ToValidUTF8(r.out.String(), "\uFFFD")), cut, err
}

// reading is one file being read.
type reading struct {
	ctx      context.Context
	out      strings.Builder
	unpacked int64 // bytes that may still be unpacked
	tokens   int   // that may still be read
	most     int   // bytes of text
}

func (r *reading) write(s string) error {
	if r.out.Len()+len(s) > r.most {
		r.out.WriteString(s[:max(0, r.most-r.out.Len())])
		return errFull
	}
	r.out.WriteString(s)
	return nil
}

// line ends a line, once.
func (r *reading) line() error {
	if s := r.out.String(); s == "" || strings.HasSuffix(s, "\n") {
		return nil
	}
	return r.write("\n")
}

// step counts a token and looks whether somebody still waits.
func (r *reading) step() error {
	if r.tokens--; r.tokens < 0 {
		return ErrTooLarge
	}
	if r.tokens%1024 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// parts are the entries of an archive by name.
type parts map[string]*zip.File

// archived opens the archive of a file.
func archived(read func(*reading, parts) error) func(*reading, []byte) error {
	return func(r *reading, file []byte) error {
		if !bounded(file) {
			return ErrUnreadable
		}
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(z.File) > maxEntries {
			return ErrUnreadable
		}
		p := parts{}
		for _, f := range z.File {
			if p[f.Name] == nil { // of two of one name the first counts, here as in Office
				p[f.Name] = f
			}
		}
		return read(r, p)
	}
}

// bounded reports whether an archive can have at most maxEntries entries, before a
// list of them is made. What its end record claims (APPNOTE §4.3.16) is no bound:
// package zip reads entries as long as there are any and compares 16 bits of their
// number; so their headers are counted too (§4.3.12). Archives of 64 bits are out.
func bounded(file []byte) bool {
	tail := file[max(0, len(file)-66_000):]
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || len(tail) < i+22 {
		return false
	}
	end := tail[i:]
	size, offset := binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	if size == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff { // the first only to package zip
		return false
	}
	return binary.LittleEndian.Uint16(end[10:]) <= maxEntries && bytes.Count(file, []byte("PK\x01\x02")) <= maxEntries
}

// each reads the XML tokens of a part, nothing if there is no such part. Names
// come without their prefixes.
func (r *reading) each(p parts, name string, visit func(xml.Token) error) error {
	f := p[name]
	if f == nil {
		return nil
	}
	body, err := f.Open()
	if err != nil {
		return ErrUnreadable
	}
	defer func() { _ = body.Close() }()
	in := &counted{inflated: inflated{body, r}}
	d := xml.NewDecoder(in)
	d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("%w: charset", ErrUnreadable)
	}
	for {
		t, err := d.RawToken() // raw: no stack of open elements, no entities of the document's own
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		if err != nil {
			return ErrUnreadable
		}
		in.token = 0
		if err := r.step(); err != nil {
			return err
		}
		if err := visit(t); err != nil {
			return err
		}
	}
}

// inflated counts what a part unpacks to.
type inflated struct {
	io.Reader
	of *reading
}

func (r *inflated) Read(b []byte) (int, error) {
	if r.of.unpacked <= 0 {
		return 0, ErrTooLarge
	}
	n, err := r.Reader.Read(b[:min(int64(len(b)), r.of.unpacked)])
	r.of.unpacked -= int64(n)
	return n, err
}

// counted reads the XML of a part and bounds its tokens.
type counted struct {
	inflated
	token int // bytes of the XML token so far
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.inflated.Read(b)
	if c.token += n; c.token > maxToken {
		return n, ErrTooLarge
	}
	return n, err
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
