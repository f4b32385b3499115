package forms

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	formsapi "google.golang.org/api/forms/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type responsesInput struct {
	FormID    string `json:"form_id" limit:"minlen=1,maxlen=200"`
	After     string `json:"after,omitempty" jsonschema:"RFC 3339 time" limit:"maxlen=40"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type responsesOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Responses     []response        `json:"responses"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type response struct {
	ID         string   `json:"response_id"`
	Submitted  string   `json:"submitted"` // RFC 3339 in UTC
	Respondent string   `json:"respondent,omitempty"`
	Answers    []answer `json:"answers"`
}

type answer struct {
	QuestionID string   `json:"question_id"`
	Values     []string `json:"values"`
	Truncated  bool     `json:"truncated,omitempty"`
}

func (p *product) responses(ctx context.Context, in responsesInput) (tool.Output[responsesOutput], error) {
	var out tool.Output[responsesOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	filter := ""
	if in.After != "" {
		t, err := time.Parse(time.RFC3339, in.After)
		if err != nil {
			return out, tool.Invalid("after must be an RFC 3339 time with offset such as 2026-01-31T09:00:00+01:00.")
		}
		filter = "timestamp > " + t.UTC().Format(time.RFC3339)
	}
	forms, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := forms.Responses.List(in.FormID).PageSize(int64(in.PageSize)).Fields("nextPageToken", "responses(responseId,lastSubmittedTime,respondentEmail,answers)").Context(ctx)
	if filter != "" {
		call.Filter(filter)
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing answers", err)
	}
	v := responsesOutput{Account: account, Notice: content.Notice, Responses: []response{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, r := range page.Responses {
		shown := show(r)
		v.Responses = append(v.Responses, shown)
		fmt.Fprintf(&list, "- %s %s %s\n", shown.Submitted, shown.ID, shown.Respondent)
		for _, a := range shown.Answers {
			fmt.Fprintf(&list, "- answer to %s\n%s\n", a.QuestionID, content.Under(strings.Join(a.Values, " / ")))
		}
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s, read with %s", content.Count(len(v.Responses), "answer", "answers"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}

// show is one person's answers, by question id: Google has them in no order.
func show(r *formsapi.FormResponse) response {
	out := response{ID: r.ResponseId, Respondent: content.Line(r.RespondentEmail, maxText), Answers: []answer{}}
	if t, err := time.Parse(time.RFC3339, r.LastSubmittedTime); err == nil {
		out.Submitted = t.UTC().Format(time.RFC3339)
	}
	for id, given := range r.Answers {
		a := answer{QuestionID: id, Values: []string{}}
		add := func(s string) {
			text, _, more := content.Cut(content.Clean(s), 0, maxAnswer)
			a.Values, a.Truncated = append(a.Values, text), a.Truncated || more
		}
		if given.TextAnswers != nil {
			for _, t := range given.TextAnswers.Answers {
				add(t.Value)
			}
		}
		if given.FileUploadAnswers != nil {
			for _, f := range given.FileUploadAnswers.Answers {
				add("file " + f.FileName + " (" + f.FileId + ")")
			}
		}
		out.Answers = append(out.Answers, a)
	}
	slices.SortFunc(out.Answers, func(a, b answer) int { return strings.Compare(a.QuestionID, b.QuestionID) })
	return out
}
