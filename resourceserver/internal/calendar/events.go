package calendar

import (
	"context"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // images made from scratch have no zone files

	"google.golang.org/api/calendar/v3"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	readonly    = "https://www.googleapis.com/auth/calendar.events.readonly"
	servicePath = "calendar/v3/"
	defaultPage = 50
	defaultSpan = 7 * 24 * time.Hour

	maxText        = 300
	maxDescription = 1_000
	maxAttendees   = 30
)

// Tools returns the Calendar tools; now may be nil.
func Tools(api *googleapi.API, now func() time.Time) ([]*tool.Tool, error) {
	if now == nil {
		now = time.Now
	}
	c := &product{api: api, now: now}
	list, err := tool.New(tool.Description{
		Name: "calendar_list_events", Title: "List calendar events",
		Description: "List events, earliest first, recurring ones as single events. Default: the next seven days.",
		Scopes:      oauth.NewScopes("calendar.read"), Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, c.list)
	if err != nil {
		return nil, err
	}
	return []*tool.Tool{list}, nil
}

type product struct {
	api *googleapi.API
	now func() time.Time
}

type listInput struct {
	CalendarID string `json:"calendar_id,omitempty" jsonschema:"default: primary" limit:"maxlen=300"`
	TimeMin    string `json:"time_min,omitempty" jsonschema:"RFC 3339 time or date; default now" limit:"maxlen=40"`
	TimeMax    string `json:"time_max,omitempty" jsonschema:"default: 7 days on" limit:"maxlen=40"`
	TimeZone   string `json:"time_zone,omitempty" jsonschema:"IANA zone" limit:"maxlen=60"`
	Query      string `json:"query,omitempty" limit:"maxlen=300"`
	PageSize   int    `json:"page_size,omitempty" jsonschema:"default 50" limit:"min=1,max=100"`
	PageToken  string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=2000"`
	Account    string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type listOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	CalendarID    string            `json:"calendar_id"`
	TimeZone      string            `json:"time_zone"`
	TimeMin       string            `json:"time_min"`
	TimeMax       string            `json:"time_max"`
	Events        []event           `json:"events"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

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
	Attendees   []attendee `json:"attendees,omitempty"`
	MoreGuests  bool       `json:"more_attendees,omitempty" jsonschema:"not all attendees are listed"`
	MeetingLink string     `json:"meeting_link,omitempty"`
	Link        string     `json:"link,omitempty"`
}

// when is a time with its zone, or the date of an all-day event.
type when struct {
	Time string `json:"time,omitempty" jsonschema:"RFC 3339 with offset"`
	Zone string `json:"time_zone,omitempty" jsonschema:"IANA zone"`
	Date string `json:"date,omitempty" jsonschema:"all-day event: the date; an end date is exclusive"`
}

type attendee struct {
	Email    string `json:"email"`
	Name     string `json:"name,omitempty"`
	Response string `json:"response"`
}

func (c *product) list(ctx context.Context, in listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	if in.CalendarID == "" {
		in.CalendarID = "primary"
	}
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	from, to, err := in.span(c.now())
	if err != nil {
		return out, err
	}
	s, err := c.api.Open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	service, err := calendar.NewService(ctx, s.Options(servicePath)...)
	if err != nil {
		return out, fmt.Errorf("making Calendar client: %w", err)
	}
	call := service.Events.List(in.CalendarID).SingleEvents(true).OrderBy("startTime").ShowDeleted(false).MaxAttendees(maxAttendees).
		TimeMin(from.Format(time.RFC3339)).TimeMax(to.Format(time.RFC3339)).MaxResults(int64(in.PageSize)).
		Fields("timeZone", "nextPageToken", "items(id,summary,status,start,end,location,description,organizer(email,displayName),"+
			"attendees(email,displayName,responseStatus),attendeesOmitted,hangoutLink,htmlLink)").Context(ctx)
	if in.Query != "" {
		call.Q(in.Query)
	}
	if in.TimeZone != "" {
		call.TimeZone(in.TimeZone)
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing events", err)
	}
	v := listOutput{
		Account: s.Account, Notice: content.Notice, CalendarID: in.CalendarID, TimeZone: page.TimeZone, TimeMin: from.Format(time.RFC3339),
		TimeMax: to.Format(time.RFC3339), Events: []event{}, NextPageToken: page.NextPageToken,
	}
	for _, e := range page.Items {
		v.Events = append(v.Events, describe(e, page.TimeZone))
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// span reads both ends. A date means the beginning of that day in the zone.
func (in listInput) span(now time.Time) (from, to time.Time, err error) {
	zone := time.UTC
	if in.TimeZone != "" {
		if zone, err = time.LoadLocation(in.TimeZone); err != nil || in.TimeZone == "Local" {
			return from, to, tool.Invalid("time_zone must be an IANA zone such as Europe/Berlin.")
		}
	}
	from = now.In(zone).Truncate(time.Second)
	if in.PageToken != "" && (in.TimeMin == "" || in.TimeMax == "") {
		// Google binds a page token to its query; "now" has moved since.
		return from, to, tool.Invalid("With page_token, pass time_min and time_max of the answer before as well.")
	}
	if in.TimeMin != "" {
		if from, err = parseTime("time_min", in.TimeMin, zone); err != nil {
			return from, to, err
		}
	}
	to = from.Add(defaultSpan)
	if in.TimeMax != "" {
		if to, err = parseTime("time_max", in.TimeMax, zone); err != nil {
			return from, to, err
		}
	}
	if !to.After(from) {
		return from, to, tool.Invalid("time_max must be after time_min.")
	}
	return from, to, nil
}

func parseTime(name, s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		return t, tool.Invalid("%s must be an RFC 3339 time with offset such as 2026-01-31T09:00:00+01:00, or a date such as 2026-01-31.", name)
	}
	return t, nil
}

func describe(e *calendar.Event, zone string) event {
	out := event{
		ID: e.Id, Title: content.Line(e.Summary, maxText), Start: moment(e.Start, zone), End: moment(e.End, zone), Status: e.Status,
		Location: content.Line(e.Location, maxText), MeetingLink: e.HangoutLink, Link: e.HtmlLink, MoreGuests: e.AttendeesOmitted,
	}
	// Calendar writes descriptions as HTML.
	text, _ := content.HTML(e.Description)
	out.Description, _, out.Truncated = content.Cut(text, 0, maxDescription)
	if e.Organizer != nil {
		out.Organizer = content.Line(strings.TrimSpace(e.Organizer.DisplayName+" <"+e.Organizer.Email+">"), maxText)
	}
	for _, a := range e.Attendees {
		if len(out.Attendees) == maxAttendees {
			out.MoreGuests = true
			break
		}
		out.Attendees = append(out.Attendees, attendee{Email: content.Line(a.Email, maxText), Name: content.Line(a.DisplayName, maxText), Response: a.ResponseStatus})
	}
	return out
}

func moment(d *calendar.EventDateTime, zone string) when {
	switch {
	case d == nil:
		return when{}
	case d.Date != "":
		return when{Date: d.Date}
	case d.TimeZone != "":
		zone = d.TimeZone
	}
	return when{Time: d.DateTime, Zone: zone}
}

func (w when) String() string {
	if w.Date != "" {
		return w.Date + " (all day)"
	}
	return w.Time + " " + w.Zone
}

func (o listOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events in %s, calendar %s, %s to %s. %s\n", len(o.Events), o.Account.Email, o.CalendarID, o.TimeMin, o.TimeMax, content.Notice)
	for _, e := range o.Events {
		fmt.Fprintf(&b, "- %s | %s", e.Start, e.Title)
		if e.Location != "" {
			fmt.Fprintf(&b, " | %s", e.Location)
		}
		fmt.Fprintf(&b, " | event_id %s\n", e.ID)
	}
	if o.NextPageToken != "" {
		fmt.Fprintf(&b, "More: page_token %s\n", o.NextPageToken)
	}
	return b.String()
}
