package fakegoogle

import (
	"slices"
	"strings"
	"time"
)

// ShareCalendar lets somebody else write into a person's primary calendar.
func (s *Server) ShareCalendar(email, with string) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	u.writers = append(u.writers, with)
}

// calendar checks the calendar id: every user has a primary calendar and one of
// the family, in another zone. In a calendar that somebody shares, "self" is who
// shares it, so the call goes on as theirs.
func (c *call) calendar() (name string, in *time.Location, err error) {
	in, err = time.LoadLocation(zone)
	switch id := c.path["calendarId"]; id {
	case "primary", c.user.Email:
	case second:
		name = second
		in, err = time.LoadLocation(other)
	default:
		var whose *User
		for _, u := range c.s.users {
			if u.Email == id && slices.Contains(u.writers, c.user.Email) {
				whose = u
			}
		}
		if whose == nil {
			return "", nil, notFound("Not Found: calendar")
		}
		c.user = whose
	}
	if z := c.query.Get("timeZone"); z != "" && err == nil {
		if in, err = time.LoadLocation(z); err != nil {
			err = badRequest("Invalid time zone.")
		}
	}
	return name, in, err
}

// event finds the event of a request, or the instance of a series.
func (c *call) event() (*event, *time.Location, error) {
	name, in, err := c.calendar()
	if err != nil {
		return nil, nil, err
	}
	id := c.path["eventId"]
	for _, e := range c.user.events {
		if e.ID == id && (e.calendar == name || e.organizer != c.user.Email) {
			return e, in, nil
		}
	}
	if series, _, ok := strings.Cut(id, "_"); ok {
		for _, e := range c.user.events {
			if e.ID != series || e.rule == "" || e.status == "cancelled" {
				continue
			}
			all, err := c.user.instances(e, time.Time{}, time.Time{})
			if err != nil {
				return nil, nil, err
			}
			if i := slices.IndexFunc(all, func(one *event) bool { return one.ID == id }); i >= 0 {
				return all[i], in, nil
			}
		}
	}
	return nil, nil, notFound("Not Found: event")
}

// keep makes an instance that is changed an event of its own.
func (c *call) keep(e *event) {
	if !slices.Contains(c.user.events, e) {
		c.user.events = append(c.user.events, e)
	}
}

