// Package generate makes documents for tests of what reads and writes them.
package generate

import (
	"math/rand/v2"
	"strings"

	"latchkey/resourceserver/internal/markdown"
)

var words = []string{
	"plan", "Budget", "2027", "über", "naïve", "数据", "🙂", "a_b_c", "*star*", "[x]", "1.", "-", "#", ">", "|", "`", "\\", "<b>", "&amp;", "~~", "==", "x*y", "__", "!", "a|b", "(1)", "2)", "+", "::", "e\u0301",
}

// Blocks are one to eight random blocks, in the one form in which they are
// compared.
func Blocks(r *rand.Rand) []markdown.Block {
	var out []markdown.Block
	for range 1 + r.IntN(8) {
		switch r.IntN(10) {
		case 0, 1:
			out = append(out, markdown.Block{Kind: markdown.Heading, Level: 1 + r.IntN(6), Spans: spans(r, false)})
		case 2, 3:
			level, ordered := 0, r.IntN(2) == 0
			for range 1 + r.IntN(5) {
				out = append(out, markdown.Block{Kind: markdown.Item, Level: level, Ordered: ordered, Spans: spans(r, true)})
				level = r.IntN(min(level+2, markdown.MaxDepth))
			}
			out = append(out, markdown.Block{Kind: markdown.Paragraph, Spans: spans(r, true)}) // ends the list
		case 4:
			out = append(out, markdown.Block{Kind: markdown.Code, Text: strings.Join([]string{word(r), "\tx := `" + word(r) + "`", "", "}"}, "\n")})
		case 5:
			t := markdown.Block{Kind: markdown.Table}
			columns := 1 + r.IntN(4)
			for range 1 + r.IntN(4) {
				var row [][]markdown.Span
				for range columns {
					row = append(row, spans(r, false))
				}
				t.Rows = append(t.Rows, row)
			}
			out = append(out, t)
		case 6:
			out = append(out, markdown.Block{Kind: markdown.Paragraph, Quote: true, Spans: spans(r, true)})
		case 7:
			out = append(out, markdown.Block{Kind: markdown.Rule})
		default:
			out = append(out, markdown.Block{Kind: markdown.Paragraph, Spans: spans(r, true)})
		}
	}
	return out
}

func word(r *rand.Rand) string { return words[r.IntN(len(words))] }

// spans are never empty; breaks says whether there may be line breaks.
func spans(r *rand.Rand, breaks bool) []markdown.Span {
	out := []markdown.Span{{Text: "w" + word(r)}}
	for range r.IntN(5) {
		s := markdown.Span{Text: word(r)}
		switch r.IntN(8) {
		case 0:
			s.Bold = true
		case 1:
			s.Italic = true
		case 2:
			s.Bold, s.Italic = true, true
		case 3:
			s.Strike = true
		case 4:
			s = markdown.Span{Text: strings.ReplaceAll(s.Text, "`", "'") + " `x", Code: true}
		case 5:
			s.Link = "https://x.test/?q=" + string(rune('a'+r.IntN(26))) + "&r=1"
		}
		out = append(out, s)
		if breaks && r.IntN(6) == 0 {
			out = append(out, markdown.Span{Text: "\n" + word(r)})
		} else {
			out = append(out, markdown.Span{Text: " "})
		}
	}
	return markdown.Tidy(out)
}
