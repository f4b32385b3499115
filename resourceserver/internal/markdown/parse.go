package markdown

import (
	"bytes"
	"html"
	"net/url"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

var parser = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.Footnote)).Parser()

// maxLink is the longest address that a link keeps, in bytes.
const maxLink = 2_000

// Parse reads Markdown. Every text is Markdown; there are no errors.
func Parse(source string) []Block {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\x00", "")
	p := &reader{source: []byte(source)}
	if !tame(source) {
		for part := range strings.SplitSeq(source, "\n\n") {
			p.add(Block{Kind: Paragraph, Spans: []Span{{Text: strings.Trim(part, "\n")}}})
		}
		return p.out
	}
	root := parser.Parse(text.NewReader(p.source))
	p.blocks(root, context{depth: -1})
	return p.out
}

type reader struct {
	source []byte
	out    []Block
}

const (
	maxMarkers  = 60     // of quotations and lists that one line opens
	maxBrackets = 3_000  // of one paragraph
	maxMarks    = 8_000  // of emphasis in one paragraph
	maxLines    = 10_000 // of one paragraph
)

// tame reports whether a text costs the parser no more than its length: it takes
// quadratic time for nested markers, for brackets, for marks of emphasis and for lines.
// What is not tame is a text that nobody wrote to be read, and stays plain.
func tame(source string) bool {
	brackets, emphasis, together := 0, 0, 0
	for l := range strings.SplitSeq(source, "\n") {
		markers := 0
		for _, r := range l {
			if !strings.ContainsRune(" \t>-+*.)0123456789", r) {
				break
			}
			if strings.ContainsRune(">-+*.)", r) {
				markers++
			}
		}
		if markers > maxMarkers && strings.Trim(l, "- ") != "" && strings.Trim(l, "* ") != "" {
			return false
		}
		brackets, emphasis, together = brackets+strings.Count(l, "["), emphasis+marks(l), together+1
		if brackets > maxBrackets || emphasis > maxMarks || together > maxLines {
			return false
		}
		if strings.TrimSpace(l) == "" {
			brackets, emphasis, together = 0, 0, 0
		}
	}
	return true
}

// marks counts the runs of marks of emphasis.
func marks(l string) int {
	n, before := 0, byte(0)
	for i := range len(l) {
		if b := l[i]; b != before && (b == '*' || b == '_' || b == '~') {
			n++
		}
		before = l[i]
	}
	return n
}

// context is what the blocks around one say of it.
type context struct {
	depth   int // of lists, -1 outside
	ordered bool
	quote   bool
	nested  int // of everything, to bound the recursion
}

// maxNested bounds nested quotations and lists; what is deeper is text of the
// deepest.
const maxNested = 50

func (p *reader) blocks(parent ast.Node, c context) {
	if c.nested++; c.nested > maxNested {
		p.add(Block{Kind: Paragraph, Quote: c.quote, Spans: []Span{{Text: strings.Join(strings.Fields(raw(parent, p.source)), " ")}}})
		return
	}
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		switch n := n.(type) {
		case *ast.Heading:
			p.add(Block{Kind: Heading, Level: n.Level, Spans: p.spans(n)})
		case *ast.Paragraph, *ast.TextBlock:
			p.add(Block{Kind: Paragraph, Quote: c.quote, Spans: p.spans(n)})
		case *ast.Blockquote:
			inner := c
			inner.quote = true
			p.blocks(n, inner)
		case *ast.List:
			inner := c
			inner.depth, inner.ordered = min(c.depth+1, MaxDepth), n.IsOrdered()
			p.blocks(n, inner)
		case *ast.ListItem:
			p.item(n, c)
		case *ast.FencedCodeBlock:
			p.code(n)
		case *ast.CodeBlock:
			p.code(n)
		case *ast.ThematicBreak:
			p.out = append(p.out, Block{Kind: Rule})
		case *ast.HTMLBlock:
			p.add(Block{Kind: Paragraph, Quote: c.quote, Spans: []Span{{Text: strings.TrimSpace(lines(n, p.source))}}})
		case *east.Table:
			p.table(n)
		case *east.FootnoteList:
			for f := n.FirstChild(); f != nil; f = f.NextSibling() {
				if note, ok := f.(*east.Footnote); ok {
					p.out = append(p.out, Block{Kind: Note, Level: note.Index, Spans: p.flat(note)})
				}
			}
		}
	}
}

// item writes the paragraphs at an item's beginning as one, with line breaks.
func (p *reader) item(n *ast.ListItem, c context) {
	var own []Span
	child := n.FirstChild()
	for ; child != nil; child = child.NextSibling() {
		if k := child.Kind(); k != ast.KindParagraph && k != ast.KindTextBlock {
			break
		}
		if own != nil {
			own = append(own, Span{Text: "\n"})
		}
		own = append(own, p.spans(child)...)
	}
	p.out = append(p.out, Block{Kind: Item, Level: c.depth, Ordered: c.ordered, Spans: Tidy(own)})
	if child == nil {
		return
	}
	rest := ast.NewDocument()
	for child != nil {
		next := child.NextSibling()
		rest.AppendChild(rest, child)
		child = next
	}
	p.blocks(rest, c)
}

