package gmail

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultChars   = 20_000
	maxRecipients  = 1_000
	maxAttachments = 50
	// maxMessages bounds a page of very many empty messages.
	maxMessages = 100
)

type threadInput struct {
	ThreadID  string `json:"thread_id" limit:"minlen=1,maxlen=100"`
	MaxChars  int    `json:"max_chars,omitempty" jsonschema:"most characters of text, default 20000" limit:"min=500,max=30000"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=200"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type threadOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	ThreadID      string            `json:"thread_id"`
	Subject       string            `json:"subject"`
	TotalMessages int               `json:"total_messages"`
	Messages      []message         `json:"messages" jsonschema:"newest first"`
	Truncated     bool              `json:"truncated"` // there is more text or there are more messages
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type message struct {
	ID          string       `json:"message_id"`
	From        string       `json:"from"`
	To          string       `json:"to,omitempty"`
	Cc          string       `json:"cc,omitempty"`
	Date        string       `json:"date"` // RFC 3339 in UTC
	Unread      bool         `json:"unread"`
	Text        string       `json:"text"`
	Offset      int          `json:"text_offset,omitempty"` // characters of the text that were on the page before
	Length      int          `json:"text_length"`           // characters of the whole text
	Truncated   bool         `json:"truncated"`             // the text goes on
	Hidden      bool         `json:"hidden_text_removed,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`
}

type attachment struct {
	ID   string `json:"attachment_id"`
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"` // bytes
}

// fields of a message that is read whole.
const fields = "id,threadId,internalDate,labelIds,payload(partId,headers,mimeType,filename,body(data,size,attachmentId),parts)"

func (g *Gmail) thread(ctx context.Context, in threadInput) (tool.Output[threadOutput], error) {
	var out tool.Output[threadOutput]
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	at, err := parseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	t, err := users.Threads.Get("me", in.ThreadID).Format("full").
		Fields("id", "messages("+fields+")").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading thread", err)
	}
	v := threadOutput{Account: account, Notice: content.Notice, ThreadID: t.Id, TotalMessages: len(t.Messages), Messages: []message{}}
	if len(t.Messages) > 0 {
		v.Subject = content.Header(header(t.Messages[0].Payload, "Subject"), maxSubject)
	}
	slices.SortStableFunc(t.Messages, func(a, b *gmail.Message) int { return cmp.Compare(b.InternalDate, a.InternalDate) })
	if err := v.fill(t.Messages, at, in.MaxChars); err != nil {
		return out, err
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// cursor is a place in a thread: a message and an offset in its text. Messages
// that arrive meanwhile are newer and do not move it.
type cursor struct {
	message string
	offset  int
}

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	id, offset, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(offset)
	if !ok || err != nil || n < 0 || id == "" {
		return cursor{}, tool.Invalid("page_token is not one that this tool returned.")
	}
	return cursor{id, n}, nil
}

// fill adds messages from the cursor on until the characters are used up.
func (v *threadOutput) fill(newestFirst []*gmail.Message, at cursor, left int) error {
	start := 0
	if at.message != "" {
		if start = slices.IndexFunc(newestFirst, func(m *gmail.Message) bool { return m.Id == at.message }); start < 0 {
			return tool.Invalid("page_token does not belong to this thread, or its message is gone.")
		}
	}
	for i, m := range newestFirst[start:] {
		if left <= 0 || len(v.Messages) == maxMessages {
			v.Truncated, v.NextPageToken = true, m.Id+":0"
			return nil
		}
		offset := 0
		if i == 0 {
			offset = at.offset
		}
		entry, used := page(m, true, offset, left)
		left -= used
		v.Messages = append(v.Messages, entry)
		if entry.Truncated {
			v.Truncated, v.NextPageToken = true, m.Id+":"+strconv.Itoa(offset+used)
			return nil
		}
	}
	return nil
}

// page is one message with a part of its text, and how many characters that
// is. fold leaves long quotations out.
func page(m *gmail.Message, fold bool, offset, left int) (message, int) {
	body := read(m.Payload)
	if fold {
		body.text = content.Fold(body.text)
	}
	part, length, more := content.Cut(body.text, offset, left)
	return message{
		ID: m.Id, From: content.Header(header(m.Payload, "From"), maxSender), To: content.Header(header(m.Payload, "To"), maxRecipients),
		Cc: content.Header(header(m.Payload, "Cc"), maxRecipients), Date: date(m.InternalDate), Unread: slices.Contains(m.LabelIds, labelUnread),
		Text: part, Offset: offset, Length: length, Truncated: more, Hidden: body.hidden, Attachments: body.attachments,
	}, len([]rune(part))
}

func (v threadOutput) text() string {
	var b, list strings.Builder
	fmt.Fprintf(&b, "%d of %s of a thread in %s, newest first. %s\n", len(v.Messages), content.Count(v.TotalMessages, "message", "messages"), v.Account.Email, content.Notice)
	fmt.Fprintf(&list, "Subject: %s\n", v.Subject)
	for _, m := range v.Messages {
		m.write(&list)
	}
	b.WriteString(content.Fence(list.String()))
	if v.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", v.NextPageToken)
	}
	return b.String()
}

func (m message) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n--- message %s | %s | from %s\n%s\n", m.ID, m.Date, m.From, content.Under(m.Text))
	if m.Truncated {
		fmt.Fprintf(b, "[cut: %d of %s shown]\n", m.Offset+len([]rune(m.Text)), content.Count(m.Length, "character", "characters"))
	}
	if m.Hidden {
		b.WriteString("[text that a reader would not see was left out]\n")
	}
	for _, a := range m.Attachments {
		fmt.Fprintf(b, "[attachment %s: %s, %s, %s]\n", a.ID, a.Name, a.Type, content.Count(a.Size, "byte", "bytes"))
	}
}
