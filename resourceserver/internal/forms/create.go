package forms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	formsapi "google.golang.org/api/forms/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxTitle  = 300
	maxShown  = 4_000 // characters of a form that the person is shown; none is published that has more
	maxChoice = 1_000
)

type createInput struct {
	Title       string     `json:"title" limit:"minlen=1,maxlen=300"`
	Description string     `json:"description,omitempty" limit:"maxlen=4000"`
	Questions   []question `json:"questions" limit:"maxitems=100"`
	Publish     bool       `json:"publish,omitempty"`
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
	Published bool              `json:"published"`
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

// create makes a form in three steps, because Google takes nothing but the title at
// first (Forms API, forms.create) and since 2026-07 publishes no form by itself. It
// is made unpublished in any case, so that nobody answers a form without questions.
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
	if err := in.allow(ctx, account, requests); err != nil {
		return out, err
	}
	f, err := forms.Create(&formsapi.Form{Info: &formsapi.Info{Title: in.Title, DocumentTitle: in.Title}}).Unpublished(true).
		Fields("formId", "responderUri", "publishSettings").Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("creating form", err), "Google did not answer: an empty form may have been made.", "Look for it with drive_search before you try again.")
	}
	v := createOutput{Account: account, FormID: f.FormId, URL: f.ResponderUri, EditURL: address(f.FormId), Questions: []asked{}, Published: published(f.PublishSettings)}
	done, err := forms.BatchUpdate(f.FormId, &formsapi.BatchUpdateFormRequest{Requests: requests}).Fields("replies/createItem/questionId").Context(ctx).Do()
	if err != nil {
		return out, left(err, "filling form", "The form was made, but it may have no questions: ", "Look with forms_get, form_id "+f.FormId+"; the person can finish it: "+v.EditURL)
	}
	for i, r := range done.Replies[max(0, len(done.Replies)-len(in.Questions)):] { // one for each request, in their order
		if r != nil && r.CreateItem != nil && len(r.CreateItem.QuestionId) > 0 {
			v.Questions = append(v.Questions, asked{r.CreateItem.QuestionId[0], content.Line(in.Questions[i].Title, maxText)})
		}
	}
	if in.Publish {
		// Published twice is as published once.
		set, err := forms.SetPublishSettings(f.FormId, &formsapi.SetPublishSettingsRequest{PublishSettings: &formsapi.PublishSettings{
			PublishState: &formsapi.PublishState{IsPublished: true, IsAcceptingResponses: true},
		}}).Fields("publishSettings").Context(googleapi.Idempotent(ctx)).Do()
		if err != nil {
			return out, left(err, "publishing form", "The form "+f.FormId+" was made with its questions, but it may not be published: ", "The person can publish it: "+v.EditURL)
		}
		v.Published = published(set.PublishSettings)
	}
	state := "It is not published: nobody can answer before the person publishes it there."
	if v.Published {
		state = "It is published; those whom its settings let in answer at " + v.URL
	}
	out.Value = v
	out.Text = fmt.Sprintf("Created form %s in %s (questions: %d): %s %s", v.FormID, account.Email, len(in.Questions), v.EditURL, state)
	return out, nil
}

func published(s *formsapi.PublishSettings) bool {
	return s != nil && s.PublishState != nil && s.PublishState.IsPublished
}

// left is the error of a form that was made and is not as it was wanted.
func left(err error, doing, what, next string) error {
	err = googleapi.Error(doing, err)
	var e *tool.Error
	if errors.As(err, &e) {
		e.Retryable, e.Message, e.NextAction = false, what+e.Message, next
	}
	return err
}

// allow asks the person before anybody can answer. Who can is for the form's
// settings and the organization to say, by default everybody with the address, so
// that an operator who holds back sharing or recipients holds back this. A form that
// is not published reaches nobody and can be thrown away.
func (in createInput) allow(ctx context.Context, account googleapi.Account, requests []*formsapi.Request) error {
	if !in.Publish {
		elicit.Waive(ctx)
		return nil
	}
	const instead = "Make it without publish; the person can publish it in Google Forms."
	if p := policy.From(ctx); !p.MayShareOutside() || len(p.RecipientDomains) > 0 {
		return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow publishing forms: who can answer cannot be told here. Nothing was made.", NextAction: instead}
	}
	form := in.shown(requests)
	if len([]rune(form)) > maxShown {
		e := tool.Invalid("The form is too long to be published here: the person confirms all that others will read, at most %d characters. Nothing was made.", maxShown)
		e.NextAction = instead
		return e
	}
	return elicit.Confirm(ctx, elicit.Act{Question: fmt.Sprintf("Create and publish this form of %s? Everybody with its address may be able to read and answer it.\n%s", account.Email, form)})
}

// shown is the whole form as those read it who answer. Every line of its own text is
// marked.
func (in createInput) shown(requests []*formsapi.Request) string {
	lines, n := []string{"Title:", content.Mark(in.Title)}, 0
	for _, r := range requests {
		if r.UpdateFormInfo != nil {
			lines = append(lines, "Description:", content.Mark(r.UpdateFormInfo.Info.Description))
		}
		if r.CreateItem == nil {
			continue
		}
		i, kind := r.CreateItem.Item, in.Questions[n].Type
		asks := i.QuestionItem.Question
		texts := []string{i.Title, i.Description}
		if s := asks.ScaleQuestion; s != nil {
			kind = fmt.Sprintf("%s, %d to %d", kind, s.Low, s.High)
			for _, label := range []string{s.LowLabel, s.HighLabel} {
				if label != "" {
					texts = append(texts, "- "+label)
				}
			}
		}
		if asks.Required {
			kind += ", required"
		}
		if asks.ChoiceQuestion != nil {
			for _, o := range asks.ChoiceQuestion.Options {
				texts = append(texts, "- "+o.Value)
			}
		}
		n++
		lines = append(lines, fmt.Sprintf("Question %d (%s):", n, kind))
		for _, t := range texts {
			if t != "" {
				lines = append(lines, content.Mark(t))
			}
		}
	}
	return strings.Join(lines, "\n")
}
