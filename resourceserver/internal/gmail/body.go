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

// read returns the text of a message and its attachments.
func read(p *gmail.MessagePart) (string, []attachment) {
	r := &reader{}
	text := r.part(p, 0)
	return strings.TrimSpace(text), r.attachments
}

type reader struct{ attachments []attachment }

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
			a := attachment{Name: content.Header(p.Filename, maxSubject), Type: content.Line(p.MimeType, maxSubject)}
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
		return content.HTML(data(p))
	}
	return ""
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
