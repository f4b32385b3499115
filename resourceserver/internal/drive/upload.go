package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/drive/v3"
	apierror "google.golang.org/api/googleapi"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
	"latchkey/resourceserver/internal/upload"
)

// UploadTool is the tool whose upload links Receive serves.
const UploadTool = "drive_upload_file"

type uploadInput struct {
	Name     string `json:"name" limit:"minlen=1,maxlen=300"`
	MimeType string `json:"mime_type,omitempty" jsonschema:"default by the ending of name" limit:"maxlen=100"`
	FolderID string `json:"folder_id,omitempty" jsonschema:"id or address; default My Drive" limit:"maxlen=500"`
	Size     int64  `json:"size,omitempty" jsonschema:"bytes, if known" limit:"min=0"`
	Account  string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type uploadOutput struct {
	Account googleapi.Account `json:"account"`
	FileID  string            `json:"file_id"` // of the file to be
	Name    string            `json:"name"`
	Type    string            `json:"mime_type"`
	URL     string            `json:"upload_url"`
	Expires string            `json:"upload_expires"` // RFC 3339 in UTC
	MaxSize int64             `json:"max_bytes"`
}

// Link makes the upload link a resource link of the result.
func (o uploadOutput) Link() (uri, name, mediaType string) { return o.URL, "upload", "text/html" }

func (d *Drive) uploadLink(ctx context.Context, in uploadInput) (tool.Output[uploadOutput], error) {
	var out tool.Output[uploadOutput]
	if in.Size > upload.MaxSize {
		return out, &tool.Error{Code: tool.CodeInvalidArgument, Message: fmt.Sprintf("At most %d MB are taken here.", upload.MaxSize>>20), NextAction: "Ask the person to upload it in Google Drive."}
	}
	t := upload.Target{Name: content.Line(in.Name, maxName)}
	if t.Name == "" {
		return out, tool.Invalid("name has nothing that can be seen.")
	}
	var err error
	if t.Type, err = uploadType(in.MimeType, t.Name); err != nil {
		return out, err
	}
	if in.FolderID != "" {
		if t.Folder, err = fileid.Parse("folder_id", in.FolderID); err != nil {
			return out, err
		}
	}
	service, s, err := d.openFor(ctx, in.Account, t.Folder)
	if err != nil {
		return out, err
	}
	if t.FileID, err = reserve(ctx, service); err != nil {
		return out, err
	}
	t.Email = s.Account.Email
	link, until, err := d.Uploads.Make(ctx, s.Account.Handle, t)
	if err != nil {
		return out, err
	}
	v := uploadOutput{s.Account, t.FileID, t.Name, t.Type, link, until.UTC().Format(time.RFC3339), upload.MaxSize}
	out.Value = v
	out.Text = fmt.Sprintf("Give the person this link: until %s it uploads one file of at most %d MB to the Drive of %s. Opened in a browser it shows a form; a program sends the file by PUT: curl --upload-file FILE '%s'\nThe file will be %s.",
		v.Expires, upload.MaxSize>>20, v.Account.Email, v.URL, v.FileID)
	return out, nil
}

// uploadType is the type that a file will have. Google's own types would make
// Drive convert the file.
func uploadType(given, name string) (string, error) {
	if given == "" {
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			given = mime.TypeByExtension(strings.ToLower(name[dot:]))
		}
		given, _, _ = strings.Cut(given, ";")
		return content.MediaType(given), nil
	}
	t := content.MediaType(given)
	if t != strings.ToLower(given) {
		return "", tool.Invalid("mime_type is no media type such as application/pdf.")
	}
	if strings.HasPrefix(t, ownTypes) {
		return "", tool.Invalid("mime_type is one of Google's own, which have no file to upload. Make such a document with drive_create_file.")
	}
	return t, nil
}

// reserve gets the id of a file to be: Google makes one file under it and no more.
func reserve(ctx context.Context, service *drive.Service) (string, error) {
	ids, err := service.Files.GenerateIds().Count(1).Fields("ids").Context(ctx).Do()
	if err != nil {
		return "", googleapi.Error("reserving id", err)
	}
	if len(ids.Ids) != 1 {
		return "", errors.New("Drive gave no id")
	}
	return ids.Ids[0], nil
}

// Receive makes the file of an upload link. The folder is looked at again: it may
// have been shared since the link was made.
func (d *Drive) Receive(ctx context.Context, account string, t upload.Target, body io.Reader) error {
	service, _, err := d.openFor(ctx, account, t.Folder)
	if err != nil {
		return err
	}
	meta := &drive.File{Id: t.FileID, Name: t.Name, MimeType: t.Type}
	if t.Folder != "" {
		meta.Parents = []string{t.Folder}
	}
	_, err = service.Files.Create(meta).SupportsAllDrives(true).Media(body, apierror.ContentType(t.Type), apierror.ChunkSize(upload.Piece)).
		Fields("id").Context(googleapi.Idempotent(ctx)).Do()
	var g *apierror.Error
	if errors.As(err, &g) && g.Code == http.StatusConflict {
		return &tool.Error{Code: tool.CodeConflict, Message: "A file was already uploaded with this link. Ask the assistant for a new one to upload another."}
	}
	return googleapi.Error("uploading file", err) // the link can be used again: there is one file at most
}
