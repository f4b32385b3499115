package fakegoogle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func init() {
	handle("forms.forms.create", func(c *call) (any, error) {
		var in struct {
			Info     struct{ Title, DocumentTitle, Description string }
			Items    []any
			Settings map[string]any
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		if in.Info.Description != "" || len(in.Items) > 0 || len(in.Settings) > 0 {
			return nil, badRequest("Only info.title can be set when creating a form.")
		}
		// Unpublished unless the caller says otherwise (Forms API guide, "API changes
		// to Google Forms": after June 30, 2026).
		open := c.query.Get("unpublished") == "false"
		f := &form{id: c.user.next("form"), title: in.Info.Title, app: c.token.client, published: open, accepting: open}
		c.user.forms = append(c.user.forms, f)
		c.add(&file{ID: f.id, Name: in.Info.DocumentTitle, MimeType: formType, Modified: c.s.now().UTC()})
		return f.view(), nil
	})
	handle("forms.forms.batchUpdate", func(c *call) (any, error) {
		f, err := c.form()
		if err != nil {
			return nil, err
		}
		var in struct {
			Requests []struct {
				UpdateFormInfo *struct {
					Info       struct{ Title, Description string }
					UpdateMask string
				}
				CreateItem *struct {
					Item     map[string]any
					Location *struct{ Index *int }
				}
			}
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		if len(in.Requests) == 0 {
			return nil, badRequest("Must specify at least one request.")
		}
		changed, replies := *f, []any{} // all of them or none
		changed.items = slices.Clone(f.items)
		for i, r := range in.Requests {
			reply := map[string]any{}
			switch {
			case r.UpdateFormInfo != nil && r.UpdateFormInfo.UpdateMask == "description":
				changed.description = r.UpdateFormInfo.Info.Description
			case r.CreateItem != nil && r.CreateItem.Location != nil && r.CreateItem.Location.Index != nil:
				at := *r.CreateItem.Location.Index
				if at < 0 || at > len(changed.items) {
					return nil, badRequest(fmt.Sprintf("Invalid requests[%d].createItem: Invalid location.", i))
				}
				item, id, err := c.newItem(r.CreateItem.Item)
				if err != nil {
					return nil, badRequest(fmt.Sprintf("Invalid requests[%d].createItem: %s", i, err))
				}
				changed.items = slices.Insert(changed.items, at, item)
				reply["createItem"] = map[string]any{"itemId": item["itemId"], "questionId": []any{id}}
			default:
				return nil, badRequest(fmt.Sprintf("Invalid requests[%d]", i))
			}
			replies = append(replies, reply)
		}
		changed.revision++
		*f = changed
		return map[string]any{"replies": replies, "writeControl": map[string]any{"requiredRevisionId": fmt.Sprint("r", f.revision)}}, nil
	})
	handle("forms.forms.setPublishSettings", func(c *call) (any, error) {
		f, err := c.form()
		if err != nil {
			return nil, err
		}
		var in struct {
			PublishSettings struct {
				PublishState *struct{ IsPublished, IsAcceptingResponses bool }
			}
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		s := in.PublishSettings.PublishState
		if s == nil || s.IsAcceptingResponses && !s.IsPublished {
			return nil, badRequest("A form that is not published cannot accept responses.")
		}
		f.published, f.accepting = s.IsPublished, s.IsAcceptingResponses
		return map[string]any{"formId": f.id, "publishSettings": f.settings()}, nil
	})
}

// NewestForm is the id of the form that a person made last.
func (s *Server) NewestForm(email string) string {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	return u.forms[len(u.forms)-1].id
}

// RetitleForm changes a form behind everybody's back.
func (s *Server) RetitleForm(email, id, title string) {
	s.changeForm(email, id, func(f *form) { f.title = title })
}

// UnpublishForm closes a form, and puts a picture into it.
func (s *Server) UnpublishForm(email, id string) {
	s.changeForm(email, id, func(f *form) {
		f.published, f.accepting = false, false
		f.items = append(f.items, map[string]any{"itemId": "image", "title": "The host", "imageItem": map[string]any{"image": map[string]any{"altText": "host"}}})
	})
}

func (s *Server) changeForm(email, id string, change func(*form)) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range u.forms {
		if f.id == id {
			change(f)
			f.revision++
		}
	}
}

// newItem checks a question as the Forms API does and gives it ids.
func (c *call) newItem(in map[string]any) (item map[string]any, questionID string, err error) {
	title, _ := in["title"].(string)
	holder, _ := in["questionItem"].(map[string]any)
	question, _ := holder["question"].(map[string]any)
	if question == nil || strings.Contains(title, "\n") {
		return nil, "", fmt.Errorf("displayed text cannot contain newlines, and an item needs a question")
	}
	kinds := 0
	for _, kind := range []string{"choiceQuestion", "textQuestion", "scaleQuestion", "dateQuestion", "timeQuestion"} {
		if _, ok := question[kind].(map[string]any); ok {
			kinds++
		}
	}
	if kinds != 1 {
		return nil, "", fmt.Errorf("exactly one kind of question must be set")
	}
	if choice, ok := question["choiceQuestion"].(map[string]any); ok {
		options, _ := choice["options"].([]any)
		seen := map[string]bool{}
		for _, o := range options {
			option, _ := o.(map[string]any)
			value, _ := option["value"].(string)
			if value == "" || seen[value] {
				return nil, "", fmt.Errorf("duplicate or empty option values")
			}
			seen[value] = true
		}
		if len(options) == 0 || !slices.Contains([]any{"RADIO", "CHECKBOX", "DROP_DOWN"}, choice["type"]) {
			return nil, "", fmt.Errorf("a choice question needs a type and options")
		}
	}
	if scale, ok := question["scaleQuestion"].(map[string]any); ok {
		low, hasLow := scale["low"].(float64)
		high, hasHigh := scale["high"].(float64)
		if !hasLow || !hasHigh || low < 0 || low > 1 || high < 2 || high > 10 {
			return nil, "", fmt.Errorf("a scale goes from 0 or 1 to 2 to 10")
		}
	}
	item, question = maps.Clone(in), maps.Clone(question)
	questionID = c.user.next("q")
	question["questionId"] = questionID
	item["itemId"], item["questionItem"] = c.user.next("i"), map[string]any{"question": question}
	return item, questionID, nil
}
