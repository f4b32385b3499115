package gmail

import (
	"context"
	"fmt"

	"google.golang.org/api/gmail/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const readonly = "https://www.googleapis.com/auth/gmail.readonly"

// Tools returns the Gmail tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	g := &product{api: api}
	read := oauth.NewScopes("gmail.read")
	search, err := tool.New(tool.Description{
		Name: "gmail_search_threads", Title: "Search mail",
		Description: "Search the person's Gmail with Gmail's own search syntax (from:, to:, subject:, is:unread, label:, has:attachment, after:2026/01/31, " +
			"newer_than:7d, words). Returns threads, newest first, with sender, subject, date and a snippet. Read a thread with gmail_get_thread.",
		Scopes: read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.search)
	if err != nil {
		return nil, err
	}
	get, err := tool.New(tool.Description{
		Name: "gmail_get_thread", Title: "Read a mail thread",
		Description: "Read the messages of one Gmail thread as text, newest first, with their attachments' names. Long threads are cut at max_chars; " +
			"pass next_page_token as page_token to read on.",
		Scopes: read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.thread)
	if err != nil {
		return nil, err
	}
	return []*tool.Tool{get, search}, nil
}

type product struct{ api *googleapi.API }

// open returns the service for the account of the running call.
func (g *product) open(ctx context.Context, account string) (*gmail.UsersService, googleapi.Account, error) {
	s, err := g.api.Open(ctx, account)
	if err != nil {
		return nil, googleapi.Account{}, err
	}
	service, err := gmail.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, googleapi.Account{}, fmt.Errorf("making Gmail client: %w", err)
	}
	return service.Users, s.Account, nil
}
