package calendar

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	leastFree = 15 * time.Minute
	maxSlots  = 200
)

type freebusyInput struct {
	Calendars []string `json:"calendar_ids,omitempty" jsonschema:"addresses or calendar ids; default: primary" limit:"maxitems=50"`
	TimeMin   string   `json:"time_min,omitempty" jsonschema:"default now" limit:"maxlen=40"`
	TimeMax   string   `json:"time_max,omitempty" limit:"maxlen=40"`
	TimeZone  string   `json:"time_zone,omitempty" jsonschema:"default: the calendar's" limit:"maxlen=60"`
	Account   string   `json:"account,omitempty" limit:"maxlen=64"`
}

type freebusyOutput struct {
	Account   googleapi.Account `json:"account"`
	TimeZone  string            `json:"time_zone"`
	TimeMin   string            `json:"time_min"`
	TimeMax   string            `json:"time_max"`
	Calendars []busyCalendar    `json:"calendars"`
	Free      []slot            `json:"free"`     // when all that could be read are free, for 15 minutes or more
	Complete  bool              `json:"complete"` // every calendar could be read, and every time is listed
}

type busyCalendar struct {
	ID      string `json:"calendar_id"`
	Busy    []slot `json:"busy"`
	Problem string `json:"problem,omitempty"` // why it could not be read
}

type slot struct {
	Start when `json:"start"`
	End   when `json:"end"`
}

// interval is half open.
type interval struct{ start, end time.Time }

func (c *product) freebusy(ctx context.Context, in freebusyInput) (tool.Output[freebusyOutput], error) {
	var out tool.Output[freebusyOutput]
	if len(in.Calendars) == 0 {
		in.Calendars = []string{primary}
	}
	p := period{min: in.TimeMin, max: in.TimeMax, zone: in.TimeZone}
	if err := p.check(c.now()); err != nil {
		return out, err
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	zone := time.UTC
	if in.TimeZone == "" {
		if zone, err = zoneOf(ctx, service, primary); err == nil {
			err = p.resolve(c.now(), zone)
		}
	} else {
		zone, err = parseZone(in.TimeZone)
	}
	if err != nil {
		return out, err
	}
	query := &calendar.FreeBusyRequest{TimeMin: p.from.Format(time.RFC3339), TimeMax: p.to.Format(time.RFC3339), TimeZone: zone.String()}
	for _, id := range in.Calendars {
		query.Items = append(query.Items, &calendar.FreeBusyRequestItem{Id: id})
	}
	// It is a question although it is a POST.
	answer, err := service.Freebusy.Query(query).Fields("calendars").Context(googleapi.Idempotent(ctx)).Do()
	if err != nil {
		return out, googleapi.Error("asking for busy times", err)
	}
	v := freebusyOutput{Account: account, TimeZone: zone.String(), TimeMin: p.from.In(zone).Format(time.RFC3339), TimeMax: p.to.In(zone).Format(time.RFC3339), Calendars: []busyCalendar{}, Free: []slot{}, Complete: true}
	var busy []interval
	for _, id := range in.Calendars {
		entry := busyCalendar{ID: content.Line(id, maxText), Busy: []slot{}}
		found, ok := answer.Calendars[id]
		if !ok || len(found.Errors) > 0 {
			v.Complete, entry.Problem = false, "It does not exist, or its times are not shared with this account."
			v.Calendars = append(v.Calendars, entry)
			continue
		}
		for _, b := range found.Busy {
			start, err1 := time.Parse(time.RFC3339, b.Start)
			end, err2 := time.Parse(time.RFC3339, b.End)
			if err1 != nil || err2 != nil {
				return out, &tool.Error{Code: tool.CodeUnavailable, Message: "Google's answer cannot be read.", Retryable: true, NextAction: "Try again shortly."}
			}
			busy = append(busy, interval{start, end})
			if len(entry.Busy) < maxSlots {
				entry.Busy = append(entry.Busy, slot{at(start, zone), at(end, zone)})
			} else {
				v.Complete = false
			}
		}
		v.Calendars = append(v.Calendars, entry)
	}
	for _, f := range gaps(busy, interval{p.from, p.to}) {
		if len(v.Free) == maxSlots {
			v.Complete = false
			break
		}
		v.Free = append(v.Free, slot{at(f.start, zone), at(f.end, zone)})
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// gaps are the times of at least leastFree within the whole in which nothing is
// busy.
func gaps(busy []interval, whole interval) []interval {
	busy = slices.DeleteFunc(slices.Clone(busy), func(b interval) bool { return !b.end.After(b.start) })
	slices.SortFunc(busy, func(a, b interval) int { return a.start.Compare(b.start) })
	var out []interval
	at := whole.start
	for _, b := range append(busy, interval{whole.end, whole.end}) {
		end := b.start
		if end.After(whole.end) {
			end = whole.end
		}
		if end.Sub(at) >= leastFree {
			out = append(out, interval{at, end})
		}
		if b.end.After(at) {
			at = b.end
		}
	}
	return out
}

func (v freebusyOutput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "From %s to %s (%s), asked with %s:\n", v.TimeMin, v.TimeMax, v.TimeZone, v.Account.Email)
	for _, c := range v.Calendars {
		fmt.Fprintf(&b, "- %s: ", c.ID)
		switch {
		case c.Problem != "":
			b.WriteString(c.Problem)
		case len(c.Busy) == 0:
			b.WriteString("free")
		default:
			b.WriteString("busy " + ranges(c.Busy))
		}
		b.WriteString("\n")
	}
	if len(v.Free) > 0 {
		fmt.Fprintf(&b, "All that could be read are free: %s\n", ranges(v.Free))
	}
	return b.String()
}

func ranges(list []slot) string {
	var out []string
	for _, s := range list {
		out = append(out, s.Start.Time+" to "+s.End.Time)
	}
	return strings.Join(out, ", ")
}
