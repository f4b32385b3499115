package gmail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// maxShown is the most of a mail's text that a person is shown before sending,
// in characters; the rest is announced.
const maxShown = 4_000

// maxDraftText is the most of a draft's text that is looked at, in bytes.
const maxDraftText = 2 << 20

type sendInput struct {
	DraftID string `json:"draft_id" limit:"minlen=1,maxlen=100"`
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type sendOutput struct {
	Account   googleapi.Account `json:"account"`
	Sent      bool              `json:"sent"`
	Reason    string            `json:"reason,omitempty"` // why it was not sent
	MessageID string            `json:"message_id,omitempty"`
	ThreadID  string            `json:"thread_id,omitempty"`
	To        []string          `json:"to"`
	URL       string            `json:"url,omitempty"` // the draft in Gmail, if it was not sent
}

// send sends a draft that the person confirmed, at most once: the draft is the
// idempotency key. Gmail takes it away in the act of sending, so of any number of
// repetitions on any number of replicas one finds it. What is sent is what was
// shown, byte for byte, whatever happened to the draft in between.
func (g *Gmail) send(ctx context.Context, in sendInput) (tool.Output[sendOutput], error) {
	var out tool.Output[sendOutput]
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	d, err := readDraft(ctx, users, in.DraftID)
	if err != nil {
		var e *tool.Error
		if errors.As(err, &e) && e.Code == tool.CodeNotFound {
			e.Message = "There is no such draft: it was sent, discarded, or is in another account. Nothing was sent now."
		}
		return out, err
	}
	to := slices.Concat(bare(d.to), bare(d.cc), bare(d.bcc))
	if len(to) == 0 {
		return out, tool.Invalid("The draft has no recipients.")
	}
	allowed := policy.From(ctx)
	if bad := slices.IndexFunc(to, func(a string) bool { return !allowed.Reaches(a) }); bad >= 0 {
		return out, &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow mail to " + to[bad] + "; nothing was sent.", NextAction: "Tell the person."}
	}
	left := func(reason string) (tool.Output[sendOutput], error) {
		out.Value = sendOutput{Account: account, Reason: reason, To: to, URL: draftURL(account, d.message)}
		out.Text = "Not sent: " + reason + " The draft is in " + account.Email + "; the person can send it in Gmail: " + out.Value.URL
		return out, nil
	}
	if !allowed.MaySend() {
		return left("The operator of this server leaves sending to the person.")
	}
	err = elicit.Confirm(ctx, elicit.Act{Question: d.question(account), Binding: d.digest})
	var e *tool.Error
	if errors.As(err, &e) && e.Code == tool.CodeConfirmationUnavailable {
		return left(e.Message)
	}
	if err != nil {
		return out, err
	}
	sent, err := users.Drafts.Send("me", &gmail.Draft{Id: in.DraftID, Message: &gmail.Message{Raw: d.raw, ThreadId: d.thread}}).Fields("id", "threadId").Context(ctx).Do()
	if err != nil {
		return out, doubtful(googleapi.Error("sending draft", err))
	}
	out.Value = sendOutput{Account: account, Sent: true, MessageID: sent.Id, ThreadID: sent.ThreadId, To: to}
	out.Text = fmt.Sprintf("Sent from %s to %s (message_id %s).", account.Email, strings.Join(to, ", "), sent.Id)
	return out, nil
}

// doubtful says so when nobody can know whether Gmail sent the mail.
func doubtful(err error) error {
	var e *tool.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case tool.CodeUnavailable, tool.CodeTimeout:
		e.Message = "Gmail did not answer: the mail may have been sent."
		e.Retryable, e.NextAction = false, "Look for it with gmail_search_threads (in:sent). If the draft is still there, it was not sent."
	case tool.CodeNotFound:
		e.Message = "The draft is gone: it was sent or discarded meanwhile. Nothing was sent now."
	}
	return e
}

