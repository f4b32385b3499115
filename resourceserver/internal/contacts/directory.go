package contacts

import (
	"context"
	"fmt"
	"strings"

	gapi "google.golang.org/api/googleapi"
	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const defaultPage = 20

type directoryInput struct {
	Query     string `json:"query" jsonschema:"start of a name, address, number or title" limit:"minlen=1,maxlen=200"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type directoryOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	People        []person          `json:"people"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

// searchDirectory looks for people of the organization.
func (p *product) searchDirectory(ctx context.Context, in directoryInput) (tool.Output[directoryOutput], error) {
	var out tool.Output[directoryOutput]
	if strings.TrimSpace(in.Query) == "" {
		return out, errNoQuery
	}
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := directoryCall(api, in.Query, in.PageSize, "nextPageToken")
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Context(ctx).Do()
	if err != nil {
		return out, directoryError(err)
	}
	v := directoryOutput{Account: account, Notice: content.Notice, People: []person{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, one := range page.People {
		entry := describe(one, directorySource(one))
		v.People = append(v.People, entry)
		entry.write(&list)
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s in the directory of %s", content.Count(len(v.People), "person", "people"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}

// directoryCall is a search among the organization's members and whom it shares.
func directoryCall(api *people.PeopleService, query string, size int, more ...gapi.Field) *people.PeopleSearchDirectoryPeopleCall {
	fields := append(more, "people("+personFields+",metadata(sources(type)))")
	return api.SearchDirectoryPeople().Query(query).ReadMask(directoryMask).PageSize(int64(size)).
		Sources("DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE", "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT").Fields(fields...)
}

// directorySource tells members of the organization from others whom its
// administrator entered.
func directorySource(p *people.Person) string {
	if p.Metadata != nil && len(p.Metadata.Sources) > 0 && p.Metadata.Sources[0].Type == "DOMAIN_CONTACT" {
		return fromShared
	}
	return fromDirectory
}

// directoryError tells of a search in the directory. Of an account that has none
// Google says that a precondition failed.
func directoryError(err error) error {
	mapped := googleapi.Error("searching directory", err)
	if e, ok := mapped.(*tool.Error); ok && precondition(err) {
		e.Code, e.Message = tool.CodePermissionDenied, "This Google account has no directory: it belongs to no organization, or that has none."
		e.NextAction = "Look with contacts_search, or use an account of the organization."
	}
	return mapped
}
