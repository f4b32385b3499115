package slides

import (
	"fmt"
	"strings"

	slidesapi "google.golang.org/api/slides/v1"

	"latchkey/resourceserver/internal/content"
)

const (
	maxDepth = 10 // of groups in groups
	maxLevel = 8  // of lists in lists: Slides has nine
)

// text writes all slides one after the other, and their ids if they are wanted. How
// many there are is bounded by what Google may answer (googleapi.MaxResponse).
func text(p *slidesapi.Presentation, ids bool) string {
	var b strings.Builder
	for i, slide := range p.Slides {
		fmt.Fprintf(&b, "[slide %d", i+1)
		if ids {
			b.WriteString(" | slide_id " + content.Line(slide.ObjectId, maxTitle))
		}
		b.WriteString("]\n")
		shapes(&b, slide.PageElements, 0)
		if notes := notesOf(slide); notes != "" {
			b.WriteString("[notes]\n" + notes)
		}
	}
	return content.Clean(b.String())
}

// notesOf are a slide's speaker notes.
func notesOf(slide *slidesapi.Page) string {
	var b strings.Builder
	if slide.SlideProperties != nil && slide.SlideProperties.NotesPage != nil {
		shapes(&b, slide.SlideProperties.NotesPage.PageElements, 0)
	}
	return b.String()
}

func shapes(b *strings.Builder, elements []*slidesapi.PageElement, depth int) {
	for _, e := range elements {
		switch {
		case e.Shape != nil:
			s := paragraphs(e.Shape.Text)
			if s == "" {
				continue
			}
			if p := e.Shape.Placeholder; p != nil && (p.Type == "TITLE" || p.Type == "CENTERED_TITLE") {
				s = "# " + strings.Join(strings.Fields(s), " ")
			}
			b.WriteString(s + "\n")
		case e.ElementGroup != nil && depth < maxDepth:
			shapes(b, e.ElementGroup.Children, depth+1)
		case e.Table != nil:
			for _, row := range e.Table.TableRows {
				for _, c := range row.TableCells {
					b.WriteString(strings.Join(strings.Fields(paragraphs(c.Text)), " ") + " | ")
				}
				b.WriteByte('\n')
			}
		}
	}
}

// paragraphs writes the paragraphs of a shape, those of lists as Markdown.
func paragraphs(t *slidesapi.TextContent) string {
	if t == nil {
		return ""
	}
	var b strings.Builder
	for _, e := range t.TextElements {
		switch {
		case e.ParagraphMarker != nil && e.ParagraphMarker.Bullet != nil:
			level := min(max(int(e.ParagraphMarker.Bullet.NestingLevel), 0), maxLevel)
			b.WriteString(strings.Repeat("  ", level) + "- ")
		case e.TextRun != nil:
			b.WriteString(strings.ReplaceAll(e.TextRun.Content, "\v", "\n"))
		}
	}
	return strings.Trim(strings.TrimRight(b.String(), " \t\n"), "\n")
}
