package filetext_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/office"
	"latchkey/resourceserver/internal/pdf"
	"latchkey/resourceserver/internal/tool"
)

const (
	at   = "https://mcp.example.com/mcp"
	docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
)

// word is a Word file with a text.
func word(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(w, `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:body></w:document>`, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestText: by its type, or by its ending where its type says nothing, a file is read
// as what it is; what is not read says why, and is not fetched if that was known.
func TestText(t *testing.T) {
	t.Parallel()
	ctx := bearertest.New(t, at, nil).As(t.Context(), t, bearertest.Token{})
	for what, c := range map[string]struct {
		file          filetext.File
		bytes         string
		charset       string // of the fetch
		text, said    string
		neverReadFrom bool
	}{
		"UTF-8":                        {filetext.File{Type: "text/plain"}, "über\r\nx", "", "über\nx", "", false},
		"no charset, not UTF-8":        {filetext.File{Type: "text/plain"}, "\xfcber", "", "über", "", false},
		"charset of its type":          {filetext.File{Type: "text/plain; charset=koi8-r"}, "\xf0\xd2\xc9", "utf-8", "При", "", false},
		"charset of its fetch":         {filetext.File{Type: "text/csv"}, "\xf0\xd2\xc9", "koi8-r", "При", "", false},
		"byte order mark, and a lie":   {filetext.File{Type: "text/plain; charset=utf-8"}, "\xff\xfea\x00", "", "a", "", false},
		"what nobody sees":             {filetext.File{Type: "text/plain"}, "a\u200b\U000E0041b\x1b[2Jc", "", "ab[2Jc", "", false},
		"HTML":                         {filetext.File{Type: "text/html"}, "<p>one<p hidden>evil", "", "one", "", false},
		"JSON":                         {filetext.File{Type: "application/problem+json"}, "{}", "", "{}", "", false},
		"Word":                         {filetext.File{Type: docx}, string(word(t, "Offer")), "", "Offer\n", "", false},
		"Word by its ending":           {filetext.File{Name: "A.DocX", Type: "application/octet-stream"}, string(word(t, "Offer")), "", "Offer\n", "", false},
		"Word of no text":              {filetext.File{Type: docx}, string(word(t, "")), "", "", "no text in the file", false},
		"an ending that lies":          {filetext.File{Name: "a.docx"}, "MZ", "", "", "damaged", false},
		"an ending does not overrule":  {filetext.File{Name: "a.docx", Type: "text/plain"}, "words", "", "words", "", false},
		"a path for a name":            {filetext.File{Name: "../../a.docx/.exe", Type: "application/octet-stream"}, "", "", "", "no text here", true},
		"a picture":                    {filetext.File{Name: "a.png", Type: "image/png"}, "", "", "", "no text here", true},
		"no type":                      {filetext.File{}, "", "", "", "no text here", true},
		"a type that is none":          {filetext.File{Type: "text/\x00plain; ="}, "MZ", "", "MZ", "", false},
		"larger than text":             {filetext.File{Type: "text/plain", Size: 4<<20 + 1}, "", "", "", "larger than the 4 MB", true},
		"larger than Office":           {filetext.File{Type: docx, Size: office.MaxFile + 1}, "", "", "", "larger than the 16 MB", true},
		"larger than PDF":              {filetext.File{Type: pdf.MediaType, Size: pdf.MaxFile + 1}, "", "", "", "larger than the 16 MB", true},
		"larger than PDF, by its name": {filetext.File{Name: "a.PDF", Size: pdf.MaxFile + 1}, "", "", "", "larger than the 16 MB", true},
	} {
		fetched := false
		c.file.Fetch = func(context.Context, int64) ([]byte, string, error) {
			fetched = true
			return []byte(c.bytes), c.charset, nil
		}
		text, said, err := filetext.New().Text(ctx, c.file)
		if text != c.text || !strings.Contains(said, c.said) || (said == "") != (c.said == "") || err != nil || fetched == c.neverReadFrom {
			t.Errorf("%s: %q %q %v, fetched %v", what, text, said, err, fetched)
		}
		if said != "" && !strings.Contains(said, "download link") {
			t.Errorf("%s: nothing to do about it: %s", what, said)
		}
	}
}

// TestFetch: a source is told how much is taken, whatever was said of the size; its
// error comes through, and its place is free afterwards.
func TestFetch(t *testing.T) {
	t.Parallel()
	ctx := bearertest.New(t, at, nil).As(t.Context(), t, bearertest.Token{})
	p, gone := filetext.NewReader(made), errors.New("gone")
	for kind, most := range map[string]int64{"text/plain": 4 << 20, docx: office.MaxFile, pdf.MediaType: pdf.MaxFile} {
		for range 2 * filetext.Parallel {
			_, _, err := p.Text(ctx, filetext.File{Type: kind, Fetch: func(_ context.Context, max int64) ([]byte, string, error) {
				if max != most {
					t.Errorf("%s: %d bytes", kind, max)
				}
				return nil, "", gone
			}})
			if !errors.Is(err, gone) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
	if p.People() != 0 {
		t.Error("people are kept")
	}
}

// TestPagesSay: what keeps a PDF file from being read is told apart, in words that
// say what to do; a server that cannot read any is not the file's fault.
func TestPagesSay(t *testing.T) {
	t.Parallel()
	told := map[string]string{}
	for what, c := range map[string]struct {
		text string
		cut  bool
		err  error
		said string
	}{
		"encrypted":        {"", false, pdf.ErrEncrypted, "password"},
		"damaged":          {"", false, fmt.Errorf("%w: opening", pdf.ErrUnreadable), "damaged"},
		"slow":             {"", false, pdf.ErrSlow, "longer than the time"},
		"too much memory":  {"", false, fmt.Errorf("%w: reading page", pdf.ErrTooComplex), "more memory"},
		"no text":          {" \n", false, nil, "pictures"},
		"a part of a text": {"[page 1]\na\n", true, nil, "a part of it"},
	} {
		text, said, err := filetext.Pages(c.text, c.cut, c.err)
		if text != c.text || !strings.Contains(said, c.said) || !strings.Contains(said, "download link") || err != nil {
			t.Errorf("%s: %q %q %v", what, text, said, err)
		}
		if other := told[said]; other != "" {
			t.Errorf("%s is told as %s", what, other)
		}
		told[said] = what
	}
	if text, said, err := filetext.Pages("[page 1]\na\n", false, nil); text == "" || said != "" || err != nil {
		t.Errorf("a whole text: %q %q %v", text, said, err)
	}
	_, said, err := filetext.Pages("", false, fmt.Errorf("%w: compiling", pdf.ErrUnavailable))
	var e *tool.Error
	if said != "" || !errors.As(err, &e) || e.Code != tool.CodeUnavailable || !e.Retryable || e.RetryAfter != filetext.RetryAfter {
		t.Errorf("no PDFium: %q %v", said, err)
	}
	if _, said, err := filetext.Pages("", false, context.Canceled); said != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %q %v", said, err)
	}
}
