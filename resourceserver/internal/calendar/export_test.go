package calendar

import (
	"time"

	"google.golang.org/api/calendar/v3"
)

// ParseStamp opens the reading of times to tests.
func ParseStamp(s string, zone *time.Location) (at time.Time, allDay bool, google *calendar.EventDateTime, err error) {
	p, err := parseStamp("start", s, zone)
	if err != nil {
		return time.Time{}, false, nil, err
	}
	return p.at, p.allDay, p.google(), nil
}

// Moment shows a time of Google's in a zone.
func Moment(d *calendar.EventDateTime, zone *time.Location) (text, name, date string) {
	w := moment(d, zone)
	return w.Time, w.Zone, w.Date
}

// Midnight opens the beginning of days to tests.
func Midnight(d time.Time, zone *time.Location) time.Time { return midnight(d, zone) }

// ParseRule opens the reading of recurrence rules to tests.
func ParseRule(s string, allDay bool) (string, error) { return parseRule(s, allDay) }

// Gaps are the free times among busy ones, as pairs.
func Gaps(busy [][2]time.Time, whole [2]time.Time) [][2]time.Time {
	var in []interval
	for _, b := range busy {
		in = append(in, interval{b[0], b[1]})
	}
	var out [][2]time.Time
	for _, g := range gaps(in, interval{whole[0], whole[1]}) {
		out = append(out, [2]time.Time{g.start, g.end})
	}
	return out
}

// Moved moves a span, as text.
func Moved(start, end, newStart, newEnd string, zone *time.Location) (string, error) {
	s, err := parseSpan(start, end, zone, 0)
	if err == nil {
		s, err = s.moved(newStart, newEnd, zone)
	}
	if err != nil {
		return "", err
	}
	return s.start.when().String() + " to " + s.end.when().String(), nil
}

// Spoken is a period in words.
func Spoken(start, end *calendar.EventDateTime, zone *time.Location) string {
	return spoken(moment(start, zone), moment(end, zone))
}
