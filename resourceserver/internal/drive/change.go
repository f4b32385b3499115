package drive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/api/drive/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type updateInput struct {
	FileID      string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Name        string `json:"name,omitempty" limit:"maxlen=300"`
	Description string `json:"description,omitempty" limit:"maxlen=2000"`
	FolderID    string `json:"folder_id,omitempty" jsonschema:"move here" limit:"maxlen=500"`
	Trash       string `json:"trash,omitempty" enum:"trash,restore"`
	Account     string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

func (d *Drive) update(ctx context.Context, in updateInput) (tool.Output[fileOutput], error) {
	var out tool.Output[fileOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	folder := ""
	if in.FolderID != "" {
		if folder, err = fileid.Parse("folder_id", in.FolderID); err != nil {
			return out, err
		}
	}
	if in.Name == "" && in.Description == "" && folder == "" && in.Trash == "" {
		return out, tool.Invalid("Give what to change: name, description, folder_id or trash.")
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := private(ctx, service, folder); err != nil {
		return out, err
	}
	if in.Name != "" || in.Description != "" {
		if err := googleapi.MayWrite(ctx, service, s.Account, id); err != nil {
			return out, err
		}
	}
	meta := &drive.File{Name: content.Line(in.Name, maxName), Description: content.Clean(in.Description), Trashed: in.Trash == "trash"}
	if in.Trash == "restore" {
		meta.ForceSendFields = []string{"Trashed"}
	}
	call := service.Files.Update(id, meta).SupportsAllDrives(true).Fields(fields + ",trashed")
	if folder != "" {
		f, err := service.Files.Get(id).SupportsAllDrives(true).Fields("parents").Context(ctx).Do()
		if err != nil {
			return out, googleapi.Error("reading file", err)
		}
		call.AddParents(folder)
		if len(f.Parents) > 0 {
			call.RemoveParents(strings.Join(f.Parents, ","))
		}
	}
	f, err := call.Context(googleapi.Idempotent(ctx)).Do()
	if err != nil {
		return out, googleapi.Error("changing file", err)
	}
	return result(s.Account, f, "Changed"), nil
}

// private refuses to put a file into a folder that others can see or that is not
// the person's: what is in it inherits who has access (Drive API, "Share files"),
// so that would be drive_share without its policies and without its question.
func private(ctx context.Context, service *drive.Service, folder string) error {
	if folder == "" || folder == "root" { // My Drive, which is the person's and cannot be shared
		return nil
	}
	f, err := service.Files.Get(folder).SupportsAllDrives(true).Fields("mimeType,shared,ownedByMe,driveId").Context(ctx).Do()
	if err != nil {
		return googleapi.Error("reading folder", err)
	}
	if f.MimeType != folderType {
		return tool.Invalid("folder_id is not a folder.")
	}
	if f.Shared || !f.OwnedByMe || f.DriveId != "" {
		return &tool.Error{Code: tool.CodePolicy, Message: "Others can see that folder; putting a file there would share it; nothing was changed.",
			NextAction: "Tell the person; they can do it in Google Drive. To let single people see a file, use drive_share, which asks the person."}
	}
	return nil
}

type copyInput struct {
	FileID   string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Name     string `json:"name,omitempty" limit:"maxlen=300"`
	FolderID string `json:"folder_id,omitempty" jsonschema:"default: beside the original if that folder is the person's alone, else My Drive" limit:"maxlen=500"`
	Account  string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

func (d *Drive) copy(ctx context.Context, in copyInput) (tool.Output[fileOutput], error) {
	var out tool.Output[fileOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	meta := &drive.File{Name: content.Line(in.Name, maxName)}
	folder := ""
	if in.FolderID != "" {
		if folder, err = fileid.Parse("folder_id", in.FolderID); err != nil {
			return out, err
		}
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	placed := "into the folder of folder_id"
	if folder != "" {
		err = private(ctx, service, folder)
	} else if folder, err = beside(ctx, service, id); folder == "root" {
		placed = "in My Drive, because a copy beside the original cannot be made or others could see it there"
	} else {
		placed = "beside the original"
	}
	if err != nil {
		return out, err
	}
	meta.Parents = []string{folder}
	f, err := service.Files.Copy(id, meta).SupportsAllDrives(true).Fields(fields).Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("copying file", err), "Google did not answer: the copy may have been made.", "Look for it with drive_search before you try again.")
	}
	out = result(s.Account, f, "Copied to")
	out.Value.Placed = placed
	out.Text = "The copy is " + placed + ". " + out.Text
	return out, nil
}

// beside is the folder of a file if the person may write there and nobody else sees
// it, else their My Drive. Google would take the file's folder whoever sees it.
func beside(ctx context.Context, service *drive.Service, id string) (string, error) {
	f, err := service.Files.Get(id).SupportsAllDrives(true).Fields("parents").Context(ctx).Do()
	if err != nil {
		return "", googleapi.Error("reading file", err)
	}
	if len(f.Parents) == 0 { // a file of others, whose folder the person does not see
		return "root", nil
	}
	parent, err := service.Files.Get(f.Parents[0]).SupportsAllDrives(true).Fields("id,shared,ownedByMe,driveId,capabilities/canAddChildren").Context(ctx).Do()
	if err != nil {
		if err = googleapi.Error("reading folder", err); code(err) == tool.CodeNotFound || code(err) == tool.CodePermissionDenied {
			return "root", nil
		}
		return "", err
	}
	if parent.Shared || !parent.OwnedByMe || parent.DriveId != "" || parent.Capabilities == nil || !parent.Capabilities.CanAddChildren {
		return "root", nil
	}
	return parent.Id, nil
}

func code(err error) tool.Code {
	var e *tool.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

type drivesInput struct {
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type drivesOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Drives        []sharedDrive     `json:"drives"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type sharedDrive struct {
	ID   string `json:"drive_id"`
	Name string `json:"name"`
}

func (d *Drive) drives(ctx context.Context, in drivesInput) (tool.Output[drivesOutput], error) {
	var out tool.Output[drivesOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := service.Drives.List().PageSize(int64(in.PageSize)).Fields("nextPageToken", "drives(id,name)").Context(ctx)
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing shared drives", err)
	}
	v := drivesOutput{Account: s.Account, Notice: content.Notice, Drives: []sharedDrive{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, one := range page.Drives {
		v.Drives = append(v.Drives, sharedDrive{one.Id, content.Line(one.Name, maxName)})
		fmt.Fprintf(&list, "- %s | drive_id %s\n", content.Line(one.Name, maxName), one.Id)
	}
	out.Value = v
	out.Text = content.List(fmt.Sprintf("%s of %s", content.Count(len(v.Drives), "shared drive", "shared drives"), s.Account.Email), list.String(), v.NextPageToken)
	return out, nil
}
