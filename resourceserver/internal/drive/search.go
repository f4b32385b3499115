package drive

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/drive/v3"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	readonly    = "https://www.googleapis.com/auth/drive.readonly"
	servicePath = "drive/v3/"
	defaultPage = 20
	maxName     = 300
	maxOwner    = 200
)

// Tools returns the Drive tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	d := &product{api: api}
	search, err := tool.New(tool.Description{
		Name: "drive_search", Title: "Search Drive",
		Description: "Find files in Drive and shared drives. With a query the best matches first, else the newest.",
		Scopes:      oauth.NewScopes("drive.read"), Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, d.search)
	if err != nil {
		return nil, err
	}
	return []*tool.Tool{search}, nil
}

type product struct{ api *googleapi.API }

type searchInput struct {
	Query         string `json:"query,omitempty" jsonschema:"words in name or text" limit:"maxlen=500"`
	Name          string `json:"name,omitempty" limit:"maxlen=300"`
	Type          string `json:"type,omitempty" jsonschema:"document, spreadsheet, presentation, form, folder, pdf or a MIME type" limit:"maxlen=120"`
	FolderID      string `json:"folder_id,omitempty" jsonschema:"only directly in this folder" limit:"maxlen=120"`
	ModifiedAfter string `json:"modified_after,omitempty" jsonschema:"RFC 3339 time or date" limit:"maxlen=40"`
	PageSize      int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken     string `json:"page_token,omitempty" jsonschema:"next_page_token; the rest must stay the same" limit:"maxlen=2000"`
	Account       string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type searchOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Files         []file            `json:"files"`
	Incomplete    bool              `json:"incomplete"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type file struct {
	ID       string `json:"file_id"`
	Name     string `json:"name"`
	Type     string `json:"mime_type"`
	Modified string `json:"modified" jsonschema:"RFC 3339 in UTC"`
	Owner    string `json:"owner,omitempty"`
	Size     int64  `json:"size,omitempty" jsonschema:"bytes; absent for Google's own formats"`
	Shared   bool   `json:"shared"`
	Link     string `json:"link,omitempty"`
}

var types = map[string]string{
	"document":     "application/vnd.google-apps.document",
	"spreadsheet":  "application/vnd.google-apps.spreadsheet",
	"presentation": "application/vnd.google-apps.presentation",
	"form":         "application/vnd.google-apps.form",
	"folder":       "application/vnd.google-apps.folder",
	"pdf":          "application/pdf",
}

func (d *product) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	query, err := in.driveQuery()
	if err != nil {
		return out, err
	}
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	s, err := d.api.Open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	service, err := drive.NewService(ctx, s.Options(servicePath)...)
	if err != nil {
		return out, fmt.Errorf("making Drive client: %w", err)
	}
	call := service.Files.List().Q(query).PageSize(int64(in.PageSize)).IncludeItemsFromAllDrives(true).SupportsAllDrives(true).
		Fields("nextPageToken", "incompleteSearch", "files(id,name,mimeType,modifiedTime,size,shared,webViewLink,owners(displayName,emailAddress))").Context(ctx)
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
		out.Value.Files = append(out.Value.Files, file{
			ID: f.Id, Name: content.Line(f.Name, maxName), Type: content.Line(f.MimeType, maxName), Modified: f.ModifiedTime, Owner: owner(f),
			Size: f.Size, Shared: f.Shared, Link: f.WebViewLink,
		})
	}
	out.Text = out.Value.text()
	return out, nil
}

func owner(f *drive.File) string {
	if len(f.Owners) == 0 { // files of shared drives have none
		return ""
	}
	o := f.Owners[0]
	if o.EmailAddress == "" {
		return content.Line(o.DisplayName, maxOwner)
	}
	return content.Line(o.DisplayName+" <"+o.EmailAddress+">", maxOwner)
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
	var b strings.Builder
	fmt.Fprintf(&b, "%d files in %s. %s\n", len(o.Files), o.Account.Email, content.Notice)
	for _, f := range o.Files {
		fmt.Fprintf(&b, "- %s | %s | %s | file_id %s\n", f.Name, f.Type, f.Modified, f.ID)
	}
	if o.Incomplete {
		b.WriteString("Google could not search everywhere: narrow the search.\n")
	}
	if o.NextPageToken != "" {
		fmt.Fprintf(&b, "More: page_token %s\n", o.NextPageToken)
	}
	return b.String()
}
