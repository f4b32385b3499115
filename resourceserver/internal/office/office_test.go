package office_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/resourceserver/internal/office"
)

const (
	ooxml = "application/vnd.openxmlformats-officedocument."
	word  = ooxml + "wordprocessingml.document"
	excel = ooxml + "spreadsheetml.sheet"
	point = ooxml + "presentationml.presentation"
)

// archive packs parts.
func archive(parts map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		f, _ := z.Create(name)
		_, _ = f.Write([]byte(parts[name]))
	}
	_ = z.Close()
	return b.Bytes()
}

func wordFile() []byte {
	return archive(map[string]string{"word/document.xml": `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="x"><w:body>
<w:p><w:pPr><w:pStyle w:val="Heading2"/></w:pPr><w:r><w:t>Head</w:t></w:r></w:p>
<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t xml:space="preserve">item </w:t></w:r><w:r><w:t>one</w:t></w:r></w:p>
<w:p><w:r><w:t>seen</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t> too</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:r><w:t>end</w:t><w:br/><w:t>x &lt; y</w:t></w:r></w:p></w:body></w:document>`,
		"word/footnotes.xml": `<w:footnotes><w:footnote><w:p><w:r><w:t>note</w:t></w:r></w:p></w:footnote></w:footnotes>`})
}

func excelFile() []byte {
	return archive(map[string]string{
		"xl/workbook.xml":            `<workbook xmlns:r="r"><sheets><sheet name="Two" sheetId="2" r:id="r2"/><sheet name="One" sheetId="1" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Target="worksheets/a.xml"/><Relationship Id="r2" Target="/xl/worksheets/b.xml"/></Relationships>`,
		"xl/sharedStrings.xml":       `<sst><si><t>shared</t></si><si><r><t>ri</t></r><r><t>ch, "q"</t></r><rPh><t>ruby</t></rPh></si></sst>`,
		"xl/styles.xml":              `<styleSheet><numFmts><numFmt numFmtId="200" formatCode="yyyy&quot;m&quot;"/><numFmt numFmtId="201" formatCode="0&quot;d&quot;"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="200"/><xf numFmtId="201"/></cellXfs></styleSheet>`,
		"xl/worksheets/a.xml":        `<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row><row r="9"><c r="B9" t="b"><v>1</v></c><c><v>2.5</v></c><c r="XFD9"><v>far</v></c></row></sheetData></worksheet>`,
		"xl/worksheets/b.xml":        `<worksheet><sheetData><row><c s="1"><v>46023</v></c><c s="2"><v>46023.75</v></c><c s="3"><v>7</v></c><c t="inlineStr"><is><t>in</t></is></c><c t="s"><v>99</v></c></row></sheetData></worksheet>`,
	})
}

func pointFile() []byte {
	slide := func(s string) string {
		return `<p:sld xmlns:a="a"><a:p><a:r><a:t>` + s + `</a:t></a:r></a:p></p:sld>`
	}
	return archive(map[string]string{
		"ppt/presentation.xml":             `<p:presentation xmlns:r="r"><p:sldIdLst><p:sldId id="256" r:id="b"/><p:sldId id="257" r:id="a"/></p:sldIdLst></p:presentation>`,
		"ppt/_rels/presentation.xml.rels":  `<Relationships><Relationship Id="a" Target="slides/slide1.xml"/><Relationship Id="b" Target="slides/slide2.xml"/></Relationships>`,
		"ppt/slides/slide1.xml":            slide("last"),
		"ppt/slides/slide2.xml":            slide("first"),
		"ppt/slides/_rels/slide2.xml.rels": `<Relationships><Relationship Id="x" Target="../notesSlides/n.xml"/><Relationship Id="y" Target="https://evil.test" TargetMode="External"/></Relationships>`,
		"ppt/notesSlides/n.xml":            slide("say it"),
	})
}

