package forms

import (
	"context"
	"errors"
	"fmt"

	formsapi "google.golang.org/api/forms/v1"

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
