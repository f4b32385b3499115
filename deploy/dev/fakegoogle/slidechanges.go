package fakegoogle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// slideRequest is one change of presentations.batchUpdate, of those that the tools
// make.
type slideRequest struct {
	CreateSlide *struct {
		ObjectID             string
		InsertionIndex       *int
		SlideLayoutReference struct{ PredefinedLayout string }

		PlaceholderIDMappings []struct {
			ObjectID          string
			LayoutPlaceholder struct{ Type string }
		}
	}
	InsertText *struct {
		ObjectID, Text string
		InsertionIndex int
	}
	DeleteText *struct {
		ObjectID  string
		TextRange struct{ Type string }
	}
	DeleteObject           *struct{ ObjectID string }
	CreateParagraphBullets *struct {
		ObjectID, BulletPreset string
		TextRange              struct {
			Type                 string
			StartIndex, EndIndex int
		}
	}
	ReplaceAllText *struct {
		ContainsText struct {
			Text      string
			MatchCase bool
		}
		ReplaceText   string
		PageObjectIDs []string
	}
	UpdateSlidesPosition *struct {
		SlideObjectIDs []string
		InsertionIndex int
	}
}

// layouts are the placeholders of the predefined layouts.
var layouts = map[string][]string{"BLANK": nil, "TITLE_ONLY": {"TITLE"}, "TITLE_AND_BODY": {"TITLE", "BODY"}}

