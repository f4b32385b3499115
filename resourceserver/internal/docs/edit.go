package docs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/api/docs/v1"
	apierror "google.golang.org/api/googleapi"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/markdown"
	"latchkey/resourceserver/internal/tool"
)

type editInput struct {
	DocumentID string `json:"document_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Find       string `json:"find,omitempty" jsonschema:"exact text" limit:"maxlen=2000"`
	Replace    string `json:"replace,omitempty" jsonschema:"plain text" limit:"maxlen=2000"`
	Text       string `json:"text,omitempty" jsonschema:"Markdown to insert" limit:"maxlen=100000"`
	Position   string `json:"position,omitempty" enum:"start,end,after_heading" jsonschema:"default end"`
	Heading    string `json:"heading,omitempty" jsonschema:"for after_heading" limit:"maxlen=500"`
	TabID      string `json:"tab_id,omitempty" limit:"maxlen=100"`
	RevisionID string `json:"revision_id,omitempty" jsonschema:"refuse if changed since" limit:"maxlen=500"`
	Account    string `json:"account,omitempty" jsonschema:"handle or alias" limit:"maxlen=64"`
}

type editOutput struct {
	Account    googleapi.Account `json:"account"`
	DocumentID string            `json:"document_id"`
	RevisionID string            `json:"revision_id,omitempty"`
	Replaced   int64             `json:"replaced"` // occurrences
	Inserted   int               `json:"inserted"` // headings, paragraphs, items, tables
	URL        string            `json:"url"`
}

// attempts is how often an edit is tried against a document that others change.
const attempts = 3

func (p *product) edit(ctx context.Context, in editInput) (tool.Output[editOutput], error) {
	var out tool.Output[editOutput]
	id, err := fileid.Parse("document_id", in.DocumentID)
	if err != nil {
		return out, err
	}
	if (in.Find == "") == (in.Text == "") {
		return out, tool.Invalid("Give either find and replace, or text.")
	}
	if (in.Position == "after_heading") != (in.Heading != "") {
		return out, tool.Invalid("heading goes with position after_heading, and only with it.")
	}
	d, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.api.MayWrite(ctx, account, id); err != nil {
		return out, err
	}
	v := editOutput{Account: account, DocumentID: id, URL: Address(id)}
	blocks := markdown.Parse(in.Text)
	for attempt := 1; ; attempt++ {
		doc, err := read(ctx, d, id)
		if err != nil {
			return out, err
		}
		if in.RevisionID != "" && doc.RevisionId != in.RevisionID {
			return out, changed()
		}
		t, err := tabOf(doc, in.TabID)
		if err != nil {
			return out, err
		}
		requests, err := in.requests(t, blocks)
		if err != nil {
			return out, err
		}
		reply, err := update(ctx, d, doc, requests)
		if err == nil {
			v.Inserted = len(blocks)
			for _, r := range reply.Replies {
				if r.ReplaceAllText != nil {
					v.Replaced += r.ReplaceAllText.OccurrencesChanged
				}
			}
			if in.Find != "" && v.Replaced == 0 {
				return out, &tool.Error{Code: tool.CodeNotFound, Message: "The text is not in the document; nothing was changed.", NextAction: "Take it letter by letter from docs_get."}
			}
			if reply.WriteControl != nil {
				v.RevisionID = reply.WriteControl.RequiredRevisionId
			}
			break
		}
		var e *tool.Error
		if in.RevisionID != "" || attempt == attempts || !errors.As(err, &e) || e.Code != tool.CodeConflict {
			return out, err
		}
	}
	out.Value = v
	out.Text = fmt.Sprintf("Changed document %s in %s: %s replaced, %s inserted. %s", id, account.Email, content.Count(v.Replaced, "occurrence", "occurrences"), content.Count(v.Inserted, "block", "blocks"), v.URL)
	return out, nil
}

func changed() *tool.Error {
	return &tool.Error{Code: tool.CodeConflict, Message: "Somebody changed the document meanwhile; nothing was done.", Retryable: true, NextAction: "Read it again with docs_get, then edit."}
}

// update changes the document in the revision that was read, or not at all.
func update(ctx context.Context, d *docs.DocumentsService, doc *docs.Document, requests []*docs.Request) (*docs.BatchUpdateDocumentResponse, error) {
	if doc.RevisionId == "" { // Docs API: only who may edit is told the revision
		return nil, &tool.Error{Code: tool.CodePermissionDenied, Message: "This account may read the document, but not edit it.", NextAction: "Ask its owner for access, or write a new document."}
	}
	if len(requests) > maxRequests {
		return nil, tool.Invalid("This is too much at once: insert it in several parts.")
	}
	reply, err := d.BatchUpdate(doc.DocumentId, &docs.BatchUpdateDocumentRequest{
		Requests: requests, WriteControl: &docs.WriteControl{RequiredRevisionId: doc.RevisionId},
	}).Fields("replies/replaceAllText", "writeControl").Context(ctx).Do()
	if err == nil {
		return reply, nil
	}
	var g *apierror.Error
	if errors.As(err, &g) && g.Code == http.StatusBadRequest {
		// Google says "bad request" to an old revision as to a mistake of ours.
		now, readErr := d.Get(doc.DocumentId).Fields("revisionId").Context(ctx).Do()
		if readErr == nil && now.RevisionId != doc.RevisionId {
			return nil, changed()
		}
	}
	return nil, tool.Doubtful(googleapi.Error("changing document", err), "Google did not answer: the document may have been changed.", "Look with docs_get before you try again.")
}

// requests are what the edit does to the tab as it was read.
func (in editInput) requests(t *docs.Tab, blocks []markdown.Block) ([]*docs.Request, error) {
	tab := t.TabProperties.TabId
	if in.Find != "" {
		return []*docs.Request{{ReplaceAllText: &docs.ReplaceAllTextRequest{
			ContainsText: &docs.SubstringMatchCriteria{Text: in.Find, MatchCase: true}, ReplaceText: sayable(in.Replace), TabsCriteria: &docs.TabsCriteria{TabIds: []string{tab}},
		}}}, nil
	}
	if len(blocks) == 0 {
		return nil, tool.Invalid("text has nothing to insert.")
	}
	if t.DocumentTab.Body == nil || len(t.DocumentTab.Body.Content) == 0 {
		return nil, errors.New("a tab without a body")
	}
	list := t.DocumentTab.Body.Content
	switch in.Position {
	case "start":
		for i, e := range list {
			if e.Paragraph != nil {
				return place(tab, list, i, false, blocks), nil
			}
		}
	case "after_heading":
		for i, e := range list {
			if e.Paragraph != nil && headed(e.Paragraph, in.Heading) {
				return place(tab, list, i, true, blocks), nil
			}
		}
		return nil, &tool.Error{Code: tool.CodeNotFound, Message: "The document has no such heading.", NextAction: "Take the heading's text from docs_get."}
	}
	return place(tab, list, len(list)-1, true, blocks), nil
}

// place inserts blocks before or after the paragraph list[i].
func place(tab string, list []*docs.StructuralElement, i int, after bool, blocks []markdown.Block) []*docs.Request {
	if !after {
		return insert(tab, list[i].StartIndex, blocks)
	}
	if i+1 < len(list) && list[i+1].Paragraph != nil {
		return insert(tab, list[i].EndIndex, blocks)
	}
	// Behind it is a table or the end: nothing can go before a table (Docs API,
	// InsertTextRequest), so a new paragraph opens the place.
	if i == len(list)-1 && empty(list[i].Paragraph) {
		return insert(tab, list[i].StartIndex, blocks)
	}
	w := &writer{tab: tab}
	w.say(list[i].EndIndex-1, "\n")
	w.plain(list[i].EndIndex, list[i].EndIndex+1, names[0], &docs.ParagraphStyle{})
	return append(w.out, insert(tab, list[i].EndIndex, blocks)...)
}

func empty(p *docs.Paragraph) bool {
	return p == nil || len(p.Elements) == 0 || len(p.Elements) == 1 && p.Elements[0].TextRun != nil && p.Elements[0].TextRun.Content == "\n"
}

// headed reports whether a paragraph is the heading of a text; white space and
// case do not count.
func headed(p *docs.Paragraph, heading string) bool {
	if p.ParagraphStyle == nil || p.ParagraphStyle.NamedStyleType != "TITLE" && !strings.HasPrefix(p.ParagraphStyle.NamedStyleType, "HEADING_") {
		return false
	}
	var b strings.Builder
	for _, e := range p.Elements {
		if e.TextRun != nil {
			b.WriteString(e.TextRun.Content)
		}
	}
	fold := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(clean(s)), " ")) }
	return fold(b.String()) == fold(heading)
}

// Fill writes Markdown into a new, empty document.
func Fill(ctx context.Context, s *googleapi.Session, id, text string) error {
	blocks := markdown.Parse(text)
	if len(blocks) == 0 {
		return nil
	}
	d, err := documents(ctx, s)
	if err != nil {
		return err
	}
	doc, err := read(ctx, d, id)
	if err != nil {
		return err
	}
	t, err := tabOf(doc, "")
	if err != nil {
		return err
	}
	requests, err := editInput{Text: text}.requests(t, blocks)
	if err != nil {
		return err
	}
	_, err = update(ctx, d, doc, requests)
	return err
}
