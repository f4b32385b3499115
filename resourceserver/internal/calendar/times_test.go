package calendar_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gcalendar "google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/calendar"
	"latchkey/resourceserver/internal/tool"
)

// zones have every kind of clock there is: half and quarter hours, changes of
// half an hour, at midnight, across the date line, and none.
var zones = []string{
	"Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran", "Pacific/Apia", "Africa/Casablanca",
	"America/St_Johns", "Asia/Kolkata", "Pacific/Chatham", "Africa/Cairo", "America/Havana", "Antarctica/Troll", "UTC", "Etc/GMT+12", "Pacific/Kiritimati",
}

func load(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// anyTime is a moment of the years 1990 to 2037.
func anyTime(r *rand.Rand) time.Time {
	return time.Unix(631152000+r.Int64N(47*365*86400), 0).UTC()
}

// TestTimesKeepTheMoment: what is written in any of the forms is the moment that
// was meant, and Google gets it with the zone; what Google sends is shown as the
// same moment, with an offset that fits the zone beside it.
func TestTimesKeepTheMoment(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	unclear := 0
	for range 20_000 {
		zone := load(t, zones[r.IntN(len(zones))])
		other := load(t, zones[r.IntN(len(zones))])
		want := anyTime(r)
		if r.IntN(2) == 0 { // near a change of the clocks
			if _, end := want.In(zone).ZoneBounds(); !end.IsZero() {
				want = end.Add(time.Duration(r.IntN(4*3600)-2*3600) * time.Second).UTC()
			}
		}
		local := want.In(zone).Format("2006-01-02T15:04:05")
		for form, s := range map[string]string{
			"RFC 3339": want.In(zone).Format(time.RFC3339), "RFC 9557": want.In(other).Format(time.RFC3339) + "[" + zone.String() + "]", "local": local + "[" + zone.String() + "]",
		} {
			at, allDay, google, err := calendar.ParseStamp(s, zone)
			if form == "local" && err != nil {
				if unclear++; !strings.Contains(message(err), "twice") {
					t.Fatal(message(err))
				}
				continue
			}
			if err != nil || allDay || !at.Equal(want) {
				t.Fatalf("%s %s: %v %v, not %v", form, s, at, err, want)
			}
			if google.TimeZone != zone.String() || google.DateTime != want.In(zone).Format(time.RFC3339) || google.Date != "" {
				t.Fatalf("%s: Google gets %+v", s, google)
			}
		}
		text, name, _ := calendar.Moment(&gcalendar.EventDateTime{DateTime: want.In(other).Format(time.RFC3339), TimeZone: other.String()}, zone)
		shown, err := time.Parse(time.RFC3339, text)
		_, offset := shown.Zone()
		if _, right := want.In(zone).Zone(); err != nil || !shown.Equal(want) || name != zone.String() || offset != right {
			t.Fatalf("%v in %s is shown as %s %s", want, zone, text, name)
		}
	}
	if unclear == 0 {
		t.Error("no local time was there twice: the test tries nothing")
	}
}

// TestClockChanges: a local time that is not there, or there twice, is never
// guessed.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	utc := time.UTC
	for s, want := range map[string]string{
		"2026-03-29T01:59[Europe/Berlin]":                 "2026-03-29T00:59:00Z",
		"2026-03-29T02:00[Europe/Berlin]":                 "forward",
		"2026-03-29T02:30:00[Europe/Berlin]":              "forward",
		"2026-03-29T03:00[Europe/Berlin]":                 "2026-03-29T01:00:00Z",
		"2026-10-25T02:00[Europe/Berlin]":                 "twice",
		"2026-10-25T02:59[Europe/Berlin]":                 "twice",
		"2026-10-25T03:00[Europe/Berlin]":                 "2026-10-25T02:00:00Z",
		"2026-10-25T02:30:00+02:00[Europe/Berlin]":        "2026-10-25T00:30:00Z",
		"2026-10-25T02:30:00+01:00[Europe/Berlin]":        "2026-10-25T01:30:00Z",
		"2026-04-05T01:45[Australia/Lord_Howe]":           "twice",   // by half an hour
		"2011-12-30T12:00[Pacific/Apia]":                  "forward", // a day that was not
		"2026-11-01T01:30[America/New_York]":              "twice",
		"2026-01-31T09:00":                                "2026-01-31T09:00:00Z",
		"2026-01-31T09:00:00Z[Asia/Kathmandu]":            "2026-01-31T09:00:00Z",
		"2026-01-31T25:00[Europe/Berlin]":                 "must be like",
		"2026-02-29[Europe/Berlin]":                       "must be like",
		"2026-02-29":                                      "must be like",
		"tomorrow":                                        "must be like",
		"2026-01-31T09:00[Mars/Olympus]":                  "IANA",
		"2026-01-31T09:00[Local]":                         "IANA",
		"2026-01-31T09:00[]":                              "IANA",
		"2026-01-31T09:00[../../etc/passwd]":              "IANA",
		"2026-01-31T09:00[Europe/Berlin":                  "must be like",
		"2026-01-31T09:00[Europe/Berlin][u-ca=gregorian]": "IANA",
	} {
		at, _, _, err := calendar.ParseStamp(s, utc)
		got := at.UTC().Format(time.RFC3339)
		if err != nil {
			got = message(err)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, not %s", s, got, want)
		}
	}
}

