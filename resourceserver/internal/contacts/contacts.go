package contacts

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/people/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google    = "https://www.googleapis.com/auth/"
	readonly  = google + "contacts.readonly"
	readwrite = google + "contacts"
	others    = google + "contacts.other.readonly"
	directory = google + "directory.readonly"

	maxText   = 200
	maxNotes  = 2_000
	maxValues = 10 // addresses or numbers of one person that are shown
)

// What is asked of people: the masks choose the fields that Google looks up, and
// the fields what of them comes.
const (
	contactMask   = "names,emailAddresses,phoneNumbers,organizations,biographies"
	directoryMask = "names,emailAddresses,phoneNumbers,organizations,metadata"
	otherMask     = "names,emailAddresses,phoneNumbers"

	personFields  = "resourceName,names(displayName),emailAddresses(value),phoneNumbers(value),organizations(name,title,department,metadata/primary)"
	contactFields = "resourceName,names(displayName,givenName,familyName),emailAddresses(value),phoneNumbers(value),organizations(name,title,department,metadata/primary),biographies(value,contentType)"
)

// The sources of what is shown.
const (
	fromContacts  = "contacts"
	fromOthers    = "other_contacts"
	fromDirectory = "directory"
	fromShared    = "shared_contact"
)

// Tools returns the tools about people.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	write := oauth.NewScopes("contacts.write")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "contacts_search", Title: "Find people",
		Description: "Find people's addresses and numbers by the start of a name, address or number.",
		Scopes:      oauth.NewScopes("contacts.read"), Google: oauth.NewScopes(readonly), Also: oauth.NewScopes(others, directory), Hints: tool.Read,
	}, p.search)
	tool.Add(&s, tool.Description{
		Name: "contacts_create", Title: "Add a contact",
		Description: "Add a person to the contacts; the person confirms an address or number. Look with contacts_search first: Google keeps duplicates.",
		Scopes:      write, Google: oauth.NewScopes(readwrite), Hints: tool.Create, Tier: tool.Complete, Asks: true,
	}, p.create)
	tool.Add(&s, tool.Description{
		Name: "contacts_update", Title: "Change a contact",
		Description: "Change what is given of a contact; the rest stays, and an empty text clears. The person confirms a new name, address or number. Contacts are deleted in Google Contacts.",
		Scopes:      write, Google: oauth.NewScopes(readwrite), Hints: tool.Change, Tier: tool.Complete, Asks: true,
	}, p.update)
	tool.Add(&s, tool.Description{
		Name: "directory_search", Title: "Search the directory",
		Description: "Find people of the organization, and the contacts that it shares, with address, number, title and department.",
		Scopes:      oauth.NewScopes("directory.read"), Google: oauth.NewScopes(directory), Hints: tool.Read, Tier: tool.Complete,
	}, p.searchDirectory)
	return s.Tools()
}

type product struct{ api *googleapi.API }

func (p *product) open(ctx context.Context, account string) (*people.PeopleService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", people.NewService)
	if err != nil {
		return nil, used, err
	}
	return service.People, used, nil
}

func service(ctx context.Context, s *googleapi.Session) (*people.Service, error) {
	service, err := people.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, fmt.Errorf("making People client: %w", err)
	}
	return service, nil
}

type person struct {
	Name         string   `json:"name"`
	Emails       []string `json:"emails,omitempty"`
	Phones       []string `json:"phones,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Title        string   `json:"title,omitempty"` // at the organization
	Department   string   `json:"department,omitempty"`
	Notes        string   `json:"notes,omitempty"`
	Truncated    bool     `json:"notes_truncated,omitempty"`
	Source       string   `json:"source"`
	ID           string   `json:"resource_name"`
	Etag         string   `json:"etag,omitempty"` // of a contact, for contacts_update
}

func describe(p *people.Person, source string) person {
	out := person{Source: source, ID: p.ResourceName}
	if len(p.Names) > 0 {
		out.Name = content.Line(p.Names[0].DisplayName, maxText)
	}
	for _, e := range p.EmailAddresses[:min(len(p.EmailAddresses), maxValues)] {
		out.Emails = append(out.Emails, content.Line(e.Value, maxText))
	}
	for _, n := range p.PhoneNumbers[:min(len(p.PhoneNumbers), maxValues)] {
		out.Phones = append(out.Phones, content.Line(n.Value, maxText))
	}
	if i := organization(p); i >= 0 {
		o := p.Organizations[i]
		out.Organization, out.Title, out.Department = content.Line(o.Name, maxText), content.Line(o.Title, maxText), content.Line(o.Department, maxText)
	}
	out.Notes, _, out.Truncated = content.Cut(notes(p), 0, maxNotes)
	if source == fromContacts {
		out.Etag = version(p)
	}
	return out
}

// notes are what the person wrote about a contact.
func notes(p *people.Person) string {
	if len(p.Biographies) == 0 {
		return ""
	}
	if p.Biographies[0].ContentType == "TEXT_HTML" {
		text, _ := content.HTML(p.Biographies[0].Value)
		return text
	}
	return content.Clean(p.Biographies[0].Value)
}

// write adds the person to a list.
func (p person) write(b *strings.Builder) {
	b.WriteString("- " + p.Name)
	for _, s := range []string{strings.Join(p.Emails, ", "), strings.Join(p.Phones, ", "), p.Title, p.Department, p.Organization} {
		if s != "" {
			b.WriteString(" | " + s)
		}
	}
	fmt.Fprintf(b, " (%s) | resource_name %s", p.Source, p.ID)
	if p.Etag != "" {
		b.WriteString(" | etag " + p.Etag)
	}
	b.WriteString("\n")
	if p.Notes != "" {
		b.WriteString(content.Under(p.Notes) + "\n")
	}
}
