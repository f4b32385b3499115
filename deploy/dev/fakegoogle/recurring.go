package fakegoogle

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxInstances = 2000

// starts are the first starts of a series up to a time (zero for no bound), at
// most n: on the clocks of the event's zone, as RFC 5545 has it. It knows DAILY,
// WEEKLY with BYDAY, MONTHLY and YEARLY on the day of the first, with INTERVAL,
// COUNT and UNTIL.
func (e *event) starts(until time.Time, n int) ([]time.Time, error) {
	rule := map[string]string{}
	text, ok := strings.CutPrefix(e.rule, "RRULE:")
	for part := range strings.SplitSeq(text, ";") {
		name, value, found := strings.Cut(part, "=")
		rule[name], ok = value, ok && found
	}
	if !ok {
		return nil, badRequest("Invalid recurrence rule.")
	}
	number := func(name string, def int) int {
		v, err := strconv.Atoi(rule[name])
		if err != nil || v < 1 {
			return def
		}
		return v
	}
	interval, count := number("INTERVAL", 1), number("COUNT", maxInstances)
	if s := rule["UNTIL"]; s != "" {
		end, err := time.Parse("20060102T150405Z", s)
		if e.allDay {
			end, err = time.Parse("20060102", s)
		}
		if err != nil {
			return nil, badRequest("Invalid recurrence rule.")
		}
		if until.IsZero() || end.Before(until) {
			until = end.Add(time.Second)
		}
	}
	first := e.start.In(e.ownZone())
	if e.allDay {
		first = e.start
	}
	on := func(years, months, days int) time.Time {
		return time.Date(first.Year()+years, first.Month()+time.Month(months), first.Day()+days, first.Hour(), first.Minute(), first.Second(), 0, first.Location())
	}
	var out []time.Time
	for i := 0; i < maxInstances && len(out) < min(n, count); i++ {
		var found []time.Time
		switch step := i * interval; rule["FREQ"] {
		case "DAILY":
			found = []time.Time{on(0, 0, step)}
		case "WEEKLY":
			monday := -(int(first.Weekday()) + 6) % 7
			for day := range 7 {
				t := on(0, 0, 7*step+monday+day)
				name := strings.ToUpper(t.Weekday().String()[:2])
				if rule["BYDAY"] == "" && t.Weekday() == first.Weekday() || slices.Contains(strings.Split(rule["BYDAY"], ","), name) {
					found = append(found, t)
				}
			}
		case "MONTHLY":
			if t := on(0, step, 0); t.Day() == first.Day() {
				found = []time.Time{t}
			}
		case "YEARLY":
			if t := on(step, 0, 0); t.Day() == first.Day() {
				found = []time.Time{t}
			}
		default:
			return nil, badRequest("Invalid recurrence rule.")
		}
		for _, t := range found {
			if t.Before(first) {
				continue
			}
			if !until.IsZero() && !t.Before(until) {
				return out, nil
			}
			if len(out) < min(n, count) {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// instances are the single events of a series that overlap a time. What was
// changed or deleted alone is an event of its own.
func (u *User) instances(e *event, from, to time.Time) ([]*event, error) {
	starts, err := e.starts(to, maxInstances)
	if err != nil {
		return nil, err
	}
	length := e.end.Sub(e.start)
	var out []*event
	for _, start := range starts {
		one := *e
		one.start, one.end = start.UTC(), start.Add(length).UTC()
		one.rule, one.series = "", e.ID
		form := "20060102T150405Z"
		if e.allDay {
			form = "20060102"
		}
		one.ID = e.ID + "_" + one.start.Format(form)
		if (from.IsZero() || one.end.After(from)) && !u.known(one.ID) {
			out = append(out, &one)
		}
	}
	return out, nil
}
