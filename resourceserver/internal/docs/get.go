package docs

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/docs/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/markdown"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultChars = 20_000
	maxTitle     = 300
)

type getInput struct {
	DocumentID string `json:"document_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	TabID      string `json:"tab_id,omitempty" limit:"maxlen=100"`
	MaxChars   int    `json:"max_chars,omitempty" jsonschema:"default 20000" limit:"min=500,max=30000"`
	PageToken  string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=300"`
	Account    string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type getOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	DocumentID    string            `json:"document_id"`
	Title         string            `json:"title"`
	RevisionID    string            `json:"revision_id,omitempty"` // for docs_edit; absent without access to edit
	TabID         string            `json:"tab_id"`
	Tabs          []tab             `json:"tabs"`
	Markdown      string            `json:"markdown"`
	Length        int               `json:"length"` // characters of the whole tab
	Truncated     bool              `json:"truncated"`
	NextPageToken string            `json:"next_page_token,omitempty"`
	URL           string            `json:"url"`
}

type tab struct {
	ID    string `json:"tab_id"`
	Title string `json:"title"`
}

func (p *product) get(ctx context.Context, in getInput) (tool.Output[getOutput], error) {
	var out tool.Output[getOutput]
	id, err := fileid.Parse("document_id", in.DocumentID)
	if err != nil {
		return out, err
	}
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	at, err := content.ParseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	d, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	doc, err := read(ctx, d, id)
	if err != nil {
		return out, err
	}
	t, err := tabOf(doc, in.TabID)
	if err != nil {
		return out, err
	}
	v := getOutput{
		Account: account, Notice: content.Notice, DocumentID: doc.DocumentId, Title: content.Line(doc.Title, maxTitle), RevisionID: doc.RevisionId,
		TabID: t.TabProperties.TabId, Tabs: []tab{}, URL: Address(doc.DocumentId),
	}
	for _, t := range tabs(doc) {
		v.Tabs = append(v.Tabs, tab{t.TabProperties.TabId, content.Line(t.TabProperties.Title, maxTitle)})
	}
	text := markdown.Render(blocks(t.DocumentTab))
	if !at.Fits(text) {
		return out, tool.Invalid("The document was changed since page_token was made, or it belongs to another. Read it from its beginning.")
	}
	v.Markdown, v.Length, v.Truncated = content.Cut(text, at.Offset, in.MaxChars)
	if v.Truncated {
		v.NextPageToken = content.NextCursor(text, at.Offset+len([]rune(v.Markdown)))
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// Address is where a person opens a document.
func Address(id string) string { return "https://docs.google.com/document/d/" + id + "/edit" }

func (v getOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Document %s in %s, tab %s of %d, %s. %s\n", v.DocumentID, v.Account.Email, v.TabID, len(v.Tabs), content.Count(v.Length, "character", "characters"), content.Notice)
	b.WriteString(content.Fence("Title: " + v.Title + "\n\n" + v.Markdown))
	if v.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", v.NextPageToken)
	}
	return b.String()
}

// Markdown reads a whole document, its tabs one after the other.
func Markdown(ctx context.Context, s *googleapi.Session, id string) (string, error) {
	d, err := documents(ctx, s)
	if err != nil {
		return "", err
	}
	doc, err := read(ctx, d, id)
	if err != nil {
		return "", err
	}
	return whole(doc), nil
}

func whole(doc *docs.Document) string {
	var b strings.Builder
	all := tabs(doc)
	for i, t := range all {
		if len(all) > 1 {
			if i > 0 {
				b.WriteString("\n\n")
			}
			fmt.Fprintf(&b, "[tab: %s]\n\n", content.Line(t.TabProperties.Title, maxTitle))
		}
		b.WriteString(markdown.Render(blocks(t.DocumentTab)))
	}
	return b.String()
}
