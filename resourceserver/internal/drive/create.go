package drive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/api/drive/v3"
	apierror "google.golang.org/api/googleapi"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/docs"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type createInput struct {
	Name     string `json:"name" limit:"minlen=1,maxlen=300"`
	Type     string `json:"type,omitempty" enum:"document,text,markdown,csv,json,spreadsheet,folder" jsonschema:"default document"`
	Text     string `json:"text,omitempty" jsonschema:"content; Markdown for a document" limit:"maxlen=100000"`
	FolderID string `json:"folder_id,omitempty" jsonschema:"id or address; default My Drive" limit:"maxlen=500"`
	Account  string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type fileOutput struct {
	Account googleapi.Account `json:"account"`
	Notice  string            `json:"notice"`
	File    file              `json:"file"`
	Trashed bool              `json:"trashed,omitempty"`
	Placed  string            `json:"placed,omitempty"` // where a copy is
}

// made are the media types of what can be made.
var made = map[string]string{
	"": docType, "document": docType, "spreadsheet": sheetType, "folder": folderType,
	"text": "text/plain", "markdown": "text/markdown", "csv": "text/csv", "json": "application/json",
}

func (d *Drive) create(ctx context.Context, in createInput) (tool.Output[fileOutput], error) {
	var out tool.Output[fileOutput]
	mediaType := made[in.Type]
	if in.Text != "" && (mediaType == sheetType || mediaType == folderType) {
		return out, tool.Invalid("A %s is made empty: leave text out.", in.Type)
	}
	meta := &drive.File{Name: content.Line(in.Name, maxName), MimeType: mediaType}
	folder := ""
	if in.FolderID != "" {
		var err error
		if folder, err = fileid.Parse("folder_id", in.FolderID); err != nil {
			return out, err
		}
		meta.Parents = []string{folder}
	}
	service, s, err := d.openFor(ctx, in.Account, folder)
	if err != nil {
		return out, err
	}
	var f *drive.File
	if strings.HasPrefix(mediaType, ownTypes) {
		f, err = service.Files.Create(meta).SupportsAllDrives(true).Fields(fields).Context(ctx).Do()
		err = tool.Doubtful(googleapi.Error("creating file", err), "Google did not answer: the file may have been made.", "Look for it with drive_search before you try again.")
	} else {
		f, err = store(ctx, service, meta, in.Text)
	}
	if err != nil {
		return out, err
	}
	if mediaType == docType {
		if err := docs.Fill(ctx, s, f.Id, in.Text); err != nil {
			var e *tool.Error
			if errors.As(err, &e) {
				e.Retryable = false
				if e.Code == tool.CodeUnavailable || e.Code == tool.CodeTimeout {
					e.Message = "The document was made, but Google did not answer while it was filled: it may be empty or complete."
					e.NextAction = "Look with docs_get, document_id " + f.Id + ", before you write into it."
				} else {
					e.Message = "The document was made, but it is empty: " + e.Message
					e.NextAction = "Write into it with docs_edit, document_id " + f.Id + "."
				}
			}
			return out, err
		}
	}
	return result(s.Account, f, "Created"), nil
}

// store makes a file with content, once, under an id from Google: a repetition
// finds the id in use.
func store(ctx context.Context, service *drive.Service, meta *drive.File, text string) (*drive.File, error) {
	id, err := reserve(ctx, service)
	if err != nil {
		return nil, err
	}
	meta.Id = id
	f, err := service.Files.Create(meta).SupportsAllDrives(true).Media(strings.NewReader(text), apierror.ContentType(meta.MimeType+"; charset=utf-8")).Fields(fields).Context(googleapi.Idempotent(ctx)).Do()
	var g *apierror.Error
	if errors.As(err, &g) && g.Code == http.StatusConflict {
		f, err = service.Files.Get(meta.Id).SupportsAllDrives(true).Fields(fields).Context(ctx).Do()
	}
	if err != nil {
		return nil, tool.Doubtful(googleapi.Error("creating file", err), "Google did not answer: the file may have been made.", "Look for it with drive_search before you try again.")
	}
	return f, nil
}

func result(account googleapi.Account, f *drive.File, done string) tool.Output[fileOutput] {
	v := fileOutput{Account: account, Notice: content.Notice, File: fileOf(f), Trashed: f.Trashed}
	return tool.Output[fileOutput]{Value: v, Text: fmt.Sprintf("%s file %s in %s. %s\n%s", done, f.Id, account.Email, f.WebViewLink, content.Fence("Name: "+v.File.Name))}
}
