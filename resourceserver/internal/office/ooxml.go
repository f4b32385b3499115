package office

import (
	"encoding/xml"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// readWord reads a Word document: headings, lists, tables, footnotes. Hidden text
// (w:vanish) is left out: a reader would not see it.
func readWord(r *reading, p parts) error {
	if p["word/document.xml"] == nil {
		return ErrUnreadable
	}
	for _, name := range []string{"word/document.xml", "word/footnotes.xml", "word/endnotes.xml"} {
		if err := r.word(p, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) word(p parts, name string) error {
	var inText, hidden, listed, begun bool
	heading, table, cells := 0, 0, 0
	return r.each(p, name, func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "p":
				heading, listed, begun = 0, false, false
			case "pStyle":
				style := strings.ToLower(attr(t, "val"))
				if n, err := strconv.Atoi(strings.TrimPrefix(style, "heading")); err == nil && n >= 1 && n <= 6 {
					heading = n
				} else if style == "title" {
					heading = 1
				}
			case "numPr":
				listed = true
			case "r":
				hidden = false
			case "vanish":
				hidden = attr(t, "val") != "0" && attr(t, "val") != "false"
			case "t":
				inText = true
			case "tab":
				return r.write("\t")
			case "br", "cr":
				return r.write("\n")
			case "tbl":
				table++
				return r.line()
			case "tr":
				cells = 0
			case "tc":
				if cells++; cells > 1 {
					return r.write(" | ")
				}
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "t":
				inText = false
			case "p":
				if table > 0 {
					return r.write(" ")
				}
				return r.line()
			case "tr":
				return r.line()
			case "tbl":
				table--
			}
		case xml.CharData:
			if !inText || hidden {
				return nil
			}
			mark := ""
			if !begun && table == 0 {
				if begun = true; heading > 0 {
					mark = strings.Repeat("#", heading) + " "
				} else if listed {
					mark = "- "
				}
			}
			return r.write(mark + string(t))
		}
		return nil
	})
}

// related are the targets of a part's relationships by id, of parts only.
func (r *reading) related(p parts, name string) (map[string]string, error) {
	out := map[string]string{}
	dir, base := path.Split(name)
	err := r.each(p, dir+"_rels/"+base+".rels", func(t xml.Token) error {
		if s, ok := t.(xml.StartElement); ok && s.Name.Local == "Relationship" && attr(s, "TargetMode") != "External" && len(out) < maxEntries {
			target := attr(s, "Target")
			if !strings.HasPrefix(target, "/") {
				target = path.Join(dir, target)
			}
			out[attr(s, "Id")] = strings.TrimPrefix(target, "/")
		}
		return nil
	})
	return out, err
}

// refer is an r:id attribute; both of its names end in "id".
func refer(t xml.StartElement) string {
	for _, a := range t.Attr {
		if a.Name.Local == "id" && a.Name.Space != "" {
			return a.Value
		}
	}
	return ""
}

