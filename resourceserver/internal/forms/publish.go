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

// maxShown is how much of a form the person is shown, in characters; none is published
// that has more.
const maxShown = 4_000

const instead = "The person can publish it in Google Forms: "

type publishInput struct {
	FormID  string `json:"form_id" limit:"minlen=1,maxlen=200"`
	Account string `json:"account,omitempty" limit:"maxlen=64"`
}

type publishOutput struct {
	Account   googleapi.Account `json:"account"`
	FormID    string            `json:"form_id"`
	Published bool              `json:"published"`
	URL       string            `json:"responder_url,omitempty"` // where people answer
}

// publish lets people answer a form that is there, after the person has seen it as
// Google has it. The act is of one form in one revision, so that one word, wherever
// and how often it is used, publishes nothing else: published twice is as once.
func (p *product) publish(ctx context.Context, in publishInput) (tool.Output[publishOutput], error) {
	var out tool.Output[publishOutput]
	forms, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	f, err := forms.Get(in.FormID).Fields("formId", "revisionId", "info(title,documentTitle,description)", "items", "responderUri", "publishSettings").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading form", err)
	}
	v := publishOutput{Account: account, FormID: f.FormId, URL: f.ResponderUri, Published: true}
	if published(f.PublishSettings) && f.PublishSettings.PublishState.IsAcceptingResponses {
		out.Value, out.Text = v, "Form "+f.FormId+" in "+account.Email+" was published already: "+f.ResponderUri
		return out, nil
	}
	if err := allow(ctx, account, f); err != nil {
		return out, err
	}
	set, err := forms.SetPublishSettings(f.FormId, &formsapi.SetPublishSettingsRequest{PublishSettings: &formsapi.PublishSettings{
		PublishState: &formsapi.PublishState{IsPublished: true, IsAcceptingResponses: true},
	}}).Fields("publishSettings").Context(googleapi.Idempotent(ctx)).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("publishing form", err), "Google did not answer: the form may have been published.", "To call again is safe. "+instead+address(f.FormId))
	}
	v.Published = published(set.PublishSettings)
	out.Value = v
	out.Text = fmt.Sprintf("Published form %s in %s; those whom its settings let in answer at %s", v.FormID, account.Email, v.URL)
	return out, nil
}

func published(s *formsapi.PublishSettings) bool {
	return s != nil && s.PublishState != nil && s.PublishState.IsPublished
}

// allow asks the person. Who can answer is for the form's settings and the
// organization to say, by default everybody with the address, so that an operator who
// holds back sharing or recipients holds back this.
func allow(ctx context.Context, account googleapi.Account, f *formsapi.Form) error {
	if p := policy.From(ctx); !p.MayShareOutside() || len(p.RecipientDomains) > 0 {
		return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow publishing forms: who can answer cannot be told here. Nothing was done.", NextAction: instead + address(f.FormId)}
	}
	if f.PublishSettings == nil { // Forms API, Form: "isn't set for legacy forms"
		e := tool.Invalid("This form is of an older kind, which Google lets no app publish.")
		e.NextAction = instead + address(f.FormId)
		return e
	}
	text, whole := shown(f)
	if len([]rune(text)) > maxShown {
		e := tool.Invalid("The form is too long to be published here: the person confirms all that others will read, at most %d characters. Nothing was done.", maxShown)
		e.NextAction = instead + address(f.FormId)
		return e
	}
	if !whole {
		text += "\nIt has pictures, videos, feedback or settings that are not shown here."
	}
	question := fmt.Sprintf("Publish this form of %s? Everybody with its address may be able to read and answer it.\n%s", account.Email, text)
	err := elicit.Confirm(ctx, elicit.Act{Question: question, Binding: f.FormId + " " + f.RevisionId})
	var e *tool.Error
	if errors.As(err, &e) && e.Code == tool.CodeConfirmationUnavailable {
		e.NextAction = instead + address(f.FormId)
	}
	return err
}

// reading is a form as those read it who answer.
type reading struct {
	lines     []string
	questions int
	partly    bool // there is more than words
}

// shown is all that a form says, every line of its own text marked; whole is false if
// it has what words do not show.
func shown(f *formsapi.Form) (text string, whole bool) {
	r := &reading{}
	if f.Info != nil {
		title := f.Info.Title
		if title == "" {
			title = f.Info.DocumentTitle
		}
		r.say("Title:", title)
		if f.Info.Description != "" {
			r.say("Description:", f.Info.Description)
		}
	}
	for _, i := range f.Items {
		r.item(i)
	}
	return strings.Join(r.lines, "\n"), !r.partly
}

// say adds a line of ours and texts of the form's below it.
func (r *reading) say(what string, texts ...string) {
	r.lines = append(r.lines, what)
	for _, t := range texts {
		if t = strings.TrimSpace(content.Clean(t)); t != "" {
			r.lines = append(r.lines, content.Mark(t))
		}
	}
}

func (r *reading) item(i *formsapi.Item) {
	switch {
	case i.QuestionItem != nil && i.QuestionItem.Question != nil:
		r.partly = r.partly || i.QuestionItem.Image != nil
		r.question(i.QuestionItem.Question, i.Title, i.Description)
	case i.QuestionGroupItem != nil:
		g := i.QuestionGroupItem
		r.partly = r.partly || g.Image != nil
		r.say("Questions in rows:", append([]string{i.Title, i.Description}, r.options(gridOf(g))...)...)
		for _, q := range g.Questions {
			row := ""
			if q.RowQuestion != nil {
				row = q.RowQuestion.Title
			}
			r.question(q, row)
		}
	case i.PageBreakItem != nil:
		r.say("Section:", i.Title, i.Description)
	case i.TextItem != nil:
		r.say("Text:", i.Title, i.Description)
	default: // pictures, videos, and what Google may add
		r.partly = true
		r.say("Picture, video or other:", i.Title, i.Description)
	}
}

func gridOf(g *formsapi.QuestionGroupItem) *formsapi.ChoiceQuestion {
	if g.Grid == nil {
		return nil
	}
	return g.Grid.Columns
}

// wayOfChoosing says how many of the options can be taken, in words of people.
var wayOfChoosing = map[string]string{"radio": "one of", "drop_down": "one of a list", "checkbox": "any of"}

func (r *reading) question(q *formsapi.Question, texts ...string) {
	r.questions++
	var kind item
	kind.question(q)
	name := strings.ReplaceAll(kind.Type, "_", " ")
	if said, ok := wayOfChoosing[kind.Type]; ok {
		name = said
	}
	r.partly = r.partly || q.Grading != nil || kind.Type == "question" && q.RowQuestion == nil
	if s := q.ScaleQuestion; s != nil {
		name = fmt.Sprintf("%s, %d to %d", name, s.Low, s.High)
		for _, label := range []string{s.LowLabel, s.HighLabel} {
			if label != "" {
				texts = append(texts, "- "+label)
			}
		}
	}
	if q.RowQuestion != nil {
		name = "row"
	}
	if q.Required {
		name += ", required"
	}
	r.say(fmt.Sprintf("Question %d (%s):", r.questions, name), append(texts, r.options(q.ChoiceQuestion)...)...)
}

func (r *reading) options(c *formsapi.ChoiceQuestion) []string {
	var out []string
	if c == nil {
		return nil
	}
	for _, o := range c.Options {
		r.partly = r.partly || o.Image != nil
		if o.IsOther {
			out = append(out, "- (other)")
		} else {
			out = append(out, "- "+o.Value)
		}
	}
	return out
}
