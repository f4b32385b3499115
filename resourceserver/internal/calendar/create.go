package calendar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"google.golang.org/api/calendar/v3"
	gapi "google.golang.org/api/googleapi"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type createInput struct {
	Title       string   `json:"title" limit:"minlen=1,maxlen=300"`
	Start       string   `json:"start" jsonschema:"2026-01-31T09:00[Europe/Berlin], RFC 3339, or date; default zone: the calendar's" limit:"minlen=1,maxlen=100"`
	End         string   `json:"end,omitempty" jsonschema:"default: an hour or a day on; a date is exclusive" limit:"maxlen=100"`
	Description string   `json:"description,omitempty" limit:"maxlen=8000"`
	Location    string   `json:"location,omitempty" limit:"maxlen=300"`
	Attendees   []string `json:"attendees,omitempty" jsonschema:"addresses" limit:"maxitems=100"`
	Recurrence  string   `json:"recurrence,omitempty" jsonschema:"RRULE such as FREQ=WEEKLY;COUNT=10" limit:"maxlen=300"`
	Meet        bool     `json:"meet,omitempty" jsonschema:"add Google Meet"`
	CalendarID  string   `json:"calendar_id,omitempty" limit:"maxlen=300"`
	Account     string   `json:"account,omitempty" limit:"maxlen=64"`
}

// create makes an event once: Google refuses a second one with the same id, and
// the id is that of the confirmation.
func (c *product) create(ctx context.Context, in createInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	e := &calendar.Event{Summary: content.Line(in.Title, maxText), Description: content.Clean(in.Description), Location: content.Line(in.Location, maxText)}
	var guests []string
	for _, s := range in.Attendees {
		a, err := content.Address("attendees", s)
		if err != nil {
			return out, err
		}
		guests = append(guests, a)
		e.Attendees = append(e.Attendees, &calendar.EventAttendee{Email: a})
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	id := orPrimary(in.CalendarID)
	zone := time.UTC
	if needsZone(in.Start) {
		if zone, err = zoneOf(ctx, service, id); err != nil {
			return out, err
		}
	}
	times, err := parseSpan(in.Start, in.End, zone, 0)
	if err != nil {
		return out, err
	}
	e.Start, e.End = times.start.google(), times.end.google()
	rule := ""
	if in.Recurrence != "" {
		if rule, err = parseRule(in.Recurrence, times.start.allDay); err != nil {
			return out, err
		}
		e.Recurrence = []string{rule}
	}
	question := "Invite these people to an event in your calendar?"
	if !own(id, account) {
		question = "Create this event?"
	}
	a := act{question: question, guests: guests, calendar: id, binding: id,
		details: details(e.Summary, spoken(times.start.when(), times.end.when()), e.Location, rule, e.Description)}
	if in.Meet {
		a.details += "With Google Meet\n"
	}
	if err := a.allow(ctx, account); err != nil {
		return out, err
	}
	made, err := insert(ctx, service, id, e, a.updates(account), in.Meet)
	if err != nil {
		return out, err
	}
	return result("Created", account, made, times.start.zoneOr(zone)), nil
}

// insert creates the event; to repeat it is safe, because it has an id of ours.
func insert(ctx context.Context, service *calendar.Service, calendarID string, e *calendar.Event, updates string, meet bool) (*calendar.Event, error) {
	sum := sha256.Sum256([]byte(elicit.ActID(ctx)))
	e.Id = hex.EncodeToString(sum[:16]) // Google takes base32hex, 5 to 1024 characters
	call := service.Events.Insert(calendarID, e).SendUpdates(updates).MaxAttendees(wholeGuests).Fields(eventFields)
	if meet {
		e.ConferenceData = &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{
			RequestId: e.Id, ConferenceSolutionKey: &calendar.ConferenceSolutionKey{Type: "hangoutsMeet"},
		}}
		call.ConferenceDataVersion(1)
	}
	made, err := call.Context(googleapi.Idempotent(ctx)).Do()
	var g *gapi.Error
	if errors.As(err, &g) && g.Code == http.StatusConflict {
		return read(ctx, service, calendarID, e.Id) // this very act made it before
	}
	if err != nil {
		return nil, doubtful(googleapi.Error("creating event", err))
	}
	return made, nil
}
