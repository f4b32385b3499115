package slides

import (
	"crypto/rand"
	"strings"
	"unicode/utf16"

	slidesapi "google.golang.org/api/slides/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxNew   = 100 // slides in one call
	maxLines = 200 // of one slide
)

// page is a slide to be made.
type page struct {
	title string
	lines []line
}

type line struct {
	text  string
	list  bool
	level int
}

// parse reads slides from Markdown: a heading or a line of dashes begins the next
// one. It errs, with a typed error, where there are more than are made at once.
func parse(markdown string) ([]page, error) {
	var out []page
	var now *page
	begin := func(title string) {
		out = append(out, page{title: title})
		now = &out[len(out)-1]
	}
	for raw := range strings.SplitSeq(strings.ReplaceAll(content.Clean(markdown), "\r\n", "\n"), "\n") {
		l := strings.TrimSpace(raw)
		switch heading, isHeading := headingOf(l); {
		case l == "":
			continue
		case len(l) >= 3 && strings.Trim(l, "-") == "":
			now = nil
			continue
		case isHeading:
			begin(heading)
		default:
			if now == nil {
				begin("")
			}
			now.lines = append(now.lines, lineOf(raw, l))
		}
		if len(out) > maxNew || len(now.lines) > maxLines {
			return nil, tool.Invalid("That is too much for one call: at most %d slides, each of at most %d lines.", maxNew, maxLines)
		}
	}
	return out, nil
}

func headingOf(l string) (string, bool) {
	rest := strings.TrimLeft(l, "#")
	n := len(l) - len(rest)
	if n == 0 || n > 6 || !strings.HasPrefix(rest, " ") {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

func lineOf(raw, l string) line {
	for _, mark := range []string{"- ", "* ", "+ "} {
		if rest, ok := strings.CutPrefix(l, mark); ok {
			indent := 0
			for _, r := range raw {
				if r == '\t' {
					indent += 2
				} else if r == ' ' {
					indent++
				} else {
					break
				}
			}
			return line{strings.TrimSpace(rest), true, min(indent/2, maxLevel)}
		}
	}
	return line{text: l}
}

// requests make slides at a place, and their ids. The ids are ours, so that Google
// refuses the same slides a second time.
func requests(pages []page, at int64) (all []*slidesapi.Request, ids []string) {
	for i, p := range pages {
		id := "lk" + rand.Text()
		title, body := id+"_t", id+"_b"
		layout, holders := "TITLE_AND_BODY", []*slidesapi.LayoutPlaceholderIdMapping{placed("TITLE", title), placed("BODY", body)}
		if len(p.lines) == 0 {
			layout, holders = "TITLE_ONLY", holders[:1]
		}
		all = append(all, &slidesapi.Request{CreateSlide: &slidesapi.CreateSlideRequest{
			ObjectId: id, InsertionIndex: at + int64(i), ForceSendFields: []string{"InsertionIndex"},
			SlideLayoutReference: &slidesapi.LayoutReference{PredefinedLayout: layout}, PlaceholderIdMappings: holders,
		}})
		if p.title != "" {
			all = append(all, insert(title, p.title))
		}
		if len(p.lines) > 0 {
			all = append(all, bodyOf(body, p.lines)...)
		}
		ids = append(ids, id)
	}
	return all, ids
}

func placed(kind, id string) *slidesapi.LayoutPlaceholderIdMapping {
	return &slidesapi.LayoutPlaceholderIdMapping{LayoutPlaceholder: &slidesapi.Placeholder{Type: kind, ForceSendFields: []string{"Index"}}, ObjectId: id}
}

func insert(id, text string) *slidesapi.Request {
	return &slidesapi.Request{InsertText: &slidesapi.InsertTextRequest{ObjectId: id, Text: text}}
}

// bodyOf writes the lines and makes lists of those that are. Tabs before a line say
// how deep it stands; Google takes them away (CreateParagraphBulletsRequest), so
// the last list is made first.
func bodyOf(id string, lines []line) []*slidesapi.Request {
	var text strings.Builder
	type span struct{ from, to int64 }
	var lists []span
	units := int64(0)
	for i, l := range lines {
		s := l.text
		if l.list {
			s = strings.Repeat("\t", l.level) + s
		}
		if i > 0 {
			text.WriteByte('\n')
			units++
		}
		n := int64(len(utf16.Encode([]rune(s)))) // the API counts UTF-16 code units
		if l.list {
			if k := len(lists); k > 0 && lists[k-1].to == units-1 {
				lists[k-1].to = units + n
			} else {
				lists = append(lists, span{units, units + n})
			}
		}
		text.WriteString(s)
		units += n
	}
	out := []*slidesapi.Request{insert(id, text.String())}
	for i := len(lists) - 1; i >= 0; i-- {
		from, to := lists[i].from, lists[i].to
		out = append(out, &slidesapi.Request{CreateParagraphBullets: &slidesapi.CreateParagraphBulletsRequest{
			ObjectId: id, BulletPreset: "BULLET_DISC_CIRCLE_SQUARE", TextRange: &slidesapi.Range{Type: "FIXED_RANGE", StartIndex: &from, EndIndex: &to},
		}})
	}
	return out
}