// readPowerPoint reads the slides in their order, and their notes.
func readPowerPoint(r *reading, p parts) error {
	const main = "ppt/presentation.xml"
	if p[main] == nil {
		return ErrUnreadable
	}
	related, err := r.related(p, main)
	if err != nil {
		return err
	}
	var slides []string
	if err := r.each(p, main, func(t xml.Token) error {
		if s, ok := t.(xml.StartElement); ok && s.Name.Local == "sldId" && len(slides) < maxEntries {
			slides = append(slides, related[refer(s)])
		}
		return nil
	}); err != nil {
		return err
	}
	for i, name := range slides {
		if err := r.write(fmt.Sprintf("[slide %d]\n", i+1)); err != nil {
			return err
		}
		if err := r.drawing(p, name); err != nil {
			return err
		}
		notes, err := r.related(p, name)
		if err != nil {
			return err
		}
		for _, target := range notes {
			if strings.HasPrefix(target, "ppt/notesSlides/") {
				if err := r.write("[notes]\n"); err != nil {
					return err
				}
				if err := r.drawing(p, target); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// drawing reads the texts of shapes and tables.
func (r *reading) drawing(p parts, name string) error {
	inText := false
	return r.each(p, name, func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "t":
				inText = true
			case "br":
				return r.write("\n")
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "t":
				inText = false
			case "p":
				return r.line()
			}
		case xml.CharData:
			if inText {
				return r.write(string(t))
			}
		}
		return nil
	})
}

// readExcel reads the sheets in their order, as comma-separated values.
func readExcel(r *reading, p parts) error {
	const main = "xl/workbook.xml"
	if p[main] == nil {
		return ErrUnreadable
	}
	related, err := r.related(p, main)
	if err != nil {
		return err
	}
	x := &excel{reading: r, parts: p}
	type named struct{ name, part string }
	var sheets []named
	if err := r.each(p, main, func(t xml.Token) error {
		if s, ok := t.(xml.StartElement); ok {
			switch s.Name.Local {
			case "sheet":
				if len(sheets) < maxEntries {
					sheets = append(sheets, named{attr(s, "name"), related[refer(s)]})
				}
			case "workbookPr":
				x.since1904 = attr(s, "date1904") == "1" || attr(s, "date1904") == "true"
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := x.strings(); err != nil {
		return err
	}
	if err := x.styles(); err != nil {
		return err
	}
	for _, s := range sheets {
		if err := r.write("[sheet: " + s.name + "]\n"); err != nil {
			return err
		}
		if err := x.sheet(s.part); err != nil {
			return err
		}
	}
	return nil
}

type excel struct {
	*reading
	parts     parts
	shared    []string
	dates     []bool // by style
	since1904 bool
}

// strings reads the shared strings.
func (x *excel) strings() error {
	var b strings.Builder
	inText, phonetic := false, false
	return x.each(x.parts, "xl/sharedStrings.xml", func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			inText = t.Name.Local == "t" && !phonetic
			if t.Name.Local == "rPh" {
				phonetic = true
			}
		case xml.EndElement:
			inText = false
			switch t.Name.Local {
			case "rPh":
				phonetic = false
			case "si":
				x.shared = append(x.shared, b.String())
				b.Reset()
			}
		case xml.CharData:
			if inText {
				b.Write(t)
			}
		}
		return nil
	})
}

// styles finds which cell styles show a number as a date.
func (x *excel) styles() error {
	formats, inCells := map[string]bool{}, false
	return x.each(x.parts, "xl/styles.xml", func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "numFmt":
				if len(formats) < maxEntries {
					formats[attr(t, "numFmtId")] = dated(attr(t, "formatCode"))
				}
			case "cellXfs":
				inCells = true
			case "xf":
				if inCells && len(x.dates) < 65_536 {
					id := attr(t, "numFmtId")
					n, _ := strconv.Atoi(id)
					x.dates = append(x.dates, formats[id] || n >= 14 && n <= 22 || n >= 45 && n <= 47) // ECMA-376 §18.8.30
				}
			}
		case xml.EndElement:
			if t.Name.Local == "cellXfs" {
				inCells = false
			}
		}
		return nil
	})
}

// dated reports whether a number format shows a date or a time.
func dated(code string) bool {
	quoted, bracket := false, false
	for _, c := range strings.ToLower(code) {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '[':
			bracket = true
		case c == ']':
			bracket = false
		case !quoted && !bracket && strings.ContainsRune("ymdhs", c):
			return true
		}
	}
	return false
}

func (x *excel) sheet(name string) error {
	var value strings.Builder
	var kind string
	inValue, first, style, column := false, true, -1, 0
	return x.each(x.parts, name, func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "row":
				column, first = 0, true
			case "c":
				kind, style = attr(t, "t"), -1
				if n, err := strconv.Atoi(attr(t, "s")); err == nil {
					style = n
				}
				value.Reset()
				at := columnOf(attr(t, "r"))
				if attr(t, "r") == "" && !first {
					at = column + 1
				}
				first = false
				for at = min(at, maxColumns); column < at; column++ {
					if err := x.write(","); err != nil {
						return err
					}
				}
			case "v", "t":
				inValue = true
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "v", "t":
				inValue = false
			case "c":
				if column >= maxColumns {
					return nil
				}
				return x.write(quoted(x.value(kind, style, value.String())))
			case "row":
				return x.line()
			}
		case xml.CharData:
			if inValue {
				value.Write(t)
			}
		}
		return nil
	})
}

// columnOf is the number of a cell's column, from 0; 0 if it does not say.
func columnOf(cell string) int {
	n := 0
	for _, c := range cell {
		if c < 'A' || c > 'Z' || n > 1<<20 {
			break
		}
		n = n*26 + int(c-'A') + 1
	}
	return max(n-1, 0)
}

func (x *excel) value(kind string, style int, raw string) string {
	switch kind {
	case "s":
		if i, err := strconv.Atoi(raw); err == nil && i >= 0 && i < len(x.shared) {
			return x.shared[i]
		}
		return ""
	case "b":
		return map[string]string{"1": "TRUE", "0": "FALSE"}[raw]
	case "", "n":
		if style >= 0 && style < len(x.dates) && x.dates[style] {
			if n, err := strconv.ParseFloat(raw, 64); err == nil && n >= 0 && n < 2_958_466 { // year 10000
				return x.date(n)
			}
		}
	}
	return raw
}

// date is a number of days as a date (ECMA-376 §18.17.4.1).
func (x *excel) date(n float64) string {
	begin := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	if x.since1904 {
		begin = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	days, part := math.Modf(n)
	t := begin.AddDate(0, 0, int(days)).Add(time.Duration(math.Round(part*86_400)) * time.Second)
	switch {
	case part == 0:
		return t.Format(time.DateOnly)
	case days == 0:
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04:05")
}

// quoted is a value of comma-separated ones (RFC 4180).
func quoted(s string) string {
	if strings.ContainsAny(s, ",\"\r\n") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
