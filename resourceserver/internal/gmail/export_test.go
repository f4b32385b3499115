package gmail

import (
	"bufio"
	"io"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/googleapi"
)

// Read opens the reading of MIME trees to tests.
func Read(p *gmail.MessagePart) (text string, attachments int) {
	b := read(p)
	return b.text, len(b.attachments)
}

// Attached returns what stands outside the fence for an attachment.
func Attached(p *gmail.MessagePart) (text, linkName, linkType string) {
	v := attached(googleapi.Account{}, p)
	v.DownloadURL = "https://rs.test/x"
	_, linkName, linkType = v.Link()
	return v.text(), linkName, linkType
}

// Fill runs one page of a thread and returns the texts and the cursor.
func Fill(newestFirst []*gmail.Message, cursor string, chars int) ([]string, string, error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	var v threadOutput
	if err := v.fill(newestFirst, at, chars); err != nil {
		return nil, "", err
	}
	var texts []string
	for _, m := range v.Messages {
		texts = append(texts, m.Text)
	}
	return texts, v.NextPageToken, nil
}

// Compose writes a mail of text and returns it as RFC 5322.
func Compose(to, cc []string, subject, text, inReplyTo, references string) ([]byte, error) {
	l := letter{subject: subject, text: text, references: messageIDs(references)}
	if ids := messageIDs(inReplyTo); len(ids) == 1 {
		l.inReplyTo = ids[0]
	}
	if err := l.address(to, cc, nil); err != nil {
		return nil, err
	}
	return l.bytes()
}

// MessageIDs opens the reading of message ids to tests.
func MessageIDs(s string) []string { return messageIDs(s) }

// Data decodes the body of an attachments.get answer.
func Data(body string, chunk int) ([]byte, error) {
	return io.ReadAll(&dataReader{Closer: io.NopCloser(nil), raw: bufio.NewReaderSize(&slowReader{strings.NewReader(body), chunk}, 16)})
}

// slowReader gives at most n bytes at a time.
type slowReader struct {
	r io.Reader
	n int
}

func (s *slowReader) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), s.n)]) }
