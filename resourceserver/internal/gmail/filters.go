package gmail

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type filtersInput struct {
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type filtersOutput struct {
	Account googleapi.Account `json:"account"`
	Filters []filter          `json:"filters"`
}

type filter struct {
	ID       string   `json:"filter_id"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Query    string   `json:"query,omitempty"`
	Add      []string `json:"add_labels,omitempty"`
	Remove   []string `json:"remove_labels,omitempty"`
	Forwards string   `json:"forwards_to,omitempty"`
}

func (g *Gmail) listFilters(ctx context.Context, in filtersInput) (tool.Output[filtersOutput], error) {
	var out tool.Output[filtersOutput]
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	list, err := filtersOf(ctx, users)
	if err != nil {
		return out, err
	}
	out.Value = filtersOutput{Account: account, Filters: list}
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "- %s: %s\n", f.ID, f)
	}
	out.Text = fmt.Sprintf("%s in %s.\n%s", content.Count(len(list), "filter", "filters"), account.Email, content.Fence(b.String()))
	return out, nil
}

func filtersOf(ctx context.Context, users *gmail.UsersService) ([]filter, error) {
	list, err := users.Settings.Filters.List("me").Fields("filter(id,criteria(from,to,subject,query),action)").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("listing filters", err)
	}
	out := []filter{}
	for _, f := range list.Filter {
		out = append(out, filterOf(f))
	}
	return out, nil
}

func filterOf(f *gmail.Filter) filter {
	out := filter{ID: f.Id}
	if c := f.Criteria; c != nil {
		out.From, out.To, out.Subject, out.Query = content.Line(c.From, maxSubject), content.Line(c.To, maxSubject), content.Line(c.Subject, maxSubject), content.Line(c.Query, maxSubject)
	}
	if a := f.Action; a != nil {
		out.Add, out.Remove, out.Forwards = a.AddLabelIds, a.RemoveLabelIds, content.Line(a.Forward, maxSender)
	}
	return out
}

// String describes a filter in a list.
func (f filter) String() string {
	return strings.Join(f.criteria(), " and ") + " -> " + f.acts()
}

// question describes a filter to the person who confirms it: what it does first, and in
// lines of its own, so that what it looks for cannot read as something that it does.
func (f filter) question(does string) string {
	return "It does:\n" + content.Mark(does) + "\nFor mail with:\n" + content.Mark(strings.Join(f.criteria(), "\n"))
}

func (f filter) criteria() []string {
	var parts []string
	for _, p := range [][2]string{{"from", f.From}, {"to", f.To}, {"subject", f.Subject}, {"query", f.Query}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return parts
}

func (f filter) acts() string {
	acts := []string{}
	if len(f.Add) > 0 {
		acts = append(acts, "add "+strings.Join(f.Add, ", "))
	}
	if len(f.Remove) > 0 {
		acts = append(acts, "remove "+strings.Join(f.Remove, ", "))
	}
	if f.Forwards != "" {
		acts = append(acts, "forward to "+f.Forwards)
	}
	return strings.Join(acts, "; ")
}

type createFilterInput struct {
	From    string   `json:"from,omitempty" limit:"maxlen=300"`
	To      string   `json:"to,omitempty" limit:"maxlen=300"`
	Subject string   `json:"subject,omitempty" limit:"maxlen=300"`
	Query   string   `json:"query,omitempty" jsonschema:"Gmail search" limit:"maxlen=300"`
	Label   string   `json:"label,omitempty" jsonschema:"name or id" limit:"maxlen=225"`
	Actions []string `json:"actions,omitempty" enum:"archive,read,star" limit:"maxitems=3"`
	Account string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type filterOutput struct {
	Account googleapi.Account `json:"account"`
	Filter  filter            `json:"filter"`
}

func (g *Gmail) createFilter(ctx context.Context, in createFilterInput) (tool.Output[filterOutput], error) {
	var out tool.Output[filterOutput]
	// As the person is shown them: nothing that they do not see decides what is matched.
	for _, s := range []*string{&in.From, &in.To, &in.Subject, &in.Query} {
		*s = content.Line(*s, maxSubject)
	}
	if in.From+in.To+in.Subject+in.Query == "" {
		return out, tool.Invalid("Give from, to, subject or query: a filter for all mail is not made here.")
	}
	if in.Label == "" && len(in.Actions) == 0 {
		return out, tool.Invalid("Give label or actions.")
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	action, does := &gmail.FilterAction{}, slices.Clone(in.Actions)
	for _, a := range in.Actions {
		action.AddLabelIds, action.RemoveLabelIds = append(action.AddLabelIds, changes[a].add...), append(action.RemoveLabelIds, changes[a].remove...)
	}
	if in.Label != "" {
		all, err := labelsOf(ctx, users)
		if err != nil {
			return out, err
		}
		ids, err := labelIDs(all, []string{in.Label})
		if err != nil {
			return out, err
		}
		// A filter that trashes mail or hides it as spam destroys by itself.
		if slices.Contains([]string{"TRASH", "SPAM"}, ids[0]) {
			return out, tool.Invalid("Filters that delete are not offered.")
		}
		action.AddLabelIds = append(action.AddLabelIds, ids[0])
		name := all[slices.IndexFunc(all, func(l *gmail.Label) bool { return l.Id == ids[0] })].Name
		does = append(does, "add the label "+content.Line(name, maxLabel))
	}
	f := &gmail.Filter{Criteria: &gmail.FilterCriteria{From: in.From, To: in.To, Subject: in.Subject, Query: in.Query}, Action: action}
	if err := elicit.Confirm(ctx, elicit.Act{Question: fmt.Sprintf("Create this filter for incoming mail in %s?\n%s", account.Email, filterOf(f).question(strings.Join(does, "\n")))}); err != nil {
		return out, err
	}
	made, err := users.Settings.Filters.Create("me", f).Fields("id").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("creating filter", err)
	}
	f.Id = made.Id
	out.Value = filterOutput{Account: account, Filter: filterOf(f)}
	out.Text = fmt.Sprintf("Filter %s was created in %s.", made.Id, account.Email)
	return out, nil
}

type deleteFilterInput struct {
	FilterID string `json:"filter_id" limit:"minlen=1,maxlen=200"`
	Account  string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

func (g *Gmail) deleteFilter(ctx context.Context, in deleteFilterInput) (tool.Output[filterOutput], error) {
	var out tool.Output[filterOutput]
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	list, err := filtersOf(ctx, users)
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(list, func(f filter) bool { return f.ID == in.FilterID })
	if i < 0 {
		return out, &tool.Error{Code: tool.CodeNotFound, Message: "There is no such filter.", NextAction: "gmail_list_filters lists them."}
	}
	if err := elicit.Confirm(ctx, elicit.Act{Question: fmt.Sprintf("Delete this filter from %s?\n%s", account.Email, list[i].question(list[i].acts())), Binding: in.FilterID}); err != nil {
		return out, err
	}
	if err := users.Settings.Filters.Delete("me", in.FilterID).Context(ctx).Do(); err != nil {
		return out, googleapi.Error("deleting filter", err)
	}
	out.Value = filterOutput{Account: account, Filter: list[i]}
	out.Text = fmt.Sprintf("Filter %s was deleted from %s.", in.FilterID, account.Email)
	return out, nil
}
