package gmail_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/gmail"
)

// TestCompose: what is written can be read back, and keeps the limits of
// RFC 5322 §2.1.1 whatever the words are.
func TestCompose(t *testing.T) {
	t.Parallel()
	many := make([]string, 100)
	for i := range many {
		many[i] = "Jürgen Straßenbahnfahrkartenautomat <someone" + strings.Repeat("x", 20) + "@example.com>"
	}
	for name, c := range map[string]struct {
		to            []string
		subject, text string
	}{
		"plain":            {[]string{"bob@example.com"}, "Lunch", "At noon?"},
		"umlauts":          {[]string{"Jürgen <j@example.com>"}, "Größe und Maß", "Grüße\nÄÖÜ €"},
		"many recipients":  {many, "x", "x"},
		"long subject":     {[]string{"a@b.test"}, strings.Repeat("wort ", 59) + "ende", "x"},
		"long word":        {[]string{"a@b.test"}, strings.Repeat("w", 290), "x"},
		"long and foreign": {[]string{"a@b.test"}, strings.Repeat("日本語", 90), strings.Repeat("日本語", 5000)},
		"dots and Froms":   {[]string{"a@b.test"}, "x", ".\n..\nFrom me\n\n.\n"},
		"CRLF":             {[]string{"a@b.test"}, "x", "one\r\ntwo\r\n"},
	} {
		b, err := gmail.Compose(c.to, nil, c.subject, c.text, "", "")
		if err != nil {
			t.Fatal(name, err)
		}
		for _, line := range strings.Split(string(b), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: a line of %d characters", name, len(line))
			}
		}
		m, err := mail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(name, err)
		}
		if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || subject != c.subject {
			t.Errorf("%s: subject %q %v", name, subject, err)
		}
		if to, err := m.Header.AddressList("To"); err != nil || len(to) != len(c.to) {
			t.Errorf("%s: %v %v", name, to, err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != strings.ReplaceAll(c.text, "\r\n", "\n") {
			t.Errorf("%s: text %q %v", name, text, err)
		}
	}
}

// TestHeaderInjection: no argument and no header of others starts a header line.
func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	b, err := gmail.Compose([]string{"a@b.test"}, nil, "s\r\nBcc: evil@evil.test", "t", "<x@y>\r\nBcc: <evil@evil.test>", "<a@b> <c@d>\r\nBcc:<e@f>\nX: y")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for name := range m.Header {
		switch name {
		case "To", "Subject", "References", "Mime-Version", "Content-Type", "Content-Transfer-Encoding":
		default:
			t.Errorf("there is a header %s", name)
		}
	}
	for _, bad := range []string{"a@b.test\r\nBcc: x@y.test", "a@b.test;", "<a@b.test", "a b@c.test", "group: a@b.test, c@d.test;x", ""} {
		if _, err := gmail.Compose([]string{bad}, nil, "s", "t", "", ""); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

// FuzzMessageIDs: what comes out is safe in a header.
func FuzzMessageIDs(f *testing.F) {
	f.Add("<a@b> <c@d>")
	f.Add("<a@b>\r\nBcc: <e@f>")
	f.Fuzz(func(t *testing.T, s string) {
		for _, id := range gmail.MessageIDs(s) {
			if strings.ContainsAny(id, "\r\n \t,;") || !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, ">") || strings.Count(id, "<") != 1 {
				t.Errorf("%q", id)
			}
		}
	})
}

// TestAttachmentData: the stream is the attachment, or an error: never a part of
// it without one.
func TestAttachmentData(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("attachment \xff\x00"), 1000)
	padded := base64.URLEncoding.EncodeToString(content)
	raw := strings.TrimRight(padded, "=")
	for name, c := range map[string]struct {
		body string
		ok   bool
	}{
		"padded":             {"{\n  \"data\": \"" + padded + "\"\n}\n", true},
		"not padded":         {`{"data":"` + raw + `"}`, true},
		"escaped padding":    {`{"data":"` + raw + `\u003d\u003D"}`, true},
		"cut":                {`{"data":"` + raw[:100], false},
		"cut in the escape":  {`{"data":"` + raw + `\u00`, false},
		"another escape":     {`{"data":"` + raw + `\n"}`, false},
		"another member":     {`{"size":3,"data":"` + raw + `"}`, false},
		"nothing":            {``, false},
		"not base64":         {`{"data":"!!!!"}`, false},
		"no string":          {`{"data":17}`, false},
		"an endless opening": {strings.Repeat("{", 1000), false},
	} {
		for _, chunk := range []int{1, 7, 4096} {
			got, err := gmail.Data(c.body, chunk)
			if (err == nil) != c.ok || c.ok && !bytes.Equal(got, content) {
				t.Errorf("%s by %d: %d bytes, %v", name, chunk, len(got), err)
			}
		}
	}
	if got, err := gmail.Data(`{"data":""}`, 3); err != nil || len(got) != 0 {
		t.Errorf("an empty attachment: %v %v", got, err)
	}
}
