package tasks

import (
	"context"
	"strings"

	tasksapi "google.golang.org/api/tasks/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type manageInput struct {
	Action  string  `json:"action" enum:"add,update,complete,reopen"`
	TaskID  string  `json:"task_id,omitempty" limit:"maxlen=200"`
	Title   string  `json:"title,omitempty" limit:"maxlen=300"`
	Notes   *string `json:"notes,omitempty" limit:"maxlen=8000"`
	Due     string  `json:"due,omitempty" jsonschema:"date; none takes it away" limit:"maxlen=10"`
	ListID  string  `json:"task_list_id,omitempty" limit:"maxlen=200"`
	Account string  `json:"account,omitempty" limit:"maxlen=64"`
}

type manageOutput struct {
	Account googleapi.Account `json:"account"`
	Notice  string            `json:"notice"`
	Task    entry             `json:"task"`
}

func (p *product) manage(ctx context.Context, in manageInput) (tool.Output[manageOutput], error) {
	var out tool.Output[manageOutput]
	t, err := in.task()
	if err != nil {
		return out, err
	}
	service, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	var done *tasksapi.Task
	if in.Action == "add" {
		// Not repeated: it would be there twice.
		done, err = service.Tasks.Insert(orDefault(in.ListID), t).Fields(taskFields).Context(ctx).Do()
		err = tool.Doubtful(googleapi.Error("adding task", err), "Google did not answer: the task may have been added.", "Look with tasks_list before you try again.")
	} else {
		// The same twice is as once.
		done, err = service.Tasks.Patch(orDefault(in.ListID), in.TaskID, t).Fields(taskFields).Context(googleapi.Idempotent(ctx)).Do()
		err = googleapi.Error("changing task", err)
	}
	if err != nil {
		return out, err
	}
	v := manageOutput{Account: account, Notice: content.Notice, Task: describe(done)}
	var b strings.Builder
	v.Task.write(&b)
	out.Value, out.Text = v, content.List("The task in "+account.Email, b.String(), "")
	return out, nil
}

// task is what is written: only what was given.
func (in manageInput) task() (*tasksapi.Task, error) {
	t := &tasksapi.Task{}
	adds, changes := in.Action == "add", in.Title != "" || in.Notes != nil || in.Due != ""
	switch {
	case adds == (in.TaskID != ""):
		return nil, tool.Invalid("add takes no task_id; the other actions need one.")
	case adds && in.Title == "":
		return nil, tool.Invalid("A task needs a title.")
	case in.Action == "update" && !changes:
		return nil, tool.Invalid("There is nothing to change.")
	case !adds && in.Action != "update" && changes:
		return nil, tool.Invalid("%s takes a task_id only; use update for the rest.", in.Action)
	}
	switch in.Action {
	case "complete":
		t.Status = completed
		return t, nil
	case "reopen":
		t.Status, t.NullFields = needsAction, []string{"Completed"}
		return t, nil
	}
	t.Title = content.Line(in.Title, maxText)
	if in.Notes != nil {
		t.Notes, t.ForceSendFields = content.Clean(*in.Notes), []string{"Notes"}
	}
	if in.Due == "none" {
		t.NullFields = []string{"Due"}
		return t, nil
	}
	var err error
	t.Due, err = due("due", in.Due)
	return t, err
}