// objectID is the form of an id (Slides API, CreateSlideRequest).
var objectID = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_:-]{4,49}$`)

func (d *deck) slide(id string) *slide {
	for _, s := range d.slides {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (d *deck) box(id string) *box {
	for _, s := range d.slides {
		for _, b := range s.boxes {
			if b.id == id {
				return b
			}
		}
	}
	return nil
}

// notes is the slide whose notes a shape holds.
func (d *deck) notes(id string) *slide {
	for _, s := range d.slides {
		if s.notesID() == id {
			return s
		}
	}
	return nil
}

func (d *deck) apply(r slideRequest) (any, error) {
	none := map[string]any{}
	switch {
	case r.CreateSlide != nil:
		return none, d.create(r)
	case r.InsertText != nil:
		in := r.InsertText
		if s := d.notes(in.ObjectID); s != nil && in.InsertionIndex == 0 {
			s.notes = in.Text + s.notes
			return none, nil
		}
		b := d.box(in.ObjectID)
		if b == nil || in.InsertionIndex != 0 {
			return nil, fmt.Errorf("the object (%s) could not be found", in.ObjectID)
		}
		b.paragraphs = paragraphsOf(in.Text + b.text())
		return none, nil
	case r.DeleteText != nil:
		s := d.notes(r.DeleteText.ObjectID)
		if s == nil || s.notes == "" || r.DeleteText.TextRange.Type != "ALL" {
			return nil, errors.New("the object has no text")
		}
		s.notes = ""
		return none, nil
	case r.DeleteObject != nil:
		before := len(d.slides)
		if d.slides = slices.DeleteFunc(d.slides, func(s *slide) bool { return s.id == r.DeleteObject.ObjectID }); len(d.slides) == before {
			return nil, fmt.Errorf("the object (%s) could not be found", r.DeleteObject.ObjectID)
		}
		return none, nil
	case r.CreateParagraphBullets != nil:
		return none, d.bullets(r)
	case r.ReplaceAllText != nil:
		n, err := d.replace(r)
		return map[string]any{"replaceAllText": map[string]any{"occurrencesChanged": n}}, err
	case r.UpdateSlidesPosition != nil:
		return none, d.move(r.UpdateSlidesPosition.SlideObjectIDs, r.UpdateSlidesPosition.InsertionIndex)
	}
	return nil, errors.New("no request kind set, or one that the stand-in does not know")
}

func (d *deck) create(r slideRequest) error {
	in := r.CreateSlide
	places, known := layouts[in.SlideLayoutReference.PredefinedLayout]
	if !known {
		return fmt.Errorf("the layout (%s) could not be found", in.SlideLayoutReference.PredefinedLayout)
	}
	s := &slide{id: in.ObjectID}
	for i, kind := range places {
		b := &box{id: fmt.Sprintf("%s_auto%d", in.ObjectID, i), placeholder: kind}
		for _, m := range in.PlaceholderIDMappings {
			if m.LayoutPlaceholder.Type == kind {
				b.id = m.ObjectID
			}
		}
		s.boxes = append(s.boxes, b)
	}
	for _, m := range in.PlaceholderIDMappings {
		if !slices.Contains(places, m.LayoutPlaceholder.Type) {
			return fmt.Errorf("the layout has no placeholder %s", m.LayoutPlaceholder.Type)
		}
		if !objectID.MatchString(m.ObjectID) || d.box(m.ObjectID) != nil {
			return fmt.Errorf("the object ID (%s) should be well-formed and unique", m.ObjectID)
		}
	}
	if !objectID.MatchString(s.id) || d.slide(s.id) != nil {
		return fmt.Errorf("the object ID (%s) should be well-formed and unique", s.id)
	}
	at := len(d.slides)
	if in.InsertionIndex != nil {
		at = *in.InsertionIndex
	}
	if at < 0 || at > len(d.slides) {
		return fmt.Errorf("the insertion index (%d) should not be greater than the existing number of slides", at)
	}
	d.slides = slices.Insert(d.slides, at, s)
	return nil
}

// bullets makes paragraphs a list; tabs before them say how deep they stand, and go.
func (d *deck) bullets(r slideRequest) error {
	in := r.CreateParagraphBullets
	b := d.box(in.ObjectID)
	if b == nil || in.TextRange.Type != "FIXED_RANGE" {
		return fmt.Errorf("the object (%s) could not be found", in.ObjectID)
	}
	at := 0
	for i := range b.paragraphs {
		p := &b.paragraphs[i]
		end := at + len(utf16.Encode([]rune(p.text)))
		if at < in.TextRange.EndIndex && end > in.TextRange.StartIndex {
			text := strings.TrimLeft(p.text, "\t")
			p.text, p.list, p.level = text, true, len(p.text)-len(text)
		}
		at = end + 1
	}
	if in.TextRange.EndIndex > at {
		return fmt.Errorf("the end index (%d) should not be greater than the existing text length", in.TextRange.EndIndex)
	}
	return nil
}

func (d *deck) replace(r slideRequest) (int, error) {
	in := r.ReplaceAllText
	if in.ContainsText.Text == "" || !in.ContainsText.MatchCase {
		return 0, errors.New("the stand-in replaces a text by its case only")
	}
	for _, id := range in.PageObjectIDs {
		if d.slide(id) == nil {
			return 0, fmt.Errorf("the page (%s) could not be found", id)
		}
	}
	n := 0
	for _, s := range d.slides {
		if len(in.PageObjectIDs) > 0 && !slices.Contains(in.PageObjectIDs, s.id) {
			continue
		}
		for _, b := range s.boxes {
			for i := range b.paragraphs {
				p := &b.paragraphs[i]
				n += strings.Count(p.text, in.ContainsText.Text)
				p.text = strings.ReplaceAll(p.text, in.ContainsText.Text, in.ReplaceText)
			}
		}
	}
	return n, nil
}

// move takes slides, in the order of the presentation, to a place that is counted
// before they are taken out.
func (d *deck) move(ids []string, at int) error {
	if at < 0 || at > len(d.slides) {
		return fmt.Errorf("the insertion index (%d) is out of range", at)
	}
	var before, moved, after []*slide
	for i, s := range d.slides {
		switch {
		case len(moved) < len(ids) && s.id == ids[len(moved)]:
			moved = append(moved, s)
		case i < at:
			before = append(before, s)
		default:
			after = append(after, s)
		}
	}
	if len(moved) != len(ids) {
		return errors.New("the slides should exist and be in the order of the presentation")
	}
	d.slides = slices.Concat(before, moved, after)
	return nil
}