// TestText: what is read of each kind.
func TestText(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		file []byte
		want string
	}{
		word:  {wordFile(), "## Head\n- item one\nseen too\na  | b \nend\nx < y\nnote\n"},
		excel: {excelFile(), "[sheet: Two]\n2026-01-01,2026-01-01 18:00:00,7,in,\n[sheet: One]\nshared,,\"rich, \"\"q\"\"\"\n,TRUE,2.5"},
		point: {pointFile(), "[slide 1]\nfirst\n[notes]\nsay it\n[slide 2]\nlast\n"},
	} {
		got, cut, err := office.Text(t.Context(), kind, c.file, office.Default)
		if kind == excel { // a far cell is cut, the rest of its row is commas
			got = strings.TrimRight(got, ",\n")
		}
		if got != c.want || cut || err != nil {
			t.Errorf("%s: %q %v %v", kind, got, cut, err)
		}
		if !office.Reads(kind) {
			t.Errorf("%s is not read", kind)
		}
	}
}

// TestUnreadable: what is damaged, encrypted, or something else.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		kind string
		file []byte
	}{
		"nothing": {word, nil}, "another archive": {word, archive(map[string]string{"x": "y"})}, "Excel as Word": {word, excelFile()}, "half": {word, wordFile()[:300]},
		"bad XML": {word, archive(map[string]string{"word/document.xml": "<a><b"})},
		"a PDF":   {"application/pdf", []byte("%PDF-1.4\n1 0 obj << >> endobj")}, "a picture": {"image/png", []byte("x")}, "too large": {word, make([]byte, office.MaxFile+1)},
		"charset": {word, archive(map[string]string{"word/document.xml": `<?xml version="1.0" encoding="utf-7"?><a/>`})},
	} {
		if got, _, err := office.Text(t.Context(), c.kind, c.file, office.Default); !errors.Is(err, office.ErrUnreadable) {
			t.Errorf("%s: %q %v", what, got, err)
		}
	}
}

// TestBombs: small files that want very much time or memory get little of either.
func TestBombs(t *testing.T) {
	t.Parallel()
	repeat := strings.Repeat
	// A sixteenth of the server's: what a file makes of its limits does not depend on their size.
	small := office.Limits{Unpacked: office.Default.Unpacked / 16, Text: office.Default.Text / 16, Tokens: office.Default.Tokens / 16}
	for what, c := range map[string]struct {
		kind string
		file func() []byte
	}{
		"zip bomb": {word, func() []byte {
			return archive(map[string]string{"word/document.xml": "<w:document>" + repeat("<w:p/>", 1<<20) + "</w:document>"})
		}},
		"one text": {word, func() []byte {
			return archive(map[string]string{"word/document.xml": "<w:p><w:t>" + repeat("a", 4<<20)})
		}},
		"attributes": {word, func() []byte {
			return archive(map[string]string{"word/document.xml": "<w:p " + repeat(`a="" `, 1<<20) + "/>"})
		}},
		"depth": {word, func() []byte { return archive(map[string]string{"word/document.xml": repeat("<w:tbl>", 1<<20)}) }},
		"entities": {word, func() []byte {
			return archive(map[string]string{"word/document.xml": `<!DOCTYPE a [<!ENTITY a "` + repeat("x", 1000) + `"><!ENTITY b "` + repeat("&a;", 1000) + `">]><w:p><w:t>` + repeat("&b;", 1000) + "</w:t></w:p>"})
		}},
		"a shared string": {excel, func() []byte {
			return archive(map[string]string{"xl/workbook.xml": `<workbook xmlns:r="r"><sheet name="a" r:id="a"/></workbook>`, "xl/_rels/workbook.xml.rels": `<R><Relationship Id="a" Target="s.xml"/></R>`, "xl/sharedStrings.xml": "<si><t>" + repeat("a", 900_000) + "</t></si>", "xl/s.xml": repeat(`<c r="A1" t="s"><v>0</v></c>`, 10_000)})
		}},
		"many slides": {point, func() []byte {
			return archive(map[string]string{"ppt/presentation.xml": repeat(`<p:sldId r:id="a" xmlns:r="r"/>`, 100_000), "ppt/_rels/presentation.xml.rels": `<R><Relationship Id="a" Target="s.xml"/></R>`, "ppt/s.xml": repeat("<a:t>x</a:t>", 400_000)})
		}},
	} {
		t.Run(what, func(t *testing.T) {
			file := c.file()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // far more than any takes, also under -race on a busy machine
			defer cancel()
			text, _, err := office.Text(ctx, c.kind, file, small)
			if len(text) > small.Text*3/2 {
				t.Errorf("%d bytes of text", len(text))
			}
			if err != nil && !errors.Is(err, office.ErrTooLarge) && !errors.Is(err, office.ErrUnreadable) {
				t.Error(err)
			}
			t.Logf("%d bytes: %d bytes of text, %v, %v", len(file), len(text), err, time.Since(begin))
		})
	}
}

