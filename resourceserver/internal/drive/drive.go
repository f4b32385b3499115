package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/api/drive/v3"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
	"latchkey/resourceserver/internal/upload"
)

const (
	google   = "https://www.googleapis.com/auth/"
	readonly = google + "drive.readonly"
	own      = google + "drive.file"
	writing  = google + "drive"

	servicePath = "drive/v3/"
	host        = "https://www.googleapis.com/"
	defaultPage = 20
	maxName     = 300
	maxOwner    = 200
)

// Links makes links to files that a person opens; *download.Links is one.
type Links interface {
	Make(ctx context.Context, account, file string) (link string, until time.Time, err error)
}

// Uploads makes links by which a person sends a file; *upload.Links is one.
type Uploads interface {
	Make(ctx context.Context, account string, t upload.Target) (link string, until time.Time, err error)
}

// Drive makes the tools, and serves the files of their links. Every field is
// required.
type Drive struct {
	API     *googleapi.API
	Links   Links
	Uploads Uploads
	Files   *filetext.Reader
}

// Tools returns the Drive tools.
func (d *Drive) Tools() ([]*tool.Tool, error) {
	if d.API == nil || d.Links == nil || d.Uploads == nil || d.Files == nil {
		return nil, errors.New("the Drive tools need Google's API, links and who reads files")
	}
	read, files, write := oauth.NewScopes("drive.read"), oauth.NewScopes("drive.files"), oauth.NewScopes("drive.write")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "drive_search", Title: "Search Drive",
		Description: "Find files. With a query the best matches first, else the newest.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, d.search)
	tool.Add(&s, tool.Description{
		Name: "drive_get_file", Title: "Get a file's details",
		Description: "Get a file's type, size, owner, folder and who has access.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, d.get)
	tool.Add(&s, tool.Description{
		Name: FileTool, Title: "Read a file",
		Description: "Read a file as text: Docs as Markdown, Sheets as CSV, Slides, PDF, Office, text. Others: a download link.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, d.read)
	tool.Add(&s, tool.Description{
		Name: "drive_create_file", Title: "Create a file",
		Description: "Create a Google document from Markdown, a text file, an empty spreadsheet or a folder.",
		Scopes:      files, Google: oauth.NewScopes(own), Also: oauth.NewScopes(writing), Hints: tool.Create,
	}, d.create)
	tool.Add(&s, tool.Description{
		Name: UploadTool, Title: "Upload a file",
		Description: "Make a short-lived link by which the person uploads a file of any kind, once, up to 100 MB.",
		Scopes:      files, Google: oauth.NewScopes(own), Also: oauth.NewScopes(writing), Hints: tool.Create, Tier: tool.Extended,
	}, d.uploadLink)
	tool.Add(&s, tool.Description{
		Name: "drive_update", Title: "Rename, move or trash a file",
		Description: "Rename, describe, move, trash or restore a file. Nothing is deleted for good.",
		Scopes:      write, Google: oauth.NewScopes(writing), Hints: tool.Change, Tier: tool.Extended,
	}, d.update)
	tool.Add(&s, tool.Description{
		Name: "drive_copy", Title: "Copy a file",
		Description: "Copy a file, perhaps under another name into another folder.",
		Scopes:      write, Google: oauth.NewScopes(writing), Hints: tool.Create, Tier: tool.Extended,
	}, d.copy)
	tool.Add(&s, tool.Description{
		Name: "drive_share", Title: "Share a file",
		Description: "Share a file with people; the person confirms. Links for everybody are not offered.",
		Scopes:      write, Google: oauth.NewScopes(writing), Hints: tool.Send, Tier: tool.Extended, Asks: true,
	}, d.share)
	tool.Add(&s, tool.Description{
		Name: "drive_shared_drives_list", Title: "List shared drives",
		Description: "List the shared drives of the account, for drive_id of drive_search.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, d.drives)
	tool.Add(&s, tool.Description{
		Name: "drive_comments_list", Title: "Read comments",
		Description: "Read the comments on a file with their replies, newest first.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, d.comments)
	tool.Add(&s, tool.Description{
		Name: "drive_comments_add", Title: "Comment on a file",
		Description: "Comment on a file, answer a comment, resolve or reopen it; the person confirms, because others are told.",
		Scopes:      write, Google: oauth.NewScopes(writing), Hints: tool.Hints{OpenWorld: true}, Tier: tool.Extended, Asks: true,
	}, d.comment)
	tool.Add(&s, tool.Description{
		Name: "drive_revisions_list", Title: "List a file's revisions",
		Description: "List who changed a file when, the oldest first. Google leaves out older changes of Docs, Sheets and Slides.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Complete,
	}, d.revisions)
	tool.Add(&s, tool.Description{
		Name: "drive_approvals_list", Title: "List a file's approvals",
		Description: "List the reviews of a file: who asked for approval, who gave it and who declined.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Complete,
	}, d.approvals)
	return s.Tools()
}

// open returns the service for the account of the running call.
func (d *Drive) open(ctx context.Context, account string) (*drive.Service, *googleapi.Session, error) {
	s, err := d.API.Open(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	service, err := serviceOf(ctx, s)
	return service, s, err
}

func serviceOf(ctx context.Context, s *googleapi.Session) (*drive.Service, error) {
	service, err := drive.NewService(ctx, s.Options(servicePath)...)
	if err != nil {
		return nil, fmt.Errorf("making Drive client: %w", err)
	}
	return service, nil
}

// openFor returns the service that puts a new file into a folder. With drive.file
// alone Google shows an app only the folders that it made itself, so the access to
// all of Drive is used for another, where the app has it.
func (d *Drive) openFor(ctx context.Context, account, folder string) (*drive.Service, *googleapi.Session, error) {
	if folder == "" || folder == "root" {
		return d.open(ctx, account)
	}
	s, err := d.API.OpenAlso(ctx, account, writing)
	if err == nil && s == nil {
		s, err = d.API.Open(ctx, account)
	}
	if err != nil {
		return nil, nil, err
	}
	service, err := serviceOf(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	err = private(ctx, service, folder)
	var e *tool.Error
	if errors.As(err, &e) && e.Code == tool.CodeNotFound {
		e.NextAction = "Check folder_id and the account. Without drive.write only folders that were made here can be used; leave folder_id out for My Drive."
	}
	return service, s, err
}

// fields of a file that a result has.
const fields = "id,name,mimeType,modifiedTime,size,shared,webViewLink,owners(displayName,emailAddress)"

type file struct {
	ID       string `json:"file_id"`
	Name     string `json:"name"`
	Type     string `json:"mime_type"`
	Modified string `json:"modified"` // RFC 3339 in UTC
	Owner    string `json:"owner,omitempty"`
	Size     int64  `json:"size,omitempty"` // bytes; absent for Google's own formats
	Shared   bool   `json:"shared"`
	Link     string `json:"link,omitempty"`
}

func fileOf(f *drive.File) file {
	return file{
		ID: f.Id, Name: content.Line(f.Name, maxName), Type: content.Line(f.MimeType, maxName), Modified: f.ModifiedTime, Owner: owner(f),
		Size: f.Size, Shared: f.Shared, Link: f.WebViewLink,
	}
}

func owner(f *drive.File) string {
	if len(f.Owners) == 0 { // files of shared drives have none
		return ""
	}
	return personal(f.Owners[0])
}

func personal(u *drive.User) string {
	if u == nil {
		return ""
	}
	if u.EmailAddress == "" {
		return content.Line(u.DisplayName, maxOwner)
	}
	return content.Line(u.DisplayName+" <"+u.EmailAddress+">", maxOwner)
}
