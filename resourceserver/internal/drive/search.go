package drive

import (
	"context"
	"fmt"
	"strings"
	"time"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/pdf"
	"latchkey/resourceserver/internal/tool"
)

type searchInput struct {
	Query         string `json:"query,omitempty" jsonschema:"words in name or text" limit:"maxlen=500"`
	Name          string `json:"name,omitempty" limit:"maxlen=300"`
	Type          string `json:"type,omitempty" jsonschema:"document, spreadsheet, presentation, form, folder, pdf or a MIME type" limit:"maxlen=120"`
	FolderID      string `json:"folder_id,omitempty" jsonschema:"directly in it" limit:"maxlen=500"`
	DriveID       string `json:"drive_id,omitempty" limit:"maxlen=500"`
	ModifiedAfter string `json:"modified_after,omitempty" jsonschema:"RFC 3339 time or date" limit:"maxlen=40"`
	PageSize      int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken     string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=2000"`
	Account       string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type searchOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Files         []file            `json:"files"`
	Incomplete    bool              `json:"incomplete"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

var types = map[string]string{
	"document":     "application/vnd.google-apps.document",
	"spreadsheet":  "application/vnd.google-apps.spreadsheet",
	"presentation": "application/vnd.google-apps.presentation",
	"form":         "application/vnd.google-apps.form",
	"folder":       "application/vnd.google-apps.folder",
	"pdf":          pdf.MediaType,
}

func (d *Drive) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	for _, id := range []struct {
		argument string
		value    *string
	}{{"folder_id", &in.FolderID}, {"drive_id", &in.DriveID}} {
		if *id.value != "" {
			var err error
			if *id.value, err = fileid.Parse(id.argument, *id.value); err != nil {
				return out, err
			}
		}
	}
	query, err := in.driveQuery()
	if err != nil {
		return out, err
	}
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := service.Files.List().Q(query).PageSize(int64(in.PageSize)).IncludeItemsFromAllDrives(true).SupportsAllDrives(true).
		Fields("nextPageToken", "incompleteSearch", "files("+fields+")").Context(ctx)
	if in.DriveID != "" {
		call.Corpora("drive").DriveId(in.DriveID)
	}
	if in.Query == "" { // Drive refuses to sort a full-text search
		call.OrderBy("modifiedTime desc")
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("searching files", err)
	}
	out.Value = searchOutput{Account: s.Account, Notice: content.Notice, Files: []file{}, Incomplete: page.IncompleteSearch, NextPageToken: page.NextPageToken}
	for _, f := range page.Files {
		out.Value.Files = append(out.Value.Files, fileOf(f))
	}
	out.Text = out.Value.text()
	return out, nil
}

// driveQuery writes Drive's query language. Every value is a quoted literal, so
// no argument can add a condition.
func (in searchInput) driveQuery() (string, error) {
	terms := []string{"trashed = false"}
	add := func(format, value string) {
		if value != "" {
			terms = append(terms, fmt.Sprintf(format, literal(value)))
		}
	}
	add("fullText contains %s", in.Query)
	add("name contains %s", in.Name)
	add("%s in parents", in.FolderID)
	if in.Type != "" {
		mimeType, ok := types[strings.ToLower(in.Type)]
		if !ok {
			if mimeType = in.Type; !strings.Contains(mimeType, "/") {
				return "", tool.Invalid("type must be document, spreadsheet, presentation, form, folder, pdf or a MIME type.")
			}
		}
		add("mimeType = %s", mimeType)
	}
	if in.ModifiedAfter != "" {
		t, err := time.Parse(time.RFC3339, in.ModifiedAfter)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, in.ModifiedAfter); err != nil {
				return "", tool.Invalid("modified_after must be an RFC 3339 time such as 2026-01-31T09:00:00Z, or a date such as 2026-01-31.")
			}
		}
		add("modifiedTime > %s", t.UTC().Format(time.RFC3339))
	}
	return strings.Join(terms, " and "), nil
}

// literal quotes a value: backslash and quote are escaped by a backslash
// (Drive API, "Search query terms").
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func (o searchOutput) text() string {
	var list strings.Builder
	for _, f := range o.Files {
		fmt.Fprintf(&list, "- %s | %s | %s | file_id %s\n", f.Name, f.Type, f.Modified, f.ID)
	}
	text := content.List(content.Count(len(o.Files), "file", "files")+" in "+o.Account.Email, list.String(), o.NextPageToken)
	if o.Incomplete {
		text += "\nGoogle could not search everywhere: narrow the search."
	}
	return text
}
