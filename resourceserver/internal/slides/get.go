package slides

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type getInput struct {
	PresentationID string `json:"presentation_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	MaxChars       int    `json:"max_chars,omitempty" jsonschema:"default 20000" limit:"min=500,max=30000"`
	PageToken      string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=200"`
	Account        string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type getOutput struct {
	Account        googleapi.Account `json:"account"`
	Notice         string            `json:"notice"`
	PresentationID string            `json:"presentation_id"`
	Title          string            `json:"title"`
	RevisionID     string            `json:"revision_id,omitempty"` // for slides_update; absent without access to edit
	Slides         int               `json:"slides"`
	Text           string            `json:"text"`
	Length         int               `json:"length"` // characters of the whole text
	Truncated      bool              `json:"truncated"`
	NextPageToken  string            `json:"next_page_token,omitempty"`
	URL            string            `json:"url"`
}

func (p *product) get(ctx context.Context, in getInput) (tool.Output[getOutput], error) {
	var out tool.Output[getOutput]
	id, err := fileid.Parse("presentation_id", in.PresentationID)
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
	presentations, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	deck, err := presentations.Get(id).Fields(fields).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading presentation", err)
	}
	all := text(deck, true)
	if !at.Fits(all) {
		return out, tool.Invalid("The presentation was changed since page_token was made, or it belongs to another. Read it from its beginning.")
	}
	v := getOutput{
		Account: account, Notice: content.Notice, PresentationID: deck.PresentationId, Title: content.Line(deck.Title, maxTitle),
		RevisionID: deck.RevisionId, Slides: len(deck.Slides), URL: Address(deck.PresentationId),
	}
	v.Text, v.Length, v.Truncated = content.Cut(all, at.Offset, in.MaxChars)
	if v.Truncated {
		v.NextPageToken = content.NextCursor(all, at.Offset+len([]rune(v.Text)))
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

func (v getOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Presentation %s in %s, %s, %s. %s\n", v.PresentationID, v.Account.Email, content.Count(v.Slides, "slide", "slides"), content.Count(v.Length, "character", "characters"), content.Notice)
	b.WriteString(content.Fence("Title: " + v.Title + "\n\n" + v.Text))
	if v.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", v.NextPageToken)
	}
	return b.String()
}

type thumbnailInput struct {
	PresentationID string `json:"presentation_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	SlideID        string `json:"slide_id" limit:"minlen=1,maxlen=100"`
	Size           string `json:"size,omitempty" enum:"small,medium,large" jsonschema:"200, 800 or 1600 pixels wide; default medium"`
	Account        string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type thumbnailOutput struct {
	Account        googleapi.Account `json:"account"`
	PresentationID string            `json:"presentation_id"`
	SlideID        string            `json:"slide_id"`
	URL            string            `json:"thumbnail_url"`
	Width          int64             `json:"width"` // pixels
	Height         int64             `json:"height"`
}

// Link makes the picture a resource link of the result.
func (o thumbnailOutput) Link() (uri, name, mediaType string) { return o.URL, "slide", "image/png" }

func (p *product) thumbnail(ctx context.Context, in thumbnailInput) (tool.Output[thumbnailOutput], error) {
	var out tool.Output[thumbnailOutput]
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
	size := strings.ToUpper(in.Size)
	if size == "" {
		size = "MEDIUM"
	}
	t, err := presentations.Pages.GetThumbnail(id, slide).ThumbnailPropertiesMimeType("PNG").ThumbnailPropertiesThumbnailSize(size).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("making picture of slide", err)
	}
	if u, err := url.Parse(t.ContentUrl); err != nil || u.Scheme != "https" || u.Host == "" {
		return out, &tool.Error{Code: tool.CodeNotFound, Message: "Google made no picture of this slide.", NextAction: "The person can open the presentation: " + Address(id)}
	}
	v := thumbnailOutput{Account: account, PresentationID: id, SlideID: slide, URL: t.ContentUrl, Width: t.Width, Height: t.Height}
	out.Value = v
	out.Text = fmt.Sprintf("Slide %s of presentation %s in %s: %s (%d x %d pixels, for about 30 minutes)", slide, id, account.Email, v.URL, v.Width, v.Height)
	return out, nil
}

// slideID checks the form of an object id (Slides API, "Page": letters, digits,
// "_", "-" and ":"), which becomes a part of an address.
func slideID(s string) (string, error) {
	if s == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:.") != "" || strings.Trim(s, ".") == "" {
		return "", tool.Invalid("slide_id is not one of slides_get.")
	}
	return s, nil
}
