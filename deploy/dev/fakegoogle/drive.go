package fakegoogle

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	folderType = "application/vnd.google-apps.folder"
	docType    = "application/vnd.google-apps.document"
	sheetType  = "application/vnd.google-apps.spreadsheet"
)

type file struct {
	ID, Name, MimeType string
	Parents            []string
	Trashed            bool
	Modified           time.Time
	content            []byte
	rows               [][]any
	permissions        []map[string]any
}

func (f *file) view(u *User) map[string]any {
	out := map[string]any{
		"kind": "drive#file", "id": f.ID, "name": f.Name, "mimeType": f.MimeType, "trashed": f.Trashed, "parents": append([]string{}, f.Parents...),
		"modifiedTime": f.Modified.Format("2006-01-02T15:04:05.000Z"), "createdTime": f.Modified.Format("2006-01-02T15:04:05.000Z"),
		"webViewLink": "https://drive.fake/file/" + f.ID, "owners": []any{map[string]any{"displayName": u.Name, "emailAddress": u.Email, "me": true}},
		"ownedByMe": true, "shared": len(f.permissions) > 0,
	}
	if !strings.HasPrefix(f.MimeType, "application/vnd.google-apps") {
		out["size"] = strconv.Itoa(len(f.content))
	}
	return out
}

func (f *file) text() string {
	if f.MimeType == sheetType {
		return csv(f.rows)
	}
	return string(f.content)
}

// matches evaluates the subset of Drive's query language that the tools use:
// terms joined by "and", each optionally after "not".
func (f *file) matches(q string) (bool, error) {
	for _, term := range splitTerms(q) {
		negate := strings.HasPrefix(term, "not ")
		ok, err := f.term(strings.TrimPrefix(term, "not "))
		if err != nil || ok == negate {
			return false, err
		}
	}
	return true, nil
}

// splitTerms cuts at " and " outside quotes.
func splitTerms(q string) []string {
	var out []string
	var quoted, escaped bool
	start := 0
	for i := 0; i < len(q); i++ {
		switch {
		case escaped:
			escaped = false
		case q[i] == '\\':
			escaped = true
		case q[i] == '\'':
			quoted = !quoted
		case !quoted && strings.HasPrefix(q[i:], " and "):
			out, start = append(out, strings.TrimSpace(q[start:i])), i+5
		}
	}
	if rest := strings.TrimSpace(q[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

func (f *file) term(term string) (bool, error) {
	term = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(term, "("), ")"))
	first, last := strings.Index(term, "'"), strings.LastIndex(term, "'")
	if first < 0 {
		switch strings.Join(strings.Fields(term), " ") {
		case "trashed = true", "trashed=true":
			return f.Trashed, nil
		case "trashed = false", "trashed=false":
			return !f.Trashed, nil
		}
		return false, badRequest("Invalid Value")
	}
	if first == last {
		return false, badRequest("Invalid Value")
	}
	value := strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(term[first+1 : last])
	switch op := strings.Join(strings.Fields(term[:first]+" ? "+term[last+1:]), " "); op {
	case "name contains ?":
		return strings.Contains(lower(f.Name), lower(value)), nil
	case "name = ?":
		return f.Name == value, nil
	case "fullText contains ?":
		return strings.Contains(lower(f.Name, f.text()), lower(strings.Trim(value, `"`))), nil
	case "mimeType = ?":
		return f.MimeType == value, nil
	case "mimeType != ?":
		return f.MimeType != value, nil
	case "? in parents":
		return slices.Contains(f.Parents, value), nil
	case "modifiedTime > ?", "modifiedTime >= ?", "modifiedTime < ?":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return false, badRequest("Invalid Value")
		}
		if strings.Contains(op, "<") {
			return f.Modified.Before(at), nil
		}
		return f.Modified.After(at), nil
	}
	return false, badRequest("Invalid Value")
}

func (c *call) file(id string) (*file, error) {
	for _, f := range c.user.files {
		if f.ID == id {
			return f, nil
		}
	}
	return nil, notFound("File not found: " + id)
}

