package markdown

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Render writes blocks as Markdown that Parse reads as the same blocks. Emphasis
// that Markdown cannot express where it stands is left out; the text never is.
func Render(blocks []Block) string {
	var b strings.Builder
	var list margins
	for i, block := range blocks {
		if i > 0 {
			b.WriteByte('\n')
			if block.Kind != Item || blocks[i-1].Kind != Item {
				b.WriteByte('\n')
			}
		}
		if block.Kind != Item {
			list = margins{}
		}
		b.WriteString(block.render(&list))
	}
	return b.String()
}

// margins are the widths of the markers of a list's open levels: what is nested
// must stand behind its parent's marker (CommonMark §5.2).
type margins struct {
	widths  []int
	numbers []int
	ordered []bool
}

// marker opens an item and returns its indentation and marker. A level can only
// be one deeper than the item before.
func (m *margins) marker(b Block) (indent int, marker string) {
	level := min(b.Level, len(m.widths))
	m.widths, m.numbers, m.ordered = m.widths[:level], m.numbers[:min(len(m.numbers), level+1)], m.ordered[:min(len(m.ordered), level+1)]
	if len(m.numbers) == level || m.ordered[level] != b.Ordered {
		m.numbers, m.ordered = append(m.numbers[:level], 0), append(m.ordered[:level], b.Ordered)
	}
	m.numbers[level]++
	marker = "- "
	if b.Ordered {
		marker = strconv.Itoa(m.numbers[level]) + ". "
	}
	for _, w := range m.widths {
		indent += w
	}
	m.widths = append(m.widths, len(marker))
	return indent, marker
}

func (b Block) render(list *margins) string {
	switch b.Kind {
	case Heading:
		return strings.Repeat("#", min(max(b.Level, 1), 6)) + " " + line(b.Spans, " ", place{heading: true})
	case Item:
		indent, marker := list.marker(b)
		pad := strings.Repeat(" ", indent+len(marker))
		return strings.Repeat(" ", indent) + marker + line(b.Spans, "\\\n"+pad, place{start: true})
	case Code:
		fence := strings.Repeat("`", max(3, longest(b.Text, '`')+1))
		return fence + "\n" + b.Text + "\n" + fence
	case Table:
		return b.table()
	case Rule:
		return "---"
	case Note:
		return "[^" + strconv.Itoa(b.Level) + "]: " + line(b.Spans, "\\\n    ", place{start: true})
	}
	if b.Quote {
		return "> " + line(b.Spans, "\\\n> ", place{start: true})
	}
	return line(b.Spans, "\\\n", place{start: true})
}

