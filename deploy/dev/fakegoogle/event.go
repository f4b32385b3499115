package fakegoogle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata"
)

// event is one event, shared by the calendars of all that are invited.
type event struct {
	ID, Summary, Description, Location string
	start, end, created                time.Time
	allDay                             bool
	zone                               string // of the event itself; "" is the calendar's
	organizer, status                  string
	calendar                           string // of the organizer; "" is the primary one
	guests                             []*guest
	rule                               string // RRULE of a series
	series                             string // event id of the series of an instance
	meet                               string
	version                            int
	kind                               string            // focusTime or outOfOffice; "" is any other
	does                               *statusProperties // of such a kind
}

type guest struct {
	Email          string `json:"email"`
	DisplayName    string `json:"displayName,omitempty"`
	ResponseStatus string `json:"responseStatus"`
	Comment        string `json:"comment,omitempty"`
	Optional       bool   `json:"optional,omitempty"`
}

func invite(emails ...string) []*guest {
	var out []*guest
	for _, e := range emails {
		out = append(out, &guest{Email: e, ResponseStatus: "needsAction"})
	}
	return out
}

const (
	zone   = "Europe/Berlin" // of every primary calendar
	second = "family@group.calendar.fake"
	other  = "America/New_York" // of the second calendar
)

func (e *event) etag() string { return fmt.Sprintf("%q", fmt.Sprint(3_000_000_000_000_000+e.version)) }

func (e *event) calendarZone() string {
	if e.calendar == second {
		return other
	}
	return zone
}

