package docs

import (
	"strconv"
	"strings"
	"unicode/utf16"

	"google.golang.org/api/docs/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/markdown"
)

// maxRequests bounds one edit; Google's own limit is not documented.
const maxRequests = 5_000

// writer makes the requests that put blocks at one index of a tab. The blocks go
// in from the last to the first, each at the same index, so no position has to be
// computed across what Docs does to the ones before.
type writer struct {
	tab   string
	index int64 // the start of a paragraph
	out   []*docs.Request
}

// insert returns the requests that insert blocks before the paragraph that begins
// at an index.
func insert(tab string, index int64, blocks []markdown.Block) []*docs.Request {
	w := &writer{tab: tab, index: index}
	for end := len(blocks); end > 0; {
		start := end - 1
		// A table has a line end before it: what comes before the table takes it.
		taken := end < len(blocks) && blocks[end].Kind == markdown.Table
		switch blocks[start].Kind {
		case markdown.Item:
			for start > 0 && blocks[start-1].Kind == markdown.Item {
				start--
			}
			w.list(blocks[start:end], taken)
		case markdown.Table:
			w.table(blocks[start])
		default:
			w.paragraph(blocks[start], taken)
		}
		end = start
	}
	return w.out
}

func (w *writer) at(index int64) *docs.Location { return &docs.Location{Index: index, TabId: w.tab} }

func (w *writer) span(from, to int64) *docs.Range {
	return &docs.Range{StartIndex: from, EndIndex: to, TabId: w.tab}
}

// units is the length of a text in Docs: UTF-16 code units.
func units(s string) int64 { return int64(len(utf16.Encode([]rune(s)))) }

// sayable is a text as Docs stores it. Docs drops control characters and the
// private use area (Docs API, InsertTextRequest), which would move every position
// behind them; line breaks are vertical tabs.
func sayable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return '\v'
		case r >= 0xe000 && r <= 0xf8ff:
			return -1
		}
		return r
	}, content.Clean(strings.ReplaceAll(s, "\t", "    ")))
}

func text(spans []markdown.Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(said(s))
	}
	return b.String()
}

// said is the text of a span: references to footnotes are numbers, because the
// notes are written as text.
func said(s markdown.Span) string {
	if s.Note != 0 {
		return "[" + strconv.Itoa(s.Note) + "]"
	}
	return sayable(s.Text)
}

var names = []string{"NORMAL_TEXT", "HEADING_1", "HEADING_2", "HEADING_3", "HEADING_4", "HEADING_5", "HEADING_6"}

const looks = "bold,italic,strikethrough,underline,weightedFontFamily,link,foregroundColor,backgroundColor,baselineOffset"

// plain makes a range text without looks, whatever stood before it.
func (w *writer) plain(from, to int64, name string, style *docs.ParagraphStyle) {
	style.NamedStyleType = name
	w.out = append(w.out,
		&docs.Request{DeleteParagraphBullets: &docs.DeleteParagraphBulletsRequest{Range: w.span(from, to)}},
		&docs.Request{UpdateParagraphStyle: &docs.UpdateParagraphStyleRequest{Range: w.span(from, to), ParagraphStyle: style, Fields: "namedStyleType,indentStart,indentFirstLine,borderLeft,borderBottom,shading"}},
		&docs.Request{UpdateTextStyle: &docs.UpdateTextStyleRequest{Range: w.span(from, to), TextStyle: &docs.TextStyle{}, Fields: looks}},
	)
}

func (w *writer) say(index int64, s string) {
	w.out = append(w.out, &docs.Request{InsertText: &docs.InsertTextRequest{Location: w.at(index), Text: s}})
}

// looks gives spans that begin at an index their looks.
func (w *writer) looks(index int64, spans []markdown.Span) {
	for _, s := range spans {
		end := index + units(said(s))
		style, fields := look(s)
		if fields != "" && end > index {
			w.out = append(w.out, &docs.Request{UpdateTextStyle: &docs.UpdateTextStyleRequest{Range: w.span(index, end), TextStyle: style, Fields: fields}})
		}
		index = end
	}
}

func look(s markdown.Span) (*docs.TextStyle, string) {
	style, fields := &docs.TextStyle{Bold: s.Bold, Italic: s.Italic, Strikethrough: s.Strike}, []string{}
	for _, f := range []struct {
		on   bool
		name string
	}{{s.Bold, "bold"}, {s.Italic, "italic"}, {s.Strike, "strikethrough"}} {
		if f.on {
			fields = append(fields, f.name)
		}
	}
	if s.Code {
		style.WeightedFontFamily, fields = &docs.WeightedFontFamily{FontFamily: "Courier New"}, append(fields, "weightedFontFamily")
	}
	if s.Link != "" {
		style.Link, fields = &docs.Link{Url: s.Link}, append(fields, "link")
	}
	return style, strings.Join(fields, ",")
}

func points(n float64) *docs.Dimension { return &docs.Dimension{Magnitude: n, Unit: "PT"} }

