package fakegoogle

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	formType   = "application/vnd.google-apps.form"
)

type file struct {
	ID, Name, MimeType string
	Parents            []string
	Trashed            bool
	Modified           time.Time
	content            []byte
	rows               [][]any // seeded cells of a spreadsheet
	doc                *doc
	book               []*sheet
	deck               *deck
	description        string
	target             string // of a shortcut
	drive              string // shared drive
	owner              string // somebody else, who shares it with the person
	app                string // client that made it; "" is none
	permissions        []map[string]any
	comments           []map[string]any
	approvals          []map[string]any
	versions           []version // none: only what the file is now
}

func (f *file) view(u *User) map[string]any {
	out := map[string]any{
		"kind": "drive#file", "id": f.ID, "name": f.Name, "mimeType": f.MimeType, "trashed": f.Trashed, "parents": append([]string{}, f.Parents...),
		"modifiedTime": f.Modified.Format(driveTime), "createdTime": f.Modified.Format(driveTime),
		"webViewLink": "https://drive.fake/file/" + f.ID, "owners": []any{map[string]any{"displayName": u.Name, "emailAddress": u.Email, "me": true}},
		"ownedByMe": true, "shared": len(f.permissions) > 0, "capabilities": map[string]any{"canEdit": true, "canShare": true, "canDownload": true, "canAddChildren": f.MimeType == folderType && f.owner == ""},
	}
	if f.description != "" {
		out["description"] = f.description
	}
	if f.target != "" {
		out["shortcutDetails"] = map[string]any{"targetId": f.target}
	}
	if f.drive != "" {
		out["driveId"] = f.drive
		delete(out, "owners")
		delete(out, "ownedByMe") // not there for items of shared drives
		delete(out, "shared")
	}
	if f.owner != "" {
		out["owners"], out["ownedByMe"], out["shared"] = []any{map[string]any{"emailAddress": f.owner}}, false, true
	}
	if !strings.HasPrefix(f.MimeType, "application/vnd.google-apps") {
		out["size"] = strconv.Itoa(len(f.content))
	}
	return out
}

