package calendar

import (
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // images made from scratch have no zone files

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/tool"
)

// localTime is a time of day without a zone.
const localTime = "2006-01-02T15:04:05"

// when is a time with its zone, or the date of an all-day event.
type when struct {
	Time string `json:"time,omitempty"`      // RFC 3339, with the zone's offset
	Zone string `json:"time_zone,omitempty"` // IANA name
	Date string `json:"date,omitempty"`      // of an all-day event; an end date is exclusive
}

func (w when) String() string {
	if w.Date != "" {
		return w.Date + " (all day)"
	}
	return w.Time + " " + w.Zone
}

// spoken is a period in words for a person: with the day of the week, and all-day
// events with their last day, where Google has the day after.
func spoken(start, end when) string {
	const day = "Monday 2 January 2006"
	first, err := time.Parse(time.DateOnly, start.Date)
	after, failed := time.Parse(time.DateOnly, end.Date)
	if err == nil && failed == nil {
		if last := after.AddDate(0, 0, -1); last.After(first) {
			return first.Format(day) + " to " + last.Format(day) + ", all day"
		}
		return first.Format(day) + ", all day"
	}
	from, err := time.Parse(time.RFC3339, start.Time)
	to, failed := time.Parse(time.RFC3339, end.Time)
	if err != nil || failed != nil {
		return start.String() + " to " + end.String()
	}
	const clock, offset = "15:04", " (UTC-07:00"
	in := func(t time.Time, zone string) string { return t.Format(offset) + ", " + zone + ")" }
	switch a, b := in(from, start.Zone), in(to, end.Zone); {
	case a != b:
		return from.Format(day+", "+clock) + a + " to " + to.Format(day+", "+clock) + b
	case from.Format(day) != to.Format(day):
		return from.Format(day+", "+clock) + " to " + to.Format(day+", "+clock) + a
	default:
		return from.Format(day+", "+clock) + " to " + to.Format(clock) + a
	}
}

// moment shows a time of Google's in a zone; offset and zone always fit.
func moment(d *calendar.EventDateTime, zone *time.Location) when {
	if d == nil {
		return when{}
	}
	if d.Date != "" {
		return when{Date: d.Date}
	}
	t, err := time.Parse(time.RFC3339, d.DateTime)
	if err != nil {
		return when{}
	}
	return at(t, zone)
}

func at(t time.Time, zone *time.Location) when {
	return when{Time: t.In(zone).Format(time.RFC3339), Zone: zone.String()}
}

// location is the zone of a name that Google sent; one that nobody knows is UTC.
func location(name string) *time.Location {
	if z, err := parseZone(name); err == nil {
		return z
	}
	return time.UTC
}

