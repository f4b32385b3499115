package gmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxAddresses  = 100 // of one mail
	maxReferences = 20
)

// letter is a mail to be written.
type letter struct {
	to, cc, bcc []*mail.Address
	subject     string
	text        string
	inReplyTo   string   // message id with its angle brackets, or ""
	references  []string // the same, oldest first
	original    []byte   // a forwarded mail that is attached, RFC 5322, or nil
}

// addresses parses what a model gave as recipients. What it reads is written
// again in canonical form, so that nobody else reads something else into it.
func addresses(field string, given []string) ([]*mail.Address, error) {
	var out []*mail.Address
	for _, g := range given {
		list, err := mail.ParseAddressList(g)
		if err != nil {
			return nil, tool.Invalid("%s: %q is not an address such as name@example.com.", field, content.Line(g, maxSender))
		}
		for _, a := range list {
			if !content.Plain(a.Address) || content.Clean(a.Name) != a.Name {
				return nil, tool.Invalid("%s: an address has characters that do not belong there.", field)
			}
		}
		out = append(out, list...)
	}
	if len(out) > maxAddresses {
		return nil, tool.Invalid("%s has more than %d addresses.", field, maxAddresses)
	}
	return out, nil
}

// bytes is the mail as RFC 5322 wants it; From, Date and Message-ID are Gmail's.
func (l letter) bytes() ([]byte, error) {
	var b bytes.Buffer
	head := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	head("To", fold(l.to))
	head("Cc", fold(l.cc))
	head("Bcc", fold(l.bcc))
	head("Subject", encodeSubject(l.subject))
	head("In-Reply-To", l.inReplyTo)
	head("References", strings.Join(l.references, "\r\n "))
	head("MIME-Version", "1.0")
	if l.original == nil {
		head("Content-Type", "text/plain; charset=UTF-8")
		head("Content-Transfer-Encoding", "quoted-printable")
		b.WriteString("\r\n")
		if err := writeText(&b, l.text); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	m := multipart.NewWriter(&b)
	head("Content-Type", mime.FormatMediaType("multipart/mixed", map[string]string{"boundary": m.Boundary()}))
	b.WriteString("\r\n")
	text, err := m.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=UTF-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		return nil, fmt.Errorf("writing mail: %w", err)
	}
	if err := writeText(text, l.text); err != nil {
		return nil, err
	}
	// RFC 2046 §5.2.1: a message is attached as it is, without an encoding.
	attached, err := m.CreatePart(textproto.MIMEHeader{"Content-Type": {"message/rfc822"}, "Content-Disposition": {`attachment; filename="forwarded.eml"`}})
	if err != nil {
		return nil, fmt.Errorf("writing mail: %w", err)
	}
	if _, err := attached.Write(l.original); err != nil {
		return nil, fmt.Errorf("writing mail: %w", err)
	}
	if err := m.Close(); err != nil {
		return nil, fmt.Errorf("writing mail: %w", err)
	}
	return b.Bytes(), nil
}

// withoutBcc is a mail without those of its header's fields that say whom it was sent to
// unseen by the others (RFC 5322 §3.6.3): who gets it attached to another mail is one of
// those others.
func withoutBcc(message []byte) []byte {
	out := make([]byte, 0, len(message))
	dropped := false
	for rest := message; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line := rest[:end]
		if len(bytes.TrimRight(line, "\r\n")) == 0 { // the body begins
			return append(out, rest...)
		}
		if rest = rest[end:]; line[0] != ' ' && line[0] != '\t' { // else it goes on
			name, _, _ := bytes.Cut(line, []byte(":"))
			switch strings.ToLower(string(bytes.TrimSpace(name))) {
			case "bcc", "resent-bcc":
				dropped = true
			default:
				dropped = false
			}
		}
		if !dropped {
			out = append(out, line...)
		}
	}
	return out
}

// raw is the form in which Gmail takes it.
func (l letter) raw() (string, error) {
	b, err := l.bytes()
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(b), nil
}

func writeText(w interface{ Write([]byte) (int, error) }, text string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := q.Write([]byte(strings.ReplaceAll(text, "\r\n", "\n"))); err != nil {
		return fmt.Errorf("writing text: %w", err)
	}
	if err := q.Close(); err != nil {
		return fmt.Errorf("writing text: %w", err)
	}
	return nil
}

// fold puts each address on a line of its own: a line may have 998 characters
// (RFC 5322 §2.1.1).
func fold(list []*mail.Address) string {
	var out []string
	for _, a := range list {
		out = append(out, strings.ReplaceAll(a.String(), "?= =?", "?=\r\n =?"))
	}
	return strings.Join(out, ",\r\n ")
}

// encodeSubject encodes what is not ASCII (RFC 2047) and folds between words.
func encodeSubject(s string) string {
	s = strings.Join(strings.Fields(content.Clean(s)), " ")
	if encoded := mime.QEncoding.Encode("utf-8", s); encoded != s {
		return strings.ReplaceAll(encoded, "?= =?", "?=\r\n =?")
	}
	var b strings.Builder
	line := len("Subject: ")
	for i, word := range strings.Split(s, " ") {
		if i > 0 && line+len(word) > 76 {
			b.WriteString("\r\n")
			line = 0
		}
		if i > 0 {
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// messageIDs returns the message ids of a header value (RFC 5322 §3.6.4). Of a
// sender's text nothing else gets into our header.
func messageIDs(value string) []string {
	var out []string
	for _, f := range strings.Fields(strings.ReplaceAll(value, "><", "> <")) {
		if len(f) > 2 && len(f) <= 250 && f[0] == '<' && f[len(f)-1] == '>' && strings.Count(f, "@") == 1 &&
			strings.IndexFunc(f[1:len(f)-1], func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>()[],;:\\\"", r) }) < 0 {
			out = append(out, f)
		}
	}
	return out
}
