package gmail

import (
	"encoding/base64"
	"mime"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
)

// maxDepth bounds the nesting of MIME parts.
const maxDepth = 20

// body is what a message says.
type body struct {
	text        string
	hidden      bool // text that a reader would not see was left out
	attachments []attachment
}

// read returns the text of a message and its attachments.
func read(p *gmail.MessagePart) body {
	r := &reader{}
	r.text = strings.TrimSpace(r.part(p, 0))
	return r.body
}

type reader struct{ body }

// part returns the readable text below a part: of alternatives the plain one if
// it says anything, else the last that has text (RFC 2046 §5.1.4); of everything
// else all parts in order.
func (r *reader) part(p *gmail.MessagePart, depth int) string {
	if p == nil || depth > maxDepth {
		return ""
	}
	mediaType := strings.ToLower(p.MimeType)
	switch {
	case p.Filename != "":
		if len(r.attachments) < maxAttachments {
			a := attachment{ID: partID(p), Name: content.Header(p.Filename, maxSubject), Type: content.MediaType(p.MimeType)}
			if p.Body != nil {
				a.Size = p.Body.Size
			}
			r.attachments = append(r.attachments, a)
		}
		return ""
	case mediaType == "multipart/alternative":
		var plain, other string
		for _, c := range p.Parts {
			text := r.part(c, depth+1)
			if strings.TrimSpace(text) == "" {
				continue
			}
			if strings.EqualFold(c.MimeType, "text/plain") {
				plain = text
			} else {
				other = text
			}
		}
		if plain != "" {
			return plain
		}
		return other
	case len(p.Parts) > 0:
		var texts []string
		for _, c := range p.Parts {
			if text := r.part(c, depth+1); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, "\n\n")
	case mediaType == "text/plain":
		return strings.TrimSpace(content.Clean(strings.ReplaceAll(data(p), "\r\n", "\n")))
	case mediaType == "text/html":
		text, hidden := content.HTML(data(p))
		r.hidden = r.hidden || hidden
		return text
	}
	return ""
}

// rootPart names the part that is the whole message, for which Gmail has no id.
const rootPart = "root"

// partID names a part within its message. Gmail's own attachment ids are long
// and change with every reading.
func partID(p *gmail.MessagePart) string {
	if p.PartId == "" {
		return rootPart
	}
	return p.PartId
}

// find returns the part of an id, nil if there is none.
func find(p *gmail.MessagePart, id string, depth int) *gmail.MessagePart {
	if p == nil || depth > maxDepth {
		return nil
	}
	if partID(p) == id && p.Filename != "" {
		return p
	}
	for _, c := range p.Parts {
		if found := find(c, id, depth+1); found != nil {
			return found
		}
	}
	return nil
}

// data decodes a part's body: base64url, padded or not, in the part's charset.
func data(p *gmail.MessagePart) string {
	if p.Body == nil {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(p.Body.Data, "="))
	if err != nil {
		return ""
	}
	_, params, err := mime.ParseMediaType(header(p, "Content-Type"))
	if err != nil {
		return content.Decode(b, "")
	}
	return content.Decode(b, params["charset"])
}
