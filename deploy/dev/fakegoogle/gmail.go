package fakegoogle

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

type label struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type partBody struct {
	AttachmentID string `json:"attachmentId,omitempty"`
	Size         int    `json:"size"`
	Data         string `json:"data,omitempty"`
	content      []byte
}

type part struct {
	PartID   string    `json:"partId,omitempty"`
	MimeType string    `json:"mimeType"`
	Filename string    `json:"filename"`
	Headers  []header  `json:"headers,omitempty"`
	Body     *partBody `json:"body,omitempty"`
	Parts    []*part   `json:"parts,omitempty"`
}

type message struct {
	ID, ThreadID string
	LabelIDs     []string
	Payload      *part
	at           time.Time
	from, to     string
	subject      string
	headers      []header
	raw          string
}

type draft struct {
	ID      string
	message *message
}

// snippet is the beginning of the text.
func (m *message) snippet() string {
	text := strings.Join(strings.Fields(m.text()), " ")
	return text[:min(len(text), 120)]
}

func (m *message) text() string {
	var find func(p *part) string
	find = func(p *part) string {
		if p == nil {
			return ""
		}
		if p.MimeType == "text/plain" && p.Body != nil {
			b, _ := base64.URLEncoding.DecodeString(p.Body.Data)
			return string(b)
		}
		for _, sub := range p.Parts {
			if s := find(sub); s != "" {
				return s
			}
		}
		return ""
	}
	return find(m.Payload)
}

// view is the message in one of Gmail's formats.
func (m *message) view(format string, only []string) map[string]any {
	out := map[string]any{
		"id": m.ID, "threadId": m.ThreadID, "labelIds": m.LabelIDs, "snippet": m.snippet(), "historyId": "1000",
		"internalDate": strconv.FormatInt(m.at.UnixMilli(), 10), "sizeEstimate": 500,
	}
	switch format {
	case "minimal":
	case "raw":
		out["raw"] = m.raw
		if m.raw == "" { // seeded
			out["raw"] = m.write()
		}
	case "metadata":
		headers := []header{}
		for _, h := range m.headers {
			if len(only) == 0 || slices.ContainsFunc(only, func(n string) bool { return strings.EqualFold(n, h.Name) }) {
				headers = append(headers, h)
			}
		}
		out["payload"] = map[string]any{"mimeType": m.Payload.MimeType, "headers": headers}
	default:
		p := *m.Payload
		p.Headers = append(slices.Clone(m.headers), p.Headers...)
		out["payload"] = &p
	}
	return out
}

// write makes the raw form of a seeded message: its headers and text.
func (m *message) write() string {
	var b strings.Builder
	for _, h := range m.headers {
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	b.WriteString("Content-Type: text/plain; charset=UTF-8\r\n\r\n" + m.text())
	return base64.URLEncoding.EncodeToString([]byte(b.String()))
}

// matches evaluates the subset of Gmail's search language that the tools use.
func (m *message) matches(q string, u *User) bool {
	for _, term := range strings.Fields(q) {
		negate := strings.HasPrefix(term, "-")
		if m.term(strings.TrimPrefix(term, "-"), u) == negate {
			return false
		}
	}
	return true
}

func (m *message) term(term string, u *User) bool {
	op, value, ok := strings.Cut(term, ":")
	if !ok {
		return strings.Contains(lower(m.subject, m.from, m.to, m.text()), lower(strings.Trim(term, `"`)))
	}
	value = strings.Trim(value, `"`)
	day := func() time.Time {
		t, _ := time.Parse("2006/1/2", strings.ReplaceAll(value, "-", "/"))
		return t
	}
	switch op {
	case "from":
		return strings.Contains(lower(m.from), lower(value))
	case "to":
		return strings.Contains(lower(m.to), lower(value))
	case "subject":
		return strings.Contains(lower(m.subject), lower(value))
	case "is", "in", "label":
		for id, l := range u.labels {
			if strings.EqualFold(l.Name, value) {
				return slices.Contains(m.LabelIDs, id)
			}
		}
		return value == "anywhere" || (value == "read" && !slices.Contains(m.LabelIDs, "UNREAD"))
	case "has":
		return value == "attachment" && len(m.Payload.Parts) > 1
	case "after":
		return !m.at.Before(day())
	case "before":
		return m.at.Before(day())
	}
	return strings.Contains(lower(m.subject, m.text()), lower(term))
}

// thread is a thread's messages, oldest first, as Gmail returns them.
func (u *User) thread(id string) []*message {
	var out []*message
	for _, m := range u.messages {
		if m.ThreadID == id {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b *message) int { return a.at.Compare(b.at) })
	return out
}

func (u *User) message(id string) *message {
	for _, m := range u.messages {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// visible are the messages a list shows: newest first, without trash and spam
// unless asked for.
func (c *call) visible() []*message {
	var out []*message
	for _, m := range c.user.messages {
		hidden := slices.Contains(m.LabelIDs, "TRASH") || slices.Contains(m.LabelIDs, "SPAM")
		if hidden && c.query.Get("includeSpamTrash") != "true" {
			continue
		}
		wanted := true
		for _, l := range c.query["labelIds"] {
			wanted = wanted && slices.Contains(m.LabelIDs, l)
		}
		if wanted && m.matches(c.query.Get("q"), c.user) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b *message) int { return b.at.Compare(a.at) })
	return out
}

// paginate cuts a list. Page tokens are offsets that only this server reads.
func paginate[T any](c *call, all []T, size int) (page []T, next string, err error) {
	offset := 0
	if t := c.query.Get("pageToken"); t != "" {
		b, decodeErr := base64.RawURLEncoding.DecodeString(t)
		n, convErr := strconv.Atoi(strings.TrimPrefix(string(b), "o"))
		if decodeErr != nil || convErr != nil || n < 0 || n > len(all) {
			return nil, "", badRequest("Invalid page token")
		}
		offset = n
	}
	end := min(offset+size, len(all))
	if end < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte("o" + strconv.Itoa(end)))
	}
	return all[offset:end], next, nil
}

