package calendar_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"latchkey/resourceserver/internal/calendar"
)

// TestRecurrence: rules of RFC 5545 that Calendar has, and nothing else.
func TestRecurrence(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"FREQ=DAILY":                                 "RRULE:FREQ=DAILY",
		"RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10":     "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10",
		" rrule:freq=monthly;byday=-1fr ":            "RRULE:FREQ=MONTHLY;BYDAY=-1FR",
		"FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=-1":       "RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=-1",
		"FREQ=WEEKLY;UNTIL=20270131T230000Z;WKST=SU": "RRULE:FREQ=WEEKLY;UNTIL=20270131T230000Z;WKST=SU",
		"FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1":       "RRULE:FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1",
		"":                                           "",
		"COUNT=3":                                    "",
		"FREQ=SECONDLY":                              "",
		"FREQ=HOURLY":                                "",
		"FREQ=DAILY;COUNT=0":                         "",
		"FREQ=DAILY;COUNT=99999":                     "",
		"FREQ=DAILY;COUNT=3;UNTIL=20270131T230000Z":  "",
		"FREQ=DAILY;UNTIL=20270131":                  "",
		"FREQ=DAILY;UNTIL=20270131T230000":           "",
		"FREQ=DAILY;FREQ=WEEKLY":                     "",
		"FREQ=WEEKLY;BYDAY=2MO":                      "",
		"FREQ=WEEKLY;BYDAY=XX":                       "",
		"FREQ=MONTHLY;BYMONTHDAY=32":                 "",
		"FREQ=MONTHLY;BYMONTHDAY=0":                  "",
		"FREQ=YEARLY;BYMONTH=-1":                     "",
		"FREQ=DAILY;BYHOUR=9":                        "",
		"FREQ=DAILY;X=1":                             "",
		"FREQ=DAILY\r\nEXDATE:20270131":              "",
		"FREQ=DAILY;;COUNT=1":                        "",
		"RRULE:RRULE:FREQ=DAILY":                     "",
		"DTSTART:20270101T000000Z\nRRULE:FREQ=DAILY": "",
		"FREQ=DAILY;<script>=1;" + strings.Repeat("A", 50) + "=2": "",
	} {
		got, err := calendar.ParseRule(rule, false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", rule, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "script") {
			t.Errorf("%q is repeated: %v", rule, err)
		}
	}
	if got, err := calendar.ParseRule("FREQ=DAILY;UNTIL=20270131", true); err != nil || got != "RRULE:FREQ=DAILY;UNTIL=20270131" {
		t.Errorf("all day: %q %v", got, err)
	}
	if _, err := calendar.ParseRule("FREQ=DAILY;UNTIL=20270131T230000Z", true); err == nil {
		t.Error("a time ends a series of days (RFC 5545 §3.3.10)")
	}
}

// TestGaps: free is exactly what no busy time covers, of a quarter of an hour or
// more.
func TestGaps(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for range 2_000 {
		whole := [2]time.Time{start, start.Add(10 * time.Hour)}
		var busy [][2]time.Time
		for range r.IntN(8) {
			at := start.Add(time.Duration(r.IntN(720)-60) * time.Minute)
			busy = append(busy, [2]time.Time{at, at.Add(time.Duration(r.IntN(180)) * time.Minute)})
		}
		free := calendar.Gaps(busy, whole)
		covered := func(list [][2]time.Time, at time.Time) bool {
			for _, i := range list {
				if !at.Before(i[0]) && at.Before(i[1]) {
					return true
				}
			}
			return false
		}
		for i, f := range free {
			if f[1].Sub(f[0]) < 15*time.Minute || f[0].Before(whole[0]) || f[1].After(whole[1]) || i > 0 && !free[i-1][1].Before(f[0]) {
				t.Fatalf("%v of %v", free, busy)
			}
		}
		run := 0
		for at := whole[0]; at.Before(whole[1]); at = at.Add(time.Minute) {
			isFree := covered(free, at)
			if isFree && covered(busy, at) {
				t.Fatalf("%v is busy and free: %v %v", at, busy, free)
			}
			if run++; isFree || covered(busy, at) {
				run = 0
			}
			if run >= 15 {
				t.Fatalf("%v is free and not said to be: %v %v", at, busy, free)
			}
		}
	}
}
