package slides

import (
	"context"
	"fmt"

	slidesapi "google.golang.org/api/slides/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google   = "https://www.googleapis.com/auth/"
	readonly = google + "presentations.readonly"
	writing  = google + "presentations"

	maxTitle     = 300
	defaultChars = 20_000
)

type product struct{ api *googleapi.API }

// Tools returns the Slides tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	read, write := oauth.NewScopes("slides.read"), oauth.NewScopes("slides.write")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "slides_get", Title: "Read a presentation",
		Description: "Read the slides' texts and speaker notes as Markdown, with the id of each slide.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, p.get)
	tool.Add(&s, tool.Description{
		Name: "slides_thumbnail", Title: "Picture of a slide",
		Description: "Make a picture of a slide: a link to a PNG that Google keeps for about 30 minutes. Who has the link can see it.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, p.thumbnail)
	tool.Add(&s, tool.Description{
		Name: "slides_create", Title: "Create a presentation",
		Description: "Create a presentation in My Drive, with slides from Markdown.",
		Scopes:      write, Google: oauth.NewScopes(writing), Hints: tool.Create, Tier: tool.Extended,
	}, p.create)
	tool.Add(&s, tool.Description{
		Name: "slides_update", Title: "Change a presentation",
		Description: "Add slides from Markdown, replace a text, or move slides.",
		Scopes:      write, Google: oauth.NewScopes(writing), Also: googleapi.Sees(), Hints: tool.Create, Tier: tool.Extended,
	}, p.update)
	tool.Add(&s, tool.Description{
		Name: "slides_set_notes", Title: "Write speaker notes",
		Description: "Replace the speaker notes of a slide.",
		Scopes:      write, Google: oauth.NewScopes(writing), Also: googleapi.Sees(), Hints: tool.Change, Tier: tool.Complete,
	}, p.setNotes)
	return s.Tools()
}

// open returns the service for the account of the running call.
func (p *product) open(ctx context.Context, account string) (*slidesapi.PresentationsService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", slidesapi.NewService)
	if err != nil {
		return nil, googleapi.Account{}, err
	}
	return service.Presentations, used, nil
}

// Address is where a person opens a presentation.
func Address(id string) string { return "https://docs.google.com/presentation/d/" + id + "/edit" }

// fields of a presentation: what its text is made of. Groups hold elements in
// elements, so these come whole.
const (
	textFields = "slides(objectId,pageElements,slideProperties(notesPage(notesProperties,pageElements)))"
	fields     = "presentationId,title,revisionId," + textFields
)

// Text reads the texts and notes of a whole presentation.
func Text(ctx context.Context, s *googleapi.Session, id string) (string, error) {
	service, err := slidesapi.NewService(ctx, s.Options("")...)
	if err != nil {
		return "", fmt.Errorf("making Slides client: %w", err)
	}
	p, err := service.Presentations.Get(id).Fields(textFields).Context(ctx).Do()
	if err != nil {
		return "", googleapi.Error("reading presentation", err)
	}
	return text(p, false), nil
}