// incoming reads metadata and content of a create or update: JSON, or
// multipart/related at /upload.
func (c *call) incoming() (meta map[string]any, content []byte, contentType string, err error) {
	meta = map[string]any{}
	mediaType, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if !strings.HasPrefix(mediaType, "multipart/") {
		return meta, nil, "", c.decode(&meta)
	}
	reader := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	first, err := reader.NextPart()
	if err != nil {
		return nil, nil, "", badRequest("Invalid multipart body")
	}
	if err := json.NewDecoder(first).Decode(&meta); err != nil {
		return nil, nil, "", badRequest("Parse Error")
	}
	second, err := reader.NextPart()
	if err != nil {
		return nil, nil, "", badRequest("Invalid multipart body")
	}
	content, err = io.ReadAll(second)
	return meta, content, second.Header.Get("Content-Type"), err
}

func (c *call) store(f *file) (any, error) {
	meta, content, contentType, err := c.incoming()
	if err != nil {
		return nil, err
	}
	if name, ok := meta["name"].(string); ok {
		f.Name = name
	}
	if trashed, ok := meta["trashed"].(bool); ok {
		f.Trashed = trashed
	}
	if parents, ok := meta["parents"].([]any); ok {
		f.Parents = nil
		for _, p := range parents {
			if s, ok := p.(string); ok {
				f.Parents = append(f.Parents, s)
			}
		}
	}
	if mimeType, ok := meta["mimeType"].(string); ok {
		f.MimeType = mimeType
	} else if f.MimeType == "" {
		f.MimeType = contentType
	}
	if content != nil {
		f.content = content
	}
	f.Modified = c.s.now().UTC()
	return f.view(c.user), nil
}

func init() {
	handle("drive.about.get", func(c *call) (any, error) {
		return map[string]any{"user": map[string]any{"displayName": c.user.Name, "emailAddress": c.user.Email}}, nil
	})
	handle("drive.files.list", func(c *call) (any, error) {
		var found []*file
		for _, f := range c.user.files {
			ok, err := f.matches(c.query.Get("q"))
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, f)
			}
		}
		slices.SortStableFunc(found, func(a, b *file) int {
			if strings.HasPrefix(c.query.Get("orderBy"), "name") {
				return strings.Compare(a.Name, b.Name)
			}
			return b.Modified.Compare(a.Modified)
		})
		page, next, err := paginate(c, found, c.size("pageSize", 100, 1000))
		list := []any{}
		for _, f := range page {
			list = append(list, f.view(c.user))
		}
		return withNext(map[string]any{"kind": "drive#fileList", "incompleteSearch": false, "files": list}, next), err
	})
	handle("drive.files.get", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		if c.query.Get("alt") == "media" {
			if strings.HasPrefix(f.MimeType, "application/vnd.google-apps") {
				return nil, &apiError{403, "PERMISSION_DENIED", "fileNotDownloadable", "Only files with binary content can be downloaded. Use Export with Docs Editors files."}
			}
			return &rawBody{f.MimeType, f.content}, nil
		}
		return f.view(c.user), nil
	})
	handle("drive.files.export", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(f.MimeType, "application/vnd.google-apps") {
			return nil, &apiError{403, "PERMISSION_DENIED", "fileNotExportable", "Export only supports Docs Editors files."}
		}
		return &rawBody{c.query.Get("mimeType"), []byte(f.text())}, nil
	})
	handle("drive.files.create", func(c *call) (any, error) {
		f := &file{ID: c.user.next("f")}
		c.user.files = append(c.user.files, f)
		return c.store(f)
	})
	handle("drive.files.update", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		return c.store(f)
	})
	handle("drive.files.copy", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		copied := *f
		copied.ID, copied.Name = c.user.next("f"), "Copy of "+f.Name
		c.user.files = append(c.user.files, &copied)
		return c.store(&copied)
	})
	handle("drive.permissions.list", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		return map[string]any{"permissions": append([]map[string]any{{"id": "owner", "role": "owner", "type": "user", "emailAddress": c.user.Email}}, f.permissions...)}, nil
	})
	handle("drive.permissions.create", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		in := map[string]any{}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		in["id"] = c.user.next("p")
		f.permissions = append(f.permissions, in)
		return in, nil
	})
	handle("drive.drives.list", func(*call) (any, error) {
		return map[string]any{"kind": "drive#driveList", "drives": []any{}}, nil
	})
}
