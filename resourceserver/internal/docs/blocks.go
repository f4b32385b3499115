package docs

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/docs/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/markdown"
)

// fonts that say "code", lower case.
var fonts = []string{"courier new", "courier", "consolas", "roboto mono", "source code pro", "inconsolata", "ubuntu mono", "cousine", "jetbrains mono", "menlo", "monaco"}

// maxDepth bounds tables in tables; Docs itself nests a few.
const maxDepth = 5

// blocks reads a tab. Texts that were only suggested are left out, as they are
// not in the document yet.
func blocks(t *docs.DocumentTab) []markdown.Block {
	r := &reader{tab: t}
	if t.Body != nil {
		r.elements(t.Body.Content, 0)
	}
	for i, id := range r.notes {
		b := markdown.Block{Kind: markdown.Note, Level: i + 1}
		if note, ok := t.Footnotes[id]; ok {
			for _, e := range note.Content {
				if e.Paragraph != nil {
					b.Spans = append(append(b.Spans, r.spans(e.Paragraph, false)...), markdown.Span{Text: "\n"})
				}
			}
		}
		if b.Spans = markdown.Tidy(b.Spans); len(b.Spans) > 0 {
			r.out = append(r.out, b)
		}
	}
	return r.out
}

type reader struct {
	tab   *docs.DocumentTab
	out   []markdown.Block
	notes []string // ids of footnotes, by their numbers
}

func (r *reader) elements(list []*docs.StructuralElement, depth int) {
	for _, e := range list {
		switch {
		case e.Paragraph != nil:
			if b, ok := r.paragraph(e.Paragraph); ok {
				r.out = append(r.out, b)
			}
		case e.Table != nil && depth < maxDepth:
			r.table(e.Table, depth)
		case e.TableOfContents != nil && depth < maxDepth:
			r.elements(e.TableOfContents.Content, depth+1)
		}
	}
}

func (r *reader) paragraph(p *docs.Paragraph) (markdown.Block, bool) {
	style := p.ParagraphStyle
	if style == nil {
		style = &docs.ParagraphStyle{}
	}
	b := markdown.Block{Kind: markdown.Paragraph}
	if code, ok := codeOf(p, style); ok {
		return markdown.Block{Kind: markdown.Code, Text: code}, true
	}
	switch name := style.NamedStyleType; {
	case name == "TITLE":
		b.Kind, b.Level = markdown.Heading, 1
	case strings.HasPrefix(name, "HEADING_"):
		b.Kind = markdown.Heading
		b.Level, _ = strconv.Atoi(strings.TrimPrefix(name, "HEADING_"))
	case p.Bullet != nil:
		b.Kind, b.Level = markdown.Item, int(min(max(p.Bullet.NestingLevel, 0), markdown.MaxDepth))
		b.Ordered = r.ordered(p.Bullet)
	case bordered(style.BorderLeft):
		b.Quote = true
	}
	b.Spans = markdown.Tidy(r.spans(p, b.Kind == markdown.Heading))
	if len(b.Spans) > 0 {
		return b, true
	}
	rule := bordered(style.BorderBottom) || slices.ContainsFunc(p.Elements, func(e *docs.ParagraphElement) bool { return e.HorizontalRule != nil })
	return markdown.Block{Kind: markdown.Rule}, rule
}

func bordered(b *docs.ParagraphBorder) bool {
	return b != nil && b.Width != nil && b.Width.Magnitude > 0
}

// ordered reports whether a bullet counts.
func (r *reader) ordered(b *docs.Bullet) bool {
	l, ok := r.tab.Lists[b.ListId]
	if !ok || l.ListProperties == nil || b.NestingLevel < 0 || int(b.NestingLevel) >= len(l.ListProperties.NestingLevels) {
		return false
	}
	switch l.ListProperties.NestingLevels[b.NestingLevel].GlyphType {
	case "DECIMAL", "ZERO_DECIMAL", "UPPER_ALPHA", "ALPHA", "UPPER_ROMAN", "ROMAN":
		return true
	}
	return false
}

