package forms

import (
	"context"
	"fmt"
	"strings"

	formsapi "google.golang.org/api/forms/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google      = "https://www.googleapis.com/auth/"
	body        = google + "forms.body.readonly"
	answered    = google + "forms.responses.readonly"
	writing     = google + "forms.body"
	ownFiles    = google + "drive.file"
	maxText     = 500
	maxAnswer   = 4_000
	maxItems    = 300
	maxOptions  = 100
	defaultPage = 20
)

// Tools returns the Forms tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	scopes := oauth.NewScopes("forms.read")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "forms_get", Title: "Read a form",
		Description: "Read a form's questions with their ids and options.",
		Scopes:      scopes, Google: oauth.NewScopes(body), Hints: tool.Read, Tier: tool.Extended,
	}, p.get)
	tool.Add(&s, tool.Description{
		Name: "forms_list_responses", Title: "List a form's answers",
		Description: "List the answers to a form by question_id (see forms_get).",
		Scopes:      scopes, Google: oauth.NewScopes(answered), Hints: tool.Read, Tier: tool.Extended,
	}, p.responses)
	tool.Add(&s, tool.Description{
		Name: "forms_create", Title: "Create a form",
		Description: "Create a form. Nobody can answer it until it is published: see forms_publish.",
		Scopes:      oauth.NewScopes("forms.write"), Google: oauth.NewScopes(writing), Also: oauth.NewScopes(ownFiles), Hints: tool.Create, Tier: tool.Extended,
	}, p.create)
	tool.Add(&s, tool.Description{
		Name: "forms_publish", Title: "Publish a form",
		Description: "Publish a form, so that people can answer it. The person is shown it and confirms.",
		Scopes:      oauth.NewScopes("forms.write"), Google: oauth.NewScopes(writing), Hints: tool.Hints{Idempotent: true, OpenWorld: true}, Tier: tool.Extended, Asks: true,
	}, p.publish)
	return s.Tools()
}

type product struct{ api *googleapi.API }

func (p *product) open(ctx context.Context, account string) (*formsapi.FormsService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", formsapi.NewService)
	if err != nil {
		return nil, used, err
	}
	return service.Forms, used, nil
}

type getInput struct {
	FormID  string `json:"form_id" limit:"minlen=1,maxlen=200"`
	Account string `json:"account,omitempty" limit:"maxlen=64"`
}

type getOutput struct {
	Account     googleapi.Account `json:"account"`
	Notice      string            `json:"notice"`
	FormID      string            `json:"form_id"`
	Title       string            `json:"title"`
	Description string            `json:"description,omitempty"`
	URL         string            `json:"responder_url,omitempty"` // where people answer
	Items       []item            `json:"items"`
	Truncated   bool              `json:"truncated,omitempty"`
}

// item is a question, or what stands between questions.
type item struct {
	Title       string   `json:"title"`
	Description string   `json:"description,omitempty"`
	Type        string   `json:"type"`
	QuestionID  string   `json:"question_id,omitempty"`
	Required    bool     `json:"required,omitempty"`
	Options     []string `json:"options,omitempty"`
}

func (p *product) get(ctx context.Context, in getInput) (tool.Output[getOutput], error) {
	var out tool.Output[getOutput]
	forms, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	f, err := forms.Get(in.FormID).Fields("formId", "info(title,documentTitle,description)", "responderUri", "items").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading form", err)
	}
	v := getOutput{Account: account, Notice: content.Notice, FormID: f.FormId, URL: f.ResponderUri, Items: []item{}}
	if f.Info != nil {
		if v.Title = content.Line(f.Info.Title, maxText); v.Title == "" {
			v.Title = content.Line(f.Info.DocumentTitle, maxText)
		}
		v.Description, _, _ = content.Cut(content.Clean(f.Info.Description), 0, maxAnswer)
	}
	for _, i := range f.Items {
		for _, shown := range describe(i) {
			if len(v.Items) == maxItems {
				v.Truncated = true
				break
			}
			v.Items = append(v.Items, shown)
		}
	}
	var list strings.Builder
	fmt.Fprintf(&list, "%s\n%s\n", v.Title, content.Under(v.Description))
	for _, i := range v.Items {
		fmt.Fprintf(&list, "- %s (%s", i.Title, i.Type)
		if i.Required {
			list.WriteString(", required")
		}
		fmt.Fprintf(&list, ") %s", strings.Join(i.Options, " / "))
		if i.QuestionID != "" {
			fmt.Fprintf(&list, " | question_id %s", i.QuestionID)
		}
		list.WriteString("\n")
	}
	out.Value, out.Text = v, content.List("A form in "+account.Email, list.String(), "")
	return out, nil
}

// describe shows an item; a grid is a question for each of its rows.
func describe(i *formsapi.Item) []item {
	one := item{Title: content.Line(i.Title, maxText), Description: content.Line(i.Description, maxText)}
	switch {
	case i.QuestionItem != nil && i.QuestionItem.Question != nil:
		one.question(i.QuestionItem.Question)
	case i.QuestionGroupItem != nil:
		var out []item
		for _, q := range i.QuestionGroupItem.Questions {
			row := one
			if q.RowQuestion != nil {
				row.Title = strings.TrimSpace(one.Title + ": " + content.Line(q.RowQuestion.Title, maxText))
			}
			row.Type, row.QuestionID, row.Required = "grid_row", q.QuestionId, q.Required
			if g := i.QuestionGroupItem.Grid; g != nil {
				row.Options = options(g.Columns)
			}
			out = append(out, row)
		}
		return out
	case i.PageBreakItem != nil:
		one.Type = "section"
	case i.ImageItem != nil:
		one.Type = "image"
	case i.VideoItem != nil:
		one.Type = "video"
	default:
		one.Type = "text"
	}
	return []item{one}
}

func (i *item) question(q *formsapi.Question) {
	i.QuestionID, i.Required = q.QuestionId, q.Required
	switch {
	case q.ChoiceQuestion != nil:
		i.Type, i.Options = strings.ToLower(q.ChoiceQuestion.Type), options(q.ChoiceQuestion)
	case q.TextQuestion != nil:
		i.Type = "text_answer"
		if q.TextQuestion.Paragraph {
			i.Type = "paragraph_answer"
		}
	case q.ScaleQuestion != nil:
		i.Type = "scale"
		i.Options = []string{fmt.Sprintf("%d %s", q.ScaleQuestion.Low, content.Line(q.ScaleQuestion.LowLabel, maxText)), fmt.Sprintf("%d %s", q.ScaleQuestion.High, content.Line(q.ScaleQuestion.HighLabel, maxText))}
	case q.DateQuestion != nil:
		i.Type = "date"
	case q.TimeQuestion != nil:
		i.Type = "time"
	case q.FileUploadQuestion != nil:
		i.Type = "file_upload"
	case q.RatingQuestion != nil:
		i.Type = "rating"
	default:
		i.Type = "question"
	}
}

func options(c *formsapi.ChoiceQuestion) []string {
	var out []string
	if c == nil {
		return nil
	}
	for _, o := range c.Options[:min(len(c.Options), maxOptions)] {
		value := content.Line(o.Value, maxText)
		if o.IsOther {
			value = "(other)"
		}
		out = append(out, value)
	}
	return out
}
