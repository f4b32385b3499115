package fakegoogle

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
)

// compose parses an RFC 5322 message as clients send it: base64url.
func (c *call) compose(raw, thread string) (*message, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(raw, "="))
	if err != nil {
		return nil, badRequest("Invalid raw message")
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return nil, badRequest("Invalid raw message")
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		return nil, badRequest("Invalid raw message")
	}
	m := newMessage(c.user.next("m"), "", c.user.Email, parsed.Header.Get("To"), subject, c.s.now())
	m.ThreadID = m.ID
	for _, name := range []string{"Cc", "Bcc", "In-Reply-To", "References"} {
		if v := parsed.Header.Get(name); v != "" {
			m.headers = append(m.headers, header{name, v})
		}
	}
	if m.Payload, err = parsePart(textproto.MIMEHeader(parsed.Header), parsed.Body, ""); err != nil {
		return nil, badRequest("Invalid raw message")
	}
	if thread != "" && c.belongs(m, thread, parsed.Header.Get("In-Reply-To")) {
		m.ThreadID = thread
	}
	m.raw = raw
	return m, nil
}

// belongs holds a message to Gmail's conditions for a thread: an In-Reply-To of
// one of its messages, and the subject.
func (c *call) belongs(m *message, thread, inReplyTo string) bool {
	plain := func(s string) string {
		return strings.TrimSpace(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "re:"))
	}
	for _, other := range c.user.thread(thread) {
		if plain(other.subject) != plain(m.subject) {
			return false
		}
		for _, h := range other.headers {
			if h.Name == "Message-ID" && h.Value == inReplyTo {
				return true
			}
		}
	}
	return false
}

// parsePart reads a MIME part and those below it, as Gmail shows them.
func parsePart(h textproto.MIMEHeader, r io.Reader, id string) (*part, error) {
	mediaType, params := "text/plain", map[string]string{}
	if v := h.Get("Content-Type"); v != "" {
		var err error
		if mediaType, params, err = mime.ParseMediaType(v); err != nil {
			return nil, err
		}
	}
	p := &part{PartID: id, MimeType: mediaType}
	if strings.HasPrefix(mediaType, "multipart/") {
		parts := multipart.NewReader(r, params["boundary"])
		for i := 0; ; i++ {
			sub, err := parts.NextRawPart()
			if err == io.EOF {
				return p, nil
			}
			if err != nil {
				return nil, err
			}
			below, err := parsePart(sub.Header, sub, strings.TrimPrefix(id+"."+strconv.Itoa(i), "."))
			if err != nil {
				return nil, err
			}
			p.Parts = append(p.Parts, below)
		}
	}
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	p.Headers = []header{{"Content-Type", h.Get("Content-Type")}}
	p.Body = &partBody{Size: len(b), Data: base64.URLEncoding.EncodeToString(b)}
	if _, disposition, err := mime.ParseMediaType(h.Get("Content-Disposition")); err == nil && disposition["filename"] != "" {
		p.Filename, p.Body = disposition["filename"], &partBody{AttachmentID: "att" + id, Size: len(b), content: b}
	}
	return p, nil
}

func (p *part) attachment(id string) *part {
	if p == nil || p.Body != nil && p.Body.AttachmentID == id {
		return p
	}
	for _, sub := range p.Parts {
		if found := sub.attachment(id); found != nil {
			return found
		}
	}
	return nil
}

// recipients are the values of the headers that name them.
func (m *message) recipients() []string {
	var out []string
	for _, h := range m.headers {
		if h.Name == "To" || h.Name == "Cc" || h.Name == "Bcc" {
			out = append(out, h.Value)
		}
	}
	return out
}

func (c *call) send(m *message) any {
	m.LabelIDs = []string{"SENT"}
	c.user.messages = append(c.user.messages, m)
	for _, u := range c.s.users { // mail between the seeded users arrives
		if u != c.user && strings.Contains(strings.Join(m.recipients(), " "), u.Email) {
			in := *m
			in.ID, in.ThreadID, in.LabelIDs = u.next("m"), u.next("m"), []string{"INBOX", "UNREAD"}
			u.messages = append(u.messages, &in)
		}
	}
	return map[string]any{"id": m.ID, "threadId": m.ThreadID, "labelIds": m.LabelIDs}
}

func (c *call) draft(id string) (*draft, error) {
	for _, d := range c.user.drafts {
		if d.ID == id {
			return d, nil
		}
	}
	return nil, notFound("Draft")
}

func (c *call) fill(d *draft) (any, error) {
	var in struct {
		Message struct{ Raw, ThreadID string }
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	m, err := c.compose(in.Message.Raw, in.Message.ThreadID)
	if err != nil {
		return nil, err
	}
	m.LabelIDs, d.message = []string{"DRAFT"}, m
	return map[string]any{"id": d.ID, "message": map[string]any{"id": m.ID, "threadId": m.ThreadID, "labelIds": m.LabelIDs}}, nil
}

// NewAttachment is an attachment of a mail that somebody sends to a person.
type NewAttachment struct {
	Name, MimeType string
	Content        []byte
	Inline         bool // within the message, not apart from it, as Gmail does with small ones
}

// AddMail puts a mail into a person's inbox and returns its id. Its part "0" is the
// text, its attachments are "1" and so on.
func (s *Server) AddMail(email, subject string, attachments ...NewAttachment) string {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := newMessage(u.next("m"), "", "Partner <partner@partner.test>", u.Email, subject, s.now())
	m.ThreadID, m.LabelIDs = m.ID, []string{"INBOX", "UNREAD"}
	m.Payload = &part{MimeType: "multipart/mixed", Parts: []*part{{PartID: "0", MimeType: "text/plain", Body: &partBody{Size: 12, Data: base64.URLEncoding.EncodeToString([]byte("See attached"))}}}}
	for i, a := range attachments {
		body := &partBody{AttachmentID: u.next("att"), Size: len(a.Content), content: a.Content}
		if a.Inline {
			body = &partBody{Size: len(a.Content), Data: base64.URLEncoding.EncodeToString(a.Content)}
		}
		mediaType, _, _ := strings.Cut(a.MimeType, ";")
		m.Payload.Parts = append(m.Payload.Parts, &part{PartID: strconv.Itoa(i + 1), MimeType: mediaType, Filename: a.Name, Headers: []header{{"Content-Type", a.MimeType}}, Body: body})
	}
	u.messages = append(u.messages, m)
	return m.ID
}
