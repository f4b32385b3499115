package fakegoogle

import (
	"encoding/json"
	"slices"
	"time"
)

type task struct {
	ID        string `json:"id"`
	Etag      string `json:"etag"`
	Title     string `json:"title"`
	Notes     string `json:"notes,omitempty"`
	Status    string `json:"status"`
	Due       string `json:"due,omitempty"`
	Completed string `json:"completed,omitempty"`
	Updated   string `json:"updated,omitempty"`
}

type taskList struct {
	ID    string
	Title string
	tasks []*task
}

// taskList is the list of a request; the first is the default.
func (c *call) taskList() (*taskList, error) {
	for i, l := range c.user.lists {
		if l.ID == c.path["tasklist"] || i == 0 && c.path["tasklist"] == "@default" {
			return l, nil
		}
	}
	return nil, notFound("Task list")
}

// writeTask changes a task as a request says; null members go. Of a due time
// Google keeps the date only.
func (c *call) writeTask(t *task) error {
	in := map[string]*string{}
	if len(c.body) > 0 && json.Unmarshal(c.body, &in) != nil {
		return &apiError{400, "INVALID_ARGUMENT", "parseError", "Parse Error"}
	}
	for name, into := range map[string]*string{"title": &t.Title, "notes": &t.Notes, "due": &t.Due, "status": &t.Status} {
		v, given := in[name]
		switch {
		case given && v == nil:
			*into = ""
		case given:
			*into = *v
		}
	}
	if t.Due != "" {
		due, err := time.Parse(time.RFC3339, t.Due)
		if err != nil {
			return badRequest("Invalid due date.")
		}
		t.Due = due.UTC().Format("2006-01-02T00:00:00.000Z")
	}
	now := c.s.now().UTC().Format(time.RFC3339)
	switch t.Status {
	case "completed":
		if t.Completed == "" {
			t.Completed = now
		}
	case "needsAction":
		t.Completed = ""
	default:
		return badRequest("Invalid task status.")
	}
	t.Updated = now
	return nil
}

func init() {
	handle("tasks.tasklists.list", func(c *call) (any, error) {
		page, next, err := paginate(c, c.user.lists, c.size("maxResults", 1000, 1000))
		items := []any{}
		for _, l := range page {
			items = append(items, map[string]any{"id": l.ID, "title": l.Title})
		}
		return withNext(map[string]any{"items": items}, next), err
	})
	handle("tasks.tasks.list", func(c *call) (any, error) {
		l, err := c.taskList()
		if err != nil {
			return nil, err
		}
		found := slices.DeleteFunc(slices.Clone(l.tasks), func(t *task) bool {
			late := c.query.Get("dueMax")
			return t.Status == "completed" && c.query.Get("showCompleted") == "false" || late != "" && (t.Due == "" || t.Due >= late)
		})
		page, next, err := paginate(c, found, c.size("maxResults", 20, 100))
		return withNext(map[string]any{"items": append([]*task{}, page...)}, next), err
	})
	handle("tasks.tasks.insert", func(c *call) (any, error) {
		l, err := c.taskList()
		if err != nil {
			return nil, err
		}
		t := &task{ID: c.user.next("t"), Status: "needsAction"}
		if err := c.writeTask(t); err != nil {
			return nil, err
		}
		l.tasks = slices.Insert(l.tasks, 0, t)
		return t, nil
	})
	handle("tasks.tasks.patch", func(c *call) (any, error) {
		l, err := c.taskList()
		if err != nil {
			return nil, err
		}
		for _, t := range l.tasks {
			if t.ID == c.path["task"] {
				return t, c.writeTask(t)
			}
		}
		return nil, notFound("Task")
	})
}
