package gmail

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type manageInput struct {
	Action    string   `json:"action" enum:"list,get,update"`
	DraftID   string   `json:"draft_id,omitempty" limit:"maxlen=100"`
	To        []string `json:"to,omitempty" limit:"maxitems=100"`
	Cc        []string `json:"cc,omitempty" limit:"maxitems=100"`
	Bcc       []string `json:"bcc,omitempty" limit:"maxitems=100"`
	Subject   string   `json:"subject,omitempty" limit:"maxlen=300"`
	Text      string   `json:"text,omitempty" jsonschema:"the whole new text" limit:"maxlen=100000"`
	PageSize  int      `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string   `json:"page_token,omitempty" limit:"maxlen=500"`
	Account   string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type manageOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Drafts        []draftEntry      `json:"drafts"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type draftEntry struct {
	ID       string   `json:"draft_id"`
	ThreadID string   `json:"thread_id"`
	To       []string `json:"to,omitempty"`
	Cc       []string `json:"cc,omitempty"`
	Bcc      []string `json:"bcc,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Text     string   `json:"text,omitempty"`
	URL      string   `json:"url"`
}

func (g *Gmail) manage(ctx context.Context, in manageInput) (tool.Output[manageOutput], error) {
	var out tool.Output[manageOutput]
	if (in.Action == "list") == (in.DraftID != "") {
		return out, tool.Invalid("list takes no draft_id; get and update need one.")
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := manageOutput{Account: account, Notice: content.Notice, Drafts: []draftEntry{}}
	switch in.Action {
	case "list":
		err = v.list(ctx, users, in)
	case "get":
		var d *parsedDraft
		if d, err = readDraft(ctx, users, in.DraftID); err == nil {
			v.Drafts = append(v.Drafts, d.entry(account))
		}
	default:
		err = v.update(ctx, users, in)
	}
	if err != nil {
		return out, err
	}
	var list strings.Builder
	for _, d := range v.Drafts {
		fmt.Fprintf(&list, "- %s | to %s | %s\n%s\n", d.ID, strings.Join(d.To, ", "), d.Subject, content.Under(d.Text))
	}
	out.Value, out.Text = v, fmt.Sprintf("%s in %s. %s\n%s", content.Count(len(v.Drafts), "draft", "drafts"), account.Email, content.Notice, content.Fence(list.String()))
	if v.NextPageToken != "" {
		out.Text += "\nMore: page_token " + v.NextPageToken
	}
	return out, nil
}

func (v *manageOutput) list(ctx context.Context, users *gmail.UsersService, in manageInput) error {
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	call := users.Drafts.List("me").MaxResults(int64(in.PageSize)).Fields("drafts(id,message(id,threadId))", "nextPageToken").Context(ctx)
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return googleapi.Error("listing drafts", err)
	}
	for _, d := range page.Drafts {
		e := draftEntry{ID: d.Id}
		if d.Message != nil {
			e.ThreadID, e.URL = d.Message.ThreadId, draftURL(v.Account, d.Message.Id)
		}
		v.Drafts = append(v.Drafts, e)
	}
	v.NextPageToken = page.NextPageToken
	return nil
}

// update replaces what was given and keeps the rest, the thread with it. A draft
// with more than text is left to Gmail's own pages: it would lose the rest.
func (v *manageOutput) update(ctx context.Context, users *gmail.UsersService, in manageInput) error {
	d, err := readDraft(ctx, users, in.DraftID)
	if err != nil {
		return err
	}
	if d.more {
		return tool.Invalid("This draft has attachments or formatting, which would be lost. The person can change it in Gmail.")
	}
	l := d.letter
	given := letter{}
	if err := given.address(in.To, in.Cc, in.Bcc); err != nil {
		return err
	}
	if len(in.To) > 0 {
		l.to = given.to
	}
	if len(in.Cc) > 0 {
		l.cc = given.cc
	}
	if len(in.Bcc) > 0 {
		l.bcc = given.bcc
	}
	if in.Subject != "" {
		l.subject = in.Subject
	}
	if in.Text != "" {
		l.text = in.Text
	}
	raw, err := l.raw()
	if err != nil {
		return err
	}
	// Not repeated: Gmail gives each version a message id of its own.
	changed, err := users.Drafts.Update("me", in.DraftID, &gmail.Draft{Message: &gmail.Message{Raw: raw, ThreadId: d.thread}}).Fields("id", "message(id,threadId)").Context(ctx).Do()
	if err != nil {
		return googleapi.Error("changing draft", err)
	}
	after := parsedDraft{letter: l, id: changed.Id, thread: d.thread}
	if changed.Message != nil {
		after.message = changed.Message.Id
	}
	v.Drafts = append(v.Drafts, after.entry(v.Account))
	return nil
}
