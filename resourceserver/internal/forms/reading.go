package forms

import (
	"fmt"
	"strings"

	formsapi "google.golang.org/api/forms/v1"

	"latchkey/resourceserver/internal/content"
)

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