func (c *call) me() error {
	if id := c.path["userId"]; id != "me" && id != c.user.Email {
		return &apiError{403, "PERMISSION_DENIED", "forbidden", "Delegation denied for " + c.user.Email}
	}
	return nil
}

func init() {
	handle("gmail.users.getProfile", func(c *call) (any, error) {
		return map[string]any{"emailAddress": c.user.Email, "messagesTotal": len(c.user.messages), "threadsTotal": len(c.user.messages), "historyId": "1000"}, c.me()
	})
	handle("gmail.users.threads.list", func(c *call) (any, error) {
		var ids []string
		snippets := map[string]string{}
		for _, m := range c.visible() {
			if !slices.Contains(ids, m.ThreadID) {
				ids = append(ids, m.ThreadID)
				snippets[m.ThreadID] = m.snippet()
			}
		}
		page, next, err := paginate(c, ids, c.size("maxResults", 100, 500))
		list := []any{}
		for _, id := range page {
			list = append(list, map[string]any{"id": id, "snippet": snippets[id], "historyId": "1000"})
		}
		return withNext(map[string]any{"threads": list, "resultSizeEstimate": len(ids)}, next), err
	})
	handle("gmail.users.threads.get", func(c *call) (any, error) {
		messages := []any{}
		for _, m := range c.user.thread(c.path["id"]) {
			messages = append(messages, m.view(c.query.Get("format"), c.query["metadataHeaders"]))
		}
		if len(messages) == 0 {
			return nil, notFound("Requested entity was")
		}
		return map[string]any{"id": c.path["id"], "historyId": "1000", "messages": messages}, nil
	})
	handle("gmail.users.messages.list", func(c *call) (any, error) {
		all := c.visible()
		page, next, err := paginate(c, all, c.size("maxResults", 100, 500))
		list := []any{}
		for _, m := range page {
			list = append(list, map[string]any{"id": m.ID, "threadId": m.ThreadID})
		}
		return withNext(map[string]any{"messages": list, "resultSizeEstimate": len(all)}, next), err
	})
	handle("gmail.users.messages.get", func(c *call) (any, error) {
		m := c.user.message(c.path["id"])
		if m == nil {
			return nil, notFound("Requested entity was")
		}
		return m.view(c.query.Get("format"), c.query["metadataHeaders"]), nil
	})
	handle("gmail.users.messages.attachments.get", func(c *call) (any, error) {
		if m := c.user.message(c.path["messageId"]); m != nil {
			if p := m.Payload.attachment(c.path["id"]); p != nil {
				return map[string]any{"size": p.Body.Size, "data": base64.URLEncoding.EncodeToString(p.Body.content)}, nil
			}
		}
		return nil, notFound("Attachment")
	})
	handle("gmail.users.labels.list", func(c *call) (any, error) {
		labels := []*label{}
		for _, l := range c.user.labels {
			labels = append(labels, l)
		}
		slices.SortFunc(labels, func(a, b *label) int { return strings.Compare(a.ID, b.ID) })
		return map[string]any{"labels": labels}, nil
	})
	handle("gmail.users.labels.create", func(c *call) (any, error) {
		var in label
		if err := c.decode(&in); err != nil || in.Name == "" {
			return nil, badRequest("Invalid label")
		}
		l := &label{ID: c.user.next("Label_"), Name: in.Name, Type: "user"}
		c.user.labels[l.ID] = l
		return l, nil
	})
	handle("gmail.users.messages.modify", func(c *call) (any, error) { return c.modify([]string{c.path["id"]}) })
	handle("gmail.users.messages.batchModify", func(c *call) (any, error) {
		var in struct{ IDs []string }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		_, err := c.modify(in.IDs)
		return nil, err
	})
	handle("gmail.users.threads.modify", func(c *call) (any, error) {
		var ids []string
		for _, m := range c.user.thread(c.path["id"]) {
			ids = append(ids, m.ID)
		}
		if len(ids) == 0 {
			return nil, notFound("Requested entity was")
		}
		if _, err := c.modify(ids); err != nil {
			return nil, err
		}
		return map[string]any{"id": c.path["id"], "historyId": "1000"}, nil
	})
	handle("gmail.users.messages.trash", func(c *call) (any, error) {
		m := c.user.message(c.path["id"])
		if m == nil {
			return nil, notFound("Requested entity was")
		}
		m.LabelIDs = append(slices.DeleteFunc(m.LabelIDs, func(l string) bool { return l == "INBOX" }), "TRASH")
		return m.view("minimal", nil), nil
	})
	handle("gmail.users.messages.send", func(c *call) (any, error) {
		var in struct{ Raw, ThreadID string }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		m, err := c.compose(in.Raw, in.ThreadID)
		if err != nil {
			return nil, err
		}
		return c.send(m), nil
	})
	handle("gmail.users.drafts.create", func(c *call) (any, error) {
		d := &draft{ID: c.user.next("r")}
		out, err := c.fill(d)
		if err == nil {
			c.user.drafts = append(c.user.drafts, d)
		}
		return out, err
	})
	handle("gmail.users.drafts.update", func(c *call) (any, error) {
		d, err := c.draft(c.path["id"])
		if err != nil {
			return nil, err
		}
		return c.fill(d)
	})
	handle("gmail.users.drafts.get", func(c *call) (any, error) {
		d, err := c.draft(c.path["id"])
		if err != nil {
			return nil, err
		}
		return map[string]any{"id": d.ID, "message": d.message.view(c.query.Get("format"), nil)}, nil
	})
	handle("gmail.users.drafts.list", func(c *call) (any, error) {
		page, next, err := paginate(c, c.user.drafts, c.size("maxResults", 100, 500))
		list := []any{}
		for _, d := range page {
			list = append(list, map[string]any{"id": d.ID, "message": map[string]any{"id": d.message.ID, "threadId": d.message.ThreadID}})
		}
		return withNext(map[string]any{"drafts": list, "resultSizeEstimate": len(c.user.drafts)}, next), err
	})
	handle("gmail.users.drafts.send", func(c *call) (any, error) {
		var in struct {
			ID      string
			Message *struct{ Raw, ThreadID string }
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		d, err := c.draft(in.ID)
		if err != nil {
			return nil, err
		}
		m := d.message
		if in.Message != nil && in.Message.Raw != "" { // the draft is updated in the act of sending
			if m, err = c.compose(in.Message.Raw, in.Message.ThreadID); err != nil {
				return nil, err
			}
		}
		c.user.drafts = slices.DeleteFunc(c.user.drafts, func(o *draft) bool { return o == d })
		return c.send(m), nil
	})
	handle("gmail.users.settings.filters.list", func(c *call) (any, error) {
		return map[string]any{"filter": append([]map[string]any{}, c.user.filters...)}, nil
	})
	handle("gmail.users.settings.filters.create", func(c *call) (any, error) {
		in := map[string]any{}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		in["id"] = c.user.next("ANe1")
		c.user.filters = append(c.user.filters, in)
		return in, nil
	})
	handle("gmail.users.settings.filters.delete", func(c *call) (any, error) {
		before := len(c.user.filters)
		c.user.filters = slices.DeleteFunc(c.user.filters, func(f map[string]any) bool { return f["id"] == c.path["id"] })
		if len(c.user.filters) == before {
			return nil, notFound("Filter")
		}
		return nil, nil
	})
	handle("gmail.users.settings.getVacation", func(c *call) (any, error) {
		if c.user.vacation == nil {
			return map[string]any{"enableAutoReply": false}, nil
		}
		return c.user.vacation, nil
	})
	handle("gmail.users.settings.updateVacation", func(c *call) (any, error) {
		in := map[string]any{}
		err := c.decode(&in)
		c.user.vacation = in
		return in, err
	})
}

func withNext(m map[string]any, next string) map[string]any {
	if next != "" {
		m["nextPageToken"] = next
	}
	return m
}

func (c *call) modify(ids []string) (any, error) {
	var in struct{ AddLabelIDs, RemoveLabelIDs []string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var last *message
	for _, id := range ids {
		if last = c.user.message(id); last == nil {
			return nil, notFound("Requested entity was")
		}
		for _, l := range in.AddLabelIDs {
			if c.user.labels[l] == nil {
				return nil, badRequest("Invalid label: " + l)
			}
			if !slices.Contains(last.LabelIDs, l) {
				last.LabelIDs = append(last.LabelIDs, l)
			}
		}
		last.LabelIDs = slices.DeleteFunc(last.LabelIDs, func(l string) bool { return slices.Contains(in.RemoveLabelIDs, l) })
	}
	if last == nil {
		return nil, badRequest("No message id")
	}
	return last.view("minimal", nil), nil
}
