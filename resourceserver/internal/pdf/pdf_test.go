package pdf_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	block := bytes.Repeat([]byte(unit), 1000)
	for range n / 1000 {
		if _, err := z.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return stream(dictionary+"/Filter/FlateDecode", b.String())
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
var patient = pdf.Limits{Time: time.Minute, Pages: 2_000, Text: 1 << 20}

// TestText: the text of the pages, in their order.
func TestText(t *testing.T) {
	t.Parallel()
	text, cut, err := pdf.Text(t.Context(), pages(words("An offer"), words("Second \\(page\\)"), stream("", "")), patient)
	if text != "[page 1]\nAn offer\n[page 2]\nSecond (page)\n" || cut || err != nil {
		t.Errorf("%q %v %v", text, cut, err)
	}
	if text, cut, err := pdf.Text(t.Context(), pages(), patient); text != "" || cut || err != nil {
		t.Errorf("no pages: %q %v %v", text, cut, err)
	}
}

// TestLimits: what is beyond a limit is left out, and that is told.
func TestLimits(t *testing.T) {
	t.Parallel()
	many := make([]string, 30)
	for i := range many {
		many[i] = words(fmt.Sprint("Number ", i+1))
	}
	text, cut, err := pdf.Text(t.Context(), pages(many...), pdf.Limits{Time: time.Minute, Pages: 7, Text: 1 << 20})
	if strings.Count(text, "[page ") != 7 || !cut || err != nil {
		t.Errorf("pages: %q %v %v", text, cut, err)
	}
	text, cut, err = pdf.Text(t.Context(), pages(many...), pdf.Limits{Time: time.Minute, Pages: 100, Text: 50})
	if len(text) != 50 || !cut || err != nil {
		t.Errorf("text: %q %v %v", text, cut, err)
	}
	text, cut, err = pdf.Text(t.Context(), pages(words(strings.Repeat("long ", 2000))), pdf.Limits{Time: time.Minute, Pages: 100, Text: 50})
	if len(text) != 50 || !cut || err != nil {
		t.Errorf("one page: %q %v %v", text, cut, err)
	}
}

// TestHostile: every file comes to an end within its time, and the next one is read
// as if nothing had been.
func TestHostile(t *testing.T) {
	t.Parallel()
	deep := []string{"<</Type/Catalog/Pages 2 0 R>>"}
	for i := range 20_000 {
		deep = append(deep, fmt.Sprintf("<</Type/Pages/Kids[%d 0 R]/Count 1>>", i+3))
	}
	deep = append(deep, "<</Type/Page/MediaBox[0 0 9 9]>>")
	many := make([]string, 10_000)
	for i := range many {
		many[i] = stream("", "")
	}
	limits := pdf.Limits{Time: 5 * time.Second, Pages: 2_000, Text: 1 << 20}
	for what, c := range map[string]struct {
		file []byte
		want error // nil: a text, perhaps a part of it
	}{
		"nothing":              {nil, pdf.ErrUnreadable},
		"no PDF":               {[]byte("MZ\x90"), pdf.ErrUnreadable},
		"head alone":           {[]byte("%PDF-1.7 nothing"), pdf.ErrUnreadable},
		"larger than is read":  {append([]byte("%PDF-1.7"), make([]byte, pdf.MaxFile)...), pdf.ErrUnreadable},
		"encrypted":            {file("/Encrypt<</Filter/Standard/V 1/R 2/O("+strings.Repeat("o", 32)+")/U("+strings.Repeat("u", 32)+")/P -4>>/ID[(a)(a)]", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>"), pdf.ErrEncrypted},
		"unknown encryption":   {file("/Encrypt<</Filter/Nonsense>>", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>"), pdf.ErrEncrypted},
		"xref loop":            {loop(), nil},
		"a tree in a circle":   {file("", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9999999/Parent 2 0 R>>"), nil},
		"a deep tree":          {file("", deep...), nil},
		"10,000 pages":         {pages(many...), nil},
		"a form in itself":     {pages(stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>", "/X Do /X Do")), nil},
		"a packed stream":      {pages(bomb(t, "", " ", 50_000_000)), nil},
		"endless text":         {pages(bomb(t, "", "BT /F 9 Tf (many words) Tj ET\n", 3_000_000)), nil},
		"a huge object stream": {file("", "<</Type/Catalog/Pages 2 0 R>>", bomb(t, "/Type/ObjStm/N 99999999/First 9", "1 0 ", 10_000_000)), nil},
	} {
		began := time.Now()
		text, cut, err := pdf.Text(t.Context(), c.file, limits)
		took := time.Since(began)
		t.Logf("%s: %v, %d bytes, cut %v, %v", what, took.Round(time.Millisecond), len(text), cut, err)
		typed := errors.Is(err, pdf.ErrUnreadable) || errors.Is(err, pdf.ErrEncrypted) || errors.Is(err, pdf.ErrSlow)
		if c.want != nil && !errors.Is(err, c.want) || err != nil && !typed {
			t.Errorf("%s: %v", what, err)
		}
		if took > 30*time.Second { // compiling and other tests' files among it
			t.Errorf("%s: %v", what, took)
		}
		if text, _, err := pdf.Text(t.Context(), pages(words("still here")), patient); text != "[page 1]\nstill here\n" || err != nil {
			t.Fatalf("after %s: %q %v", what, text, err)
		}
	}
}

// loop is a file whose cross references lead back to themselves.
func loop() []byte {
	b := file("/Prev 9999999", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>")
	at := bytes.Index(b, []byte("xref\n"))
	return bytes.Replace(b, []byte("9999999"), fmt.Appendf(nil, "%07d", at), 1)
}

// TestInterrupted: a file that takes too long is given up when its time is over, or
// when nobody waits; others are read meanwhile.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	if _, _, err := pdf.Text(t.Context(), pages(words("warm")), patient); err != nil {
		t.Fatal(err)
	}
	slow := pages(bomb(t, "", "BT /F 9 Tf (many words) Tj ET\n", 3_000_000))
	var all sync.WaitGroup
	all.Go(func() {
		if text, _, err := pdf.Text(t.Context(), slow, pdf.Limits{Time: 50 * time.Millisecond, Pages: 9, Text: 1 << 20}); text != "" || !errors.Is(err, pdf.ErrSlow) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
	all.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if text, _, err := pdf.Text(ctx, slow, patient); text != "" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
	all.Go(func() {
		if text, _, err := pdf.Text(t.Context(), pages(words("meanwhile")), patient); text != "[page 1]\nmeanwhile\n" || err != nil {
			t.Errorf("%q %v", text, err)
		}
	})
	all.Wait()
}