func (f *file) text() string {
	switch f.MimeType {
	case sheetType:
		return csv(f.sheets()[0])
	case docType:
		return f.document().text()
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

func (c *call) file(id string) (*file, error) {
	for _, f := range c.user.files {
		if f.ID == id && c.sees(f) {
			return f, nil
		}
	}
	return nil, notFound("File not found: " + id)
}

// add puts a file of the calling app into the person's Drive.
func (c *call) add(f *file) {
	f.app = c.token.client
	c.user.files = append(c.user.files, f)
}

// sees reports whether a token opens a file: with drive.file alone only those that
// its app made (Drive API, "Choose scopes"; the Docs, Sheets and Slides APIs alike).
// Files that a person gave an app by the picker are not there.
func (c *call) sees(f *file) bool { return c.opens(f.app) }

func (c *call) opens(app string) bool {
	return app == c.token.client || c.token.allows(slices.DeleteFunc(slices.Clone(c.method.Scopes), func(s string) bool { return s == fileScope }))
}

const fileScope = "https://www.googleapis.com/auth/drive.file"

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

// usable checks what would be a new file, under an id of generateIds or another.
func (c *call) usable(meta map[string]any) (*file, error) {
	f := &file{}
	if id, ok := meta["id"].(string); ok {
		if !slices.Contains(c.user.ids, id) {
			return nil, badRequest("The provided file ID is not usable.")
		}
		if slices.ContainsFunc(c.user.files, func(f *file) bool { return f.ID == id }) {
			return nil, &apiError{409, "ALREADY_EXISTS", "fileIdInUse", "A file already exists with the provided ID."}
		}
		f.ID = id
	}
	if parents, ok := meta["parents"].([]any); ok && len(parents) > 0 {
		parent, err := c.file(fmt.Sprint(parents[0]))
		if err != nil {
			return nil, err
		}
		f.drive = parent.drive
	}
	return f, nil
}

func (c *call) create(meta map[string]any) (*file, error) {
	f, err := c.usable(meta)
	if err != nil {
		return nil, err
	}
	if f.ID == "" {
		f.ID = c.user.next("f")
	}
	c.add(f)
	return f, nil
}

func (c *call) store(f *file) (any, error) {
	meta, content, contentType, err := c.incoming()
	if err != nil {
		return nil, err
	}
	return c.apply(f, meta, content, contentType)
}

// apply changes a file; nil content leaves its own.
func (c *call) apply(f *file, meta map[string]any, content []byte, contentType string) (any, error) {
	if name, ok := meta["name"].(string); ok {
		f.Name = name
	}
	if d, ok := meta["description"].(string); ok {
		f.description = d
	}
	for _, remove := range strings.Split(c.query.Get("removeParents"), ",") {
		f.Parents = slices.DeleteFunc(f.Parents, func(p string) bool { return p == remove })
	}
	if add := c.query.Get("addParents"); add != "" {
		if _, err := c.file(add); err != nil {
			return nil, err
		}
		f.Parents = append(f.Parents, add)
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
		if strings.Contains(c.query.Get("q"), "fullText") && c.query.Get("orderBy") != "" {
			return nil, &apiError{403, "PERMISSION_DENIED", "forbidden", "Sorting is not supported for queries with fullText terms. Results are always in descending relevance order."}
		}
		drive, everywhere := c.query.Get("driveId"), c.query.Get("includeItemsFromAllDrives") == "true" && c.query.Get("supportsAllDrives") == "true"
		if (drive != "") != (c.query.Get("corpora") == "drive") || drive != "" && !everywhere {
			return nil, badRequest("The driveId parameter must be specified if and only if corpora is set to drive.")
		}
		var found []*file
		for _, f := range c.user.files {
			if !c.sees(f) || f.drive != "" && !everywhere || drive != "" && f.drive != drive {
				continue
			}
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
		if c.query.Get("uploadType") == "resumable" && strings.HasPrefix(c.r.URL.Path, "/upload/") {
			return c.resumable()
		}
		meta, _, _, err := c.incoming()
		if err != nil {
			return nil, err
		}
		f, err := c.create(meta)
		if err != nil {
			return nil, err
		}
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
		copied.ID, copied.Name, copied.permissions, copied.comments, copied.book = c.user.next("f"), "Copy of "+f.Name, nil, nil, nil
		copied.approvals, copied.versions = nil, nil
		if f.MimeType == docType {
			copied.doc = f.document().clone()
		}
		if f.MimeType == slideType {
			copied.deck = f.presentation().clone()
		}
		for _, s := range f.book {
			c := *s
			c.cells = slices.Clone(s.cells)
			copied.book = append(copied.book, &c)
		}
		c.add(&copied)
		return c.store(&copied)
	})
	handle("drive.permissions.list", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		owner := f.owner
		if owner == "" {
			owner = c.user.Email
		}
		return map[string]any{"permissions": append([]map[string]any{{"id": "owner", "role": "owner", "type": "user", "emailAddress": owner}}, f.permissions...)}, nil
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
		for _, p := range f.permissions { // one for each person: the role grows
			if p["emailAddress"] == in["emailAddress"] && p["type"] == in["type"] {
				p["role"] = in["role"]
				return p, nil
			}
		}
		in["id"] = c.user.next("p")
		f.permissions = append(f.permissions, in)
		return in, nil
	})
	handle("drive.drives.list", func(c *call) (any, error) {
		page, next, err := paginate(c, []any{map[string]any{"kind": "drive#drive", "id": "0AFakeDrive", "name": "Company"}}, c.size("pageSize", 10, 100))
		return withNext(map[string]any{"kind": "drive#driveList", "drives": append([]any{}, page...)}, next), err
	})
	handle("drive.files.generateIds", func(c *call) (any, error) {
		var ids []string
		for range c.size("count", 10, 1000) {
			ids = append(ids, c.user.next("g"))
		}
		c.user.ids = append(c.user.ids, ids...)
		return map[string]any{"kind": "drive#generatedIds", "space": "drive", "ids": ids}, nil
	})
	comment := func(c *call) (map[string]any, map[string]any, error) {
		in := map[string]any{}
		if c.query.Get("fields") == "" {
			return nil, nil, badRequest("The 'fields' parameter is required for this method.") // Drive API, "Manage comments"
		}
		err := c.decode(&in)
		return map[string]any{
			"id": c.user.next("c"), "content": in["content"], "author": map[string]any{"displayName": c.user.Name, "me": true},
			"createdTime": c.s.now().UTC().Format(driveTime), "modifiedTime": c.s.now().UTC().Format(driveTime), "deleted": false,
		}, in, err
	}
	handle("drive.comments.list", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		if c.query.Get("fields") == "" {
			return nil, badRequest("The 'fields' parameter is required for this method.")
		}
		page, next, err := paginate(c, f.comments, c.size("pageSize", 20, 100))
		return withNext(map[string]any{"kind": "drive#commentList", "comments": append([]map[string]any{}, page...)}, next), err
	})
	handle("drive.comments.create", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		made, in, err := comment(c)
		if err != nil {
			return nil, err
		}
		made["resolved"], made["quotedFileContent"], made["replies"] = false, in["quotedFileContent"], []any{}
		f.comments = append([]map[string]any{made}, f.comments...)
		return made, nil
	})
	handle("drive.replies.create", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		for _, to := range f.comments {
			if to["id"] != c.path["commentId"] {
				continue
			}
			made, in, err := comment(c)
			if err != nil {
				return nil, err
			}
			if action, _ := in["action"].(string); action == "resolve" || action == "reopen" {
				made["action"], to["resolved"] = action, action == "resolve"
			}
			to["replies"] = append(to["replies"].([]any), made)
			return made, nil
		}
		return nil, notFound("Comment")
	})
}

// NewFile is a file that somebody puts into a person's Drive.
type NewFile struct {
	Name, MimeType string
	Content        []byte
	Target         string // of a shortcut
	SharedDrive    bool   // in the shared drive, not in the person's own
	Owner          string // somebody else, who shares it with the person
	Parent         string // id of the folder
}

// AddFile adds a file to a person's Drive and returns its id.
func (s *Server) AddFile(email string, in NewFile) string {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &file{ID: u.next("f"), Name: in.Name, MimeType: in.MimeType, content: in.Content, target: in.Target, owner: in.Owner, Modified: s.now().UTC().Add(-time.Hour)}
	if in.SharedDrive {
		f.drive = "0AFakeDrive"
	}
	if in.Parent != "" {
		f.Parents = []string{in.Parent}
	}
	u.files = append(u.files, f)
	return f.ID
}
