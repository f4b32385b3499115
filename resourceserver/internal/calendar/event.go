package calendar

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
)

// How much of an event is shown: in a list, and alone.
const (
	listedDescription = 1_000
	listedGuests      = 30
	wholeDescription  = 20_000
	wholeGuests       = 200
)

// What is asked of an event; maxAttendees bounds how many guests come. One that
// may be changed comes with all that Google knows of its guests: a list of guests
// is written whole, and what was not read would be lost.
const (
	exceptGuests = "id,etag,summary,status,start,end,location,description,organizer(email,displayName,self),attendeesOmitted,hangoutLink,htmlLink,recurringEventId,recurrence,eventType,focusTimeProperties,outOfOfficeProperties"
	eventFields  = exceptGuests + ",attendees(email,displayName,responseStatus,self,comment)"
	wholeFields  = exceptGuests + ",attendees"
)

type event struct {
	ID          string     `json:"event_id"`
	Title       string     `json:"title"`
	Start       when       `json:"start"`
	End         when       `json:"end"`
	Status      string     `json:"status"`
	Location    string     `json:"location,omitempty"`
	Description string     `json:"description,omitempty"`
	Truncated   bool       `json:"description_truncated,omitempty"`
	Organizer   string     `json:"organizer,omitempty"`
	Response    string     `json:"my_response,omitempty"`
	Attendees   []attendee `json:"attendees,omitempty"`
	MoreGuests  bool       `json:"more_attendees,omitempty"` // not all are listed
	MeetingLink string     `json:"meeting_link,omitempty"`
	Link        string     `json:"link,omitempty"`
	Series      string     `json:"recurring_event_id,omitempty"`
	Recurrence  []string   `json:"recurrence,omitempty"` // of a series
	Etag        string     `json:"etag,omitempty"`
	Type        string     `json:"event_type,omitempty"`   // Google's word, unless it is the usual one
	Decline     string     `json:"auto_decline,omitempty"` // what Google declines while it lasts: none, new, all
	Answer      string     `json:"decline_message,omitempty"`
	ChatStatus  string     `json:"chat_status,omitempty"`
}

type attendee struct {
	Email    string `json:"email"`
	Name     string `json:"name,omitempty"`
	Response string `json:"response"`
	Comment  string `json:"comment,omitempty"`
}

// shape says how much of an event is shown.
type shape struct {
	description, guests int
}

var (
	listed = shape{listedDescription, listedGuests}
	whole  = shape{wholeDescription, wholeGuests}
)

func (s shape) describe(e *calendar.Event, zone *time.Location) event {
	out := event{
		ID: e.Id, Title: content.Line(e.Summary, maxText), Start: moment(e.Start, zone), End: moment(e.End, zone), Status: e.Status,
		Location: content.Line(e.Location, maxText), MeetingLink: e.HangoutLink, Link: e.HtmlLink, MoreGuests: e.AttendeesOmitted, Series: e.RecurringEventId,
		Recurrence: e.Recurrence, Etag: e.Etag,
	}
	if e.EventType != "default" {
		out.Type = e.EventType
	}
	d := decliningOf(e)
	out.Decline, out.Answer = d.mode, content.Line(d.answer, maxAnswer)
	if e.FocusTimeProperties != nil {
		out.ChatStatus = e.FocusTimeProperties.ChatStatus
	}
	// Calendar writes descriptions as HTML.
	text, _ := content.HTML(e.Description)
	out.Description, _, out.Truncated = content.Cut(text, 0, s.description)
	if e.Organizer != nil {
		out.Organizer = content.Line(strings.TrimSpace(e.Organizer.DisplayName+" <"+e.Organizer.Email+">"), maxText)
	}
	for _, a := range e.Attendees {
		if a.Self {
			out.Response = a.ResponseStatus
		}
		if len(out.Attendees) == s.guests {
			out.MoreGuests = true
			continue
		}
		out.Attendees = append(out.Attendees, attendee{
			Email: content.Line(a.Email, maxText), Name: content.Line(a.DisplayName, maxText), Response: a.ResponseStatus, Comment: content.Line(a.Comment, maxText),
		})
	}
	return out
}

// write adds the event to a list.
func (e event) write(b *strings.Builder) {
	fmt.Fprintf(b, "- %s to %s | %s", e.Start, e.End, e.Title)
	if e.Location != "" {
		fmt.Fprintf(b, " | %s", e.Location)
	}
	fmt.Fprintf(b, " | event_id %s\n", e.ID)
}

// writeWhole adds all that there is.
func (e event) writeWhole(b *strings.Builder) {
	e.write(b)
	if len(e.Recurrence) > 0 {
		fmt.Fprintf(b, "Repeats: %s\n", strings.Join(e.Recurrence, " "))
	}
	if e.Type != "" {
		fmt.Fprintf(b, "Type: %s\n", e.Type)
	}
	if e.Decline != "" {
		fmt.Fprintf(b, "Google declines: %s\n", e.Decline)
	}
	if e.Answer != "" {
		fmt.Fprintf(b, "Its answer: %s\n", e.Answer)
	}
	if e.MeetingLink != "" {
		fmt.Fprintf(b, "Meeting: %s\n", e.MeetingLink)
	}
	if e.Organizer != "" {
		fmt.Fprintf(b, "Organizer: %s\n", e.Organizer)
	}
	for _, a := range e.Attendees {
		fmt.Fprintf(b, "Guest: %s %s (%s) %s\n", a.Name, a.Email, a.Response, a.Comment)
	}
	if e.Description != "" {
		b.WriteString(content.Under(e.Description) + "\n")
	}
	if e.Truncated {
		b.WriteString("(the description goes on)\n")
	}
}
