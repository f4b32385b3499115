package tasks

import (
	"context"
	"fmt"
	"strings"
	"time"

	tasksapi "google.golang.org/api/tasks/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	readonly    = "https://www.googleapis.com/auth/tasks.readonly"
	readwrite   = "https://www.googleapis.com/auth/tasks"
	defaultList = "@default"
	defaultPage = 50

	maxText  = 300
	maxNotes = 4_000
	maxLists = 100

	needsAction = "needsAction"
	completed   = "completed"
)

// Tools returns the Tasks tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "tasks_list", Title: "List tasks",
		Description: "List the tasks of a list (default: the first one), and which lists there are.",
		Scopes:      oauth.NewScopes("tasks.read"), Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, p.list)
	tool.Add(&s, tool.Description{
		Name: "tasks_manage", Title: "Add or change a task",
		Description: "Add a task, change it, complete or reopen it. Tasks are deleted in Google Tasks.",
		Scopes:      oauth.NewScopes("tasks.write"), Google: oauth.NewScopes(readwrite), Hints: tool.Create, Tier: tool.Extended,
	}, p.manage)
	return s.Tools()
}

type product struct{ api *googleapi.API }

func (p *product) open(ctx context.Context, account string) (*tasksapi.Service, googleapi.Account, error) {
	return googleapi.Service(ctx, p.api, account, "", tasksapi.NewService)
}

// taskFields of a task.
const taskFields = "id,title,notes,status,due,completed,parent,webViewLink"

type entry struct {
	ID        string `json:"task_id"`
	Title     string `json:"title"`
	Notes     string `json:"notes,omitempty"`
	Truncated bool   `json:"notes_truncated,omitempty"`
	Status    string `json:"status"` // open, completed
	Due       string `json:"due,omitempty"`
	Completed string `json:"completed,omitempty"` // RFC 3339 in UTC
	Parent    string `json:"parent_task_id,omitempty"`
	Link      string `json:"link,omitempty"`
}

func describe(t *tasksapi.Task) entry {
	e := entry{ID: t.Id, Title: content.Line(t.Title, maxText), Status: "open", Parent: t.Parent, Link: t.WebViewLink}
	e.Notes, _, e.Truncated = content.Cut(content.Clean(t.Notes), 0, maxNotes)
	if due, err := time.Parse(time.RFC3339, t.Due); err == nil {
		e.Due = due.UTC().Format(time.DateOnly)
	}
	if t.Status == completed {
		e.Status = completed
		if t.Completed != nil {
			e.Completed = *t.Completed
		}
	}
	return e
}

func (e entry) write(b *strings.Builder) {
	fmt.Fprintf(b, "- [%s] %s", map[bool]string{true: "x", false: " "}[e.Status == completed], e.Title)
	if e.Due != "" {
		fmt.Fprintf(b, " | due %s", e.Due)
	}
	fmt.Fprintf(b, " | task_id %s\n", e.ID)
	if e.Notes != "" {
		b.WriteString(content.Under(e.Notes) + "\n")
	}
}

type listInput struct {
	ListID    string `json:"task_list_id,omitempty" limit:"maxlen=200"`
	Completed bool   `json:"completed,omitempty" jsonschema:"show completed ones too"`
	DueBefore string `json:"due_before,omitempty" jsonschema:"date" limit:"maxlen=10"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 50" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type listOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Lists         []taskList        `json:"task_lists,omitempty"` // unless one was named
	Tasks         []entry           `json:"tasks"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type taskList struct {
	ID    string `json:"task_list_id"`
	Title string `json:"title"`
}

func (p *product) list(ctx context.Context, in listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	before, err := due("due_before", in.DueBefore)
	if err != nil {
		return out, err
	}
	service, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := listOutput{Account: account, Notice: content.Notice, Tasks: []entry{}}
	if in.ListID == "" && in.PageToken == "" {
		lists, err := service.Tasklists.List().MaxResults(maxLists).Fields("items(id,title)").Context(ctx).Do()
		if err != nil {
			return out, googleapi.Error("listing task lists", err)
		}
		for _, l := range lists.Items {
			v.Lists = append(v.Lists, taskList{l.Id, content.Line(l.Title, maxText)})
		}
	}
	call := service.Tasks.List(orDefault(in.ListID)).MaxResults(int64(in.PageSize)).ShowCompleted(in.Completed).ShowHidden(in.Completed).
		Fields("nextPageToken", "items("+taskFields+")").Context(ctx)
	if before != "" {
		call.DueMax(before)
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing tasks", err)
	}
	v.NextPageToken = page.NextPageToken
	var list strings.Builder
	for _, l := range v.Lists {
		fmt.Fprintf(&list, "List: %s | task_list_id %s\n", l.Title, l.ID)
	}
	for _, t := range page.Items {
		e := describe(t)
		v.Tasks = append(v.Tasks, e)
		e.write(&list)
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s of %s", content.Count(len(v.Tasks), "task", "tasks"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}

func orDefault(list string) string {
	if list == "" {
		return defaultList
	}
	return list
}

// due is a date as the API takes it.
func due(name, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return "", tool.Invalid("%s must be a date such as 2026-01-31; Google Tasks keeps no time of day.", name)
	}
	return d.Format("2006-01-02T00:00:00.000Z"), nil
}
