package gmail

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// AttachmentTool is the tool whose download links Attachment serves.
const AttachmentTool = "gmail_get_attachment"

const host = "https://gmail.googleapis.com/"

type attachmentInput struct {
	MessageID    string `json:"message_id" limit:"minlen=1,maxlen=100"`
	AttachmentID string `json:"attachment_id" limit:"minlen=1,maxlen=50"`
	MaxChars     int    `json:"max_chars,omitempty" jsonschema:"most characters of text, default 20000" limit:"min=500,max=30000"`
	PageToken    string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=200"`
	Account      string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type attachmentOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Name          string            `json:"name"`
	Type          string            `json:"type"`
	Size          int64             `json:"size"`
	Text          string            `json:"text,omitempty"`
	Length        int               `json:"text_length,omitempty"` // characters of the whole text
	Truncated     bool              `json:"truncated,omitempty"`
	Incomplete    string            `json:"incomplete,omitempty"` // why the text is not all of the attachment
	NextPageToken string            `json:"next_page_token,omitempty"`
	DownloadURL   string            `json:"download_url"`
	Expires       string            `json:"download_expires"` // RFC 3339 in UTC
}

// Link makes the download link a resource link of the result. It stands outside
// the fence, so it has no name of the sender's.
func (o attachmentOutput) Link() (uri, name, mediaType string) {
	return o.DownloadURL, "attachment", o.Type
}

func (g *Gmail) attachment(ctx context.Context, in attachmentInput) (tool.Output[attachmentOutput], error) {
	var out tool.Output[attachmentOutput]
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	at, err := parseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	if at.message != "" && at.message != in.AttachmentID {
		return out, tool.Invalid("page_token does not belong to this attachment.")
	}
	users, session, err := g.session(ctx, in.Account)
	if err != nil {
		return out, err
	}
	account := session.Account
	p, err := part(ctx, users, in.MessageID, in.AttachmentID)
	if err != nil {
		return out, err
	}
	v := attached(account, p)
	text, incomplete, err := g.Files.Text(ctx, filetext.File{Name: p.Filename, Type: typeOf(p), Size: p.Body.Size, Fetch: func(ctx context.Context, max int64) ([]byte, string, error) {
		b, err := fetch(ctx, session, in.MessageID, p, max)
		return b, "", err
	}})
	if err != nil {
		return out, err
	}
	v.Incomplete = incomplete
	if v.Text, v.Length, v.Truncated = content.Cut(text, at.offset, in.MaxChars); v.Truncated {
		v.NextPageToken = in.AttachmentID + ":" + strconv.Itoa(at.offset+len([]rune(v.Text)))
	}
	link, until, err := g.Links.Make(ctx, account.Handle, in.MessageID+"/"+in.AttachmentID)
	if err != nil {
		return out, err
	}
	v.DownloadURL, v.Expires = link, until.UTC().Format(time.RFC3339)
	out.Value, out.Text = v, v.text()
	return out, nil
}

func attached(account googleapi.Account, p *gmail.MessagePart) attachmentOutput {
	return attachmentOutput{Account: account, Notice: content.Notice, Name: content.Header(p.Filename, maxSubject), Type: content.MediaType(p.MimeType), Size: p.Body.Size}
}

func (o attachmentOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Attachment (%s, %s) in %s; the person can download it until %s from %s\n", o.Type, content.Count(o.Size, "byte", "bytes"), o.Account.Email, o.Expires, o.DownloadURL)
	if o.Text != "" {
		b.WriteString(content.Notice + "\n" + content.Fence(o.Text))
	}
	if o.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", o.NextPageToken)
	}
	if o.Incomplete != "" {
		b.WriteString("\n" + o.Incomplete)
	}
	return b.String()
}

// part finds an attachment in its message.
func part(ctx context.Context, users *gmail.UsersService, message, attachment string) (*gmail.MessagePart, error) {
	m, err := users.Messages.Get("me", message).Format("full").Fields("id,payload(partId,mimeType,filename,headers,body(size,attachmentId),parts)").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading message", err)
	}
	p := find(m.Payload, attachment, 0)
	if p == nil || p.Body == nil {
		return nil, &tool.Error{Code: tool.CodeNotFound, Message: "This message has no such attachment.", NextAction: "Take attachment_id from gmail_get_message."}
	}
	return p, nil
}

