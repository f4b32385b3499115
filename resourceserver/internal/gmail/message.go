package gmail

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type messageInput struct {
	MessageID string `json:"message_id" limit:"minlen=1,maxlen=100"`
	MaxChars  int    `json:"max_chars,omitempty" jsonschema:"most characters of text, default 20000" limit:"min=500,max=30000"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=200"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type messageOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	ThreadID      string            `json:"thread_id"`
	Subject       string            `json:"subject"`
	ReplyTo       string            `json:"reply_to,omitempty"`
	Labels        []string          `json:"labels"` // ids
	Mail          message           `json:"mail"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

func (g *Gmail) message(ctx context.Context, in messageInput) (tool.Output[messageOutput], error) {
	var out tool.Output[messageOutput]
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	at, err := parseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	if at.message != "" && at.message != in.MessageID {
		return out, tool.Invalid("page_token does not belong to this message.")
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	m, err := users.Messages.Get("me", in.MessageID).Format("full").Fields(fields).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading message", err)
	}
	v := messageOutput{
		Account: account, Notice: content.Notice, ThreadID: m.ThreadId, Subject: content.Header(header(m.Payload, "Subject"), maxSubject),
		ReplyTo: content.Header(header(m.Payload, "Reply-To"), maxSender), Labels: append([]string{}, m.LabelIds...),
	}
	var used int
	if v.Mail, used = page(m, false, at.offset, in.MaxChars); v.Mail.Truncated {
		v.NextPageToken = m.Id + ":" + strconv.Itoa(at.offset+used)
	}
	var b, list strings.Builder
	fmt.Fprintf(&b, "A message in %s, thread_id %s. %s\n", account.Email, v.ThreadID, content.Notice)
	fmt.Fprintf(&list, "Subject: %s\n", v.Subject)
	v.Mail.write(&list)
	b.WriteString(content.Fence(list.String()))
	if v.NextPageToken != "" {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", v.NextPageToken)
	}
	out.Value, out.Text = v, b.String()
	return out, nil
}
