package gmail

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// maxForwarded is the most of a mail with attachments that is forwarded, in bytes.
const maxForwarded = 5 << 20

type createInput struct {
	To       []string `json:"to,omitempty" jsonschema:"addresses; default of a reply: its sender" limit:"maxitems=100"`
	Cc       []string `json:"cc,omitempty" limit:"maxitems=100"`
	Bcc      []string `json:"bcc,omitempty" limit:"maxitems=100"`
	Subject  string   `json:"subject,omitempty" jsonschema:"default: the original's" limit:"maxlen=300"`
	Text     string   `json:"text" jsonschema:"plain text" limit:"maxlen=100000"`
	ReplyTo  string   `json:"reply_to_message_id,omitempty" limit:"maxlen=100"`
	ReplyAll bool     `json:"reply_all,omitempty"`
	Forward  string   `json:"forward_message_id,omitempty" limit:"maxlen=100"`
	Account  string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type draftOutput struct {
	Account  googleapi.Account `json:"account"`
	DraftID  string            `json:"draft_id"`
	ThreadID string            `json:"thread_id"`
	To       []string          `json:"to"`
	Cc       []string          `json:"cc,omitempty"`
	Bcc      []string          `json:"bcc,omitempty"`
	Subject  string            `json:"subject"`
	URL      string            `json:"url"` // the draft in Gmail
}

func (g *Gmail) create(ctx context.Context, in createInput) (tool.Output[draftOutput], error) {
	var out tool.Output[draftOutput]
	if in.ReplyTo != "" && in.Forward != "" {
		return out, tool.Invalid("Give reply_to_message_id or forward_message_id, not both.")
	}
	if in.ReplyAll && in.ReplyTo == "" {
		return out, tool.Invalid("reply_all needs reply_to_message_id.")
	}
	l := letter{subject: in.Subject, text: in.Text}
	if err := l.address(in.To, in.Cc, in.Bcc); err != nil {
		return out, err
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	thread := ""
	switch {
	case in.ReplyTo != "":
		thread, err = l.reply(ctx, users, account.Email, in)
	case in.Forward != "":
		err = l.forward(ctx, users, in.Forward)
	}
	if err != nil {
		return out, err
	}
	raw, err := l.raw()
	if err != nil {
		return out, err
	}
	d, err := users.Drafts.Create("me", &gmail.Draft{Message: &gmail.Message{Raw: raw, ThreadId: thread}}).Fields("id", "message(id,threadId)").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("creating draft", err)
	}
	out.Value = l.draft(account, d)
	out.Text = fmt.Sprintf("Draft %s for %s is in %s. It is not sent. Send it with gmail_send, or the person sends it in Gmail: %s", d.Id, recipients(l), account.Email, out.Value.URL)
	return out, nil
}

func (l *letter) address(to, cc, bcc []string) (err error) {
	if l.to, err = addresses("to", to); err != nil {
		return err
	}
	if l.cc, err = addresses("cc", cc); err != nil {
		return err
	}
	l.bcc, err = addresses("bcc", bcc)
	return err
}

func (l letter) draft(account googleapi.Account, d *gmail.Draft) draftOutput {
	v := draftOutput{Account: account, DraftID: d.Id, To: bare(l.to), Cc: bare(l.cc), Bcc: bare(l.bcc), Subject: content.Line(l.subject, maxSubject)}
	message := ""
	if d.Message != nil {
		v.ThreadID, message = d.Message.ThreadId, d.Message.Id
	}
	v.URL = draftURL(account, message)
	return v
}

// draftURL is the draft in Gmail's own pages.
func draftURL(account googleapi.Account, message string) string {
	return "https://mail.google.com/mail/?authuser=" + url.QueryEscape(account.Email) + "#drafts/" + url.PathEscape(message)
}

// bare are the addresses without names: a name can pretend to be an address.
func bare(list []*mail.Address) []string {
	out := []string{}
	for _, a := range list {
		out = append(out, a.Address)
	}
	return out
}

func recipients(l letter) string {
	all := slices.Concat(bare(l.to), bare(l.cc), bare(l.bcc))
	if len(all) == 0 {
		return "nobody yet"
	}
	return strings.Join(all, ", ")
}

// reply fills in what a reply takes from the original (RFC 5322 §3.6.2, §3.6.4)
// and returns its thread. Gmail keeps a reply in the thread only with matching
// References and subject.
func (l *letter) reply(ctx context.Context, users *gmail.UsersService, self string, in createInput) (thread string, err error) {
	m, err := users.Messages.Get("me", in.ReplyTo).Format("metadata").
		MetadataHeaders("Subject", "From", "To", "Cc", "Reply-To", "Message-ID", "References", "In-Reply-To").Fields("id", "threadId", "payload/headers").Context(ctx).Do()
	if err != nil {
		return "", googleapi.Error("reading the message to answer", err)
	}
	if l.subject == "" {
		l.subject = prefixed("Re: ", content.Header(header(m.Payload, "Subject"), maxSubject))
	}
	if id := messageIDs(header(m.Payload, "Message-ID")); len(id) == 1 {
		l.inReplyTo = id[0]
		l.references = append(messageIDs(header(m.Payload, "References")), id[0])
		if n := len(l.references); n > maxReferences {
			l.references = l.references[n-maxReferences:]
		}
	}
	from := listed(m, "Reply-To")
	if len(from) == 0 {
		from = listed(m, "From")
	}
	if len(from) == 1 && strings.EqualFold(from[0].Address, self) { // an own mail: to whom that went
		from = listed(m, "To")
	}
	if len(l.to) == 0 {
		l.to = from
	}
	if in.ReplyAll {
		l.cc = append(l.cc, slices.Concat(listed(m, "To"), listed(m, "Cc"))...)
	}
	taken := []string{strings.ToLower(self)}
	for _, a := range l.to {
		taken = append(taken, strings.ToLower(a.Address))
	}
	l.cc = slices.DeleteFunc(l.cc, func(a *mail.Address) bool {
		address := strings.ToLower(a.Address)
		if slices.Contains(taken, address) {
			return true
		}
		taken = append(taken, address)
		return false
	})
	if len(l.to)+len(l.cc) > 2*maxAddresses {
		return "", tool.Invalid("The message has too many recipients to answer them all.")
	}
	return m.ThreadId, nil
}

// listed are the addresses of a header of others; what cannot be read is left
// out: it could not be written either.
func listed(m *gmail.Message, name string) []*mail.Address {
	value := header(m.Payload, name)
	if value == "" {
		return nil
	}
	parsed, err := (&mail.AddressParser{WordDecoder: content.Words()}).ParseList(value)
	if err != nil {
		return nil
	}
	var out []*mail.Address
	for _, a := range parsed {
		if content.Plain(a.Address) {
			out = append(out, &mail.Address{Name: content.Line(a.Name, maxSender), Address: a.Address})
		}
	}
	return out
}

func prefixed(prefix, subject string) string {
	if len(subject) >= len(prefix) && strings.EqualFold(subject[:len(prefix)], prefix) {
		return subject
	}
	return prefix + subject
}

// forward puts the original's text below the person's; the mail itself is
// attached when it has attachments.
func (l *letter) forward(ctx context.Context, users *gmail.UsersService, id string) error {
	m, err := users.Messages.Get("me", id).Format("full").Fields(fields + ",sizeEstimate").Context(ctx).Do()
	if err != nil {
		return googleapi.Error("reading the message to forward", err)
	}
	subject := content.Header(header(m.Payload, "Subject"), maxSubject)
	if l.subject == "" {
		l.subject = prefixed("Fwd: ", subject)
	}
	original := read(m.Payload)
	l.text += "\n\n---------- Forwarded message ---------\n" +
		"From: " + content.Header(header(m.Payload, "From"), maxSender) + "\n" +
		"Date: " + date(m.InternalDate) + "\n" +
		"Subject: " + subject + "\n" +
		"To: " + content.Header(header(m.Payload, "To"), maxRecipients) + "\n\n" + original.text + "\n"
	if len(original.attachments) == 0 {
		return nil
	}
	if m.SizeEstimate > maxForwarded {
		return tool.Invalid("The attachments are too large to forward from here (%d bytes, at most %d); the person can forward the mail in Gmail.", m.SizeEstimate, maxForwarded)
	}
	whole, err := users.Messages.Get("me", id).Format("raw").Fields("raw").Context(ctx).Do()
	if err != nil {
		return googleapi.Error("reading the message to forward", err)
	}
	if l.original, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(whole.Raw, "=")); err != nil || len(l.original) == 0 {
		return &tool.Error{Code: tool.CodeUnavailable, Message: "Gmail did not return the whole message.", NextAction: "Try again.", Retryable: true}
	}
	l.original = withoutBcc(l.original) // of a mail that the person sent, Gmail keeps it
	return nil
}
