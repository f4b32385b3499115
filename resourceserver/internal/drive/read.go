package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strings"
	"time"

	"google.golang.org/api/drive/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/docs"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/sheets"
	"latchkey/resourceserver/internal/slides"
	"latchkey/resourceserver/internal/tool"
)

// FileTool is the tool whose download links File serves.
const FileTool = "drive_read_file"

const (
	defaultChars = 20_000

	docType      = "application/vnd.google-apps.document"
	sheetType    = "application/vnd.google-apps.spreadsheet"
	slideType    = "application/vnd.google-apps.presentation"
	folderType   = "application/vnd.google-apps.folder"
	shortcutType = "application/vnd.google-apps.shortcut"
	ownTypes     = "application/vnd.google-apps."
)

type getInput struct {
	FileID  string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type getOutput struct {
	Account     googleapi.Account `json:"account"`
	Notice      string            `json:"notice"`
	File        file              `json:"file"`
	Created     string            `json:"created,omitempty"`
	Description string            `json:"description,omitempty"`
	FolderID    string            `json:"folder_id,omitempty"`
	DriveID     string            `json:"drive_id,omitempty"`
	Target      string            `json:"shortcut_target_id,omitempty"`
	Trashed     bool              `json:"trashed"`
	CanEdit     bool              `json:"can_edit"`
	CanShare    bool              `json:"can_share"`
	Access      []access          `json:"access"` // empty without access to share
}

type access struct {
	Who  string `json:"who"` // address, domain or "anyone"
	Role string `json:"role"`
}

const (
	details   = fields + ",createdTime,description,parents,driveId,shortcutDetails/targetId,trashed,capabilities(canEdit,canShare),permissions(type,role,emailAddress,domain)"
	maxAccess = 100
)

func (d *Drive) get(ctx context.Context, in getInput) (tool.Output[getOutput], error) {
	var out tool.Output[getOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	f, err := service.Files.Get(id).SupportsAllDrives(true).Fields(details).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading file", err)
	}
	v := getOutput{Account: s.Account, Notice: content.Notice, File: fileOf(f), Created: f.CreatedTime, Description: content.Line(f.Description, maxName), DriveID: f.DriveId, Trashed: f.Trashed, Access: []access{}}
	if len(f.Parents) > 0 {
		v.FolderID = f.Parents[0]
	}
	if f.ShortcutDetails != nil {
		v.Target = f.ShortcutDetails.TargetId
	}
	if f.Capabilities != nil {
		v.CanEdit, v.CanShare = f.Capabilities.CanEdit, f.Capabilities.CanShare
	}
	for _, p := range f.Permissions[:min(len(f.Permissions), maxAccess)] {
		who := p.EmailAddress
		if p.Type == "domain" {
			who = p.Domain
		} else if p.Type == "anyone" {
			who = "anyone"
		}
		v.Access = append(v.Access, access{content.Line(who, maxOwner), p.Role})
	}
	out.Value = v
	out.Text = fmt.Sprintf("File %s in %s. %s\n%s", f.Id, s.Account.Email, content.Notice, content.Fence(fmt.Sprintf("%s | %s | modified %s | owner %s", v.File.Name, v.File.Type, v.File.Modified, v.File.Owner)))
	return out, nil
}

type readInput struct {
	FileID    string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	MaxChars  int    `json:"max_chars,omitempty" jsonschema:"default 20000" limit:"min=500,max=30000"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=200"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type readOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	File          file              `json:"file"`
	Text          string            `json:"text,omitempty"`
	Length        int               `json:"text_length,omitempty"` // characters of all the text that can be read
	Truncated     bool              `json:"truncated"`
	Incomplete    string            `json:"incomplete,omitempty"` // why the text is not all of the file
	NextPageToken string            `json:"next_page_token,omitempty"`
	DownloadURL   string            `json:"download_url,omitempty"`
	Expires       string            `json:"download_expires,omitempty"` // RFC 3339 in UTC
}

// Link makes the download link a resource link of the result. It stands outside
// the fence, so it has no name of the owner's.
func (o readOutput) Link() (uri, name, mediaType string) {
	return o.DownloadURL, "file", content.MediaType(o.File.Type)
}

func (d *Drive) read(ctx context.Context, in readInput) (tool.Output[readOutput], error) {
	var out tool.Output[readOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	at, err := content.ParseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	f, err := d.file(ctx, service, id)
	if err != nil {
		return out, err
	}
	if f.MimeType == folderType {
		return out, tool.Invalid("This is a folder: list its files with drive_search and folder_id.")
	}
	v := readOutput{Account: s.Account, Notice: content.Notice, File: fileOf(f)}
	text, incomplete, err := d.text(ctx, s, f)
	if err != nil {
		return out, err
	}
	if !at.Fits(text) {
		return out, tool.Invalid("The file was changed since page_token was made, or it belongs to another. Read it from its beginning.")
	}
	v.Text, v.Length, v.Truncated = content.Cut(text, at.Offset, in.MaxChars)
	if v.Incomplete = incomplete; v.Truncated {
		v.NextPageToken = content.NextCursor(text, at.Offset+len([]rune(v.Text)))
	}
	if !strings.HasPrefix(f.MimeType, ownTypes) {
		link, until, err := d.Links.Make(ctx, s.Account.Handle, f.Id)
		if err != nil {
			return out, err
		}
		v.DownloadURL, v.Expires = link, until.UTC().Format(time.RFC3339)
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// file reads what reading needs to know; a shortcut leads to its target, once.
func (d *Drive) file(ctx context.Context, service *drive.Service, id string) (*drive.File, error) {
	for range 2 {
		f, err := service.Files.Get(id).SupportsAllDrives(true).Fields(fields + ",shortcutDetails/targetId").Context(ctx).Do()
		if err != nil {
			return nil, googleapi.Error("reading file", err)
		}
		if f.MimeType != shortcutType || f.ShortcutDetails == nil {
			return f, nil
		}
		if id, err = fileid.Parse("file_id", f.ShortcutDetails.TargetId); err != nil {
			return nil, err
		}
	}
	return nil, &tool.Error{Code: tool.CodeNotFound, Message: "This shortcut leads to another shortcut.", NextAction: "Take the id of the file itself."}
}

// text reads a file's text. incomplete says what is missing, also if it is all.
func (d *Drive) text(ctx context.Context, s *googleapi.Session, f *drive.File) (text, incomplete string, err error) {
	switch f.MimeType {
	case docType:
		text, err = docs.Markdown(ctx, s, f.Id)
		return text, "", err
	case sheetType:
		text, cut, err := sheets.CSV(ctx, s, f.Id)
		if cut {
			incomplete = "The spreadsheet is larger than what is read here: read ranges with sheets_read."
		}
		return text, incomplete, err
	case slideType:
		text, err = slides.Text(ctx, s, f.Id)
		return text, "", err
	}
	if strings.HasPrefix(f.MimeType, ownTypes) {
		return "", "Files of this type have no text here; the person can open it in Drive.", nil
	}
	return d.Files.Text(ctx, filetext.File{Name: f.Name, Type: f.MimeType, Size: f.Size, Fetch: func(ctx context.Context, max int64) ([]byte, string, error) {
		return fetch(ctx, s, f.Id, max)
	}})
}

// fetch downloads a file that is not larger than max, whatever Drive said of it.
func fetch(ctx context.Context, s *googleapi.Session, id string, max int64) (b []byte, charset string, err error) {
	resp, err := s.Download(ctx, host, servicePath+"files/"+url.PathEscape(id)+"?alt=media&supportsAllDrives=true")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err = io.ReadAll(io.LimitReader(resp.Body, max+1))
	if err != nil {
		return nil, "", googleapi.Error("reading file", err)
	}
	if int64(len(b)) > max {
		return nil, "", &tool.Error{Code: tool.CodeTooLarge, Message: "The file is larger than Drive said.", NextAction: "Give the person the link of drive_get_file."}
	}
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		charset = params["charset"]
	}
	return b, charset, nil
}

func (o readOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "File %s in %s. %s\n", o.File.ID, o.Account.Email, content.Notice)
	b.WriteString(content.Fence("Name: " + o.File.Name + "\n\n" + o.Text))
	if o.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", o.NextPageToken)
	}
	if o.Incomplete != "" {
		b.WriteString("\n" + o.Incomplete)
	}
	if o.DownloadURL != "" {
		fmt.Fprintf(&b, "\nThe person can download it until %s from %s", o.Expires, o.DownloadURL)
	}
	return b.String()
}

// File opens the file of a download link.
func (d *Drive) File(ctx context.Context, account, id string) (*download.File, error) {
	if _, err := fileid.Parse("file_id", id); err != nil {
		return nil, errors.New("a download link names no file")
	}
	service, s, err := d.open(ctx, account)
	if err != nil {
		return nil, err
	}
	f, err := service.Files.Get(id).SupportsAllDrives(true).Fields("name").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading file", err)
	}
	resp, err := s.Download(ctx, host, servicePath+"files/"+url.PathEscape(id)+"?alt=media&supportsAllDrives=true")
	if err != nil {
		return nil, err
	}
	return &download.File{Name: f.Name, Body: resp.Body}, nil
}
