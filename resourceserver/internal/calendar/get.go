package calendar

import (
	"context"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type getInput struct {
	EventID    string `json:"event_id" limit:"minlen=1,maxlen=1100"`
	CalendarID string `json:"calendar_id,omitempty" limit:"maxlen=300"`
	Account    string `json:"account,omitempty" limit:"maxlen=64"`
}

// eventOutput is the result of every tool about one event.
type eventOutput struct {
	Account googleapi.Account `json:"account"`
	Notice  string            `json:"notice"`
	Event   event             `json:"event"`
}

func (c *product) get(ctx context.Context, in getInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	e, err := read(ctx, service, orPrimary(in.CalendarID), in.EventID)
	if err != nil {
		return out, err
	}
	zone, err := ownZone(ctx, service, orPrimary(in.CalendarID), e)
	if err != nil {
		return out, err
	}
	return result("Event", account, e, zone), nil
}

// read gets an event. One that was deleted is still there for Google.
func read(ctx context.Context, service *calendar.Service, calendarID, eventID string) (*calendar.Event, error) {
	e, err := service.Events.Get(calendarID, eventID).MaxAttendees(wholeGuests + 1).Fields(wholeFields).Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading event", err)
	}
	if e.Status == "cancelled" {
		return nil, &tool.Error{Code: tool.CodeNotFound, Message: "The event was deleted.", NextAction: "Tell the person."}
	}
	return e, nil
}

// readWhole gets an event to change it. Of one with more guests than are read
// Google names none: whom a change reaches nobody could say.
func readWhole(ctx context.Context, service *calendar.Service, calendarID, eventID string) (*calendar.Event, error) {
	e, err := read(ctx, service, calendarID, eventID)
	if err == nil && (e.AttendeesOmitted || len(e.Attendees) > wholeGuests) {
		return nil, tool.Invalid("Not all guests of this event can be seen here (at most %d), so it is for the person to change in Google Calendar.", wholeGuests)
	}
	return e, err
}

// ownZone is the zone an event is meant in; the calendar's if it has none.
func ownZone(ctx context.Context, service *calendar.Service, calendarID string, e *calendar.Event) (*time.Location, error) {
	if e.Start != nil && e.Start.TimeZone != "" {
		return location(e.Start.TimeZone), nil
	}
	return zoneOf(ctx, service, calendarID)
}

// result tells of one event; what is the headline of the text.
func result(what string, account googleapi.Account, e *calendar.Event, zone *time.Location) tool.Output[eventOutput] {
	v := eventOutput{Account: account, Notice: content.Notice, Event: whole.describe(e, zone)}
	var b strings.Builder
	v.Event.writeWhole(&b)
	return tool.Output[eventOutput]{Value: v, Text: content.List(what+" in "+account.Email, b.String(), "")}
}
