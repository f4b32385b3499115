package fakegoogle

import (
	"fmt"
	"strings"
	"time"
)

// form is a questionnaire, with answers.
type form struct {
	id, title, description string
	app                    string // client that made it; "" is none
	published, accepting   bool
	revision               int
	items                  []map[string]any
	answers                []formAnswer
}

type formAnswer struct {
	at          time.Time
	email, text string
}

func (u *User) seedForms(now time.Time) {
	choice := func(kind string, values ...string) map[string]any {
		options := []any{}
		for _, v := range values {
			options = append(options, map[string]any{"value": v})
		}
		return map[string]any{"type": kind, "options": append(options, map[string]any{"isOther": true})}
	}
	question := func(id, title string, q map[string]any) map[string]any {
		q["questionId"] = id
		return map[string]any{"itemId": "i" + id, "title": title, "questionItem": map[string]any{"question": q}}
	}
	f := &form{id: "form" + u.Sub[len(u.Sub)-2:], title: "Party", description: "Please answer.", published: true, accepting: true, items: []map[string]any{
		question("q1", "Do you come?", map[string]any{"required": true, "choiceQuestion": choice("RADIO", "Yes", "No")}),
		question("q2", "What do you not eat?", map[string]any{"textQuestion": map[string]any{"paragraph": true}}),
		{"itemId": "p", "title": "The evening", "pageBreakItem": map[string]any{}},
		{"itemId": "g", "title": "Music", "questionGroupItem": map[string]any{"grid": map[string]any{"columns": choice("RADIO", "Like")}, "questions": []any{
			map[string]any{"questionId": "q3", "rowQuestion": map[string]any{"title": "Jazz"}}, map[string]any{"questionId": "q4", "rowQuestion": map[string]any{"title": "Rock"}},
		}}},
	}}
	for i := range 7 {
		f.answers = append(f.answers, formAnswer{now.Add(time.Duration(i-100) * time.Hour), fmt.Sprintf("guest%d@partner.test", i), fmt.Sprintf("No nuts, please (%d)", i)})
	}
	u.forms = []*form{f}
}

func (c *call) form() (*form, error) {
	for _, f := range c.user.forms {
		if f.id == c.path["formId"] && c.opens(f.app) {
			return f, nil
		}
	}
	return nil, notFound("Requested entity was")
}

func (f *form) settings() map[string]any {
	return map[string]any{"publishState": map[string]any{"isPublished": f.published, "isAcceptingResponses": f.accepting}}
}

func (f *form) view() map[string]any {
	info := map[string]any{"title": f.title, "documentTitle": f.title}
	if f.description != "" {
		info["description"] = f.description
	}
	return map[string]any{
		"formId": f.id, "revisionId": fmt.Sprint("r", f.revision), "info": info, "responderUri": "https://docs.google.com/forms/d/e/" + f.id + "/viewform", "items": append([]map[string]any{}, f.items...), "publishSettings": f.settings(),
	}
}

func init() {
	handle("forms.forms.get", func(c *call) (any, error) {
		f, err := c.form()
		if err != nil {
			return nil, err
		}
		return f.view(), nil
	})
	handle("forms.forms.responses.list", func(c *call) (any, error) {
		f, err := c.form()
		if err != nil {
			return nil, err
		}
		var after time.Time
		if filter := c.query.Get("filter"); filter != "" {
			value, ok := strings.CutPrefix(filter, "timestamp > ")
			if after, err = time.Parse(time.RFC3339, value); err != nil || !ok {
				return nil, badRequest("Invalid filter.")
			}
		}
		list := []any{}
		for i, a := range f.answers {
			if a.at.After(after) {
				text := func(s string) map[string]any {
					return map[string]any{"textAnswers": map[string]any{"answers": []any{map[string]any{"value": s}}}}
				}
				list = append(list, map[string]any{"responseId": fmt.Sprint("r", i), "lastSubmittedTime": a.at.Format(time.RFC3339), "respondentEmail": a.email, "answers": map[string]any{
					"q2": text(a.text), "q1": text("Yes"),
				}})
			}
		}
		page, next, err := paginate(c, list, c.size("pageSize", 5000, 5000))
		return withNext(map[string]any{"responses": page}, next), err
	})
}