// codeOf returns the text of a paragraph that is a block of code: shaded, and in
// a font for code.
func codeOf(p *docs.Paragraph, style *docs.ParagraphStyle) (string, bool) {
	if style.Shading == nil || style.Shading.BackgroundColor == nil || style.Shading.BackgroundColor.Color == nil {
		return "", false
	}
	var b strings.Builder
	for _, e := range p.Elements {
		if e.TextRun == nil || !mono(e.TextRun.TextStyle) && strings.TrimSpace(e.TextRun.Content) != "" {
			return "", false
		}
		b.WriteString(e.TextRun.Content)
	}
	return clean(strings.TrimSuffix(b.String(), "\n")), true
}

func mono(s *docs.TextStyle) bool {
	return s != nil && s.WeightedFontFamily != nil && slices.Contains(fonts, strings.ToLower(s.WeightedFontFamily.FontFamily))
}

// clean makes line breaks (vertical tabs, Docs API) line ends.
func clean(s string) string { return content.Clean(strings.ReplaceAll(s, "\v", "\n")) }

func (r *reader) spans(p *docs.Paragraph, heading bool) []markdown.Span {
	var out []markdown.Span
	for _, e := range p.Elements {
		switch {
		case e.TextRun != nil:
			if len(e.TextRun.SuggestedInsertionIds) > 0 {
				continue
			}
			s := markdown.Span{Text: clean(strings.TrimSuffix(e.TextRun.Content, "\n"))}
			if style := e.TextRun.TextStyle; style != nil {
				s.Bold, s.Italic, s.Strike, s.Code = style.Bold && !heading, style.Italic, style.Strikethrough, mono(style)
				if style.Link != nil {
					s.Link = markdown.Address(style.Link.Url)
				}
			}
			out = append(out, s)
		case e.InlineObjectElement != nil:
			out = append(out, r.image(e.InlineObjectElement.InlineObjectId))
		case e.FootnoteReference != nil:
			if len(e.FootnoteReference.SuggestedInsertionIds) > 0 {
				continue
			}
			r.notes = append(r.notes, e.FootnoteReference.FootnoteId)
			out = append(out, markdown.Span{Note: len(r.notes)})
		case e.RichLink != nil && e.RichLink.RichLinkProperties != nil:
			l := e.RichLink.RichLinkProperties
			out = append(out, markdown.Span{Text: clean(l.Title), Link: markdown.Address(l.Uri)})
		case e.Person != nil && e.Person.PersonProperties != nil:
			who := e.Person.PersonProperties
			text := who.Name
			if text == "" {
				text = who.Email
			}
			out = append(out, markdown.Span{Text: clean(text), Link: markdown.Address("mailto:" + who.Email)})
		case e.DateElement != nil && e.DateElement.DateElementProperties != nil:
			out = append(out, markdown.Span{Text: clean(e.DateElement.DateElementProperties.DisplayText)})
		}
	}
	return out
}

// image is a link to where an image came from, or to Google's copy of it.
func (r *reader) image(id string) markdown.Span {
	s := markdown.Span{Text: "image"}
	o, ok := r.tab.InlineObjects[id]
	if !ok || o.InlineObjectProperties == nil || o.InlineObjectProperties.EmbeddedObject == nil {
		return s
	}
	e := o.InlineObjectProperties.EmbeddedObject
	for _, title := range []string{e.Title, e.Description} {
		if title = content.Line(title, 200); title != "" {
			s.Text = "image: " + title
			break
		}
	}
	if e.ImageProperties != nil {
		if s.Link = markdown.Address(e.ImageProperties.SourceUri); s.Link == "" {
			s.Link = markdown.Address(e.ImageProperties.ContentUri)
		}
	}
	return s
}

// table reads a table; what is below a cell's paragraphs, further tables, comes
// behind it. The head is bold by itself.
func (r *reader) table(t *docs.Table, depth int) {
	b := markdown.Block{Kind: markdown.Table}
	var below []*docs.StructuralElement
	for i, row := range t.TableRows {
		var cells [][]markdown.Span
		for _, c := range row.TableCells {
			var cell []markdown.Span
			for _, e := range c.Content {
				if e.Paragraph == nil {
					below = append(below, e)
					continue
				}
				if cell != nil {
					cell = append(cell, markdown.Span{Text: " "})
				}
				cell = append(cell, r.spans(e.Paragraph, i == 0)...)
			}
			for j := range cell {
				cell[j].Text = strings.ReplaceAll(cell[j].Text, "\n", " ")
			}
			cells = append(cells, markdown.Tidy(cell))
		}
		b.Rows = append(b.Rows, cells)
	}
	r.out = append(r.out, b)
	r.elements(below, depth+1)
}
