package calendar

import (
	"context"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google       = "https://www.googleapis.com/auth/"
	calendarList = google + "calendar.calendarlist.readonly"
	readonly     = google + "calendar.events.readonly"
	freebusy     = google + "calendar.freebusy"
	events       = google + "calendar.events"

	servicePath = "calendar/v3/"
	primary     = "primary"

	maxText = 300
)

// Scopes of the tools.
var (
	mcpRead  = oauth.NewScopes("calendar.read")
	mcpWrite = oauth.NewScopes("calendar.write")
)

// Tools returns the Calendar tools; now may be nil.
func Tools(api *googleapi.API, now func() time.Time) ([]*tool.Tool, error) {
	if now == nil {
		now = time.Now
	}
	c := &product{api: api, now: now}
	// Other people get mail of what these do, if they are guests.
	reaches := tool.Hints{OpenWorld: true}
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "calendar_list_calendars", Title: "List calendars",
		Description: "List calendars with their time zones.",
		Scopes:      mcpRead, Google: oauth.NewScopes(calendarList), Hints: tool.Read,
	}, c.calendars)
	tool.Add(&s, tool.Description{
		Name: "calendar_list_events", Title: "List events",
		Description: "List events, earliest first, recurring ones one by one; by default the next 7 days.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, c.list)
	tool.Add(&s, tool.Description{
		Name: "calendar_get_event", Title: "Read an event",
		Description: "Read one event with guests, recurrence and etag.",
		Scopes:      mcpRead, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, c.get)
	tool.Add(&s, tool.Description{
		Name: "calendar_create_event", Title: "Create an event",
		Description: "Create an event. Guests get mail, so the person confirms.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: reaches, Asks: true,
	}, c.create)
	tool.Add(&s, tool.Description{
		Name: "calendar_update_event", Title: "Change an event",
		Description: "Change what is given; the rest stays. Guests get mail, so the person confirms. A series has its recurring_event_id.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: reaches, Asks: true,
	}, c.update)
	tool.Add(&s, tool.Description{
		Name: "calendar_freebusy", Title: "Find free time",
		Description: "Show when people or calendars are busy, and when all are free.",
		Scopes:      mcpRead, Google: oauth.NewScopes(freebusy, readonly), Hints: tool.Read,
	}, c.freebusy)
	tool.Add(&s, tool.Description{
		Name: "calendar_respond", Title: "Answer an invitation",
		Description: "Accept, decline or tentatively accept an invitation; the organizer is told, so the person confirms.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: tool.Hints{OpenWorld: true, Idempotent: true}, Tier: tool.Extended, Asks: true,
	}, c.respond)
	tool.Add(&s, tool.Description{
		Name: "calendar_delete_event", Title: "Delete an event",
		Description: "Delete an event, or a series by its recurring_event_id; the person confirms, guests are told.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: tool.Send, Tier: tool.Extended, Asks: true,
	}, c.remove)
	tool.Add(&s, tool.Description{
		Name: "calendar_set_focus_time", Title: "Set focus time",
		Description: "Block time in the primary calendar as focus time. If Google shall decline meetings, the person confirms.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: tool.Send, Tier: tool.Complete, Asks: true,
	}, c.focus)
	tool.Add(&s, tool.Description{
		Name: "calendar_set_out_of_office", Title: "Set out of office",
		Description: "Say in the primary calendar that the person is away. If Google shall decline meetings, the person confirms.",
		Scopes:      mcpWrite, Google: oauth.NewScopes(events), Hints: tool.Send, Tier: tool.Complete, Asks: true,
	}, c.absent)
	return s.Tools()
}

type product struct {
	api *googleapi.API
	now func() time.Time
}

// open returns the service for the account of the running call.
func (c *product) open(ctx context.Context, account string) (*calendar.Service, googleapi.Account, error) {
	return googleapi.Service(ctx, c.api, account, servicePath, calendar.NewService)
}

// zoneOf asks for a calendar's own zone, by the smallest of the requests that
// say it and that every scope for events opens.
func zoneOf(ctx context.Context, service *calendar.Service, id string) (*time.Location, error) {
	page, err := service.Events.List(id).MaxResults(1).Fields("timeZone").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading calendar's zone", err)
	}
	return location(page.TimeZone), nil
}

func orPrimary(id string) string {
	if id == "" {
		return primary
	}
	return id
}