var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+/-]{0,59}$`)

// parseZone reads an IANA name. Go's own names for the zone of the process are
// none.
func parseZone(name string) (*time.Location, error) {
	if name != "Local" && zoneName.MatchString(name) {
		if z, err := time.LoadLocation(name); err == nil {
			return z, nil
		}
	}
	return nil, tool.Invalid("A time zone must be an IANA name such as Europe/Berlin.")
}

// stamp is a date, or an instant with the zone in which it is meant.
type stamp struct {
	at     time.Time
	zone   *time.Location
	allDay bool
}

// parseStamp reads a date (2026-01-31), a time with offset (RFC 3339) or a local
// time, the two latter with a zone behind them if it is not the given one: the
// form of RFC 9557, 2026-01-31T09:00[Europe/Berlin].
func parseStamp(name, s string, zone *time.Location) (stamp, error) {
	bad := tool.Invalid("%s must be like 2026-01-31T09:00[Europe/Berlin], 2026-01-31T09:00:00+01:00 or 2026-01-31 (all day).", name)
	s, suffix, named := strings.Cut(s, "[")
	if named {
		inner, closed := strings.CutSuffix(suffix, "]")
		if !closed {
			return stamp{}, bad
		}
		var err error
		if zone, err = parseZone(inner); err != nil {
			return stamp{}, err
		}
	}
	if d, err := time.Parse(time.DateOnly, s); err == nil && !named {
		return stamp{at: d, zone: time.UTC, allDay: true}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return stamp{at: t.In(zone), zone: zone}, nil
	}
	for _, layout := range []string{localTime, "2006-01-02T15:04"} {
		wall, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		switch found := instants(wall, zone); len(found) {
		case 0:
			return stamp{}, tool.Invalid("%s does not exist in %s: the clocks go forward then.", name, zone)
		case 1:
			return stamp{at: found[0], zone: zone}, nil
		default:
			return stamp{}, tool.Invalid("%s is there twice in %s: the clocks go back then. Give it with its offset: %s or %s.", name, zone,
				found[0].Format(time.RFC3339), found[1].Format(time.RFC3339))
		}
	}
	return stamp{}, bad
}

// needsZone reports whether a time is meant in the calendar's zone: it names none
// and is no date.
func needsZone(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err != nil && !strings.HasSuffix(s, "]")
}

// instants are the moments at which the clocks of a zone show the wall time (as
// UTC): none when they are put forward over it, two when they are put back.
func instants(wall time.Time, zone *time.Location) []time.Time {
	var out []time.Time
	for _, near := range []time.Duration{-36 * time.Hour, 36 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if t.Format(localTime) == wall.Format(localTime) && (len(out) == 0 || !out[0].Equal(t)) {
			out = append(out, t)
		}
	}
	return out
}

// google is the stamp as the API takes it: with the zone, because what recurs
// does so on its clocks.
func (s stamp) google() *calendar.EventDateTime {
	if s.allDay {
		return &calendar.EventDateTime{Date: s.at.Format(time.DateOnly)}
	}
	return &calendar.EventDateTime{DateTime: s.at.Format(time.RFC3339), TimeZone: s.zone.String()}
}

// instead is the stamp in place of another one: Google merges the two, so what
// was there in the other form is taken away.
func (s stamp) instead(old stamp) *calendar.EventDateTime {
	d := s.google()
	switch {
	case s.allDay && !old.allDay:
		d.NullFields = []string{"DateTime", "TimeZone"}
	case !s.allDay && old.allDay:
		d.NullFields = []string{"Date"}
	}
	return d
}

func (s stamp) when() when {
	if s.allDay {
		return when{Date: s.at.Format(time.DateOnly)}
	}
	return at(s.at, s.zone)
}

// span is a beginning and an end of one kind.
type span struct{ start, end stamp }

// parseSpan reads both ends; without an end it is length long, or the usual.
func parseSpan(start, end string, zone *time.Location, length time.Duration) (span, error) {
	var out span
	var err error
	if out.start, err = parseStamp("start", start, zone); err != nil {
		return out, err
	}
	if end == "" {
		if length == 0 {
			length = time.Hour
			if out.start.allDay {
				length = 24 * time.Hour
			}
		}
		out.end = out.start
		out.end.at = out.start.at.Add(length)
		return out, nil
	}
	if out.end, err = parseStamp("end", end, out.start.zoneOr(zone)); err != nil {
		return out, err
	}
	return out, out.check()
}

func (s stamp) zoneOr(other *time.Location) *time.Location {
	if s.allDay {
		return other
	}
	return s.zone
}

func (s span) check() error {
	if s.start.allDay != s.end.allDay {
		return tool.Invalid("start and end must both be dates or both be times.")
	}
	if !s.end.at.After(s.start.at) {
		return tool.Invalid("end must be after start; the end date of an all-day event is the day after its last.")
	}
	return nil
}

// spanOf reads the span of an event, in its own zone or else the given one.
func spanOf(e *calendar.Event, zone *time.Location) (span, bool) {
	read := func(d *calendar.EventDateTime) (stamp, bool) {
		if d == nil {
			return stamp{}, false
		}
		if d.Date != "" {
			t, err := time.Parse(time.DateOnly, d.Date)
			return stamp{at: t, zone: time.UTC, allDay: true}, err == nil
		}
		own := zone
		if d.TimeZone != "" {
			own = location(d.TimeZone)
		}
		t, err := time.Parse(time.RFC3339, d.DateTime)
		return stamp{at: t.In(own), zone: own}, err == nil
	}
	start, ok := read(e.Start)
	if !ok {
		return span{}, false
	}
	end, ok := read(e.End)
	return span{start, end}, ok
}
