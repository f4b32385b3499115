package drive

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/drive/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// maxReviewers is how many reviewers of an approval are shown.
const maxReviewers = 50

type historyInput struct {
	FileID    string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

// history reads what both tools take.
func (d *Drive) history(ctx context.Context, in *historyInput) (id string, service *drive.Service, s *googleapi.Session, err error) {
	if id, err = fileid.Parse("file_id", in.FileID); err != nil {
		return "", nil, nil, err
	}
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	service, s, err = d.open(ctx, in.Account)
	return id, service, s, err
}

type revisionsOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	FileID        string            `json:"file_id"`
	Revisions     []revision        `json:"revisions"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

// revision is a state of a file that Google keeps.
type revision struct {
	ID        string `json:"revision_id"`
	Modified  string `json:"modified"` // RFC 3339 in UTC
	By        string `json:"by,omitempty"`
	Type      string `json:"mime_type,omitempty"`
	Name      string `json:"original_name,omitempty"` // of the uploaded file
	Size      int64  `json:"size,omitempty"`          // bytes; absent for Google's own formats
	Kept      bool   `json:"kept_forever,omitempty"`  // not purged after 30 days
	Published bool   `json:"published,omitempty"`     // on the web, for Google's own formats
}

// revisions lists a file's history in Google's order, which cannot be turned: the
// oldest first. Google leaves out older ones of files that are edited much.
func (d *Drive) revisions(ctx context.Context, in historyInput) (tool.Output[revisionsOutput], error) {
	var out tool.Output[revisionsOutput]
	id, service, s, err := d.history(ctx, &in)
	if err != nil {
		return out, err
	}
	call := service.Revisions.List(id).PageSize(int64(in.PageSize)).Context(ctx).
		Fields("nextPageToken", "revisions(id,modifiedTime,lastModifyingUser(displayName,emailAddress),mimeType,originalFilename,size,keepForever,published)")
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing revisions", err)
	}
	v := revisionsOutput{Account: s.Account, Notice: content.Notice, FileID: id, Revisions: []revision{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, r := range page.Revisions {
		shown := revision{
			ID: r.Id, Modified: r.ModifiedTime, By: personal(r.LastModifyingUser), Type: content.Line(r.MimeType, maxName), Name: content.Line(r.OriginalFilename, maxName),
			Size: r.Size, Kept: r.KeepForever, Published: r.Published,
		}
		v.Revisions = append(v.Revisions, shown)
		fmt.Fprintf(&list, "- %s | %s | %s | revision_id %s\n", shown.Modified, shown.By, shown.Name, shown.ID)
	}
	out.Value = v
	out.Text = content.List(fmt.Sprintf("Revisions of file %s in %s, the oldest first: %d", id, s.Account.Email, len(v.Revisions)), list.String(), v.NextPageToken)
	return out, nil
}

type approvalsOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	FileID        string            `json:"file_id"`
	Approvals     []approval        `json:"approvals"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

// approval is a review that somebody asked for. Times are RFC 3339 in UTC.
type approval struct {
	ID        string     `json:"approval_id"`
	Status    string     `json:"status"` // in_progress, approved, cancelled, declined
	By        string     `json:"requested_by,omitempty"`
	Created   string     `json:"created,omitempty"`
	Due       string     `json:"due,omitempty"`
	Completed string     `json:"completed,omitempty"`
	Reviewers []reviewer `json:"reviewers"`
	More      bool       `json:"more_reviewers,omitempty"`
}

type reviewer struct {
	Person   string `json:"person"`
	Response string `json:"response"` // no_response, approved, declined
}

func (d *Drive) approvals(ctx context.Context, in historyInput) (tool.Output[approvalsOutput], error) {
	var out tool.Output[approvalsOutput]
	id, service, s, err := d.history(ctx, &in)
	if err != nil {
		return out, err
	}
	// Without fields Google leaves the items out (Drive API, approvals.list).
	call := service.Approvals.List(id).PageSize(int64(in.PageSize)).Context(ctx).
		Fields("nextPageToken", "items(approvalId,status,createTime,dueTime,completeTime,initiator(displayName,emailAddress),reviewerResponses(response,reviewer(displayName,emailAddress)))")
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing approvals", err)
	}
	v := approvalsOutput{Account: s.Account, Notice: content.Notice, FileID: id, Approvals: []approval{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, a := range page.Items {
		shown := approvalOf(a)
		v.Approvals = append(v.Approvals, shown)
		fmt.Fprintf(&list, "- %s | %s | asked by %s | approval_id %s\n", shown.Created, shown.Status, shown.By, shown.ID)
		for _, r := range shown.Reviewers {
			fmt.Fprintf(&list, "  - %s: %s\n", r.Person, r.Response)
		}
	}
	out.Value = v
	out.Text = content.List(fmt.Sprintf("Approvals of file %s in %s: %d", id, s.Account.Email, len(v.Approvals)), list.String(), v.NextPageToken)
	return out, nil
}

func approvalOf(a *drive.Approval) approval {
	out := approval{
		ID: a.ApprovalId, Status: strings.ToLower(content.Line(a.Status, maxName)), By: personal(a.Initiator),
		Created: a.CreateTime, Due: a.DueTime, Completed: a.CompleteTime, Reviewers: []reviewer{}, More: len(a.ReviewerResponses) > maxReviewers,
	}
	for _, r := range a.ReviewerResponses[:min(len(a.ReviewerResponses), maxReviewers)] {
		out.Reviewers = append(out.Reviewers, reviewer{personal(r.Reviewer), strings.ToLower(content.Line(r.Response, maxName))})
	}
	return out
}
