package gmail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/api/gmail/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google   = "https://www.googleapis.com/auth/"
	readonly = google + "gmail.readonly"
	compose  = google + "gmail.compose"
	modify   = google + "gmail.modify"
	settings = google + "gmail.settings.basic"
)

// Scopes of the tools.
var (
	mcpRead     = oauth.NewScopes("gmail.read")
	mcpDraft    = oauth.NewScopes("gmail.draft")
	mcpWrite    = oauth.NewScopes("gmail.draft", "gmail.read")
	mcpSend     = oauth.NewScopes("gmail.draft", "gmail.send")
	mcpOrganize = oauth.NewScopes("gmail.organize")
	mcpSettings = oauth.NewScopes("gmail.settings")
	mcpFilter   = oauth.NewScopes("gmail.read", "gmail.settings") // labels by name
)

// Links makes links to files that a person opens; *download.Links is one.
type Links interface {
	Make(ctx context.Context, account, file string) (link string, until time.Time, err error)
}

// Gmail makes the tools and opens the attachments of their links. Every field
// is required.
type Gmail struct {
	API   *googleapi.API
	Links Links
	Files *filetext.Reader
}

// Tools returns the Gmail tools.
func (g *Gmail) Tools() ([]*tool.Tool, error) {
	if g.API == nil || g.Links == nil || g.Files == nil {
		return nil, errors.New("the Gmail tools need Google's API, links and who reads files")
	}
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "gmail_search_threads", Title: "Search mail",
		Description: "Search mail with Gmail's search syntax (from:, to:, subject:, is:unread, label:, has:attachment, after:2026/01/31, newer_than:7d, words). Threads, newest first.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.search)
	tool.Add(&s, tool.Description{
		Name: "gmail_get_thread", Title: "Read a mail thread",
		Description: "Read the messages of a thread as text, newest first, long quotations left out.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.thread)
	tool.Add(&s, tool.Description{
		Name: "gmail_get_message", Title: "Read a mail",
		Description: "Read one message whole, with quotations, labels and attachments.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.message)
	tool.Add(&s, tool.Description{
		Name: AttachmentTool, Title: "Get an attachment",
		Description: "Get an attachment: text, PDF and Office as text, and a download link for the person, open for some minutes.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.attachment)
	tool.Add(&s, tool.Description{
		Name: "gmail_list_labels", Title: "List labels",
		Description: "List the labels of the mailbox.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, g.labels)
	tool.Add(&s, tool.Description{
		Name: "gmail_modify", Title: "Archive, label, star or trash mail",
		Description: "Archive, mark, star, label or trash threads or messages. Trash can be undone for 30 days.",
		Scopes:      mcpOrganize, Google: oauth.NewScopes(modify), Hints: tool.Change,
	}, g.modify)
	tool.Add(&s, tool.Description{
		Name: "gmail_create_draft", Title: "Write a draft",
		Description: "Write a draft: a new mail, a reply or a forward. Nothing is sent: see gmail_send.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(compose, readonly), Hints: tool.Create,
	}, g.create)
	tool.Add(&s, tool.Description{
		Name: "gmail_send", Title: "Send a draft",
		Description: "Send a draft made by gmail_create_draft. The person is shown it and confirms; until then it stays a draft.",
		Scopes:      mcpSend, Google: oauth.NewScopes(compose), Hints: tool.Send, Asks: true,
	}, g.send)
	tool.Add(&s, tool.Description{
		Name: "gmail_manage_draft", Title: "List, read or change drafts",
		Description: "List drafts, read one, or replace its recipients, subject or text. Drafts are discarded in Gmail.",
		Scopes:      mcpDraft, Google: oauth.NewScopes(compose), Hints: tool.Create, Tier: tool.Extended,
	}, g.manage)
	tool.Add(&s, tool.Description{
		Name: "gmail_list_filters", Title: "List filters",
		Description: "List the mailbox's filters.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, g.listFilters)
	tool.Add(&s, tool.Description{
		Name: "gmail_create_filter", Title: "Create a filter",
		Description: "Create a filter for incoming mail; the person confirms. Filters that forward or delete are not offered.",
		Scopes:      mcpFilter, Google: oauth.NewScopes(settings, readonly), Hints: tool.Create, Tier: tool.Extended, Asks: true,
	}, g.createFilter)
	tool.Add(&s, tool.Description{
		Name: "gmail_delete_filter", Title: "Delete a filter",
		Description: "Delete a filter; the person confirms. Mail stays as it is.",
		Scopes:      mcpSettings, Google: oauth.NewScopes(settings), Hints: tool.Destroy, Tier: tool.Extended, Asks: true,
	}, g.deleteFilter)
	tool.Add(&s, tool.Description{
		Name: "gmail_get_vacation", Title: "Read the vacation reply",
		Description: "Read the automatic vacation reply.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, g.getVacation)
	tool.Add(&s, tool.Description{
		Name: "gmail_set_vacation", Title: "Set the vacation reply",
		Description: "Switch the automatic vacation reply on or off; the person confirms.",
		Scopes:      mcpSettings, Google: oauth.NewScopes(settings), Hints: tool.Hints{Idempotent: true, OpenWorld: true}, Tier: tool.Extended, Asks: true,
	}, g.setVacation)
	return s.Tools()
}

// open returns the service for the account of the running call.
func (g *Gmail) open(ctx context.Context, account string) (*gmail.UsersService, googleapi.Account, error) {
	users, s, err := g.session(ctx, account)
	if err != nil {
		return nil, googleapi.Account{}, err
	}
	return users, s.Account, nil
}

func (g *Gmail) session(ctx context.Context, account string) (*gmail.UsersService, *googleapi.Session, error) {
	s, err := g.API.Open(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	service, err := gmail.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, nil, fmt.Errorf("making Gmail client: %w", err)
	}
	return service.Users, s, nil
}