// TestEntries: an archive of very many entries that claims few is given up before
// they are listed, whatever its end record says.
func TestEntries(t *testing.T) {
	header := make([]byte, 46)
	copy(header, "PK\x01\x02")
	file := bytes.Repeat(header, 5<<16+3)
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[10:], 3)
	binary.LittleEndian.PutUint32(end[12:], uint32(len(file)))
	file = append(file, end...)
	if len(file) > office.MaxFile {
		t.Fatal(len(file))
	}
	allocated := testing.AllocsPerRun(1, func() {
		if _, _, err := office.Text(t.Context(), word, file, office.Default); !errors.Is(err, office.ErrUnreadable) {
			t.Error(err)
		}
	})
	if allocated > 1_000 {
		t.Errorf("%v allocations", allocated)
	}
}

// TestZip64: the 64-bit end record (APPNOTE §4.3.14) would name other entries than
// the end record that was looked at.
func TestZip64(t *testing.T) {
	t.Parallel()
	for what, mark := range map[string]func(end []byte){
		"size":   func(end []byte) { binary.LittleEndian.PutUint32(end[12:], 0xffff) },
		"offset": func(end []byte) { binary.LittleEndian.PutUint32(end[16:], 0xffff_ffff) },
		"number": func(end []byte) { binary.LittleEndian.PutUint16(end[10:], 0xffff) },
	} {
		file := wordFile()
		directory, end := file[:len(file)-22], file[len(file)-22:]
		wide := make([]byte, 56)
		copy(wide, "PK\x06\x06")
		for at, from := range map[int]uint32{24: uint32(binary.LittleEndian.Uint16(end[8:])), 32: uint32(binary.LittleEndian.Uint16(end[10:])), 40: binary.LittleEndian.Uint32(end[12:]), 48: binary.LittleEndian.Uint32(end[16:])} {
			binary.LittleEndian.PutUint64(wide[at:], uint64(from))
		}
		locator := make([]byte, 20)
		copy(locator, "PK\x06\x07")
		binary.LittleEndian.PutUint64(locator[8:], uint64(len(directory)))
		binary.LittleEndian.PutUint32(locator[16:], 1)
		mark(end)
		file = slices.Concat(directory, wide, locator, end)
		if z, err := zip.NewReader(bytes.NewReader(file), int64(len(file))); err != nil || len(z.File) == 0 {
			t.Fatalf("%s: the archive is not one: %v", what, err)
		}
		if _, _, err := office.Text(t.Context(), word, file, office.Default); !errors.Is(err, office.ErrUnreadable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestCancelled: who goes away ends the reading.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := archive(map[string]string{"word/document.xml": strings.Repeat("<w:p/>", 100_000)})
	if _, _, err := office.Text(ctx, word, file, office.Default); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func fuzz(f *testing.F, kind string, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		text, _, err := office.Text(t.Context(), kind, file, office.Default)
		if err != nil && !errors.Is(err, office.ErrUnreadable) && !errors.Is(err, office.ErrTooLarge) {
			t.Error(err)
		}
		if strings.ContainsAny(text, "\x00\x1b\u202e") {
			t.Errorf("%q", text)
		}
	})
}

func FuzzExcel(f *testing.F)      { fuzz(f, excel, excelFile()) }
func FuzzPowerPoint(f *testing.F) { fuzz(f, point, pointFile()) }

// FuzzWord is of the part: a fuzzer does not get through an archive's checksums.
func FuzzWord(f *testing.F) {
	f.Add("<w:p><w:r><w:t>x</w:t></w:r></w:p>")
	f.Add("<w:tbl><w:tr><w:tc/></w:tr></w:tbl>&#0;")
	f.Fuzz(func(t *testing.T, part string) {
		_, _, err := office.Text(t.Context(), word, archive(map[string]string{"word/document.xml": part}), office.Default)
		if err != nil && !errors.Is(err, office.ErrUnreadable) && !errors.Is(err, office.ErrTooLarge) {
			t.Error(err)
		}
	})
}
