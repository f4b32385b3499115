package drive

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/api/drive/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxComment = 2_000
	maxReplies = 50
	// commentFields: Drive wants a mask for comments.
	commentFields = "id,content,author(displayName),createdTime,resolved,quotedFileContent/value,replies(content,author(displayName),createdTime,action,deleted),deleted"
)

type commentsInput struct {
	FileID    string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type commentsOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Comments      []comment         `json:"comments"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type comment struct {
	ID       string  `json:"comment_id"`
	Author   string  `json:"author"`
	Created  string  `json:"created"` // RFC 3339 in UTC
	Text     string  `json:"text"`
	Quoted   string  `json:"quoted,omitempty"` // what of the file it is about
	Resolved bool    `json:"resolved"`
	Replies  []reply `json:"replies"`
	More     bool    `json:"more_replies,omitempty"`
}

type reply struct {
	Author  string `json:"author"`
	Created string `json:"created"`
	Text    string `json:"text,omitempty"`
	Action  string `json:"action,omitempty"` // resolve, reopen
}

func (d *Drive) comments(ctx context.Context, in commentsInput) (tool.Output[commentsOutput], error) {
	var out tool.Output[commentsOutput]
	id, err := fileid.Parse("file_id", in.FileID)
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
	call := service.Comments.List(id).PageSize(int64(in.PageSize)).Fields("nextPageToken", "comments("+commentFields+")").Context(ctx)
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("reading comments", err)
	}
	v := commentsOutput{Account: s.Account, Notice: content.Notice, Comments: []comment{}, NextPageToken: page.NextPageToken}
	for _, c := range page.Comments {
		if !c.Deleted {
			v.Comments = append(v.Comments, commentOf(c))
		}
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

func commentOf(c *drive.Comment) comment {
	out := comment{ID: c.Id, Author: author(c.Author), Created: c.CreatedTime, Text: short(c.Content), Resolved: c.Resolved, Replies: []reply{}}
	if c.QuotedFileContent != nil {
		out.Quoted = short(c.QuotedFileContent.Value)
	}
	for _, r := range c.Replies {
		if len(out.Replies) == maxReplies {
			out.More = true
			break
		}
		if !r.Deleted {
			out.Replies = append(out.Replies, reply{author(r.Author), r.CreatedTime, short(r.Content), r.Action})
		}
	}
	return out
}

func author(u *drive.User) string {
	if u == nil {
		return ""
	}
	return content.Line(u.DisplayName, maxOwner)
}

func short(s string) string {
	part, _, more := content.Cut(content.Clean(s), 0, maxComment)
	if more {
		part += "…"
	}
	return part
}

func (o commentsOutput) text() string {
	var list strings.Builder
	for _, c := range o.Comments {
		state := ""
		if c.Resolved {
			state = " (resolved)"
		}
		fmt.Fprintf(&list, "- %s | %s%s | comment_id %s\n%s\n", c.Created, c.Author, state, c.ID, content.Under(c.Text))
		for _, r := range c.Replies {
			fmt.Fprintf(&list, "- answer | %s | %s | %s\n%s\n", r.Created, r.Author, r.Action, content.Under(r.Text))
		}
	}
	return content.List(fmt.Sprintf("%s in %s", content.Count(len(o.Comments), "comment", "comments"), o.Account.Email), list.String(), o.NextPageToken)
}

type commentInput struct {
	FileID    string `json:"file_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Text      string `json:"text,omitempty" limit:"maxlen=2000"`
	CommentID string `json:"comment_id,omitempty" jsonschema:"answer this one" limit:"maxlen=100"`
	Action    string `json:"action,omitempty" enum:"resolve,reopen" jsonschema:"with comment_id"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type commentOutput struct {
	Account   googleapi.Account `json:"account"`
	FileID    string            `json:"file_id"`
	CommentID string            `json:"comment_id"`
	Action    string            `json:"action,omitempty"`
}

// mayAddress reports whether a comment may be written, and what is not allowed
// otherwise. Where only some may be reached, every run of characters that can stand
// in an address (RFC 5322 §3.2.3, RFC 6532 §3.2) and has an "@" must be one that
// reaches these: of several in one, nobody knows which Google takes.
func mayAddress(p policy.Policy, text string) (what string, ok bool) {
	if !p.MaySend() {
		return "comments, because Google sends mail about them", false
	}
	if len(p.RecipientDomains) == 0 {
		return "", true
	}
	for _, run := range strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"(),:;<>[\\]", r)
	}) {
		a := strings.Trim(run, "+@.!?'*")
		if strings.Contains(a, "@") && (strings.Count(a, "@") != 1 || !p.Reaches(a)) {
			return "to address " + content.Line(a, maxName), false
		}
	}
	return "", true
}

// comment writes where others read and are sent mail, so the person sees it first.
// Google tells whom a comment names by "+address" or "@address", so a policy on
// recipients holds for these.
func (d *Drive) comment(ctx context.Context, in commentInput) (tool.Output[commentOutput], error) {
	var out tool.Output[commentOutput]
	id, err := fileid.Parse("file_id", in.FileID)
	if err != nil {
		return out, err
	}
	if in.Text = strings.TrimSpace(content.Clean(in.Text)); in.Text == "" && in.Action == "" {
		return out, tool.Invalid("Give text, or comment_id and action.")
	}
	if in.Action != "" && in.CommentID == "" {
		return out, tool.Invalid("action goes with comment_id.")
	}
	if strings.Trim(in.CommentID, commentLetters) != "" {
		return out, tool.Invalid("comment_id is not one of drive_comments_list.")
	}
	if a, ok := mayAddress(policy.From(ctx), in.Text); !ok {
		return out, &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow " + a + "; nothing was written.", NextAction: "Tell the person."}
	}
	service, s, err := d.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := googleapi.MayWrite(ctx, service, s.Account, id); err != nil {
		return out, err
	}
	f, err := service.Files.Get(id).SupportsAllDrives(true).Fields("id,name").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading file", err)
	}
	what := "Write this comment"
	if in.CommentID != "" {
		what = "Write this answer to a comment"
	}
	if in.Action != "" {
		what = strings.ToUpper(in.Action[:1]) + in.Action[1:] + " a comment"
	}
	question := fmt.Sprintf("%s as %s? Everybody with access to the file can read it and may get a mail.\nFile:\n%s", what, s.Account.Email, content.Mark(content.Line(f.Name, maxName)))
	if in.Text != "" {
		question += "\nText:\n" + content.Mark(in.Text)
	}
	if err := elicit.Confirm(ctx, elicit.Act{Question: question, Binding: f.Id}); err != nil {
		return out, err
	}
	v := commentOutput{Account: s.Account, FileID: f.Id, CommentID: in.CommentID, Action: in.Action}
	if in.CommentID == "" {
		c, doErr := service.Comments.Create(f.Id, &drive.Comment{Content: in.Text}).Fields("id").Context(ctx).Do()
		if err = doErr; err == nil {
			v.CommentID = c.Id
		}
	} else {
		_, err = service.Replies.Create(f.Id, in.CommentID, &drive.Reply{Content: in.Text, Action: in.Action}).Fields("id").Context(ctx).Do()
	}
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("commenting", err), "Google did not answer: the comment may have been written.", "Look with drive_comments_list before you try again.")
	}
	out.Value = v
	out.Text = fmt.Sprintf("Commented on file %s as %s (comment_id %s).", f.Id, s.Account.Email, v.CommentID)
	return out, nil
}

const commentLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
