package markdown

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Kind is what a block is.
type Kind int

const (
	Paragraph Kind = iota
	Heading        // Level 1 to 6
	Item           // of a list; Level 0 to MaxDepth
	Code           // Text
	Table          // Rows; the first is the head
	Rule
	Note // a footnote's text; Level is its number
)

// MaxDepth is the deepest level of lists (Docs API, "nesting levels").
const MaxDepth = 8

// Block is a part of a document on lines of its own.
type Block struct {
	Kind    Kind
	Level   int
	Ordered bool // item of a numbered list
	Quote   bool // paragraph of a quotation
	Spans   []Span
	Text    string     // of Code, without the last line end
	Rows    [][][]Span // of Table: rows of cells
}

// Span is text of one look. A line end in it is a line break.
type Span struct {
	Text                       string
	Bold, Italic, Strike, Code bool
	Link                       string // absolute URL
	Note                       int    // number of the footnote that it refers to; Text is empty then
}

func (s Span) look() Span {
	s.Text = ""
	return s
}

// Tidy puts spans into the one form that is compared and written: neighbours of
// one look joined, white space at the edges of emphasis outside of it, no white
// space at the edges of a line.
func Tidy(in []Span) []Span {
	var out []Span
	add := func(s Span) {
		if s.Text == "" && s.Note == 0 {
			return
		}
		if n := len(out); n > 0 && out[n-1].Note == 0 && s.Note == 0 && out[n-1].look() == s.look() {
			out[n-1].Text += s.Text
			return
		}
		out = append(out, s)
	}
	for _, s := range in {
		s.Text = strings.ReplaceAll(strings.ReplaceAll(s.Text, "\t", " "), "\u00a0", " ")
		if s.Code {
			s.Text = strings.ReplaceAll(s.Text, "\n", " ")
		}
		if strings.TrimSpace(s.Text) == "" && s.Note == 0 { // nobody sees the look of a space
			s = Span{Text: s.Text}
		}
		if s.look() == (Span{}) || s.Note != 0 {
			add(s)
			continue
		}
		inner := strings.TrimSpace(s.Text)
		before, after, _ := strings.Cut(s.Text, inner)
		add(Span{Text: before})
		s.Text = inner
		add(s)
		add(Span{Text: after})
	}
	// White space: one space between words, none beside a line break or an edge.
	joined := out
	out = nil
	ended := true // by a space, a line break or the beginning
	for i, s := range joined {
		if s.Note != 0 {
			add(s)
			ended = false
			continue
		}
		b := make([]byte, 0, len(s.Text))
		for _, r := range s.Text {
			switch {
			case r == '\n':
				b = bytes.TrimRight(b, " ")
				if len(b) == 0 && len(out) > 0 && out[len(out)-1].look() == (Span{}) {
					out[len(out)-1].Text = strings.TrimRight(out[len(out)-1].Text, " ")
				}
				if len(b) > 0 || len(out) > 0 {
					b = append(b, '\n')
				}
				ended = true
			case r == ' ' || r == '\r' || r == '\v' || r == '\f' || r == '\u2028' || r == '\u2029' || r == '\u0085':
				if !ended {
					b = append(b, ' ')
				}
				ended = true
			default:
				b = utf8.AppendRune(b, r)
				ended = false
			}
		}
		s.Text = string(b)
		if i == len(joined)-1 {
			s.Text = strings.TrimRight(s.Text, " \n")
		}
		add(s)
	}
	for n := len(out); n > 0 && out[n-1].Note == 0; n = len(out) {
		if out[n-1].Text = strings.TrimRight(out[n-1].Text, " \n"); out[n-1].Text != "" {
			break
		}
		out = out[:n-1]
	}
	return out
}

// Plain is the text of spans.
func Plain(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}
