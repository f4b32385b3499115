package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const carol = "carol@outsider.test"

// mails is how many mails Calendar sent to an address.
func (r *rig) mails(address string) int { return r.google.Count("calendar mail " + address) }

// bobs is a token of bob's.
func (r *rig) bobs() string {
	const subject = "0198f000-0000-7000-8000-0000000000b0"
	r.as.set(func() { r.as.people[subject] = bob })
	c := r.as.claims(full)
	c["sub"], c["gid"] = subject, "0198f000-0000-7000-8000-0000000000b1"
	return r.as.sign(c, r.as.key, "at+jwt")
}

func (r *rig) get(id any) map[string]any {
	r.t.Helper()
	return r.ok("calendar_get_event", map[string]any{"event_id": id})["event"].(map[string]any)
}

// TestCreateEvent: what is created is what was said, in its zone, and an event
// without guests needs nobody's word.
func TestCreateEvent(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, c := range map[string]struct {
		args  map[string]any
		field []any
		want  any
	}{
		"calendar's zone":      {map[string]any{"start": "2027-01-31T09:00"}, []any{"start", "time"}, "2027-01-31T09:00:00+01:00"},
		"an hour":              {map[string]any{"start": "2027-01-31T09:00"}, []any{"end", "time"}, "2027-01-31T10:00:00+01:00"},
		"named zone":           {map[string]any{"start": "2027-07-01T09:00[America/New_York]"}, []any{"start"}, map[string]any{"time": "2027-07-01T09:00:00-04:00", "time_zone": "America/New_York"}},
		"offset":               {map[string]any{"start": "2027-01-31T09:00:00Z"}, []any{"start", "time"}, "2027-01-31T10:00:00+01:00"},
		"all day":              {map[string]any{"start": "2027-01-31"}, []any{"start"}, map[string]any{"date": "2027-01-31"}},
		"all day, end":         {map[string]any{"start": "2027-01-31"}, []any{"end", "date"}, "2027-02-01"},
		"meet":                 {map[string]any{"start": "2027-01-31", "meet": true}, []any{"meeting_link"}, "https://meet.google.com/abc-defg-hij"},
		"own address":          {map[string]any{"start": "2027-01-31", "attendees": []string{"ALICE@example.com"}}, []any{"attendees", 0, "email"}, "ALICE@example.com"},
		"series":               {map[string]any{"start": "2027-01-31T09:00", "recurrence": "FREQ=WEEKLY;COUNT=3"}, []any{"recurrence", 0}, "RRULE:FREQ=WEEKLY;COUNT=3"},
		"another calendar":     {map[string]any{"start": "2027-07-01T09:00", "calendar_id": "family@group.calendar.fake"}, []any{"start", "time"}, "2027-07-01T09:00:00-04:00"},
		"hidden characters go": {map[string]any{"start": "2027-01-31", "description": "a\u200bb\u202e"}, []any{"description"}, "ab"},
	} {
		c.args["title"] = name
		out := r.call(r.as.mint(full), "calendar_create_event", c.args)
		if c.args["calendar_id"] != nil { // others may see it
			out, _ = r.confirm("calendar_create_event", c.args)
		}
		if got := field(out.Data["event"], c.field...); fmt.Sprint(got) != fmt.Sprint(c.want) || field(out.Data, "account", "email") != alice {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	for name, args := range map[string]map[string]any{
		"no such time":    {"start": "2027-03-28T02:30"},
		"twice":           {"start": "2027-10-31T02:30"},
		"backwards":       {"start": "2027-01-31T09:00", "end": "2027-01-31T08:00"},
		"mixed":           {"start": "2027-01-31", "end": "2027-02-01T08:00"},
		"rule":            {"start": "2027-01-31T09:00", "recurrence": "FREQ=MINUTELY"},
		"a name as guest": {"start": "2027-01-31", "attendees": []string{"Bob <bob@example.com>"}},
		"no address":      {"start": "2027-01-31", "attendees": []string{"bob"}},
		"a silent one":    {"start": "2027-01-31", "attendees": []string{bob}, "send_updates": "none"},
	} {
		args["title"] = "bad"
		if out := r.call(r.as.mint(full), "calendar_create_event", args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	if n := r.mails(bob); n != 0 {
		t.Errorf("%d mails to bob", n)
	}
}

// TestRecurringKeepsItsClock: a series in a zone stays at its time of day there,
// whatever the clocks do, and comes out one by one.
func TestRecurringKeepsItsClock(t *testing.T) {
	t.Parallel()
	r := start(t)
	for zone, c := range map[string]struct{ from, to string }{
		"Europe/Berlin": {"+01:00", "+02:00"}, "America/New_York": {"-05:00", "-04:00"}, "Australia/Lord_Howe": {"+11:00", "+10:30"}, "Asia/Kolkata": {"+05:30", "+05:30"},
	} {
		made := r.ok("calendar_create_event", map[string]any{"title": "Clock of " + zone, "start": "2027-03-01T09:00[" + zone + "]", "recurrence": "FREQ=WEEKLY;COUNT=10"})
		out := r.ok("calendar_list_events", map[string]any{"query": "Clock of " + zone, "time_min": "2027-01-01", "time_max": "2027-12-31", "time_zone": zone})
		list := out["events"].([]any)
		if len(list) != 10 {
			t.Fatalf("%s: %d events", zone, len(list))
		}
		for _, e := range list {
			if at := field(e, "start", "time").(string); at[10:19] != "T09:00:00" || field(e, "start", "time_zone") != zone || field(e, "recurring_event_id") != field(made, "event", "event_id") {
				t.Errorf("%s: %v", zone, e)
			}
		}
		if first, last := field(list, 0, "start", "time").(string), field(list, 9, "start", "time").(string); first[19:] != c.from || last[19:] != c.to {
			t.Errorf("%s: %s to %s", zone, first, last)
		}
	}
	// One of them alone: the others stay.
	one := r.ok("calendar_list_events", map[string]any{"query": "Clock of Asia", "time_min": "2027-03-05", "time_max": "2027-03-10"})
	id := field(one, "events", 0, "event_id")
	if moved := r.ok("calendar_update_event", map[string]any{"event_id": id, "start": "2027-03-09T15:00[Asia/Kolkata]"}); field(moved, "event", "end", "time") != "2027-03-09T16:00:00+05:30" {
		t.Errorf("moved: %v", moved)
	}
	again := r.ok("calendar_list_events", map[string]any{"query": "Clock of Asia", "time_min": "2027-03-01", "time_max": "2027-03-20", "time_zone": "Asia/Kolkata"})
	var times []string
	for _, e := range again["events"].([]any) {
		times = append(times, field(e, "start", "time").(string)[:16])
	}
	if want := []string{"2027-03-01T09:00", "2027-03-09T15:00", "2027-03-15T09:00"}; !slices.Equal(times, want) {
		t.Errorf("%v, not %v", times, want)
	}
}

// TestUpdateKeepsTheRest: guests keep their answers, and what was not named stays.
func TestUpdateKeepsTheRest(t *testing.T) {
	t.Parallel()
	r := start(t)
	made, _ := r.confirm("calendar_create_event", map[string]any{"title": "Budget review", "start": "2027-01-31T09:00", "attendees": []string{bob}})
	id := field(made.Data, "event", "event_id")
	if out, _ := r.confirmAs(r.bobs(), "calendar_respond", map[string]any{"event_id": id, "response": "accepted", "comment": "yes"}); out.IsError {
		t.Fatal(out.Data)
	}
	if out, _ := r.confirm("calendar_update_event", map[string]any{"event_id": id, "attendees": []string{carol}}); out.IsError {
		t.Fatal(out.Data)
	}
	// Alice writes a description and takes it back; bob stays as he was.
	if out, _ := r.confirm("calendar_update_event", map[string]any{"event_id": id, "description": "x", "location": "here"}); field(out.Data, "event", "description") != "x" {
		t.Errorf("%v", out.Data)
	}
	out, _ := r.confirm("calendar_update_event", map[string]any{"event_id": id, "description": ""})
	if field(out.Data, "event", "description") != nil || field(out.Data, "event", "location") != "here" || field(out.Data, "event", "title") != "Budget review" {
		t.Errorf("%v", out.Data)
	}
	var guests []string
	for _, g := range field(out.Data, "event", "attendees").([]any) {
		guests = append(guests, fmt.Sprint(field(g, "email"), " ", field(g, "response")))
	}
	if !slices.Equal(guests, []string{bob + " accepted", carol + " needsAction"}) {
		t.Errorf("guests: %v", guests)
	}
	all := r.ok("calendar_update_event", map[string]any{"event_id": r.event("Dentist"), "start": "2027-01-31"})
	if field(all, "event", "start", "date") != "2027-01-31" || field(all, "event", "end", "date") != "2027-02-01" {
		t.Errorf("to all day: %v", all)
	}
	timed := r.ok("calendar_update_event", map[string]any{"event_id": r.event("Dentist"), "start": "2027-01-31T09:00"})
	if field(timed, "event", "start", "time") != "2027-01-31T09:00:00+01:00" || field(timed, "event", "start", "date") != nil {
		t.Errorf("and back: %v", timed)
	}
	for name, args := range map[string]map[string]any{
		"nothing": {}, "both ways": {"attendees": []string{bob, "-" + bob}}, "half": {"end": "2027-01-31"},
	} {
		args["event_id"] = r.event("Dentist")
		if bad := r.call(r.as.mint(full), "calendar_update_event", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, bad.Data)
		}
	}
}

// TestRespond: the person's own answer, and nothing else of the event.
func TestRespond(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.event("Lunch with Alice")
	for _, response := range []string{"declined", "tentative", "accepted"} {
		out, _ := r.confirm("calendar_respond", map[string]any{"event_id": id, "response": response, "comment": "see you"})
		if field(out.Data, "event", "my_response") != response || field(out.Data, "event", "attendees", 0, "comment") != "see you" || field(out.Data, "event", "title") != "Lunch with Alice Adams" {
			t.Errorf("%s: %v", response, out.Data)
		}
	}
	// Bob, who invited, sees it.
	seen := r.call(r.bobs(), "calendar_get_event", map[string]any{"event_id": id})
	if field(seen.Data, "event", "attendees", 0, "response") != "accepted" || field(seen.Data, "account", "email") != bob {
		t.Errorf("bob sees %v", seen.Data)
	}
	if out := r.call(r.as.mint(full), "calendar_respond", map[string]any{"event_id": r.event("Dentist"), "response": "accepted"}); out.Data["code"] != "invalid_argument" {
		t.Errorf("not invited: %v", out.Data)
	}
	// A guest cannot change another's event.
	if out, _ := r.confirm("calendar_update_event", map[string]any{"event_id": id, "title": "mine"}); out.Data["code"] != "permission_denied" {
		t.Errorf("another's event: %v", out.Data)
	}
}

// TestDeleteEvent: one event, one of a series, a series; gone is gone.
func TestDeleteEvent(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.event("Dentist")
	if out, _ := r.confirm("calendar_delete_event", map[string]any{"event_id": id}); field(out.Data, "event", "status") != "cancelled" {
		t.Errorf("%v", out.Data)
	}
	for _, tool := range []string{"calendar_get_event", "calendar_delete_event"} {
		if out := r.call(r.as.mint(full), tool, map[string]any{"event_id": id}); out.Data["code"] != "not_found" {
			t.Errorf("%s of a deleted event: %v", tool, out.Data)
		}
	}
	made := r.ok("calendar_create_event", map[string]any{"title": "Choir", "start": "2027-03-01T19:00", "recurrence": "FREQ=WEEKLY;COUNT=4"})
	count := func() int {
		return len(r.ok("calendar_list_events", map[string]any{"query": "Choir", "time_min": "2027-01-01", "time_max": "2027-12-31"})["events"].([]any))
	}
	one := r.ok("calendar_list_events", map[string]any{"query": "Choir", "time_min": "2027-03-06", "time_max": "2027-03-10"})
	if out, q := r.confirm("calendar_delete_event", map[string]any{"event_id": field(one, "events", 0, "event_id")}); out.IsError || strings.Contains(q.message, "series") || count() != 3 {
		t.Errorf("one of a series: %v, %d left", out.Data, count())
	}
	if out, q := r.confirm("calendar_delete_event", map[string]any{"event_id": field(made, "event", "event_id")}); out.IsError || !strings.Contains(q.message, "whole series") || count() != 0 {
		t.Errorf("a series: %v, %d left", out.Data, count())
	}
}

// TestFreebusy: whose times are shared, in one zone, and when all are free.
func TestFreebusy(t *testing.T) {
	t.Parallel()
	r := start(t)
	day, _, _ := strings.Cut(fmt.Sprint(field(r.get(r.event("Stand-up")), "start", "time")), "T") // the stand-in's tomorrow, also where it was made before midnight
	out := r.ok("calendar_freebusy", map[string]any{"calendar_ids": []string{"primary", bob, carol}, "time_min": day + "T00:00:00Z", "time_max": day + "T23:59:00Z", "time_zone": "Asia/Kolkata"})
	if out["complete"] != false || field(out, "calendars", 2, "problem") == nil || field(out, "time_zone") != "Asia/Kolkata" {
		t.Errorf("a stranger's times: %v", out)
	}
	if busy := field(out, "calendars", 0, "busy").([]any); len(busy) != 2 || field(busy, 0, "start", "time") != day+"T14:30:00+05:30" || field(busy, 0, "end", "time") != day+"T14:45:00+05:30" {
		t.Errorf("busy: %v", busy)
	}
	free := out["free"].([]any)
	if len(free) != 3 || field(free, 1, "start", "time") != day+"T14:45:00+05:30" || field(free, 1, "end", "time") != day+"T15:30:00+05:30" {
		t.Errorf("free: %v", free)
	}
	if own := r.ok("calendar_freebusy", nil); own["complete"] != true || own["time_zone"] != "Europe/Berlin" || len(own["calendars"].([]any)) != 1 {
		t.Errorf("own: %v", own)
	}
	for name, args := range map[string]map[string]any{
		"too many": {"calendar_ids": slices.Repeat([]string{"a"}, 51)}, "zone": {"time_zone": "Nowhere"}, "backwards": {"time_min": "2027-01-02", "time_max": "2027-01-01"},
	} {
		if bad := r.call(r.as.mint(full), "calendar_freebusy", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, bad.Data)
		}
	}
}

// TestCalendarDays: a date is a day of the calendar, not of UTC.
func TestCalendarDays(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, c := range []struct{ calendar, zone, min string }{
		{"primary", "", "2027-07-01T00:00:00+02:00"}, {"family@group.calendar.fake", "", "2027-07-01T00:00:00-04:00"}, {"primary", "Asia/Tokyo", "2027-07-01T00:00:00+09:00"},
	} {
		args := map[string]any{"calendar_id": c.calendar, "time_min": "2027-07-01", "time_max": "2027-07-02"}
		if c.zone != "" {
			args["time_zone"] = c.zone
		}
		if out := r.ok("calendar_list_events", args); out["time_min"] != c.min {
			t.Errorf("%+v: %v", c, out)
		}
	}
}

// TestEventsAreData: text of an event comes out between the marks.
func TestEventsAreData(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, text := range corpus {
		made := r.ok("calendar_create_event", map[string]any{"title": "corpus " + name + " " + text, "start": "2027-05-01", "location": text, "description": text})
		for tool, args := range map[string]map[string]any{
			"calendar_get_event": {"event_id": field(made, "event", "event_id")}, "calendar_list_events": {"query": "corpus " + name, "time_min": "2027-04-30", "time_max": "2027-05-03"},
		} {
			out := r.call(r.as.mint(full), tool, args)
			short := out.Content[0].Text
			begin, end := strings.Index(short, "<<<untrusted "), strings.LastIndex(short, "<<<end ")
			if begin < 0 || end < begin || strings.Contains(short[:begin]+short[end:], "evil") || !strings.HasPrefix(short[end+7:], short[begin+13:begin+23]) {
				t.Fatalf("%s: %s: %q", tool, name, short)
			}
			for _, unseen := range []string{"\u200b", "\u2060", "\u202e", "\U000E0073", "\x00", "\x1b", "\r"} {
				if strings.Contains(short, unseen) {
					t.Errorf("%s: %s: %q is still there", tool, name, unseen)
				}
			}
			if !strings.Contains(fmt.Sprint(out.Data["notice"]), "Untrusted") {
				t.Errorf("%s: %s: no notice", tool, name)
			}
		}
	}
}
