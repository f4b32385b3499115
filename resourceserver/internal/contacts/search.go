package contacts

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// defaultSize and the limit of page_size: Google gives no more matches, and no
// further pages of contacts.
const defaultSize = 10

var errNoQuery = tool.Invalid("query needs a name, an address or a number.")

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

func (p *product) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	if strings.TrimSpace(in.Query) == "" {
		return out, errNoQuery
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

// contacts searches the person's own. The first request, without a query, makes
// Google read them: without it, it searches what it happens to have (People API,
// "Search the user's contacts").
func (v *searchOutput) contacts(ctx context.Context, s *googleapi.Session, in searchInput) error {
	api, err := service(ctx, s)
	if err != nil {
		return err
	}
	call := func(query string, size int) (*people.SearchResponse, error) {
		return api.People.SearchContacts().Query(query).ReadMask(contactMask).PageSize(int64(size)).Fields("results(person(" + contactFields + "))").Context(ctx).Do()
	}
	return v.warm(fromContacts, in, call)
}

// others searches those whom the person wrote to and did not keep.
func (v *searchOutput) others(ctx context.Context, s *googleapi.Session, in searchInput) error {
	api, err := service(ctx, s)
	if err != nil {
		return err
	}
	call := func(query string, size int) (*people.SearchResponse, error) {
		return api.OtherContacts.Search().Query(query).ReadMask(otherMask).PageSize(int64(size)).Fields("results(person(" + personFields + "))").Context(ctx).Do()
	}
	return v.warm(fromOthers, in, call)
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
	found, err := directoryCall(api.People, in.Query, in.PageSize).Context(ctx).Do()
	if err != nil {
		return directoryError(err)
	}
	v.Sources = append(v.Sources, fromDirectory)
	for _, p := range found.People {
		v.add(fromDirectory, p)
	}
	return nil
}

// add shows a person, once by their first address.
func (v *searchOutput) add(source string, p *people.Person) {
	if p == nil {
		return
	}
	out := describe(p, source)
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
		p.write(&list)
	}
	return content.List(fmt.Sprintf("%s in %s of %s", content.Count(len(v.People), "person", "people"), strings.Join(v.Sources, ", "), v.Account.Email), list.String(), "")
}
