package gmail

import "google.golang.org/api/gmail/v1"

// Read opens the reading of MIME trees to tests.
func Read(p *gmail.MessagePart) (text string, attachments int) {
	b := read(p)
	return b.text, len(b.attachments)
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
