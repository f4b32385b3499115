package slides

import (
	"context"
	"errors"
	"fmt"
	"strings"

	slidesapi "google.golang.org/api/slides/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type createInput struct {
	Title   string `json:"title" limit:"minlen=1,maxlen=300"`
	Text    string `json:"text,omitempty" jsonschema:"Markdown: a heading or --- begins a slide, lists are kept" limit:"maxlen=100000"`
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type changed struct {
	Account        googleapi.Account `json:"account"`
	PresentationID string            `json:"presentation_id"`
	SlideIDs       []string          `json:"slide_ids,omitempty"`            // of the new slides
	Replaced       int64             `json:"occurrences_replaced,omitempty"` // of the text
	URL            string            `json:"url"`
}

func (p *product) create(ctx context.Context, in createInput) (tool.Output[changed], error) {
	var out tool.Output[changed]
	pages, err := parse(in.Text)
	if err != nil {
		return out, err
	}
	presentations, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	deck, err := presentations.Create(&slidesapi.Presentation{Title: content.Line(in.Title, maxTitle)}).Fields("presentationId", "slides/objectId").Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("creating presentation", err), "Google did not answer: the presentation may have been made.", "Look for it with drive_search before you try again.")
	}
	v := changed{Account: account, PresentationID: deck.PresentationId, URL: Address(deck.PresentationId)}
	if len(pages) > 0 {
		var all []*slidesapi.Request
		all, v.SlideIDs = requests(pages, 0)
		for _, empty := range deck.Slides { // what Google puts into every new presentation
			all = append(all, &slidesapi.Request{DeleteObject: &slidesapi.DeleteObjectRequest{ObjectId: empty.ObjectId}})
		}
		if _, err := presentations.BatchUpdate(v.PresentationID, &slidesapi.BatchUpdatePresentationRequest{Requests: all}).Fields("presentationId").Context(ctx).Do(); err != nil {
			return out, half(err, v.PresentationID)
		}
	}
	out.Value = v
	out.Text = fmt.Sprintf("Created presentation %s in %s with %s. %s", v.PresentationID, account.Email, content.Count(max(len(pages), len(deck.Slides)), "slide", "slides"), v.URL)
	return out, nil
}

// half is the error of a presentation that was made and not filled.
func half(err error, id string) error {
	err = googleapi.Error("filling presentation", err)
	var e *tool.Error
	if errors.As(err, &e) {
		e.Retryable = false
		e.Message = "The presentation was made, but it may be empty: " + e.Message
		e.NextAction = "Look with slides_get, presentation_id " + id + ", and add slides with slides_update."
	}
	return err
}