func (b Block) table() string {
	var out strings.Builder
	columns := 0
	for _, row := range b.Rows {
		columns = max(columns, len(row))
	}
	for i, row := range b.Rows {
		for c := range columns {
			out.WriteString("| ")
			if c < len(row) {
				out.WriteString(line(row[c], " ", place{cell: true}))
			}
			out.WriteByte(' ')
		}
		out.WriteString("|")
		if i == 0 {
			out.WriteString("\n" + strings.Repeat("| --- ", columns) + "|")
		}
		if i < len(b.Rows)-1 {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// place says where a line stands, for what has to be escaped there.
type place struct{ start, cell, heading bool }

// line writes spans with their looks, if Markdown can express them here, else
// without emphasis. The only way to know is to read it again.
func line(spans []Span, lineEnd string, at place) string {
	spans = Tidy(spans)
	fancy := false
	for _, s := range spans {
		fancy = fancy || s.look() != (Span{})
	}
	text := write(spans, at)
	if fancy {
		if !reads(text, spans, at) {
			for i := range spans {
				spans[i].Bold, spans[i].Italic, spans[i].Strike = false, false, false
			}
			spans = Tidy(spans)
			text = write(spans, at)
		}
		if !reads(text, spans, at) {
			text = write([]Span{{Text: Plain(spans)}}, at)
		}
	}
	if !strings.HasPrefix(lineEnd, `\`) {
		return strings.ReplaceAll(text, "\n", lineEnd)
	}
	rest := strings.Split(text, "\n")
	for i, l := range rest[:len(rest)-1] {
		if strings.HasSuffix(l, `\`) { // three in a row are read in several ways
			rest[i] = l + "  " + lineEnd[1:]
		} else {
			rest[i] = l + lineEnd
		}
	}
	return strings.Join(rest, "")
}

// reads reports whether text is read as the spans.
func reads(text string, spans []Span, at place) bool {
	numbered := false
	want := make([]Span, len(spans))
	for i, s := range spans {
		s.Text = strings.ReplaceAll(s.Text, "\n", " ")
		numbered = numbered || s.Note != 0
		want[i] = s
	}
	if numbered {
		return true // a reference without its note is read as text
	}
	text = "x " + strings.ReplaceAll(text, "\n", " ")
	want = Tidy(append([]Span{{Text: "x "}}, want...))
	if at.cell {
		got := Parse("| a |\n|---|\n| " + text + " |")
		return len(got) == 1 && got[0].Kind == Table && len(got[0].Rows) == 2 && reflect.DeepEqual(got[0].Rows[1][0], want)
	}
	got := Parse(text)
	return len(got) == 1 && got[0].Kind == Paragraph && reflect.DeepEqual(got[0].Spans, want)
}

func write(spans []Span, at place) string {
	var b strings.Builder
	for i := 0; i < len(spans); {
		end := i + 1
		for end < len(spans) && spans[i].Link != "" && spans[end].Link == spans[i].Link {
			end++
		}
		var inner strings.Builder
		for j := i; j < end; j++ {
			where := at
			where.start = at.start && b.Len() == 0 && inner.Len() == 0
			inner.WriteString(spans[j].write(where))
		}
		if link := spans[i].Link; link != "" {
			fmt.Fprintf(&b, "[%s](%s)", inner.String(), destination(link))
		} else {
			b.WriteString(inner.String())
		}
		i = end
	}
	return b.String()
}

func (s Span) write(at place) string {
	if s.Note != 0 {
		return "[^" + strconv.Itoa(s.Note) + "]"
	}
	text := escape(s.Text, at)
	if s.Code {
		fence := strings.Repeat("`", longest(s.Text, '`')+1)
		text = s.Text
		if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") || strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") && strings.TrimSpace(text) != "" {
			text = " " + text + " "
		}
		if text = fence + text + fence; at.cell {
			text = strings.ReplaceAll(text, "|", `\|`)
		}
	}
	for _, mark := range []struct {
		on   bool
		with string
	}{{s.Italic, "*"}, {s.Bold, "**"}, {s.Strike, "~~"}} {
		if mark.on {
			text = mark.with + text + mark.with
		}
	}
	return text
}

// destination is the address of a link, without what would end it.
func destination(link string) string {
	return strings.NewReplacer(" ", "%20", "(", "%28", ")", "%29", "<", "%3C", ">", "%3E", "\n", "", `\`, "%5C", "|", "%7C", "&", "&amp;").Replace(link)
}

// escape keeps text from being read as anything else, with few backslashes: a
// model reads them too.
func escape(s string, at place) string {
	var b strings.Builder
	lineStart, begin := at.start, 0 // of the line
	rule, broken := onlyRule(s), strings.Contains(s, "\n")
	for i, r := range s {
		next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		escaped := false
		switch r {
		case '\\', '*', '`', '[', ']', '~':
			escaped = true
		case '_':
			escaped = !word(before) || !word(next)
		case '<':
			escaped = true
		case '&':
			escaped = next == '#' || word(next)
		case '!':
			escaped = i == len(s)-1 // a link may follow
		case '|':
			escaped = lineStart || broken
		case '#':
			escaped = lineStart || at.heading
		case '>', '=', '-', '+', ':':
			escaped = lineStart || r == '-' && at.start && rule
		case '.', ')':
			escaped = at.start && numbered(s[begin:i])
		}
		if r == '|' && at.cell { // "\\|" is read in several ways
			b.WriteString("&#124;")
			continue
		}
		if escaped {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		if lineStart = r == '\n'; lineStart {
			begin = i + 1
		}
	}
	return b.String()
}

// onlyRule reports whether a text is nothing but dashes, colons and bars.
func onlyRule(s string) bool { return strings.Trim(s, "-:| \n") == "" }

// numbered reports whether a line so far is the number of a list's item.
func numbered(s string) bool { return s != "" && len(s) <= 9 && strings.Trim(s, "0123456789") == "" }

func word(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// longest is the length of the longest run of a character.
func longest(s string, c rune) int {
	most, run := 0, 0
	for _, r := range s {
		if run++; r != c {
			run = 0
		}
		most = max(most, run)
	}
	return most
}
