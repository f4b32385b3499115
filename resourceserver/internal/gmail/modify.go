package gmail

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type modifyInput struct {
	ThreadIDs    []string `json:"thread_ids,omitempty" limit:"maxitems=50"`
	MessageIDs   []string `json:"message_ids,omitempty" limit:"maxitems=500"`
	Actions      []string `json:"actions,omitempty" enum:"archive,inbox,read,unread,star,unstar,trash,untrash" limit:"maxitems=8"`
	AddLabels    []string `json:"add_labels,omitempty" jsonschema:"names or ids" limit:"maxitems=20"`
	RemoveLabels []string `json:"remove_labels,omitempty" jsonschema:"names or ids" limit:"maxitems=20"`
	Account      string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type modifyOutput struct {
	Account  googleapi.Account `json:"account"`
	Threads  int               `json:"threads"`  // changed
	Messages int               `json:"messages"` // changed
	Added    []string          `json:"labels_added"`
	Removed  []string          `json:"labels_removed"`
}

// changes of each action. TRASH is a label that Gmail lets a client set and take
// away; what it does is what its own buttons do.
var changes = map[string]struct{ add, remove []string }{
	"archive": {nil, []string{"INBOX"}},
	"inbox":   {[]string{"INBOX"}, nil},
	"read":    {nil, []string{labelUnread}},
	"unread":  {[]string{labelUnread}, nil},
	"star":    {[]string{"STARRED"}, nil},
	"unstar":  {nil, []string{"STARRED"}},
	"trash":   {[]string{"TRASH"}, []string{"INBOX"}},
	"untrash": {[]string{"INBOX"}, []string{"TRASH"}},
}

func (g *Gmail) modify(ctx context.Context, in modifyInput) (tool.Output[modifyOutput], error) {
	var out tool.Output[modifyOutput]
	if len(in.ThreadIDs)+len(in.MessageIDs) == 0 {
		return out, tool.Invalid("Give thread_ids or message_ids.")
	}
	if len(in.Actions)+len(in.AddLabels)+len(in.RemoveLabels) == 0 {
		return out, tool.Invalid("Give actions, add_labels or remove_labels.")
	}
	var add, remove []string
	for _, a := range in.Actions {
		add, remove = append(add, changes[a].add...), append(remove, changes[a].remove...)
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if len(in.AddLabels)+len(in.RemoveLabels) > 0 {
		all, err := labelsOf(ctx, users)
		if err != nil {
			return out, err
		}
		for _, l := range []struct {
			given []string
			into  *[]string
		}{{in.AddLabels, &add}, {in.RemoveLabels, &remove}} {
			ids, err := labelIDs(all, l.given)
			if err != nil {
				return out, err
			}
			*l.into = append(*l.into, ids...)
		}
	}
	add, remove = unique(add), unique(remove)
	if i := slices.IndexFunc(add, func(l string) bool { return slices.Contains(remove, l) }); i >= 0 {
		return out, tool.Invalid("These changes contradict each other: %s is to be added and removed.", add[i])
	}
	ctx = googleapi.Idempotent(ctx) // twice is as once
	if len(in.MessageIDs) > 0 {
		if err := users.Messages.BatchModify("me", &gmail.BatchModifyMessagesRequest{Ids: unique(in.MessageIDs), AddLabelIds: add, RemoveLabelIds: remove}).Context(ctx).Do(); err != nil {
			return out, googleapi.Error("changing messages", err)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, id := range unique(in.ThreadIDs) {
		group.Go(func() error {
			_, err := users.Threads.Modify("me", id, &gmail.ModifyThreadRequest{AddLabelIds: add, RemoveLabelIds: remove}).Fields("id").Context(groupCtx).Do()
			return googleapi.Error("changing thread", err)
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	v := modifyOutput{Account: account, Threads: len(unique(in.ThreadIDs)), Messages: len(unique(in.MessageIDs)), Added: append([]string{}, add...), Removed: append([]string{}, remove...)}
	out.Value = v
	out.Text = fmt.Sprintf("Changed %s and %s in %s: added %v, removed %v.", content.Count(v.Threads, "thread", "threads"), content.Count(v.Messages, "message", "messages"), account.Email, v.Added, v.Removed)
	return out, nil
}

// unique keeps the first of equal values.
func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
