package pdf

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/klippa-app/go-pdfium"
	pdfiumerror "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"latchkey/resourceserver/internal/content"
)

const (
	// MediaType is that of PDF files.
	MediaType = "application/pdf"
	// MaxFile is the largest file that is read, in bytes.
	MaxFile = 16 << 20
)

// Limits bound the reading of one file.
type Limits struct {
	Time  time.Duration // of reading; waiting for a place before it does not count
	Pages int           // the rest is left out
	Text  int           // bytes; the rest is cut
}

// Default are the limits of the server.
var Default = Limits{Time: 15 * time.Second, Pages: 2_000, Text: 2 << 20}

var (
	// ErrUnreadable means that a file is damaged or no PDF: it cannot be opened, has no
	// pages, or none that can be read.
	ErrUnreadable = errors.New("file cannot be read as PDF")
	// ErrEncrypted means that a file opens with a password only.
	ErrEncrypted = errors.New("file needs a password")
	// ErrSlow means that the time was over before there was any text.
	ErrSlow = errors.New("file takes too long to read")
	// ErrTooComplex means that a file needs more memory than an instance has: PDFium
	// gives itself up then, as where it finds itself wrong.
	ErrTooComplex = errors.New("file takes too much memory to read")
	// ErrUnavailable means that there is no PDFium at the moment: nothing is known of
	// the file.
	ErrUnavailable = errors.New("PDF cannot be read now")
)

// places are those of the files that are read at once.
var places = make(chan struct{}, Parallel)

// Ready waits for PDFium, which the first file would otherwise wait for. Errors are
// ErrUnavailable and that of the context.
func Ready(ctx context.Context) error {
	_, err := shared.get(ctx)
	return err
}

// Text returns a file's text, each page after a line with its number, and whether
// some was left out because of the limits, or because PDFium could not go on. No
// text and no error means that all pages were read and none has any. Errors are
// ErrUnreadable, ErrEncrypted, ErrSlow, ErrTooComplex, ErrUnavailable and those of
// the context.
func Text(ctx context.Context, file []byte, l Limits) (text string, cut bool, err error) {
	if len(file) == 0 || len(file) > MaxFile {
		return "", false, ErrUnreadable
	}
	pool, err := shared.get(ctx)
	if err != nil {
		return "", false, err
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	p, within, end, err := instance(ctx, pool, l.Time)
	if err != nil {
		return "", false, err
	}
	defer end()
	r := &reading{pdfium: p, limits: l}
	err = r.read(file)
	if ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	text = content.Clean(strings.ToValidUTF8(r.out.String(), "\uFFFD"))
	switch {
	case err == nil:
		return text, r.cut, nil
	case strings.TrimSpace(text) != "": // what was read before is the file's
		return text, true, nil
	case within.Err() != nil:
		return "", false, ErrSlow
	}
	return "", false, err
}

// reading is one file being read.
type reading struct {
	pdfium pdfium.Pdfium
	limits Limits
	out    strings.Builder
	pages  int // that were read
	cut    bool
}

func (r *reading) read(file []byte) error {
	opened, err := r.pdfium.OpenDocument(&requests.OpenDocument{File: &file})
	if errors.Is(err, pdfiumerror.ErrPassword) || errors.Is(err, pdfiumerror.ErrSecurity) {
		return ErrEncrypted
	}
	if err != nil {
		return broken("opening", err)
	}
	count, err := r.pdfium.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
	if err != nil {
		return broken("counting pages", err)
	}
	for i := range count.PageCount {
		if i >= r.limits.Pages || r.out.Len() >= r.limits.Text {
			r.cut = true
			break
		}
		s, err := r.page(opened.Document, i)
		if errors.Is(err, pdfiumerror.ErrPage) { // it does not open; others may
			r.cut = true
			continue
		}
		if err != nil {
			return broken("reading page", err)
		}
		if r.pages++; strings.TrimSpace(s) == "" {
			continue
		}
		r.write(fmt.Sprintf("[page %d]\n%s\n", i+1, strings.TrimSpace(s)))
	}
	if r.pages == 0 {
		return fmt.Errorf("%w: no page", ErrUnreadable)
	}
	return nil
}

// broken is the error of a file at which PDFium ends. Its own text is not passed on.
func broken(what string, err error) error {
	if strings.HasPrefix(err.Error(), "wasm error: unreachable") { // PDFium ends itself so (PartitionAlloc's OOM_CRASH, CHECK)
		return fmt.Errorf("%w: %s", ErrTooComplex, what)
	}
	return fmt.Errorf("%w: %s", ErrUnreadable, what)
}

func (r *reading) write(s string) {
	if room := r.limits.Text - r.out.Len(); len(s) > room {
		s, r.cut = s[:max(room, 0)], true
	}
	r.out.WriteString(s)
}

// page reads a page's text. ErrPage means that PDFium does not open it; after any
// other error the instance is at its end.
func (r *reading) page(document references.FPDF_DOCUMENT, index int) (string, error) {
	loaded, err := r.pdfium.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: document, Index: index})
	if err != nil {
		return "", err
	}
	text, err := r.pdfium.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: requests.Page{ByReference: &loaded.Page}})
	if err != nil {
		return "", err
	}
	count, err := r.pdfium.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: text.TextPage})
	if err != nil {
		return "", err
	}
	s := ""
	if n := min(count.Count, r.limits.Text-r.out.Len()+1); n > 0 { // each has a byte at least
		got, err := r.pdfium.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: text.TextPage, StartIndex: 0, Count: n})
		if err != nil {
			return "", err
		}
		s = got.Text
	}
	if _, err := r.pdfium.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: text.TextPage}); err != nil {
		return "", err
	}
	if _, err := r.pdfium.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page}); err != nil {
		return "", err
	}
	// PDFium ends a line with CR LF, and marks where it took a hyphen for the end of
	// a line by U+0002 or U+FFFE.
	return strings.NewReplacer("\r\n", "\n", "\x02", "", "\uFFFE", "").Replace(s), nil
}
