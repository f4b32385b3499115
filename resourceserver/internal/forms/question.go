package forms

import (
	"strconv"
	"strings"

	formsapi "google.golang.org/api/forms/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

// requests fill a new form: its description, then its questions in their order. What
// a question says is one line, because Google refuses line breaks in it.
func (in createInput) requests() ([]*formsapi.Request, error) {
	if in.Title == "" {
		return nil, tool.Invalid("title is empty.")
	}
	if len(in.Questions) == 0 {
		return nil, tool.Invalid("Give questions: at least one.")
	}
	var out []*formsapi.Request
	if d := strings.TrimSpace(content.Clean(in.Description)); d != "" {
		out = append(out, &formsapi.Request{UpdateFormInfo: &formsapi.UpdateFormInfoRequest{Info: &formsapi.Info{Description: d}, UpdateMask: "description"}})
	}
	for i, q := range in.Questions {
		asks, err := q.asks(i)
		if err != nil {
			return nil, err
		}
		asks.Required = q.Required
		title := content.Line(q.Title, maxChoice)
		if title == "" {
			return nil, tool.Invalid("questions[%d].title is empty.", i)
		}
		out = append(out, &formsapi.Request{CreateItem: &formsapi.CreateItemRequest{
			Item:     &formsapi.Item{Title: title, Description: content.Line(q.Description, maxAnswer), QuestionItem: &formsapi.QuestionItem{Question: asks}},
			Location: &formsapi.Location{Index: int64(i), ForceSendFields: []string{"Index"}},
		}})
	}
	return out, nil
}

// choices are the types whose options can be chosen, and what the Forms API calls them.
var choices = map[string]string{"choice": "RADIO", "checkbox": "CHECKBOX", "dropdown": "DROP_DOWN"}

// asks is the question for the Forms API; i is its place, for errors.
func (q question) asks(i int) (*formsapi.Question, error) {
	kind, choosing := choices[q.Type]
	if choosing != (len(q.Options) > 0) && q.Type != "scale" {
		return nil, tool.Invalid("questions[%d]: options go with choice, checkbox, dropdown and scale, and only with these.", i)
	}
	if choosing {
		options, err := q.options(i)
		return &formsapi.Question{ChoiceQuestion: &formsapi.ChoiceQuestion{Type: kind, Options: options}}, err
	}
	switch q.Type {
	case "scale":
		scale, ok := q.scale()
		if !ok {
			return nil, tool.Invalid("questions[%d].options of a scale are its two ends, each a number and perhaps a word: 0 or 1, and 2 to 10, as \"1 bad\" and \"5 good\".", i)
		}
		return &formsapi.Question{ScaleQuestion: scale}, nil
	case "date":
		return &formsapi.Question{DateQuestion: &formsapi.DateQuestion{IncludeYear: true}}, nil
	case "time":
		return &formsapi.Question{TimeQuestion: &formsapi.TimeQuestion{}}, nil
	}
	return &formsapi.Question{TextQuestion: &formsapi.TextQuestion{Paragraph: q.Type == "paragraph"}}, nil
}

// options are what can be chosen: one line each, each once, which Google wants too.
func (q question) options(i int) ([]*formsapi.Option, error) {
	var out []*formsapi.Option
	seen := map[string]bool{}
	for _, o := range q.Options {
		value := content.Line(o, maxChoice)
		if value == "" || seen[value] || len([]rune(o)) > maxChoice {
			return nil, tool.Invalid("questions[%d].options must be different texts, each of 1 to %d characters.", i, maxChoice)
		}
		seen[value] = true
		out = append(out, &formsapi.Option{Value: value})
	}
	return out, nil
}

// scale reads the two ends of a scale; without options it goes from 1 to 5. The
// bounds are those of Google Forms.
func (q question) scale() (*formsapi.ScaleQuestion, bool) {
	ends := q.Options
	if len(ends) == 0 {
		ends = []string{"1", "5"}
	}
	if len(ends) != 2 {
		return nil, false
	}
	var numbers [2]int64
	var labels [2]string
	for i, end := range ends {
		number, label, _ := strings.Cut(content.Line(end, maxTitle), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, false
		}
		numbers[i], labels[i] = n, strings.TrimSpace(label)
	}
	if numbers[0] < 0 || numbers[0] > 1 || numbers[1] < 2 || numbers[1] > 10 {
		return nil, false
	}
	return &formsapi.ScaleQuestion{Low: numbers[0], High: numbers[1], LowLabel: labels[0], HighLabel: labels[1], ForceSendFields: []string{"Low"}}, true
}
