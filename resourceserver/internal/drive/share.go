package drive

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/drive/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

type shareInput struct {
	FileID  string   `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	With    []string `json:"with" jsonschema:"e-mail addresses" limit:"maxitems=20"`
	Role    string   `json:"role" enum:"reader,commenter,writer"`
	Silent  bool     `json:"silent,omitempty" jsonschema:"send no mail about it"`
	Account string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type shareOutput struct {
	Account googleapi.Account `json:"account"`
	FileID  string            `json:"file_id"`
	Shared  []string          `json:"shared_with"`
	Role    string            `json:"role"`
	URL     string            `json:"url,omitempty"`
}

// share lets people at a file, after the person has confirmed who and which.
func (d *Drive) share(ctx context.Context, in shareInput) (tool.Output[shareOutput], error) {
	var out tool.Output[shareOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	people, err := addresses(in.With)
	if err != nil {
		return out, err
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	allowed := policy.From(ctx)
	var outside []string
	for _, a := range people {
		if !allowed.Reaches(a) {
			return out, blocked("sharing with " + a)
		}
		if !allowed.MaySend() && !in.Silent { // the mail says what the model chose
			return out, blocked("mail to " + a + ", which Drive would send without silent")
		}
		if !policy.SameOrganization(s.Account.Email, a) {
			outside = append(outside, a)
		}
	}
	if len(outside) > 0 && !allowed.MayShareOutside() {
		return out, blocked("sharing outside of the organization, with " + outside[0])
	}
	f, err := service.Files.Get(id).SupportsAllDrives(true).Fields("id,name,mimeType,webViewLink").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading file", err)
	}
	if err := elicit.Confirm(ctx, elicit.Act{Question: question(s.Account.Email, f, people, outside, in), Binding: f.Id}); err != nil {
		return out, err
	}
	v := shareOutput{Account: s.Account, FileID: f.Id, Shared: []string{}, Role: in.Role, URL: f.WebViewLink}
	for _, a := range people {
		call := service.Permissions.Create(f.Id, &drive.Permission{Type: "user", Role: in.Role, EmailAddress: a}).SupportsAllDrives(true).SendNotificationEmail(!in.Silent).Fields("id")
		if _, err := call.Context(ctx).Do(); err != nil {
			err = googleapi.Error("sharing file", err)
			if len(v.Shared) > 0 {
				err = partly(err, v.Shared)
			}
			return out, tool.Doubtful(err, "Google did not answer: the file may have been shared with "+a+".", "Look with drive_get_file before you try again.")
		}
		v.Shared = append(v.Shared, a)
	}
	out.Value = v
	out.Text = fmt.Sprintf("Shared file %s of %s with %s as %s. %s", f.Id, s.Account.Email, strings.Join(v.Shared, ", "), in.Role, f.WebViewLink)
	return out, nil
}

func blocked(what string) *tool.Error {
	return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow " + what + "; nothing was shared.", NextAction: "Tell the person."}
}

// partly says with whom the file is shared already when the rest failed.
func partly(err error, done []string) error {
	if e, ok := err.(*tool.Error); ok {
		e.Message = "Shared with " + strings.Join(done, ", ") + ", then it failed: " + e.Message
	}
	return err
}

// addresses reads bare addresses, each once.
func addresses(list []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		a, err := content.Address("with", s)
		if err != nil {
			return nil, err
		}
		if !seen[strings.ToLower(a)] {
			seen[strings.ToLower(a)], out = true, append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, tool.Invalid("Give with: at least one e-mail address.")
	}
	return out, nil
}

// question is what the person confirms; the file's name is the only text of
// others in it, and marked.
func question(account string, f *drive.File, people, outside []string, in shareInput) string {
	var b strings.Builder
	may := map[string]string{"reader": "read", "commenter": "read and comment on", "writer": "read and change"}[in.Role]
	what := "file"
	if f.MimeType == folderType {
		what = "folder and everything in it"
	}
	fmt.Fprintf(&b, "Let these people %s a %s of %s?\nWith: %s\n", may, what, account, content.AllShown(people))
	if len(outside) > 0 {
		fmt.Fprintf(&b, "OUTSIDE of the organization: %s\n", content.AllShown(outside))
	}
	if in.Silent {
		b.WriteString("They get no mail about it.\n")
	}
	b.WriteString("Name:\n" + content.Mark(content.Line(f.Name, maxName)))
	return b.String()
}
