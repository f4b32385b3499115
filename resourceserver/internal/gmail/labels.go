package gmail

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const maxLabel = 225 // characters, Gmail's own limit

type labelsInput struct {
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type labelsOutput struct {
	Account googleapi.Account `json:"account"`
	Labels  []label           `json:"labels"`
}

type label struct {
	ID   string `json:"label_id"`
	Name string `json:"name"`
	Type string `json:"type"` // system or user
}

func (g *Gmail) labels(ctx context.Context, in labelsInput) (tool.Output[labelsOutput], error) {
	var out tool.Output[labelsOutput]
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	list, err := labelsOf(ctx, users)
	if err != nil {
		return out, err
	}
	v := labelsOutput{Account: account, Labels: []label{}}
	var b strings.Builder
	for _, l := range list {
		v.Labels = append(v.Labels, label{ID: l.Id, Name: content.Line(l.Name, maxLabel), Type: l.Type})
	}
	slices.SortFunc(v.Labels, func(a, b label) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	for _, l := range v.Labels {
		fmt.Fprintf(&b, "- %s (%s, %s)\n", l.Name, l.ID, l.Type)
	}
	out.Value, out.Text = v, fmt.Sprintf("%s in %s.\n%s", content.Count(len(v.Labels), "label", "labels"), account.Email, content.Fence(b.String()))
	return out, nil
}

func labelsOf(ctx context.Context, users *gmail.UsersService) ([]*gmail.Label, error) {
	list, err := users.Labels.List("me").Fields("labels(id,name,type)").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("listing labels", err)
	}
	return list.Labels, nil
}

// labelIDs turns names or ids of labels into ids. Names are compared as Gmail
// does, without case; an id wins over a name.
func labelIDs(all []*gmail.Label, given []string) ([]string, error) {
	var out []string
	for _, g := range given {
		i := slices.IndexFunc(all, func(l *gmail.Label) bool { return l.Id == g })
		if i < 0 {
			i = slices.IndexFunc(all, func(l *gmail.Label) bool { return strings.EqualFold(l.Name, g) })
		}
		if i < 0 {
			return nil, tool.Invalid("There is no label %q; gmail_list_labels lists them.", content.Line(g, maxLabel))
		}
		out = append(out, all[i].Id)
	}
	return out, nil
}
