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
	// ErrUnreadable means that a file is damaged or no PDF.
	ErrUnreadable = errors.New("file cannot be read as PDF")
	// ErrEncrypted means that a file opens with a password only.
	ErrEncrypted = errors.New("file needs a password")
	// ErrSlow means that the time was over before there was any text.
	ErrSlow = errors.New("file takes too long to read")
)

// places are those of the files that are read at once.
var places = make(chan struct{}, parallel)

// Text returns a file's text, each page after a line with its number, and whether
// some was left out because of the limits, or because PDFium could not go on.
// Errors are ErrUnreadable, ErrEncrypted, ErrSlow, those of the context, and that
// there is no PDFium.
func Text(ctx context.Context, file []byte, l Limits) (text string, cut bool, err error) {
	if len(file) == 0 || len(file) > MaxFile {
		return "", false, ErrUnreadable
	}
	pool, err := engine(ctx)
	if err != nil {
		return "", false, err
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	within, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	p, end, err := instance(within, pool)
	if err != nil {
		return "", false, over(ctx, within, err)
	}
	defer end()
	r := &reading{pdfium: p, limits: l}
	err = r.read(file)
	if ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	text = content.Clean(strings.ToValidUTF8(r.out.String(), "\uFFFD"))
	if err != nil && r.pages > 0 { // what was read before is the file's
		return text, true, nil
	}
	if err != nil {
		return "", false, over(ctx, within, err)
	}
	return text, r.cut, nil
}

// over tells the end of the file's time from that of the call.
func over(ctx, within context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		return ErrSlow
	}
	return err
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
		return fmt.Errorf("%w: opening", ErrUnreadable)
	}
	count, err := r.pdfium.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
	if err != nil {
		return fmt.Errorf("%w: counting pages", ErrUnreadable)
	}
	for i := range count.PageCount {
		if i >= r.limits.Pages || r.out.Len() >= r.limits.Text {
			r.cut = true
			return nil
		}
		s, err := r.page(opened.Document, i)
		if err != nil {
			return fmt.Errorf("%w: reading page", ErrUnreadable)
		}
		if r.pages++; strings.TrimSpace(s) == "" {
			continue
		}
		r.write(fmt.Sprintf("[page %d]\n%s\n", i+1, strings.TrimSpace(s)))
	}
	return nil
}

func (r *reading) write(s string) {
	if room := r.limits.Text - r.out.Len(); len(s) > room {
		s, r.cut = s[:max(room, 0)], true
	}
	r.out.WriteString(s)
}

// page reads a page's text. A page that PDFium does not open is empty; an error
// means that the instance is at its end.
func (r *reading) page(document references.FPDF_DOCUMENT, index int) (string, error) {
	loaded, err := r.pdfium.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: document, Index: index})
	if err != nil {
		return "", alive(r.pdfium, err)
	}
	text, err := r.pdfium.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: requests.Page{ByReference: &loaded.Page}})
	if err != nil {
		return "", alive(r.pdfium, err)
	}
	count, err := r.pdfium.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: text.TextPage})
	if err != nil {
		return "", err
	}
	s := ""
	if n := min(count.Count, r.limits.Text-r.out.Len()+1); n > 0 { // each has a byte at least
		got, err := r.pdfium.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: text.TextPage, StartIndex: 0, Count: n})
		if err != nil {
			return "", alive(r.pdfium, err)
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

// alive is nil if the instance still answers: the error was of one page.
func alive(p pdfium.Pdfium, err error) error {
	if _, lost := p.FPDF_GetLastError(&requests.FPDF_GetLastError{}); lost != nil {
		return err
	}
	return nil
}
