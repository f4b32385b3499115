package calendar

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultPage = 50
	defaultSpan = 7 * 24 * time.Hour
)

type listInput struct {
	CalendarID string `json:"calendar_id,omitempty" limit:"maxlen=300"`
	TimeMin    string `json:"time_min,omitempty" jsonschema:"RFC 3339 time or date; default now" limit:"maxlen=40"`
	TimeMax    string `json:"time_max,omitempty" limit:"maxlen=40"`
	TimeZone   string `json:"time_zone,omitempty" jsonschema:"default: the calendar's" limit:"maxlen=60"`
	Query      string `json:"query,omitempty" limit:"maxlen=300"`
	PageSize   int    `json:"page_size,omitempty" jsonschema:"default 50" limit:"min=1,max=100"`
	PageToken  string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account    string `json:"account,omitempty" limit:"maxlen=64"`
}

type listOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	TimeZone      string            `json:"time_zone"`
	TimeMin       string            `json:"time_min"`
	TimeMax       string            `json:"time_max"`
	Events        []event           `json:"events"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

func (c *product) list(ctx context.Context, in listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	in.CalendarID = orPrimary(in.CalendarID)
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	if in.PageToken != "" && (in.TimeMin == "" || in.TimeMax == "") {
		// Google binds a page token to its query; "now" has moved since.
		return out, tool.Invalid("With page_token, pass time_min and time_max of the answer before as well.")
	}
	p := period{min: in.TimeMin, max: in.TimeMax, zone: in.TimeZone}
	if err := p.check(c.now()); err != nil {
		return out, err
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.settle(ctx, c.now(), service, in.CalendarID); err != nil {
		return out, err
	}
	call := service.Events.List(in.CalendarID).SingleEvents(true).OrderBy("startTime").ShowDeleted(false).MaxAttendees(listedGuests).
		TimeMin(p.from.Format(time.RFC3339)).TimeMax(p.to.Format(time.RFC3339)).MaxResults(int64(in.PageSize)).
		Fields("timeZone", "nextPageToken", "items("+eventFields+")").Context(ctx)
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
	zone := location(page.TimeZone)
	v := listOutput{
		Account: account, Notice: content.Notice, TimeZone: zone.String(), TimeMin: p.from.In(zone).Format(time.RFC3339),
		TimeMax: p.to.In(zone).Format(time.RFC3339), Events: []event{}, NextPageToken: page.NextPageToken,
	}
	for _, e := range page.Items {
		v.Events = append(v.Events, listed.describe(e, zone))
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// period is a time that a reading tool looks at: ends are RFC 3339 times or
// dates, and a date is the beginning of that day in the zone.
type period struct {
	min, max, zone string
	from, to       time.Time
}

// check refuses what cannot be read in any zone, before Google is asked.
func (p *period) check(now time.Time) error {
	zone := time.UTC
	if p.zone != "" {
		var err error
		if zone, err = parseZone(p.zone); err != nil {
			return err
		}
	}
	return p.resolve(now, zone)
}

// settle resolves dates in the calendar's zone if the caller named none.
func (p *period) settle(ctx context.Context, now time.Time, service *calendar.Service, id string) error {
	if p.zone != "" || isTime(p.min) && isTime(p.max) {
		return nil
	}
	zone, err := zoneOf(ctx, service, id)
	if err != nil {
		return err
	}
	return p.resolve(now, zone)
}

// isTime: what needs no zone, or is not there.
func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return s == "" || err == nil
}

func (p *period) resolve(now time.Time, zone *time.Location) (err error) {
	p.from = now.In(zone).Truncate(time.Second)
	if p.min != "" {
		if p.from, err = parseTime("time_min", p.min, zone); err != nil {
			return err
		}
	}
	p.to = p.from.Add(defaultSpan)
	if p.max != "" {
		if p.to, err = parseTime("time_max", p.max, zone); err != nil {
			return err
		}
	}
	if !p.to.After(p.from) {
		return tool.Invalid("time_max must be after time_min.")
	}
	return nil
}

func parseTime(name, s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return d, tool.Invalid("%s must be an RFC 3339 time with offset such as 2026-01-31T09:00:00+01:00, or a date such as 2026-01-31.", name)
	}
	return midnight(d, zone), nil
}

// midnight is the first moment of a day in a zone: where the clocks are put
// forward at midnight, the day begins later, and where they are put back over
// it, at the first of the two.
func midnight(d time.Time, zone *time.Location) time.Time {
	if found := instants(d, zone); len(found) > 0 {
		first := found[0]
		for _, t := range found {
			if t.Before(first) {
				first = t
			}
		}
		return first
	}
	// The gap is before the first moment that shows this date.
	lo, hi := d.Add(-36*time.Hour), d.Add(36*time.Hour)
	day := d.Format(time.DateOnly)
	for hi.Sub(lo) > time.Second {
		middle := lo.Add(hi.Sub(lo) / 2)
		if middle.In(zone).Format(time.DateOnly) < day {
			lo = middle
		} else {
			hi = middle
		}
	}
	return hi.Truncate(time.Second).In(zone)
}

func (o listOutput) text() string {
	var list strings.Builder
	for _, e := range o.Events {
		e.write(&list)
	}
	return content.List(fmt.Sprintf("%s in %s from %s to %s (%s)", content.Count(len(o.Events), "event", "events"), o.Account.Email, o.TimeMin, o.TimeMax, o.TimeZone), list.String(), o.NextPageToken)
}
