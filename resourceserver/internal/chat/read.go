package chat

import (
	"context"
	"fmt"
	"strings"

	chatapi "google.golang.org/api/chat/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type searchInput struct {
	Query     string `json:"query" jsonschema:"words" limit:"minlen=1,maxlen=300"`
	Space     string `json:"space_id,omitempty" limit:"maxlen=120"`
	After     string `json:"after,omitempty" jsonschema:"RFC 3339 time" limit:"maxlen=40"`
	Before    string `json:"before,omitempty" limit:"maxlen=40"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 25" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type searchOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Messages      []message         `json:"messages"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

func (p *product) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	filter, err := in.filter()
	if err != nil {
		return out, err
	}
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	// It is a question although it is a POST.
	page, err := api.Messages.Search("spaces/-", &chatapi.SearchMessagesRequest{Filter: filter, PageSize: int64(in.PageSize), PageToken: in.PageToken}).
		Fields("nextPageToken", "results(message("+messageFields+"))").Context(googleapi.Idempotent(ctx)).Do()
	if err != nil {
		return out, googleapi.Error("searching messages", err)
	}
	v := searchOutput{Account: account, Notice: content.Notice, Messages: []message{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, r := range page.Results {
		if r.Message != nil {
			m := describe(r.Message)
			v.Messages = append(v.Messages, m)
			m.write(&list)
		}
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s in %s", content.Count(len(v.Messages), "message", "messages"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}

// filter is the search in Google's language: each word is quoted, so that none is
// read as a field, an operator or a function.
func (in searchInput) filter() (string, error) {
	var parts []string
	for _, word := range strings.FieldsFunc(content.Line(in.Query, 300), func(r rune) bool { return r == ' ' || r == '"' || r == '\\' }) {
		parts = append(parts, `"`+word+`"`)
	}
	if len(parts) == 0 {
		return "", tool.Invalid("query needs words to look for.")
	}
	if in.Space != "" {
		name, err := space(in.Space)
		if err != nil {
			return "", err
		}
		parts = append(parts, `space.name = "`+name+`"`)
	}
	times, err := bounds("create_time", in.After, in.Before)
	return strings.Join(append(parts, times...), " AND "), err
}

type listInput struct {
	Space     string `json:"space_id,omitempty" limit:"maxlen=120"`
	After     string `json:"after,omitempty" jsonschema:"RFC 3339 time" limit:"maxlen=40"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 25" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type listOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Messages      []message         `json:"messages"`
	Spaces        []spaceEntry      `json:"spaces"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type spaceEntry struct {
	ID   string `json:"space_id"`
	Name string `json:"name,omitempty"` // direct messages have none
	Type string `json:"type"`           // space, group_chat, direct_message
	URL  string `json:"url,omitempty"`
}

const spaceFields = "name,displayName,spaceType,spaceUri"

func entry(s *chatapi.Space) spaceEntry {
	return spaceEntry{ID: s.Name, Name: content.Line(s.DisplayName, maxName), Type: strings.ToLower(s.SpaceType), URL: s.SpaceUri}
}

func (p *product) list(ctx context.Context, in listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	name := ""
	var err error
	if in.Space != "" {
		if name, err = space(in.Space); err != nil {
			return out, err
		}
	} else if in.After != "" {
		return out, tool.Invalid("after needs a space_id.")
	}
	times, err := bounds("createTime", in.After, "")
	if err != nil {
		return out, err
	}
	for i := range times { // this method knows > only
		times[i] = strings.Replace(times[i], ">=", ">", 1)
	}
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := listOutput{Account: account, Notice: content.Notice, Messages: []message{}, Spaces: []spaceEntry{}}
	if name == "" {
		err = v.spaces(ctx, api, in)
	} else {
		err = v.messages(ctx, api, name, strings.Join(times, " AND "), in)
	}
	if err != nil {
		return out, err
	}
	var list strings.Builder
	for _, s := range v.Spaces {
		fmt.Fprintf(&list, "- %s | %s | %s\n", s.Name, s.Type, s.ID)
	}
	for _, m := range v.Messages {
		m.write(&list)
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s, %s in %s", content.Count(len(v.Spaces), "space", "spaces"), content.Count(len(v.Messages), "message", "messages"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}

func (v *listOutput) spaces(ctx context.Context, api *chatapi.SpacesService, in listInput) error {
	call := api.List().PageSize(int64(in.PageSize)).Fields("nextPageToken", "spaces("+spaceFields+")").Context(ctx)
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return googleapi.Error("listing spaces", err)
	}
	for _, s := range page.Spaces {
		v.Spaces = append(v.Spaces, entry(s))
	}
	v.NextPageToken = page.NextPageToken
	return nil
}

func (v *listOutput) messages(ctx context.Context, api *chatapi.SpacesService, name, filter string, in listInput) error {
	call := api.Messages.List(name).OrderBy("createTime DESC").PageSize(int64(in.PageSize)).Fields("nextPageToken", "messages("+messageFields+")").Context(ctx)
	if filter != "" {
		call.Filter(filter)
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return googleapi.Error("listing messages", err)
	}
	for _, m := range page.Messages {
		v.Messages = append(v.Messages, describe(m))
	}
	v.NextPageToken = page.NextPageToken
	return nil
}
