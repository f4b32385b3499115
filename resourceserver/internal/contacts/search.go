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
	others    = google + "contacts.other.readonly"
	directory = google + "directory.readonly"

	// defaultSize and the limit of page_size: Google gives no more matches, and no
	// further pages of contacts.
	defaultSize = 10
	maxText     = 200
	maxValues   = 10 // addresses or numbers of one person
)

const (
	readMask   = "names,emailAddresses,phoneNumbers,organizations"
	otherMask  = "names,emailAddresses,phoneNumbers"
	personMask = "resourceName,names(displayName),emailAddresses(value),phoneNumbers(value),organizations(name,title)"
)

// Tools returns the contacts tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "contacts_search", Title: "Find people",
		Description: "Find people's addresses and numbers by the start of a name, address or number.",
		Scopes:      oauth.NewScopes("contacts.read"), Google: oauth.NewScopes(readonly), Also: oauth.NewScopes(others, directory), Hints: tool.Read,
	}, p.search)
	return s.Tools()
}

type product struct{ api *googleapi.API }

type searchInput struct {
	Query    string `json:"query" limit:"minlen=1,maxlen=200"`
	PageSize int    `json:"page_size,omitempty" jsonschema:"default 10" limit:"min=1,max=30"`
	Account  string `json:"account,omitempty" limit:"maxlen=64"`
}

type searchOutput struct {
	Account googleapi.Account `json:"account"`
	Notice  string            `json:"notice"`
	People  []person          `json:"people"`
	Sources []string          `json:"sources"` // where was looked: contacts, other_contacts, directory
}

type person struct {
	Name         string   `json:"name"`
	Emails       []string `json:"emails,omitempty"`
	Phones       []string `json:"phones,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Source       string   `json:"source"`
	ID           string   `json:"resource_name"`
}

func (p *product) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	if strings.TrimSpace(in.Query) == "" {
		return out, tool.Invalid("query needs a name, an address or a number.")
	}
	if in.PageSize == 0 {
		in.PageSize = defaultSize
	}
	session, err := p.api.Open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := searchOutput{Account: session.Account, Notice: content.Notice, People: []person{}}
	if err := v.contacts(ctx, session, in); err != nil {
		return out, err
	}
	for _, more := range []struct {
		google string
		search func(context.Context, *googleapi.Session, searchInput) error
	}{{others, v.others}, {directory, v.directory}} {
		session, err := p.api.OpenAlso(ctx, v.Account.Handle, more.google)
		if err != nil {
			return out, err
		}
		if session == nil {
			continue
		}
		if err := more.search(ctx, session, in); err != nil && !closed(err) {
			return out, err
		}
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// closed: an account without an organization has no directory, and a directory
// may be closed; people are still found elsewhere.
func closed(err error) bool {
	e, ok := err.(*tool.Error)
	return ok && (e.Code == tool.CodePermissionDenied || e.Code == tool.CodeMissingScopes)
}

func service(ctx context.Context, s *googleapi.Session) (*people.Service, error) {
	service, err := people.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, fmt.Errorf("making People client: %w", err)
	}
	return service, nil
}

// contacts searches the person's own. The first request, without a query, makes
// Google read them: without it, it searches what it happens to have (People API,
// "Search the user's contacts").
func (v *searchOutput) contacts(ctx context.Context, s *googleapi.Session, in searchInput) error {
	api, err := service(ctx, s)
	if err != nil {
		return err
	}
	call := func(query string, size int) (*people.SearchResponse, error) {
		return api.People.SearchContacts().Query(query).ReadMask(readMask).PageSize(int64(size)).Fields("results(person(" + personMask + "))").Context(ctx).Do()
	}
	return v.warm("contacts", in, call)
}

// others searches those whom the person wrote to and did not keep.
func (v *searchOutput) others(ctx context.Context, s *googleapi.Session, in searchInput) error {
	api, err := service(ctx, s)
	if err != nil {
		return err
	}
	call := func(query string, size int) (*people.SearchResponse, error) {
		return api.OtherContacts.Search().Query(query).ReadMask(otherMask).PageSize(int64(size)).Fields("results(person(" + personMask + "))").Context(ctx).Do()
	}
	return v.warm("other_contacts", in, call)
}

// warm searches after the request that Google wants before.
func (v *searchOutput) warm(source string, in searchInput, call func(query string, size int) (*people.SearchResponse, error)) error {
	if _, err := call("", 1); err != nil {
		return googleapi.Error("preparing search of contacts", err)
	}
	found, err := call(in.Query, in.PageSize)
	if err != nil {
		return googleapi.Error("searching contacts", err)
	}
	v.Sources = append(v.Sources, source)
	for _, r := range found.Results {
		v.add(source, r.Person)
	}
	return nil
}

func (v *searchOutput) directory(ctx context.Context, s *googleapi.Session, in searchInput) error {
	api, err := service(ctx, s)
	if err != nil {
		return err
	}
	found, err := api.People.SearchDirectoryPeople().Query(in.Query).ReadMask(readMask).PageSize(int64(in.PageSize)).
		Sources("DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE", "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT").Fields("people(" + personMask + ")").Context(ctx).Do()
	if err != nil {
		return googleapi.Error("searching directory", err)
	}
	v.Sources = append(v.Sources, "directory")
	for _, p := range found.People {
		v.add("directory", p)
	}
	return nil
}

// add shows a person, once by their first address.
func (v *searchOutput) add(source string, p *people.Person) {
	if p == nil {
		return
	}
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
	if len(p.Organizations) > 0 {
		out.Organization = content.Line(strings.TrimSpace(p.Organizations[0].Title+" "+p.Organizations[0].Name), maxText)
	}
	for _, other := range v.People {
		if len(out.Emails) > 0 && len(other.Emails) > 0 && strings.EqualFold(out.Emails[0], other.Emails[0]) {
			return
		}
	}
	v.People = append(v.People, out)
}

func (v searchOutput) text() string {
	var list strings.Builder
	for _, p := range v.People {
		fmt.Fprintf(&list, "- %s | %s | %s | %s (%s)\n", p.Name, strings.Join(p.Emails, ", "), strings.Join(p.Phones, ", "), p.Organization, p.Source)
	}
	return content.List(fmt.Sprintf("%d people in %s of %s", len(v.People), strings.Join(v.Sources, ", "), v.Account.Email), list.String(), "")
}