type updateInput struct {
	PresentationID string   `json:"presentation_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Text           string   `json:"text,omitempty" jsonschema:"slides to add (Markdown)" limit:"maxlen=100000"`
	Position       int      `json:"position,omitempty" jsonschema:"slide number to get; default: last" limit:"min=1,max=100000"`
	Find           string   `json:"find,omitempty" jsonschema:"exact text" limit:"maxlen=2000"`
	Replace        string   `json:"replace,omitempty" limit:"maxlen=2000"`
	SlideIDs       []string `json:"slide_ids,omitempty" jsonschema:"to move, or only there to replace" limit:"maxitems=100"`
	RevisionID     string   `json:"revision_id,omitempty" jsonschema:"refuse if changed since" limit:"maxlen=500"`
	Account        string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

// check tells what is asked for apart: exactly one of adding, replacing, moving.
func (in updateInput) check() error {
	for _, id := range in.SlideIDs {
		if _, err := slideID(id); err != nil {
			return err
		}
	}
	switch {
	case in.Text != "" && (in.Find != "" || in.Replace != "" || len(in.SlideIDs) > 0),
		in.Find != "" && in.Position != 0, in.Find == "" && in.Replace != "":
		return tool.Invalid("Do one thing: add slides (text, position), replace a text (find, replace, slide_ids), or move slides (slide_ids, position).")
	case in.Text == "" && in.Find == "" && len(in.SlideIDs) == 0:
		return tool.Invalid("Give text to add slides, find to replace a text, or slide_ids to move slides.")
	}
	return nil
}

func (p *product) update(ctx context.Context, in updateInput) (tool.Output[changed], error) {
	var out tool.Output[changed]
	id, err := fileid.Parse("presentation_id", in.PresentationID)
	if err != nil {
		return out, err
	}
	if err := in.check(); err != nil {
		return out, err
	}
	pages, err := parse(in.Text)
	if err != nil {
		return out, err
	}
	if in.Text != "" && len(pages) == 0 {
		return out, tool.Invalid("text has no slide in it.")
	}
	presentations, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.api.MayWrite(ctx, account, id); err != nil {
		return out, err
	}
	v := changed{Account: account, PresentationID: id, URL: Address(id)}
	body := &slidesapi.BatchUpdatePresentationRequest{}
	if in.RevisionID != "" {
		body.WriteControl = &slidesapi.WriteControl{RequiredRevisionId: in.RevisionID}
	}
	if in.Find != "" {
		body.Requests = []*slidesapi.Request{{ReplaceAllText: &slidesapi.ReplaceAllTextRequest{
			ContainsText: &slidesapi.SubstringMatchCriteria{Text: in.Find, MatchCase: true}, ReplaceText: content.Clean(in.Replace), PageObjectIds: in.SlideIDs, ForceSendFields: []string{"ReplaceText"},
		}}}
	} else {
		deck, err := presentations.Get(id).Fields("slides/objectId").Context(ctx).Do()
		if err != nil {
			return out, googleapi.Error("reading presentation", err)
		}
		at := int64(len(deck.Slides))
		if in.Position != 0 {
			at = min(at, int64(in.Position)-1)
		}
		if in.Text != "" {
			body.Requests, v.SlideIDs = requests(pages, at)
		} else if body.Requests, err = move(deck, in.SlideIDs, at, in.Position == 0); err != nil {
			return out, err
		}
	}
	done, err := presentations.BatchUpdate(id, body).Fields("replies/replaceAllText").Context(ctx).Do()
	if err != nil {
		err = stale(ctx, presentations, id, in.RevisionID, googleapi.Error("changing presentation", err))
		return out, tool.Doubtful(err, "Google did not answer: the presentation may have been changed.", "Look with slides_get before you try again.")
	}
	for _, r := range done.Replies {
		if r != nil && r.ReplaceAllText != nil {
			v.Replaced += r.ReplaceAllText.OccurrencesChanged
		}
	}
	if in.Find != "" && v.Replaced == 0 {
		return out, &tool.Error{Code: tool.CodeNotFound, Message: "The text is not in the presentation; nothing was changed.", NextAction: "Take it letter by letter from slides_get."}
	}
	out.Value = v
	out.Text = fmt.Sprintf("Changed presentation %s in %s: %s added, %s replaced. %s", id, account.Email, content.Count(len(v.SlideIDs), "slide", "slides"), content.Count(v.Replaced, "place", "places"), v.URL)
	return out, nil
}

// stale tells an old revision from a mistake of ours, to both of which Google says
// "bad request".
func stale(ctx context.Context, presentations *slidesapi.PresentationsService, id, revision string, err error) error {
	var e *tool.Error
	if revision == "" || !errors.As(err, &e) || e.Code != tool.CodeInvalidArgument {
		return err
	}
	now, readErr := presentations.Get(id).Fields("revisionId").Context(ctx).Do()
	if readErr != nil || now.RevisionId == revision {
		return err
	}
	return &tool.Error{Code: tool.CodeConflict, Message: "Somebody changed the presentation meanwhile; nothing was done.", Retryable: true, NextAction: "Read it again with slides_get, then change it.", Cause: e.Cause}
}

// move puts slides, in the order that they have, to a place among the others.
// Google counts the place before anything is moved and wants the ids in that order
// (UpdateSlidesPositionRequest).
func move(deck *slidesapi.Presentation, ids []string, at int64, end bool) ([]*slidesapi.Request, error) {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	var ordered []string
	place, others := int64(len(deck.Slides)), int64(0)
	for i, s := range deck.Slides {
		if wanted[s.ObjectId] {
			ordered = append(ordered, s.ObjectId)
			continue
		}
		if others == at && !end { // the first of those that stay and come after
			place = int64(i)
			end = true
		}
		others++
	}
	if len(ordered) != len(wanted) {
		return nil, tool.Invalid("slide_ids has one that the presentation has not: take them from slides_get.")
	}
	return []*slidesapi.Request{{UpdateSlidesPosition: &slidesapi.UpdateSlidesPositionRequest{SlideObjectIds: ordered, InsertionIndex: place, ForceSendFields: []string{"InsertionIndex"}}}}, nil
}

type notesInput struct {
	PresentationID string `json:"presentation_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	SlideID        string `json:"slide_id" limit:"minlen=1,maxlen=100"`
	Text           string `json:"text,omitempty" jsonschema:"the whole new notes, plain text" limit:"maxlen=10000"`
	Account        string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

// setNotes replaces notes as they were read: of two who write at a time, Google
// refuses the second.
func (p *product) setNotes(ctx context.Context, in notesInput) (tool.Output[changed], error) {
	var out tool.Output[changed]
	id, err := fileid.Parse("presentation_id", in.PresentationID)
	if err != nil {
		return out, err
	}
	slide, err := slideID(in.SlideID)
	if err != nil {
		return out, err
	}
	presentations, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.api.MayWrite(ctx, account, id); err != nil {
		return out, err
	}
	deck, err := presentations.Get(id).Fields("revisionId," + textFields).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading presentation", err)
	}
	holder, old, err := speakerNotes(deck, slide)
	if err != nil {
		return out, err
	}
	body := &slidesapi.BatchUpdatePresentationRequest{WriteControl: &slidesapi.WriteControl{RequiredRevisionId: deck.RevisionId}}
	if old {
		body.Requests = append(body.Requests, &slidesapi.Request{DeleteText: &slidesapi.DeleteTextRequest{ObjectId: holder, TextRange: &slidesapi.Range{Type: "ALL"}}})
	}
	if text := strings.TrimSpace(content.Clean(in.Text)); text != "" {
		body.Requests = append(body.Requests, insert(holder, text))
	}
	if len(body.Requests) > 0 {
		if _, err := presentations.BatchUpdate(id, body).Fields("presentationId").Context(ctx).Do(); err != nil {
			err = stale(ctx, presentations, id, deck.RevisionId, googleapi.Error("writing notes", err))
			return out, tool.Doubtful(err, "Google did not answer: the notes may have been written.", "Look with slides_get before you try again.")
		}
	}
	out.Value = changed{Account: account, PresentationID: id, URL: Address(id)}
	out.Text = fmt.Sprintf("Wrote the notes of slide %s in presentation %s of %s. %s", slide, id, account.Email, Address(id))
	return out, nil
}

// speakerNotes are the id of the shape that holds a slide's notes, which need not
// be there yet (Slides API, NotesProperties), and whether it has text.
func speakerNotes(deck *slidesapi.Presentation, slide string) (id string, filled bool, err error) {
	for _, s := range deck.Slides {
		if s.ObjectId != slide {
			continue
		}
		if s.SlideProperties == nil || s.SlideProperties.NotesPage == nil || s.SlideProperties.NotesPage.NotesProperties == nil {
			break
		}
		id = s.SlideProperties.NotesPage.NotesProperties.SpeakerNotesObjectId
		for _, e := range s.SlideProperties.NotesPage.PageElements {
			if e.ObjectId == id && e.Shape != nil {
				filled = paragraphs(e.Shape.Text) != ""
			}
		}
		return id, filled, nil
	}
	return "", false, &tool.Error{Code: tool.CodeNotFound, Message: "The presentation has no such slide.", NextAction: "Take slide_id from slides_get."}
}
