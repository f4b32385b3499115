package calendar

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type updateInput struct {
	EventID     string   `json:"event_id" limit:"minlen=1,maxlen=1100"`
	Etag        string   `json:"etag,omitempty" jsonschema:"refuses if it changed since" limit:"maxlen=200"`
	Title       string   `json:"title,omitempty" limit:"maxlen=300"`
	Start       string   `json:"start,omitempty" jsonschema:"as for create; alone it moves the event" limit:"maxlen=100"`
	End         string   `json:"end,omitempty" limit:"maxlen=100"`
	Description *string  `json:"description,omitempty" limit:"maxlen=8000"`
	Location    *string  `json:"location,omitempty" limit:"maxlen=300"`
	Attendees   []string `json:"attendees,omitempty" jsonschema:"addresses to add; -address takes one off" limit:"maxitems=100"`
	CalendarID  string   `json:"calendar_id,omitempty" limit:"maxlen=300"`
	Account     string   `json:"account,omitempty" limit:"maxlen=64"`
}

// changed is what an event is refused with that is not what was shown.
func changed() error {
	return &tool.Error{Code: tool.CodeConflict, Message: "The event was changed by somebody else meanwhile; nothing was done.", NextAction: "Read it again, and ask the person if the change is still wanted."}
}

// update changes parts of an event, under the condition that it still is what was
// read: If-Match holds over the person's thinking too, because the question is
// bound to the etag.
func (c *product) update(ctx context.Context, in updateInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	if in.Title == "" && in.Start == "" && in.End == "" && in.Description == nil && in.Location == nil && len(in.Attendees) == 0 {
		return out, tool.Invalid("There is nothing to change.")
	}
	add, remove, err := in.guests()
	if err != nil {
		return out, err
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	id := orPrimary(in.CalendarID)
	e, err := readWhole(ctx, service, id, in.EventID)
	if err != nil {
		return out, err
	}
	if in.Etag != "" && in.Etag != e.Etag {
		return out, changed()
	}
	zone, err := ownZone(ctx, service, id, e)
	if err != nil {
		return out, err
	}
	before, readable := spanOf(e, zone)
	after := before
	patch := &calendar.Event{}
	if in.Start != "" || in.End != "" {
		if !readable {
			return out, tool.Invalid("The times of this event cannot be changed here; the person can do it in Google Calendar.")
		}
		if after, err = before.moved(in.Start, in.End, zone); err != nil {
			return out, err
		}
		patch.Start, patch.End = after.start.instead(before.start), after.end.instead(before.end)
	}
	title, location, description := e.Summary, e.Location, "" // the old description is not shown again
	if in.Title != "" {
		title = content.Line(in.Title, maxText)
		patch.Summary = title
	}
	if in.Location != nil {
		location = content.Line(*in.Location, maxText)
		patch.Location, patch.ForceSendFields = location, append(patch.ForceSendFields, "Location")
	}
	if in.Description != nil {
		description = content.Clean(*in.Description)
		patch.Description, patch.ForceSendFields = description, append(patch.ForceSendFields, "Description")
	}
	if len(in.Attendees) > 0 {
		patch.Attendees, patch.ForceSendFields = regrouped(e.Attendees, add, remove), append(patch.ForceSendFields, "Attendees")
	}
	text := ""
	if after != before {
		text = "Until now: " + spoken(before.start.when(), before.end.when()) + "\n"
	}
	if len(add) > 0 {
		text += "New guests: " + content.AllShown(add) + "\n"
	}
	if len(remove) > 0 {
		text += "Taken off: " + content.AllShown(remove) + "\n"
	}
	question := "Change this event?"
	if len(e.Recurrence) > 0 {
		question = "Change this whole series of events?"
	}
	a := act{question: question, guests: slices.Concat(invited(e, own(id, account)), add), calendar: id, binding: id + " " + e.Id + " " + e.Etag,
		details: text + details(title, spoken(after.start.when(), after.end.when()), location, "", description)}
	if d := decliningOf(e); d.active() && after != before {
		if len(e.Recurrence) > 0 {
			return out, tool.Invalid("Google declines meetings during this series, and whose cannot be told here, so it is for the person to move in Google Calendar.")
		}
		if err := d.allowed(ctx); err != nil {
			return out, err
		}
		a.always = true
		if err := d.tell(ctx, service, id, after, &a); err != nil {
			return out, err
		}
	}
	if err := a.allow(ctx, account); err != nil {
		return out, err
	}
	call := service.Events.Patch(id, in.EventID, patch).SendUpdates(a.updates(account)).MaxAttendees(wholeGuests).Fields(eventFields).Context(ctx)
	call.Header().Set("If-Match", e.Etag)
	done, err := call.Do()
	if err != nil {
		return out, doubtful(googleapi.Error("changing event", err))
	}
	return result("Changed", account, done, after.start.zoneOr(zone)), nil
}

// guests are who is added and who is taken off.
func (in updateInput) guests() (add, remove []string, err error) {
	for _, s := range in.Attendees {
		s, off := strings.CutPrefix(strings.TrimSpace(s), "-")
		a, err := content.Address("attendees", s)
		if err != nil {
			return nil, nil, err
		}
		if off {
			remove = append(remove, a)
		} else {
			add = append(add, a)
		}
	}
	for _, a := range add {
		if slices.ContainsFunc(remove, func(r string) bool { return same(a, r) }) {
			return nil, nil, tool.Invalid("attendees adds and takes off the same address.")
		}
	}
	return add, remove, nil
}

// regrouped are the guests after a change. Who stays keeps their answer.
func regrouped(old []*calendar.EventAttendee, add, remove []string) []*calendar.EventAttendee {
	out := []*calendar.EventAttendee{}
	has := func(list []string, email string) bool {
		return slices.ContainsFunc(list, func(a string) bool { return same(a, email) })
	}
	var there []string
	for _, a := range old {
		if !has(remove, a.Email) {
			out, there = append(out, a), append(there, a.Email)
		}
	}
	for _, a := range add {
		if !has(there, a) {
			out, there = append(out, &calendar.EventAttendee{Email: a}), append(there, a)
		}
	}
	return out
}

// moved is the span with new ends. A start alone takes the end with it, so
// that an hour stays an hour.
func (s span) moved(start, end string, zone *time.Location) (span, error) {
	if start == "" {
		var err error
		if s.end, err = parseStamp("end", end, s.start.zoneOr(zone)); err != nil {
			return s, err
		}
		return s, s.check()
	}
	out, err := parseSpan(start, end, s.start.zoneOr(zone), 0)
	if err == nil && end == "" && out.start.allDay == s.start.allDay {
		out.end.at = out.start.at.Add(s.end.at.Sub(s.start.at))
	}
	return out, err
}