func (p *reader) add(b Block) {
	if b.Spans = Tidy(b.Spans); len(b.Spans) > 0 {
		p.out = append(p.out, b)
	}
}

func (p *reader) code(n ast.Node) {
	p.out = append(p.out, Block{Kind: Code, Text: strings.TrimSuffix(lines(n, p.source), "\n")})
}

func lines(n ast.Node, source []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		s := n.Lines().At(i)
		b.Write(s.Value(source))
	}
	return b.String()
}

func (p *reader) table(n *east.Table) {
	t := Block{Kind: Table}
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		var cells [][]Span
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			cells = append(cells, Tidy(p.spans(cell)))
		}
		t.Rows = append(t.Rows, cells)
	}
	p.out = append(p.out, t)
}

// flat is the text of the blocks in a footnote.
func (p *reader) flat(n ast.Node) []Span {
	sub := &reader{source: p.source}
	sub.blocks(n, context{depth: -1})
	var out []Span
	for i, b := range sub.out {
		if i > 0 {
			out = append(out, Span{Text: "\n"})
		}
		out = append(append(out, b.Spans...), Span{Text: strings.Join(strings.Fields(b.Text), " ")})
	}
	return Tidy(out)
}

func (p *reader) spans(n ast.Node) []Span {
	var out []Span
	p.inline(n, Span{}, &out, 0)
	return out
}

func (p *reader) inline(parent ast.Node, look Span, out *[]Span, depth int) {
	say := func(s string) {
		with := look
		with.Text = s
		*out = append(*out, with)
	}
	if depth > maxNested {
		say(raw(parent, p.source))
		return
	}
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		inner := look
		switch n := n.(type) {
		case *ast.Text:
			say(unescape(n.Segment.Value(p.source), n.IsRaw()))
			if n.HardLineBreak() {
				say("\n")
			} else if n.SoftLineBreak() {
				say(" ")
			}
			continue
		case *ast.String:
			say(string(n.Value))
			continue
		case *ast.CodeSpan:
			inner.Code = true
			inner.Text = strings.ReplaceAll(raw(n, p.source), "\n", " ")
			*out = append(*out, inner)
			continue
		case *ast.RawHTML:
			for i := range n.Segments.Len() {
				s := n.Segments.At(i)
				say(string(s.Value(p.source)))
			}
			continue
		case *ast.AutoLink:
			inner.Link, inner.Text = Address(string(n.URL(p.source))), string(n.Label(p.source))
			if n.AutoLinkType == ast.AutoLinkEmail {
				inner.Link = Address("mailto:" + inner.Text)
			}
			*out = append(*out, inner)
			continue
		case *ast.Emphasis:
			if n.Level == 2 {
				inner.Bold = true
			} else {
				inner.Italic = true
			}
		case *east.Strikethrough:
			inner.Strike = true
		case *ast.Link:
			inner.Link = Address(unescape(n.Destination, false))
		case *ast.Image:
			// An image is not fetched: whoever fetches it tells its address.
			inner.Link = Address(unescape(n.Destination, false))
			if n.FirstChild() == nil {
				inner.Text = "image"
				*out = append(*out, inner)
				continue
			}
		case *east.FootnoteLink:
			*out = append(*out, Span{Note: n.Index})
			continue
		case *east.FootnoteBacklink:
			continue
		}
		p.inline(n, inner, out, depth+1)
	}
}

// raw is the source text below a node.
func raw(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(source))
			if t.SoftLineBreak() || t.HardLineBreak() {
				b.WriteByte('\n')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// Address returns the address of a link that a person may be led to: http, https
// and mail; "" for every other (javascript:, data:, file:, relative ones).
func Address(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || len(s) > maxLink {
		return ""
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		if u.Host == "" || u.User != nil { // user@host shows another host than it is
			return ""
		}
	case "mailto":
		if u.Opaque == "" {
			return ""
		}
	default:
		return ""
	}
	return u.String()
}

// maxEntity is the longest name of a character reference.
const maxEntity = 33

// unescape reads backslashes and character references (CommonMark §2.4, §2.5) in
// one pass: what an escape made is not read again.
func unescape(b []byte, literal bool) string {
	if literal {
		return string(b)
	}
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\\' && i+1 < len(b) && punctuation(b[i+1]):
			i++
			out.WriteByte(b[i])
			continue
		case b[i] == '&':
			if end := bytes.IndexByte(b[i:min(len(b), i+maxEntity)], ';'); end > 1 {
				entity := string(b[i : i+end+1])
				if s := html.UnescapeString(entity); s != entity {
					out.WriteString(s)
					i += end
					continue
				}
			}
		}
		out.WriteByte(b[i])
	}
	return out.String()
}

func punctuation(c byte) bool {
	return c >= '!' && c <= '/' || c >= ':' && c <= '@' || c >= '[' && c <= '`' || c >= '{' && c <= '~'
}
