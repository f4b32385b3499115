package fakegoogle

import (
	"slices"
	"strings"
	"time"
)

type event struct {
	ID, Summary, Description, Location string
	start, end, created                time.Time
	allDay                             bool
	organizer, status                  string
	guests                             []string
}

const zone = "Europe/Berlin"

func (e *event) view() map[string]any {
	at := func(t time.Time) map[string]any {
		if e.allDay {
			return map[string]any{"date": t.Format(time.DateOnly)}
		}
		return map[string]any{"dateTime": t.Format(time.RFC3339), "timeZone": zone}
	}
	out := map[string]any{
		"kind": "calendar#event", "id": e.ID, "status": e.status, "summary": e.Summary, "htmlLink": "https://calendar.fake/event?eid=" + e.ID,
		"created": e.created.Format(time.RFC3339), "updated": e.created.Format(time.RFC3339), "organizer": map[string]any{"email": e.organizer},
		"start": at(e.start), "end": at(e.end),
	}
	if e.Description != "" {
		out["description"] = e.Description
	}
	if e.Location != "" {
		out["location"] = e.Location
	}
	guests := []any{}
	for _, g := range e.guests {
		guests = append(guests, map[string]any{"email": g, "responseStatus": "needsAction"})
	}
	if len(guests) > 0 {
		out["attendees"] = guests
	}
	return out
}

type eventTime struct{ Date, DateTime, TimeZone string }

func (t *eventTime) parse() (at time.Time, allDay bool, err error) {
	if t.Date != "" {
		at, err = time.Parse(time.DateOnly, t.Date)
		return at, true, err
	}
	at, err = time.Parse(time.RFC3339, t.DateTime)
	return at, false, err
}

func (c *call) writeEvent(e *event) (any, error) {
	var in struct {
		Summary, Description, Location *string
		Start, End                     *eventTime
		Attendees                      []struct{ Email string }
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	for from, to := range map[**string]*string{&in.Summary: &e.Summary, &in.Description: &e.Description, &in.Location: &e.Location} {
		if *from != nil {
			*to = **from
		}
	}
	var err error
	if in.Start != nil {
		if e.start, e.allDay, err = in.Start.parse(); err != nil {
			return nil, badRequest("Invalid start time.")
		}
	}
	if in.End != nil {
		if e.end, _, err = in.End.parse(); err != nil {
			return nil, badRequest("Invalid end time.")
		}
	}
	if e.end.Before(e.start) || e.start.IsZero() {
		return nil, badRequest("The specified time range is empty.")
	}
	if in.Attendees != nil {
		e.guests = nil
		for _, a := range in.Attendees {
			e.guests = append(e.guests, a.Email)
		}
	}
	return e.view(), nil
}

// calendar checks the calendar id: every user has one.
func (c *call) calendar() error {
	if id := c.path["calendarId"]; id != "primary" && id != c.user.Email {
		return notFound("Not Found: calendar")
	}
	return nil
}

func (c *call) event() (*event, error) {
	if err := c.calendar(); err != nil {
		return nil, err
	}
	for _, e := range c.user.events {
		if e.ID == c.path["eventId"] {
			return e, nil
		}
	}
	return nil, notFound("Not Found: event")
}

func (c *call) bound(name string) (time.Time, error) {
	v := c.query.Get(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, badRequest("Invalid " + name)
	}
	return t, nil
}

func init() {
	handle("calendar.calendarList.list", func(c *call) (any, error) {
		entry := map[string]any{"kind": "calendar#calendarListEntry", "id": c.user.Email, "summary": c.user.Name, "primary": true, "accessRole": "owner", "timeZone": zone}
		return map[string]any{"kind": "calendar#calendarList", "items": []any{entry}}, nil
	})
	handle("calendar.events.list", func(c *call) (any, error) {
		from, err := c.bound("timeMin")
		if err != nil {
			return nil, err
		}
		to, err := c.bound("timeMax")
		if err != nil {
			return nil, err
		}
		if err := c.calendar(); err != nil {
			return nil, err
		}
		var found []*event
		for _, e := range c.user.events {
			if e.status == "cancelled" || (!from.IsZero() && !e.end.After(from)) || (!to.IsZero() && !e.start.Before(to)) ||
				!strings.Contains(lower(e.Summary, e.Description, e.Location), lower(c.query.Get("q"))) {
				continue
			}
			found = append(found, e)
		}
		if c.query.Get("orderBy") == "startTime" {
			if c.query.Get("singleEvents") != "true" {
				return nil, badRequest("The requested ordering is not available for the particular query.")
			}
			slices.SortStableFunc(found, func(a, b *event) int { return a.start.Compare(b.start) })
		}
		page, next, err := paginate(c, found, c.size("maxResults", 250, 2500))
		items := []any{}
		for _, e := range page {
			items = append(items, e.view())
		}
		return withNext(map[string]any{"kind": "calendar#events", "summary": c.user.Email, "timeZone": zone, "accessRole": "owner", "items": items}, next), err
	})
	handle("calendar.events.get", func(c *call) (any, error) {
		e, err := c.event()
		if err != nil {
			return nil, err
		}
		return e.view(), nil
	})
	handle("calendar.events.insert", func(c *call) (any, error) {
		if err := c.calendar(); err != nil {
			return nil, err
		}
		e := &event{ID: c.user.next("e"), organizer: c.user.Email, created: c.s.now().UTC(), status: "confirmed"}
		out, err := c.writeEvent(e)
		if err == nil {
			c.user.events = append(c.user.events, e)
		}
		return out, err
	})
	handle("calendar.events.patch", func(c *call) (any, error) {
		e, err := c.event()
		if err != nil {
			return nil, err
		}
		return c.writeEvent(e)
	})
	handle("calendar.events.delete", func(c *call) (any, error) {
		e, err := c.event()
		if err != nil {
			return nil, err
		}
		e.status = "cancelled"
		return nil, nil
	})
	handle("calendar.freebusy.query", func(c *call) (any, error) {
		var in struct {
			TimeMin, TimeMax string
			Items            []struct{ ID string }
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		from, err1 := time.Parse(time.RFC3339, in.TimeMin)
		to, err2 := time.Parse(time.RFC3339, in.TimeMax)
		if err1 != nil || err2 != nil {
			return nil, badRequest("Invalid time range")
		}
		calendars := map[string]any{}
		for _, item := range in.Items {
			busy := []any{}
			for _, u := range c.s.users {
				if u.Email != item.ID && (item.ID != "primary" || u != c.user) {
					continue
				}
				for _, e := range u.events {
					if e.status != "cancelled" && e.end.After(from) && e.start.Before(to) {
						busy = append(busy, map[string]any{"start": e.start.Format(time.RFC3339), "end": e.end.Format(time.RFC3339)})
					}
				}
			}
			calendars[item.ID] = map[string]any{"busy": busy}
		}
		return map[string]any{"kind": "calendar#freeBusy", "timeMin": in.TimeMin, "timeMax": in.TimeMax, "calendars": calendars}, nil
	})
}