// question is what the person confirms. Addresses come bare and first; nothing
// of the mail can look like a part of the question, because every line of it is
// marked.
func (d *parsedDraft) question(account googleapi.Account) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Send this mail from %s?\n", account.Email)
	var from []*mail.Address // another name of the account's, as its From can be
	if len(d.from) != 1 || !strings.EqualFold(d.from[0].Address, account.Email) {
		from = d.from
	}
	for _, l := range []struct {
		name string
		list []*mail.Address
	}{{"To", d.to}, {"Cc", d.cc}, {"Bcc", d.bcc}, {"As", from}, {"Answers go to", d.replyTo}} {
		if len(l.list) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", l.name, content.AllShown(bare(l.list)))
		}
	}
	fmt.Fprintf(&b, "Subject: %s\n", content.Line(d.subject, maxSubject))
	text, length, more := content.Cut(content.Clean(d.text), 0, maxShown)
	if more { // before the text, which is long
		fmt.Fprintf(&b, "(%d of %d characters are shown; the draft is in Gmail)\n", maxShown, length)
	}
	if d.more {
		b.WriteString("It has attachments or formatting that are not shown here.\n")
	}
	b.WriteString(content.Mark(text))
	return strings.TrimSpace(b.String())
}

// parsedDraft is a draft as Gmail would send it.
type parsedDraft struct {
	letter
	id, message, thread string
	raw                 string // base64url
	digest              string // of raw
	more                bool   // there is more than plain text
	from, replyTo       []*mail.Address
}

// readDraft reads a draft in the form that is sent.
func readDraft(ctx context.Context, users *gmail.UsersService, id string) (*parsedDraft, error) {
	d, err := users.Drafts.Get("me", id).Format("raw").Fields("id", "message(id,threadId,raw)").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading draft", err)
	}
	unreadable := tool.Invalid("This draft cannot be read here; the person can send it in Gmail.")
	if d.Message == nil {
		return nil, unreadable
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(d.Message.Raw, "="))
	if err != nil {
		return nil, unreadable
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return nil, unreadable
	}
	sum := sha256.Sum256(b)
	out := &parsedDraft{id: d.Id, message: d.Message.Id, thread: d.Message.ThreadId, raw: d.Message.Raw, digest: hex.EncodeToString(sum[:])}
	for name, into := range map[string]*[]*mail.Address{"To": &out.to, "Cc": &out.cc, "Bcc": &out.bcc, "From": &out.from, "Reply-To": &out.replyTo} {
		for _, value := range m.Header[name] { // each, if there are several
			if strings.TrimSpace(value) == "" {
				continue
			}
			list, err := (&mail.AddressParser{WordDecoder: content.Words()}).ParseList(value)
			if err != nil || slices.ContainsFunc(list, func(a *mail.Address) bool { return !content.Plain(a.Address) }) {
				return nil, unreadable // whom it would reach nobody could say
			}
			*into = append(*into, list...)
		}
	}
	for name := range m.Header {
		// The former would name other recipients (RFC 5322 §3.6.6), and the latter be another
		// field to Gmail than it is here (§4.5, "Bcc :").
		if strings.HasPrefix(name, "Resent-") || strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
			return nil, unreadable
		}
	}
	out.subject = content.Header(m.Header.Get("Subject"), maxSubject)
	if ids := messageIDs(m.Header.Get("In-Reply-To")); len(ids) == 1 {
		out.inReplyTo = ids[0]
	}
	out.references = messageIDs(m.Header.Get("References"))
	out.text, out.more = draftText(textproto.MIMEHeader(m.Header), m.Body, 0)
	return out, nil
}

// draftText returns the plain text of a mail, and whether it has more than that.
func draftText(h textproto.MIMEHeader, body io.Reader, depth int) (text string, more bool) {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if h.Get("Content-Type") == "" {
		mediaType, params, err = "text/plain", nil, nil // RFC 2045 §5.2
	}
	if err != nil || depth > maxDepth {
		return "", true
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return text, true
			}
			if s, _ := draftText(p.Header, p, depth+1); text == "" {
				text = s
			}
		}
	}
	if mediaType != "text/plain" && mediaType != "text/html" || strings.HasPrefix(strings.ToLower(h.Get("Content-Disposition")), "attachment") {
		return "", true
	}
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(io.LimitReader(body, maxDraftText))
	if err != nil {
		return "", true
	}
	decoded := content.Decode(b, params["charset"])
	if mediaType == "text/html" {
		rendered, _ := content.HTML(decoded)
		return rendered, true
	}
	return strings.ReplaceAll(decoded, "\r\n", "\n"), false
}

func (d *parsedDraft) entry(account googleapi.Account) draftEntry {
	text, _, _ := content.Cut(content.Clean(d.text), 0, defaultChars)
	return draftEntry{ID: d.id, ThreadID: d.thread, To: bare(d.to), Cc: bare(d.cc), Bcc: bare(d.bcc), Subject: content.Line(d.subject, maxSubject), Text: text, URL: draftURL(account, d.message)}
}
