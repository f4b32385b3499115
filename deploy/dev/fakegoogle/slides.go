package fakegoogle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const slideType = "application/vnd.google-apps.presentation"

// deck is a presentation.
type deck struct {
	revision int
	slides   []*slide
}

type slide struct {
	id, notes string
	boxes     []*box
}

// box is a shape with text. Paragraphs of a list are marked.
type box struct {
	id, placeholder string
	paragraphs      []slideParagraph
}

type slideParagraph struct {
	text  string
	list  bool
	level int
}

func paragraphsOf(text string) []slideParagraph {
	if text == "" {
		return nil
	}
	var out []slideParagraph
	for l := range strings.SplitSeq(text, "\n") {
		out = append(out, slideParagraph{text: l})
	}
	return out
}

func (b *box) text() string {
	var out []string
	for _, p := range b.paragraphs {
		out = append(out, p.text)
	}
	return strings.Join(out, "\n")
}

func (s *slide) notesID() string { return s.id + "_notes" }

// presentation returns the model of a presentation. Its seeded content is the
// slides, each after a form feed; notes follow a vertical tab.
func (f *file) presentation() *deck {
	if f.deck == nil {
		f.deck = &deck{revision: 1}
		for i, text := range strings.Split(string(f.content), "\f") {
			text, notes, _ := strings.Cut(text, "\v")
			id := "p" + strconv.Itoa(i)
			f.deck.slides = append(f.deck.slides, &slide{id: id, notes: notes, boxes: []*box{{id: id + "_e0", paragraphs: paragraphsOf(text)}}})
		}
	}
	return f.deck
}

func (d *deck) clone() *deck {
	out := &deck{revision: d.revision}
	for _, s := range d.slides {
		c := &slide{id: s.id, notes: s.notes}
		for _, b := range s.boxes {
			c.boxes = append(c.boxes, &box{b.id, b.placeholder, slices.Clone(b.paragraphs)})
		}
		out.slides = append(out.slides, c)
	}
	return out
}

func (d *deck) view(f *file) map[string]any {
	list := []any{}
	for _, s := range d.slides {
		var elements []any
		for _, b := range s.boxes {
			elements = append(elements, shape(b.id, b.placeholder, b.paragraphs))
		}
		page := map[string]any{"notesProperties": map[string]any{"speakerNotesObjectId": s.notesID()}}
		if s.notes != "" { // the shape is made with the first text
			page["pageElements"] = []any{shape(s.notesID(), "BODY", paragraphsOf(s.notes))}
		}
		list = append(list, map[string]any{"objectId": s.id, "pageElements": elements, "slideProperties": map[string]any{"notesPage": page}})
	}
	return map[string]any{"presentationId": f.ID, "title": f.Name, "revisionId": "rev-" + strconv.Itoa(d.revision), "slides": list}
}

func shape(id, placeholder string, paragraphs []slideParagraph) map[string]any {
	elements := []any{}
	for _, p := range paragraphs {
		marker := map[string]any{}
		if p.list {
			marker["bullet"] = map[string]any{"listId": "l", "nestingLevel": p.level}
		}
		elements = append(elements, map[string]any{"paragraphMarker": marker}, map[string]any{"textRun": map[string]any{"content": p.text + "\n"}})
	}
	out := map[string]any{"shapeType": "TEXT_BOX", "text": map[string]any{"textElements": elements}}
	if placeholder != "" {
		out["placeholder"] = map[string]any{"type": placeholder}
	}
	return map[string]any{"objectId": id, "shape": out}
}

func (c *call) deckFile(id string) (*file, error) { return c.typed(id, slideType) }

func init() {
	handle("slides.presentations.get", func(c *call) (any, error) {
		f, err := c.deckFile(c.path["presentationsId"])
		if err != nil {
			return nil, err
		}
		return f.presentation().view(f), nil
	})
	handle("slides.presentations.create", func(c *call) (any, error) {
		var in struct{ Title string }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		f := &file{ID: c.user.next("f"), Name: in.Title, MimeType: slideType, Modified: c.s.now().UTC()}
		f.deck = &deck{revision: 1, slides: []*slide{{id: "p", boxes: []*box{{id: "i0", placeholder: "CENTERED_TITLE"}, {id: "i1", placeholder: "SUBTITLE"}}}}}
		c.add(f)
		return f.deck.view(f), nil
	})
	handle("slides.presentations.batchUpdate", func(c *call) (any, error) {
		f, err := c.deckFile(c.path["presentationId"])
		if err != nil {
			return nil, err
		}
		var in struct {
			Requests     []slideRequest
			WriteControl struct{ RequiredRevisionID string }
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		next := f.presentation().clone() // all of the requests or none
		if r := in.WriteControl.RequiredRevisionID; r != "" && r != "rev-"+strconv.Itoa(next.revision) {
			return nil, badRequest("The required revision ID '" + r + "' does not match the latest revision.")
		}
		replies := []any{}
		for i, r := range in.Requests {
			reply, err := next.apply(r)
			if err != nil {
				return nil, badRequest(fmt.Sprintf("Invalid requests[%d]: %v", i, err))
			}
			replies = append(replies, reply)
		}
		next.revision++
		f.deck, f.Modified = next, c.s.now().UTC()
		return map[string]any{"presentationId": f.ID, "replies": replies}, nil
	})
	handle("slides.presentations.pages.getThumbnail", func(c *call) (any, error) {
		f, err := c.deckFile(c.path["presentationId"])
		if err != nil {
			return nil, err
		}
		width, known := map[string]int{"": 1600, "LARGE": 1600, "MEDIUM": 800, "SMALL": 200}[c.query.Get("thumbnailProperties.thumbnailSize")]
		if !known {
			return nil, badRequest("Invalid thumbnail size.")
		}
		if f.presentation().slide(c.path["pageObjectId"]) == nil {
			return nil, notFound("The page")
		}
		return map[string]any{"contentUrl": "https://slides.fake/thumbnail/" + f.ID + "/" + c.path["pageObjectId"], "width": width, "height": width * 9 / 16}, nil
	})
}

// Touch changes the revision of a presentation, as somebody's edit does.
func (s *Server) Touch(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		for _, f := range u.files {
			if f.ID == id && f.MimeType == slideType {
				f.presentation().revision++
			}
		}
	}
}
