package forms

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/api/drive/v3"
	formsapi "google.golang.org/api/forms/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxTitle  = 300
	maxChoice = 1_000
)

type createInput struct {
	Title       string     `json:"title" limit:"minlen=1,maxlen=300"`
	Description string     `json:"description,omitempty" limit:"maxlen=4000"`
	Questions   []question `json:"questions" limit:"maxitems=100"`
	Account     string     `json:"account,omitempty" limit:"maxlen=64"`
}

// question is one to be asked.
type question struct {
	Title       string   `json:"title" limit:"minlen=1,maxlen=1000"`
	Type        string   `json:"type" enum:"text,paragraph,choice,checkbox,dropdown,scale,date,time"`
	Description string   `json:"description,omitempty" limit:"maxlen=2000"`
	Required    bool     `json:"required,omitempty"`
	Options     []string `json:"options,omitempty" jsonschema:"scale: 2 ends, as '1 bad'" limit:"maxitems=100"`
}

type createOutput struct {
	Account   googleapi.Account `json:"account"`
	FormID    string            `json:"form_id"`
	URL       string            `json:"responder_url,omitempty"` // where people answer once it is published
	EditURL   string            `json:"edit_url"`
	Questions []asked           `json:"questions"`
}

type asked struct {
	QuestionID string `json:"question_id"`
	Title      string `json:"title"`
}

// address is where a person edits a form.
func address(id string) string { return "https://docs.google.com/forms/d/" + id + "/edit" }

// create makes a form in two steps, because Google takes nothing but the title at
// first (Forms API, forms.create). It is made unpublished: it reaches nobody and can be
// thrown away, so that nobody is asked. See publish for the rest.
func (p *product) create(ctx context.Context, in createInput) (tool.Output[createOutput], error) {
	var out tool.Output[createOutput]
	in.Title = content.Line(in.Title, maxTitle)
	requests, err := in.requests()
	if err != nil {
		return out, err
	}
	forms, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	f, err := forms.Create(&formsapi.Form{Info: &formsapi.Info{Title: in.Title, DocumentTitle: in.Title}}).Unpublished(true).
		Fields("formId", "responderUri").Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("creating form", err), "Google did not answer: an empty form may have been made.", "Look for it with drive_search before you try again.")
	}
	v := createOutput{Account: account, FormID: f.FormId, URL: f.ResponderUri, EditURL: address(f.FormId), Questions: []asked{}}
	done, err := forms.BatchUpdate(f.FormId, &formsapi.BatchUpdateFormRequest{Requests: requests}).Fields("replies/createItem/questionId").Context(ctx).Do()
	if err != nil {
		return out, p.left(ctx, googleapi.Error("filling form", err), account, f.FormId)
	}
	for i, r := range done.Replies[max(0, len(done.Replies)-len(in.Questions)):] { // one for each request, in their order
		if r != nil && r.CreateItem != nil && len(r.CreateItem.QuestionId) > 0 {
			v.Questions = append(v.Questions, asked{r.CreateItem.QuestionId[0], content.Line(in.Questions[i].Title, maxText)})
		}
	}
	out.Value = v
	out.Text = fmt.Sprintf("Created form %s in %s (questions: %d): %s It is not published: nobody can answer before forms_publish, or before the person publishes it there.", v.FormID, account.Email, len(in.Questions), v.EditURL)
	return out, nil
}

// left is the error of a form that was made and not filled. Google takes all of its
// questions or none, so one that it refuses leaves an empty form. That is put into the
// trash where the app may see the files that it makes: to call again makes another.
func (p *product) left(ctx context.Context, err error, account googleapi.Account, id string) error {
	var e *tool.Error
	if !errors.As(err, &e) {
		return err
	}
	e.Retryable = false
	if e.Code == tool.CodeInvalidArgument && p.trash(ctx, account, id) == nil {
		e.Message = "Nothing was made. " + e.Message
		return e
	}
	e.Message = "The form was made, but it may have no questions: " + e.Message
	e.NextAction = "Look with forms_get, form_id " + id + "; the person can finish it: " + address(id)
	return e
}

func (p *product) trash(ctx context.Context, account googleapi.Account, id string) error {
	session, err := p.api.OpenAlso(ctx, account.Handle, ownFiles)
	if err == nil && session == nil {
		err = errors.New("the app sees no files")
	}
	if err != nil {
		return err
	}
	service, err := drive.NewService(ctx, session.Options("drive/v3/")...)
	if err != nil {
		return fmt.Errorf("making Drive client: %w", err)
	}
	_, err = service.Files.Update(id, &drive.File{Trashed: true}).Fields("id").Context(googleapi.Idempotent(ctx)).Do()
	return err
}
