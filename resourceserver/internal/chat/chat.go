package chat

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	chatapi "google.golang.org/api/chat/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google   = "https://www.googleapis.com/auth/"
	messages = google + "chat.messages.readonly"
	spaces   = google + "chat.spaces.readonly"
	create   = google + "chat.messages.create"

	defaultPage = 25
	maxName     = 200
	maxText     = 4_000
)

// Tools returns the Chat tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	read := oauth.NewScopes("chat.read")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "chat_search", Title: "Search chats",
		Description: "Search chat messages by words, newest first, in all spaces or one.",
		Scopes:      read, Google: oauth.NewScopes(messages), Hints: tool.Read, Tier: tool.Extended,
	}, p.search)
	tool.Add(&s, tool.Description{
		Name: "chat_list_messages", Title: "Read a chat",
		Description: "List the messages of a space, newest first; without space_id, list the spaces.",
		Scopes:      read, Google: oauth.NewScopes(messages, spaces), Hints: tool.Read, Tier: tool.Extended,
	}, p.list)
	tool.Add(&s, tool.Description{
		Name: "chat_send", Title: "Send a chat message",
		Description: "Send a message to a space or direct message; the person confirms it.",
		Scopes:      oauth.NewScopes("chat.read", "chat.send"), Google: oauth.NewScopes(create, messages, spaces), Hints: tool.Send, Tier: tool.Extended, Asks: true,
	}, p.send)
	return s.Tools()
}

type product struct{ api *googleapi.API }

func (p *product) open(ctx context.Context, account string) (*chatapi.SpacesService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", chatapi.NewService)
	if err != nil {
		return nil, used, err
	}
	return service.Spaces, used, nil
}

const messageFields = "name,text,createTime,deleteTime,sender(name,displayName),thread/name,attachment/contentName"

type message struct {
	ID          string   `json:"message_id"`
	Space       string   `json:"space_id"`
	Thread      string   `json:"thread_id,omitempty"`
	Sender      string   `json:"sender"` // a name, or users/ and a number: Chat tells names of apps only
	Date        string   `json:"date"`   // RFC 3339 in UTC
	Text        string   `json:"text"`
	Truncated   bool     `json:"truncated,omitempty"`
	Attachments []string `json:"attachments,omitempty"`
}

func describe(m *chatapi.Message) message {
	out := message{ID: m.Name}
	if parts := strings.Split(m.Name, "/"); len(parts) > 1 {
		out.Space = "spaces/" + parts[1]
	}
	if m.Thread != nil {
		out.Thread = m.Thread.Name
	}
	if m.Sender != nil {
		if out.Sender = content.Line(m.Sender.DisplayName, maxName); out.Sender == "" {
			out.Sender = m.Sender.Name
		}
	}
	if t, err := time.Parse(time.RFC3339, m.CreateTime); err == nil {
		out.Date = t.UTC().Format(time.RFC3339)
	}
	out.Text, _, out.Truncated = content.Cut(content.Clean(m.Text), 0, maxText)
	for _, a := range m.Attachment {
		out.Attachments = append(out.Attachments, content.Line(a.ContentName, maxName))
	}
	return out
}

func (m message) write(b *strings.Builder) {
	fmt.Fprintf(b, "- %s | %s | %s\n%s\n", m.Date, m.Sender, m.ID, content.Under(m.Text))
}

// spaceName is one segment: it must not lead to another resource.
var spaceName = regexp.MustCompile(`^(spaces/)?[A-Za-z0-9_-]{1,100}$`)

// space reads a space's name.
func space(s string) (string, error) {
	if !spaceName.MatchString(s) {
		return "", tool.Invalid("space_id must be one that chat_list_messages or chat_search returned.")
	}
	return "spaces/" + strings.TrimPrefix(s, "spaces/"), nil
}

// bounds are the times of a filter in Google's language.
func bounds(field, after, before string) ([]string, error) {
	var out []string
	for _, b := range []struct{ name, operator, value string }{{"after", " >= ", after}, {"before", " < ", before}} {
		if b.value == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, b.value)
		if err != nil {
			return nil, tool.Invalid("%s must be an RFC 3339 time with offset such as 2026-01-31T09:00:00+01:00.", b.name)
		}
		out = append(out, field+b.operator+`"`+t.UTC().Format(time.RFC3339)+`"`)
	}
	return out, nil
}