// typeOf is an attachment's type with the charset of its header.
func typeOf(p *gmail.MessagePart) string {
	if _, params, err := mime.ParseMediaType(header(p, "Content-Type")); err == nil && params["charset"] != "" {
		return mime.FormatMediaType(strings.ToLower(p.MimeType), map[string]string{"charset": params["charset"]})
	}
	return p.MimeType
}

// fetch reads an attachment that is not larger than max, whatever its message says.
func fetch(ctx context.Context, session *googleapi.Session, message string, p *gmail.MessagePart, max int64) ([]byte, error) {
	var file io.Reader = base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(strings.TrimRight(p.Body.Data, "=")))
	if p.Body.AttachmentId != "" {
		body, err := stream(ctx, session, message, p)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		file = body
	}
	b, err := io.ReadAll(io.LimitReader(file, max+1))
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &corrupt), errors.Is(err, errNoData), err == nil && int64(len(b)) > max:
		return nil, &tool.Error{Code: tool.CodeTooLarge, Message: "The attachment cannot be read.", NextAction: "The person can open the message in Gmail."}
	case err != nil:
		return nil, googleapi.Error("reading attachment", err)
	}
	return b, nil
}

// stream reads an attachment that is kept apart from its message.
func stream(ctx context.Context, session *googleapi.Session, message string, p *gmail.MessagePart) (io.ReadCloser, error) {
	resp, err := session.Download(ctx, host, "gmail/v1/users/me/messages/"+url.PathEscape(message)+"/attachments/"+url.PathEscape(p.Body.AttachmentId)+"?fields=data")
	if err != nil {
		return nil, err
	}
	return &dataReader{Closer: resp.Body, raw: bufio.NewReaderSize(resp.Body, 64<<10)}, nil
}

// Attachment opens the attachment of a download link.
func (g *Gmail) Attachment(ctx context.Context, account, file string) (*download.File, error) {
	message, id, ok := strings.Cut(file, "/")
	if !ok {
		return nil, errors.New("a download link names no attachment")
	}
	users, session, err := g.session(ctx, account)
	if err != nil {
		return nil, err
	}
	p, err := part(ctx, users, message, id)
	if err != nil {
		return nil, err
	}
	if p.Body.AttachmentId == "" {
		return nil, &tool.Error{Code: tool.CodeNotFound, Message: "This attachment has no content of its own."}
	}
	body, err := stream(ctx, session, message, p)
	if err != nil {
		return nil, err
	}
	return &download.File{Name: content.Header(p.Filename, maxSubject), Body: body}, nil
}

// dataReader reads the one member data of a JSON object, base64url, without
// holding it: {"data":"..."}.
type dataReader struct {
	io.Closer
	raw     *bufio.Reader
	decoded io.Reader // nil until the member was found
}

var errNoData = errors.New("attachment is not in the form Gmail documents")

func (d *dataReader) Read(b []byte) (int, error) {
	if d.decoded == nil {
		if err := d.begin(); err != nil {
			return 0, err
		}
		d.decoded = base64.NewDecoder(base64.RawURLEncoding, &stringReader{raw: d.raw})
	}
	return d.decoded.Read(b)
}

// begin reads up to the first character of the value.
func (d *dataReader) begin() error {
	var seen strings.Builder
	for seen.Len() < 64 {
		c, err := d.raw.ReadByte()
		if err != nil {
			return errNoData
		}
		if strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		seen.WriteByte(c)
		if seen.String() == `{"data":"` {
			return nil
		}
	}
	return errNoData
}

// stringReader reads a JSON string up to its quote or padding. An end before
// that is an error: the rest would be missing.
type stringReader struct {
	raw  *bufio.Reader
	done bool
}

func (s *stringReader) Read(b []byte) (int, error) {
	if s.done {
		return 0, io.EOF
	}
	n := 0
	for n < len(b) && (n == 0 || s.raw.Buffered() > 0) {
		c, err := s.raw.ReadByte()
		if errors.Is(err, io.EOF) {
			return n, io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
		if c == '"' || c == '=' {
			s.done = true
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		if c == '\\' { // the only escape that base64 can need is of its padding
			escape := make([]byte, 5)
			if _, err := io.ReadFull(s.raw, escape); err != nil || !strings.EqualFold(string(escape), "u003d") {
				return n, errNoData
			}
			s.done = true
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		b[n] = c
		n++
	}
	return n, nil
}