func color(level float64) *docs.OptionalColor {
	return &docs.OptionalColor{Color: &docs.Color{RgbColor: &docs.RgbColor{Red: level, Green: level, Blue: level}}}
}

func border() *docs.ParagraphBorder {
	return &docs.ParagraphBorder{Width: points(1), Padding: points(6), DashStyle: "SOLID", Color: color(0.7)}
}

func (w *writer) paragraph(b markdown.Block, taken bool) {
	spans, name, style := b.Spans, names[0], &docs.ParagraphStyle{}
	switch b.Kind {
	case markdown.Heading:
		name = names[min(max(b.Level, 1), 6)]
	case markdown.Code:
		spans = []markdown.Span{{Text: b.Text, Code: true}}
		style.Shading = &docs.Shading{BackgroundColor: color(0.95)}
	case markdown.Rule:
		style.BorderBottom = border()
	case markdown.Note:
		spans = append([]markdown.Span{{Text: "[" + strconv.Itoa(b.Level) + "] "}}, spans...)
	}
	if b.Quote {
		style.BorderLeft, style.IndentStart, style.IndentFirstLine = border(), points(18), points(18)
	}
	s := text(spans)
	if !taken {
		w.say(w.index, s+"\n")
	} else if s != "" {
		w.say(w.index, s)
	}
	w.plain(w.index, w.index+units(s)+1, name, style)
	w.looks(w.index, spans)
}

// list writes items. Leading tabs say how deep each is; Docs takes them away when
// it makes the list. Under a numbered item everything is numbered: another list in
// between would make the numbers begin again.
func (w *writer) list(items []markdown.Block, taken bool) {
	var b strings.Builder
	type run struct {
		from, to int64
		preset   string
	}
	var runs []run
	starts := make([]int64, len(items))
	position, numbered, above := w.index, false, -1
	for i, item := range items {
		level := min(item.Level, above+1)
		above = level
		if level == 0 {
			numbered = item.Ordered
		}
		preset := "BULLET_DISC_CIRCLE_SQUARE"
		if item.Ordered || numbered {
			preset = "NUMBERED_DECIMAL_ALPHA_ROMAN"
		}
		line := strings.Repeat("\t", level) + text(item.Spans)
		starts[i] = position + int64(level)
		end := position + units(line) + 1
		if n := len(runs); n > 0 && runs[n-1].preset == preset {
			runs[n-1].to = end
		} else {
			runs = append(runs, run{position, end, preset})
		}
		b.WriteString(line)
		if i < len(items)-1 || !taken {
			b.WriteByte('\n')
		}
		position = end
	}
	w.say(w.index, b.String())
	w.plain(w.index, position, names[0], &docs.ParagraphStyle{})
	for i, item := range items {
		w.looks(starts[i], item.Spans)
	}
	for i := len(runs) - 1; i >= 0; i-- {
		w.out = append(w.out, &docs.Request{CreateParagraphBullets: &docs.CreateParagraphBulletsRequest{Range: w.span(runs[i].from, runs[i].to), BulletPreset: runs[i].preset}})
	}
}

// maxColumns is the most that Docs makes of a table.
const maxColumns = 20

// table writes a table and its cells, from the last to the first. A new table
// lies one behind its index, because of the line end before it; rows and cells
// take one each and a cell has a line end ("Structure of a Google Docs document").
func (w *writer) table(b markdown.Block) {
	rows, columns := len(b.Rows), 0
	for _, row := range b.Rows {
		columns = min(max(columns, len(row)), maxColumns)
	}
	if columns == 0 {
		return
	}
	w.out = append(w.out, &docs.Request{InsertTable: &docs.InsertTableRequest{Location: w.at(w.index), Rows: int64(rows), Columns: int64(columns)}})
	w.plain(w.index, w.index+1, names[0], &docs.ParagraphStyle{})
	for r := rows - 1; r >= 0; r-- {
		for c := columns - 1; c >= 0; c-- {
			start := w.index + 4 + int64(r*(2*columns+1)+2*c)
			w.plain(start, start+1, names[0], &docs.ParagraphStyle{}) // a cell looks like what stood there
			spans := cellOf(b.Rows[r], c, columns)
			s := text(spans)
			if s == "" {
				continue
			}
			w.say(start, s)
			if r == 0 {
				w.out = append(w.out, &docs.Request{UpdateTextStyle: &docs.UpdateTextStyleRequest{Range: w.span(start, start+units(s)), TextStyle: &docs.TextStyle{Bold: true}, Fields: "bold"}})
			}
			w.looks(start, spans)
		}
	}
}

// cellOf returns a cell; what has no column of its own goes into the last one.
func cellOf(row [][]markdown.Span, c, columns int) []markdown.Span {
	if c >= len(row) {
		return nil
	}
	if c < columns-1 {
		return row[c]
	}
	var out []markdown.Span
	for i, more := range row[c:] {
		if i > 0 {
			out = append(out, markdown.Span{Text: " | "})
		}
		out = append(out, more...)
	}
	return out
}