// between are a user's events, series as single events if wanted.
func (u *User) between(name string, from, to time.Time, single bool) ([]*event, error) {
	var out []*event
	for _, e := range u.events {
		if e.status == "cancelled" || e.calendar != name && e.organizer == u.Email {
			continue
		}
		if e.rule != "" && single {
			all, err := u.instances(e, from, to)
			if err != nil {
				return nil, err
			}
			out = append(out, all...)
			continue
		}
		if e.rule != "" || (from.IsZero() || e.end.After(from)) && (to.IsZero() || e.start.Before(to)) {
			out = append(out, e)
		}
	}
	return out, nil
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
		all := []any{
			map[string]any{"kind": "calendar#calendarListEntry", "id": c.user.Email, "summary": c.user.Name, "primary": true, "accessRole": "owner", "timeZone": zone},
			map[string]any{"kind": "calendar#calendarListEntry", "id": second, "summary": "Family", "accessRole": "owner", "timeZone": other},
		}
		page, next, err := paginate(c, all, c.size("maxResults", 100, 250))
		return withNext(map[string]any{"kind": "calendar#calendarList", "items": page}, next), err
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
		name, in, err := c.calendar()
		if err != nil {
			return nil, err
		}
		found, err := c.user.between(name, from, to, c.query.Get("singleEvents") == "true")
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(e *event) bool {
			if types := c.query["eventTypes"]; len(types) > 0 && !slices.Contains(types, e.eventType()) {
				return true
			}
			return !strings.Contains(lower(e.Summary, e.Description, e.Location), lower(c.query.Get("q")))
		})
		if c.query.Get("orderBy") == "startTime" {
			if c.query.Get("singleEvents") != "true" {
				return nil, badRequest("The requested ordering is not available for the particular query.")
			}
			slices.SortStableFunc(found, func(a, b *event) int { return a.start.Compare(b.start) })
		}
		page, next, err := paginate(c, found, c.size("maxResults", 250, 2500))
		items := []any{}
		for _, e := range page {
			items = append(items, e.view(c.user, in, c.size("maxAttendees", 1<<20, 1<<20)))
		}
		return withNext(map[string]any{"kind": "calendar#events", "summary": c.user.Email, "timeZone": in.String(), "accessRole": "owner", "items": items}, next), err
	})
	handle("calendar.events.get", func(c *call) (any, error) {
		e, in, err := c.event()
		if err != nil {
			return nil, err
		}
		return e.view(c.user, in, c.size("maxAttendees", 1<<20, 1<<20)), nil
	})
	handle("calendar.events.insert", func(c *call) (any, error) {
		name, zone, err := c.calendar()
		if err != nil {
			return nil, err
		}
		in, err := c.decodeEvent()
		if err != nil {
			return nil, err
		}
		e := &event{ID: c.user.next("e"), calendar: name, organizer: c.user.Email, created: c.s.now().UTC(), status: "confirmed"}
		if in.ID != "" {
			if e.ID = in.ID; !eventID.MatchString(in.ID) || len(in.ID) > 1024 {
				return nil, badRequest("Invalid resource id value.")
			}
			if c.user.known(in.ID) {
				return nil, &apiError{409, "ALREADY_EXISTS", "duplicate", "The requested identifier already exists."}
			}
		}
		if err := c.asStatus(e, in); err != nil {
			return nil, err
		}
		if err := c.writeEvent(e, in); err != nil {
			return nil, err
		}
		c.user.events = append(c.user.events, e)
		c.tell(e, nil)
		c.autoDecline(e)
		return e.view(c.user, zone, 1<<20), nil
	})
	handle("calendar.events.patch", func(c *call) (any, error) {
		e, zone, err := c.event()
		if err != nil {
			return nil, err
		}
		in, err := c.decodeEvent()
		if err == nil {
			err = c.matches(e)
		}
		if err != nil {
			return nil, err
		}
		before := e.guests
		if e.organizer != c.user.Email {
			err = c.answer(e, in)
		} else {
			err = c.writeEvent(e, in)
		}
		if err != nil {
			return nil, err
		}
		c.keep(e)
		c.tell(e, before)
		if in.Start != nil || in.End != nil {
			c.autoDecline(e)
		}
		return e.view(c.user, zone, 1<<20), nil
	})
	handle("calendar.events.delete", func(c *call) (any, error) {
		e, _, err := c.event()
		if err == nil {
			err = c.matches(e)
		}
		if err != nil {
			return nil, err
		}
		if e.status == "cancelled" {
			return nil, &apiError{410, "FAILED_PRECONDITION", "deleted", "Resource has been deleted"}
		}
		e.status = "cancelled"
		e.version++
		c.keep(e)
		c.tell(e, nil)
		return nil, nil
	})
	handle("calendar.freebusy.query", func(c *call) (any, error) {
		var in struct {
			TimeMin, TimeMax, TimeZone string
			Items                      []struct{ ID string }
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		from, err1 := time.Parse(time.RFC3339, in.TimeMin)
		to, err2 := time.Parse(time.RFC3339, in.TimeMax)
		zone, err3 := time.LoadLocation(in.TimeZone)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, badRequest("Invalid time range")
		}
		if len(in.Items) > 50 {
			return nil, badRequest("Too many calendars requested.")
		}
		calendars := map[string]any{}
		for _, item := range in.Items {
			entry := map[string]any{"busy": []any{}, "errors": []any{map[string]any{"domain": "global", "reason": "notFound"}}}
			for _, u := range c.s.users {
				// People of one organization see when others are busy.
				if item.ID != "primary" && u.Email != item.ID || item.ID == "primary" && u != c.user || u != c.user && (u.HostedDomain == "" || u.HostedDomain != c.user.HostedDomain) {
					continue
				}
				found, err := u.between("", from, to, true)
				if err != nil {
					return nil, err
				}
				slices.SortStableFunc(found, func(a, b *event) int { return a.start.Compare(b.start) })
				busy := []any{}
				for _, e := range found {
					busy = append(busy, map[string]any{"start": e.start.In(zone).Format(time.RFC3339), "end": e.end.In(zone).Format(time.RFC3339)})
				}
				entry = map[string]any{"busy": busy}
			}
			calendars[item.ID] = entry
		}
		return map[string]any{"kind": "calendar#freeBusy", "timeMin": in.TimeMin, "timeMax": in.TimeMax, "calendars": calendars}, nil
	})
}