func (e *event) ownZone() *time.Location {
	name := e.zone
	if name == "" {
		name = e.calendarZone()
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return z
}

// view shows the event to a user: times in the zone of the answer, guests with a
// mark at the user's own, and, beyond most guests, only that one.
func (e *event) view(u *User, in *time.Location, most int) map[string]any {
	at := func(t time.Time) map[string]any {
		if e.allDay {
			return map[string]any{"date": t.Format(time.DateOnly)}
		}
		return map[string]any{"dateTime": t.In(in).Format(time.RFC3339), "timeZone": e.ownZone().String()}
	}
	organizer := map[string]any{"email": e.organizer}
	if e.organizer == u.Email {
		organizer["self"] = true
	}
	out := map[string]any{
		"kind": "calendar#event", "etag": e.etag(), "id": e.ID, "status": e.status, "summary": e.Summary, "htmlLink": "https://calendar.fake/event?eid=" + e.ID,
		"created": e.created.Format(time.RFC3339), "updated": e.created.Format(time.RFC3339), "organizer": organizer, "start": at(e.start), "end": at(e.end),
	}
	for name, value := range map[string]string{"description": e.Description, "location": e.Location, "recurringEventId": e.series, "hangoutLink": e.meet} {
		if value != "" {
			out[name] = value
		}
	}
	if e.rule != "" {
		out["recurrence"] = []any{e.rule}
	}
	e.showStatus(out)
	var guests []any
	for _, g := range e.guests {
		v := map[string]any{"email": g.Email, "responseStatus": g.ResponseStatus}
		if g.Comment != "" {
			v["comment"] = g.Comment
		}
		if g.Optional {
			v["optional"] = true
		}
		if g.Email == u.Email {
			v["self"] = true
		} else if len(e.guests) > most {
			continue
		}
		guests = append(guests, v)
	}
	if len(guests) > 0 {
		out["attendees"] = guests
	}
	if len(e.guests) > most {
		out["attendeesOmitted"] = true
	}
	return out
}

// eventTime is what a request says of a time: absent members stay as they are, null
// ones go.
type eventTime map[string]*string

// merged puts a time of a request over the one that is there.
func (e *event) merged(now time.Time, in eventTime) (at time.Time, allDay bool, zone string, err error) {
	values := map[string]string{}
	if !now.IsZero() {
		if values["timeZone"] = e.zone; e.allDay {
			values["date"] = now.Format(time.DateOnly)
		} else {
			values["dateTime"] = now.Format(time.RFC3339)
		}
	}
	for name, v := range in {
		if delete(values, name); v != nil {
			values[name] = *v
		}
	}
	date, dateTime, zone := values["date"], values["dateTime"], values["timeZone"]
	switch {
	case (date == "") == (dateTime == ""):
		return at, false, "", badRequest("Invalid start time.")
	case date != "":
		at, err = time.Parse(time.DateOnly, date)
		allDay, zone = true, ""
	default:
		z := e.ownZone()
		if zone != "" {
			if z, err = time.LoadLocation(zone); err != nil {
				return at, false, "", badRequest("Invalid time zone definition for start time.")
			}
		}
		if at, err = time.Parse(time.RFC3339, dateTime); err != nil && zone != "" {
			at, err = time.ParseInLocation("2006-01-02T15:04:05", dateTime, z)
		}
	}
	if err != nil {
		return at, false, "", badRequest("Invalid start time.")
	}
	return at.UTC(), allDay, zone, nil
}

type eventBody struct {
	ID                             string
	Summary, Description, Location *string
	Start, End                     eventTime
	Attendees                      []*guest
	AttendeesOmitted               bool
	Recurrence                     []string
	EventType, Transparency        string
	FocusTimeProperties            *statusProperties
	OutOfOfficeProperties          *statusProperties
	ConferenceData                 *struct {
		CreateRequest *struct {
			RequestID             string `json:"requestId"`
			ConferenceSolutionKey struct{ Type string }
		}
	}
}

// writeEvent changes an event as a request says, for its organizer.
func (c *call) writeEvent(e *event, in *eventBody) error {
	changed := *e
	for from, to := range map[**string]*string{&in.Summary: &changed.Summary, &in.Description: &changed.Description, &in.Location: &changed.Location} {
		if *from != nil {
			*to = **from
		}
	}
	var err error
	if in.Start != nil {
		if changed.start, changed.allDay, changed.zone, err = e.merged(e.start, in.Start); err != nil {
			return err
		}
	}
	if in.End != nil {
		var allDay bool
		if changed.end, allDay, _, err = e.merged(e.end, in.End); err != nil {
			return err
		}
		if allDay != changed.allDay {
			return badRequest("Invalid end time.")
		}
	}
	if changed.end.Before(changed.start) || changed.start.IsZero() {
		return &apiError{400, "INVALID_ARGUMENT", "timeRangeEmpty", "The specified time range is empty."}
	}
	if len(in.Recurrence) > 0 {
		if changed.rule = in.Recurrence[0]; changed.zone == "" && !changed.allDay {
			return badRequest("Missing time zone definition for start time.")
		}
		if _, err := changed.starts(time.Time{}, 1); err != nil {
			return err
		}
	}
	if in.Attendees != nil {
		for _, g := range in.Attendees {
			if g.ResponseStatus == "" {
				g.ResponseStatus = "needsAction"
			}
			if !strings.Contains(g.Email, "@") {
				return badRequest("Invalid attendee email.")
			}
		}
		changed.guests = in.Attendees
	}
	if in.ConferenceData != nil && in.ConferenceData.CreateRequest != nil && c.query.Get("conferenceDataVersion") == "1" {
		if in.ConferenceData.CreateRequest.ConferenceSolutionKey.Type != "hangoutsMeet" || in.ConferenceData.CreateRequest.RequestID == "" {
			return badRequest("Invalid conference type value.")
		}
		changed.meet = "https://meet.google.com/abc-defg-hij"
	}
	if err := changed.fits(); err != nil {
		return err
	}
	changed.version++
	*e = changed
	return nil
}

// answer changes the user's own answer, which is all that a guest may change.
func (c *call) answer(e *event, in *eventBody) error {
	if !in.AttendeesOmitted || len(in.Attendees) != 1 || in.Attendees[0].Email != c.user.Email || in.Summary != nil || in.Start != nil || in.End != nil || in.Description != nil || in.Location != nil {
		return &apiError{403, "PERMISSION_DENIED", "forbiddenForNonOrganizer", "Shared properties can only be changed by the organizer of the event."}
	}
	for _, g := range e.guests {
		if g.Email == c.user.Email {
			g.ResponseStatus, g.Comment = in.Attendees[0].ResponseStatus, in.Attendees[0].Comment
			e.version++
			return nil
		}
	}
	return &apiError{403, "PERMISSION_DENIED", "forbidden", "Forbidden"}
}

// matches holds a request to its If-Match (RFC 9110 §13.1.1).
func (c *call) matches(e *event) error {
	if want := c.r.Header.Get("If-Match"); want != "" && want != "*" && want != e.etag() {
		return &apiError{412, "FAILED_PRECONDITION", "conditionNotMet", "Precondition Failed"}
	}
	return nil
}

// tell puts an event into the calendars of its guests and counts the mail that
// Calendar sends to everybody but who did it: "calendar mail bob@example.com".
func (c *call) tell(e *event, before []*guest) {
	for _, u := range c.s.users {
		if u.Email != e.organizer && slices.ContainsFunc(e.guests, func(g *guest) bool { return g.Email == u.Email }) && !slices.Contains(u.events, e) {
			u.events = append(u.events, e)
		}
	}
	if c.query.Get("sendUpdates") != "all" {
		return
	}
	told := map[string]bool{c.user.Email: true}
	for _, g := range slices.Concat(before, e.guests, invite(e.organizer)) {
		if !told[g.Email] {
			told[g.Email] = true
			c.s.counters["calendar mail "+g.Email]++
		}
	}
}

var eventID = regexp.MustCompile(`^[a-v0-9]{5,}$`) // at most 1024

// known reports whether there is or was an event of this id.
func (u *User) known(id string) bool {
	return slices.ContainsFunc(u.events, func(e *event) bool { return e.ID == id })
}

func (c *call) decodeEvent() (*eventBody, error) {
	var in eventBody
	if len(c.body) > 0 && json.Unmarshal(c.body, &in) != nil {
		return nil, &apiError{400, "INVALID_ARGUMENT", "parseError", "Parse Error"}
	}
	return &in, nil
}
