package calendar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// maxNamed are the guests that a question names; beyond that nobody reads them.
const maxNamed = wholeGuests

// same compares addresses as Google does, without regard to case.
func same(a, b string) bool { return strings.EqualFold(a, b) }

// act is something that other people learn of by mail.
type act struct {
	question string   // what the person is asked, before whom it reaches
	guests   []string // all that get mail; the person's own address may be among them
	details  string   // below the question
	binding  string
	calendar string // its id
	always   bool   // ask even if nobody else is reached
}

// own reports whether a calendar is the account's primary one. Everywhere else
// "self" in an event is the calendar, or whose it is, and not the person.
func own(id string, account googleapi.Account) bool {
	return id == primary || same(id, account.Email)
}

// allow lets an act happen: the operator's policy first, then the person's word.
// What reaches nobody else needs none in the person's own calendar, unless it says
// so; others may see any other calendar.
func (a act) allow(ctx context.Context, account googleapi.Account) error {
	var others []string
	for _, g := range a.guests {
		if !same(g, account.Email) && !slices.ContainsFunc(others, func(o string) bool { return same(o, g) }) {
			others = append(others, g)
		}
	}
	slices.SortFunc(others, strings.Compare)
	p := policy.From(ctx)
	for _, o := range others {
		if !p.MaySend() || !p.Reaches(o) {
			return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow mail to " + o + ", and Calendar would send it; nothing was done.",
				NextAction: "Tell the person; they can do it themselves in Google Calendar."}
		}
	}
	mine := own(a.calendar, account)
	if len(others) == 0 && !a.always && mine {
		elicit.Waive(ctx)
		return nil
	}
	if len(others) > maxNamed {
		return tool.Invalid("An event with more than %d guests is for the person to change in Google Calendar.", maxNamed)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", a.question, account.Email)
	if !mine {
		fmt.Fprintf(&b, "In another calendar, which others may see: %s\n", content.Line(a.calendar, maxText))
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, "Google sends mail to: %s\n", content.AllShown(others))
	}
	b.WriteString(a.details)
	return elicit.Confirm(ctx, elicit.Act{Question: strings.TrimSpace(b.String()), Binding: a.binding})
}

// updates is Google's sendUpdates: whoever was confirmed gets mail.
func (a act) updates(account googleapi.Account) string {
	if slices.ContainsFunc(a.guests, func(g string) bool { return !same(g, account.Email) }) {
		return "all"
	}
	return "none"
}

// details are what the person is shown of an event: all that a call writes there, as
// others get it by mail. Every line of the event's own text is marked.
func details(title, period, location, recurrence, description string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "When: %s\n", period)
	if recurrence != "" {
		fmt.Fprintf(&b, "Repeats: %s\n", content.Line(recurrence, maxText))
	}
	b.WriteString("Title:\n" + content.Mark(content.Line(title, maxText)) + "\n")
	if location != "" {
		b.WriteString("Where:\n" + content.Mark(content.Line(location, maxText)) + "\n")
	}
	if description != "" {
		b.WriteString("Text:\n" + content.Mark(content.Clean(description)) + "\n")
	}
	return b.String()
}

// invited are the addresses of an event: guests and, if it is another's, who
// organizes it. The person is left out where mine says that "self" is the person.
func invited(e *calendar.Event, mine bool) []string {
	var out []string
	for _, a := range e.Attendees {
		if !a.Self || !mine {
			out = append(out, a.Email)
		}
	}
	if o := e.Organizer; o != nil && !o.Self && o.Email != "" && !slices.Contains(out, o.Email) && len(e.Attendees) > 0 {
		out = append(out, o.Email)
	}
	return out
}

// doubtful says so when nobody can know whether Google did it.
func doubtful(err error) error {
	if e, ok := err.(*tool.Error); ok && (e.Code == tool.CodeUnavailable || e.Code == tool.CodeTimeout) {
		e.Message, e.Retryable = "Google did not answer: it may have been done.", false
		e.NextAction = "Look at the event with calendar_list_events or calendar_get_event before anything else."
	}
	return err
}
