package contacts

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
)

// allow asks the person before a contact gets another name, address or number: by
// these a model finds later whom to write to, so a mail that makes it change them
// would turn others from their way. What is only noted of somebody needs no word. The
// question stays true while the person thinks: the etag that is asked for is of all
// that it shows.
func (in updateInput) allow(ctx context.Context, account googleapi.Account, old *people.Person, c *change) error {
	if in.GivenName == nil && in.FamilyName == nil && len(c.off)+len(c.added) == 0 {
		elicit.Waive(ctx)
		return nil
	}
	question := fmt.Sprintf("Change this contact of %s?\n%s", account.Email, content.Mark(called(old.Names)))
	if in.GivenName != nil || in.FamilyName != nil {
		question += "\nName:\n" + content.Mark(called(c.person.Names))
	}
	return in.confirm(ctx, question, c)
}

// allowNew asks the person before a contact with an address or a number is made, for
// the same reason: it could have the name of somebody else.
func (in updateInput) allowNew(ctx context.Context, account googleapi.Account, c *change) error {
	if len(c.added) == 0 {
		elicit.Waive(ctx)
		return nil
	}
	return in.confirm(ctx, fmt.Sprintf("Add this contact to those of %s?\n%s", account.Email, content.Mark(called(c.person.Names))), c)
}

// confirm shows after the question what else is given.
func (in updateInput) confirm(ctx context.Context, question string, c *change) error {
	var b strings.Builder
	b.WriteString(question)
	show := func(what string, texts ...string) {
		fmt.Fprintf(&b, "\n%s:\n%s", what, content.Mark(strings.Join(texts, "\n")))
	}
	if len(c.off) > 0 {
		show("Taken off", c.off...)
	}
	if len(c.added) > 0 {
		added := make([]string, len(c.added))
		for i, a := range c.added {
			added[i] = content.Shown(a)
		}
		show("Added", added...)
	}
	if in.Organization != nil {
		show("Organization", content.Line(*in.Organization, maxText))
	}
	if in.Title != nil {
		show("Title", content.Line(*in.Title, maxText))
	}
	if in.Notes != nil {
		show("Notes", strings.TrimSpace(content.Clean(*in.Notes)))
	}
	return elicit.Confirm(ctx, elicit.Act{Question: b.String()})
}

// called is a name in its parts, as far as they can be changed or stay.
func called(names []*people.Name) string {
	if len(names) > 0 {
		if name := content.Line(strings.Join([]string{names[0].GivenName, names[0].MiddleName, names[0].FamilyName}, " "), 3*maxText); name != "" {
			return name
		}
	}
	return "(no name)"
}