// message is what a model is told of an error.
func message(err error) string {
	var e *tool.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// TestMidnight: a day begins at its first moment, also where the clocks are put
// forward at midnight or a day does not exist.
func TestMidnight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, day, want string }{
		{"Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // begins at one o'clock
		{"America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"}, // the day that was not
		{"UTC", "2026-01-01", "2026-01-01T00:00:00Z"},
	} {
		d, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := calendar.Midnight(d, load(t, c.zone)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s begins at %s, not %s", c.day, c.zone, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		zone := load(t, zones[r.IntN(len(zones))])
		d := anyTime(r).Truncate(24 * time.Hour)
		m := calendar.Midnight(d, zone)
		if before := m.Add(-time.Second).In(zone).Format(time.DateOnly); before >= d.Format(time.DateOnly) || m.In(zone).Format(time.DateOnly) < d.Format(time.DateOnly) {
			t.Fatalf("%s in %s: %v is not its first moment", d.Format(time.DateOnly), zone, m)
		}
	}
}

// TestMoved: a start alone takes the end along, and an hour stays an hour over a
// change of the clocks.
func TestMoved(t *testing.T) {
	t.Parallel()
	berlin := load(t, "Europe/Berlin")
	for _, c := range []struct{ start, end, newStart, newEnd, want string }{
		{"2026-03-28T02:30", "2026-03-28T03:30", "2026-03-29T01:30", "", "2026-03-29T01:30:00+01:00 Europe/Berlin to 2026-03-29T03:30:00+02:00 Europe/Berlin"},
		{"2026-03-28", "2026-03-30", "2026-04-01", "", "2026-04-01 (all day) to 2026-04-03 (all day)"},
		{"2026-03-28T09:00", "", "2026-04-01", "", "2026-04-01 (all day) to 2026-04-02 (all day)"},
		{"2026-03-28", "", "2026-04-01T09:00[Asia/Kolkata]", "", "2026-04-01T09:00:00+05:30 Asia/Kolkata to 2026-04-01T10:00:00+05:30 Asia/Kolkata"},
		{"2026-03-28T09:00", "2026-03-28T11:00", "", "2026-03-28T10:00", "2026-03-28T09:00:00+01:00 Europe/Berlin to 2026-03-28T10:00:00+01:00 Europe/Berlin"},
		{"2026-03-28T09:00", "2026-03-28T11:00", "", "2026-03-28T08:00", "after start"},
		{"2026-03-28T09:00", "2026-03-28T11:00", "", "2026-03-29", "both"},
	} {
		got, err := calendar.Moved(c.start, c.end, c.newStart, c.newEnd, berlin)
		if err != nil {
			got = message(err)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestSpoken: what a person is asked about says the day of the week, the offset, and
// of all-day events the last day, which Google does not count.
func TestSpoken(t *testing.T) {
	t.Parallel()
	berlin := load(t, "Europe/Berlin")
	day := func(s string) *gcalendar.EventDateTime { return &gcalendar.EventDateTime{Date: s} }
	hour := func(s string) *gcalendar.EventDateTime { return &gcalendar.EventDateTime{DateTime: s} }
	for want, c := range map[string][2]*gcalendar.EventDateTime{
		"Tuesday 1 December 2026, all day":                                                                                     {day("2026-12-01"), day("2026-12-02")},
		"Tuesday 1 December 2026 to Thursday 3 December 2026, all day":                                                         {day("2026-12-01"), day("2026-12-04")},
		"Tuesday 1 December 2026, 10:00 to 11:30 (UTC+01:00, Europe/Berlin)":                                                   {hour("2026-12-01T09:00:00Z"), hour("2026-12-01T10:30:00Z")},
		"Tuesday 1 December 2026, 23:00 to Wednesday 2 December 2026, 01:00 (UTC+01:00, Europe/Berlin)":                        {hour("2026-12-01T22:00:00Z"), hour("2026-12-02T00:00:00Z")},
		"Sunday 25 October 2026, 02:30 (UTC+02:00, Europe/Berlin) to Sunday 25 October 2026, 02:30 (UTC+01:00, Europe/Berlin)": {hour("2026-10-25T00:30:00Z"), hour("2026-10-25T01:30:00Z")},
	} {
		if got := calendar.Spoken(c[0], c[1], berlin); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
