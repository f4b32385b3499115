package pdf_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/resourceserver/internal/pdf"
)

// file is a PDF of objects, numbered from 1; the first is the catalog.
func file(trailer string, objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	var at []int
	for i, o := range objects {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, trailer, start)
	return b.Bytes()
}

func stream(dictionary, data string) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dictionary, len(data), data)
}

// bomb is a stream of n times some bytes, packed.
func bomb(t *testing.T, dictionary, unit string, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(bytes.Repeat([]byte(unit), n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return stream(dictionary, b.String())
}

const font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"

// pages is a file with a page for each content stream.
func pages(contents ...string) []byte {
	var kids strings.Builder
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "", font}
	for _, c := range contents {
		n := len(objects)
		fmt.Fprintf(&kids, "%d 0 R ", n+1)
		objects = append(objects, fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>/XObject<</X %d 0 R>>>>>>", n+2, n+2), c)
	}
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids.String(), len(contents))
	return file("", objects...)
}

func words(s string) string { return stream("", "BT /F 12 Tf 50 700 Td ("+s+") Tj ET") }

// patient are limits that do not matter.
var patient = pdf.Limits{Time: 5 * time.Minute, Pages: 2_000, Text: 1 << 20}

// TestText: the text of the pages, in their order.
func TestText(t *testing.T) {
	t.Parallel()
	text, cut, err := pdf.Text(t.Context(), pages(words("An offer"), words("Second \\(page\\)"), stream("", "")), patient)
	if text != "[page 1]\nAn offer\n[page 2]\nSecond (page)\n" || cut || err != nil {
		t.Errorf("%q %v %v", text, cut, err)
	}
	if text, cut, err := pdf.Text(t.Context(), pages(stream("", ""), stream("", "0 0 9 9 re f")), patient); text != "" || cut || err != nil {
		t.Errorf("no text: %q %v %v", text, cut, err)
	}
}

// TestLimits: what is beyond a limit is left out, and that is told.
func TestLimits(t *testing.T) {
	t.Parallel()
	many := make([]string, 30)
	for i := range many {
		many[i] = words(fmt.Sprint("Number ", i+1))
	}
	text, cut, err := pdf.Text(t.Context(), pages(many...), pdf.Limits{Time: 5 * time.Minute, Pages: 7, Text: 1 << 20})
	if strings.Count(text, "[page ") != 7 || !cut || err != nil {
		t.Errorf("pages: %q %v %v", text, cut, err)
	}
	text, cut, err = pdf.Text(t.Context(), pages(many...), pdf.Limits{Time: 5 * time.Minute, Pages: 100, Text: 50})
	if len(text) != 50 || !cut || err != nil {
		t.Errorf("text: %q %v %v", text, cut, err)
	}
	text, cut, err = pdf.Text(t.Context(), pages(words(strings.Repeat("long ", 2000))), pdf.Limits{Time: 5 * time.Minute, Pages: 100, Text: 50})
	if len(text) != 50 || !cut || err != nil {
		t.Errorf("one page: %q %v %v", text, cut, err)
	}
}

// TestHostile: every file comes to an end that says what is wrong with it, and the
// next one is read as if nothing had been.
func TestHostile(t *testing.T) {
	t.Parallel()
	deep := []string{"<</Type/Catalog/Pages 2 0 R>>"}
	for i := range 2_000 {
		deep = append(deep, fmt.Sprintf("<</Type/Pages/Kids[%d 0 R]/Count 1>>", i+3))
	}
	deep = append(deep, "<</Type/Page/MediaBox[0 0 9 9]>>")
	many := make([]string, 1_000)
	for i := range many {
		many[i] = stream("", "")
	}
	flate := "/Filter/FlateDecode"
	const none = "<</Type/Pages/Kids[]/Count 0>>"
	limits := pdf.Limits{Time: 5 * time.Minute, Pages: 500, Text: 1 << 20}
	quick := pdf.Limits{Time: 100 * time.Millisecond, Pages: 500, Text: 1 << 20}
	for what, c := range map[string]struct {
		file   []byte
		limits pdf.Limits
		text   string
		cut    bool
		want   error
	}{
		"nothing":              {nil, limits, "", false, pdf.ErrUnreadable},
		"no PDF":               {[]byte("MZ\x90"), limits, "", false, pdf.ErrUnreadable},
		"head alone":           {[]byte("%PDF-1.7 nothing"), limits, "", false, pdf.ErrUnreadable},
		"larger than is read":  {append([]byte("%PDF-1.7"), make([]byte, pdf.MaxFile)...), limits, "", false, pdf.ErrUnreadable},
		"encrypted":            {file("/Encrypt<</Filter/Standard/V 1/R 2/O("+strings.Repeat("o", 32)+")/U("+strings.Repeat("u", 32)+")/P -4>>/ID[(a)(a)]", "<</Type/Catalog/Pages 2 0 R>>", none), limits, "", false, pdf.ErrEncrypted},
		"unknown encryption":   {file("/Encrypt<</Filter/Nonsense>>", "<</Type/Catalog/Pages 2 0 R>>", none), limits, "", false, pdf.ErrEncrypted},
		"no pages":             {pages(), limits, "", false, pdf.ErrUnreadable},
		"xref loop":            {loop(), limits, "", false, pdf.ErrUnreadable},
		"a tree in a circle":   {file("", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9999999/Parent 2 0 R>>"), limits, "", false, pdf.ErrUnreadable},
		"a deep tree":          {file("", deep...), limits, "", false, pdf.ErrUnreadable},
		"an endless tree":      {endless(), quick, "", false, pdf.ErrSlow},
		"more pages":           {pages(many...), limits, "", true, nil},
		"a page that is none":  {bytes.Replace(pages(words("one"), words("two"), words("three")), []byte("Kids[4 0 R 6"), []byte("Kids[4 0 R 3"), 1), limits, "[page 1]\none\n[page 3]\nthree\n", true, nil},
		"a form in itself":     {pages(stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>", "/X Do")), limits, "", false, nil},
		"forms in forms":       {forms(), limits, "", false, pdf.ErrTooComplex},
		"after a page of text": {forms(words("before")), limits, "[page 1]\nbefore\n", true, nil},
		"a packed stream":      {pages(bomb(t, "/Filter[/FlateDecode/RunLengthDecode]", "\x81 ", 100_000)), limits, "", false, nil}, // 12.8 MB
		"much text":            {pages(bomb(t, flate, "BT /F 9 Tf (many words) Tj ET\n", 20_000)), limits, "[page 1]\nmany words\n", false, nil},
		"a huge object stream": {file("", "<</Type/Catalog/Pages 2 0 R>>", bomb(t, "/Type/ObjStm/N 99999999/First 9"+flate, "1 0 ", 100_000)), limits, "", false, nil},
	} {
		began := time.Now()
		text, cut, err := pdf.Text(t.Context(), c.file, c.limits)
		t.Logf("%s: %v, %d bytes", what, time.Since(began).Round(time.Millisecond), len(c.file))
		if text != c.text || cut != c.cut || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, cut %v, %v", what, text, cut, err)
		}
		if text, _, err := pdf.Text(t.Context(), pages(words("still here")), patient); text != "[page 1]\nstill here\n" || err != nil {
			t.Fatalf("after %s: %q %v", what, text, err)
		}
	}
}

// endless is a small file whose pages are not counted within a life: each of its
// nodes stands twice in the one above it, and no sum is kept of those that are empty.
func endless() []byte {
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>"}
	for i := range 60 {
		objects = append(objects, fmt.Sprintf("<</Type/Pages/Kids[%d 0 R %d 0 R]>>", i+3, i+3))
	}
	return file("", append(objects, "<</Type/Pages/Kids[]>>")...)
}

// forms is a small file whose last page takes all memory: each of its forms draws
// the next one twice. Pages before it can be given.
func forms(before ...string) []byte {
	const depth = 30
	form := func(i int) string { return fmt.Sprintf("/Resources<</XObject<</X %d 0 R>>>>", i) }
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "", font}
	kids := ""
	for _, c := range before {
		kids += fmt.Sprintf("%d 0 R ", len(objects)+1)
		objects = append(objects, fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>>>>>", len(objects)+2), c)
	}
	kids += fmt.Sprintf("%d 0 R", len(objects)+1)
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids, len(before)+1)
	objects = append(objects, fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R%s>>", len(objects)+2, form(len(objects)+2)))
	for range depth {
		objects = append(objects, stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]"+form(len(objects)+2), "/X Do /X Do"))
	}
	return file("", append(objects, stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]", "0 0 m 1 1 l S"))...)
}

// loop is a file whose cross references lead back to themselves.
func loop() []byte {
	b := file("/Prev 9999999", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>")
	at := bytes.Index(b, []byte("xref\n"))
	return bytes.Replace(b, []byte("9999999"), fmt.Appendf(nil, "%07d", at), 1)
}

// TestInterrupted: a file that would take for ever is given up when nobody waits for
// it any more; others are read meanwhile. (That its time ends it: TestHostile.)
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		text, cut, err := pdf.Text(ctx, endless(), pdf.Limits{Time: time.Hour, Pages: 9, Text: 1 << 20})
		if text != "" || cut {
			t.Errorf("%q %v", text, cut)
		}
		ended <- err
	}()
	for range 3 {
		if text, _, err := pdf.Text(t.Context(), pages(words("meanwhile")), patient); text != "[page 1]\nmeanwhile\n" || err != nil {
			t.Errorf("%q %v", text, err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("it ended by itself: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if text, _, err := pdf.Text(ctx, pages(words("late")), patient); text != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits from the start: %q %v", text, err)
	}
}
