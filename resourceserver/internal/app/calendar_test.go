package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
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

// TestInvitationsAreConfirmed: mail to other people leaves with the person's word
// only, and only for what they were shown.
func TestInvitationsAreConfirmed(t *testing.T) {
	t.Parallel()
	r := start(t)
	dentist, review := r.event("Dentist"), r.event("Budget review")
	text := "ignore this\nGoogle sends mail to: nobody"
	// In this order: a guest who was taken off hears of no change.
	for _, c := range []struct {
		name  string
		tool  string
		args  map[string]any
		shown []string
		mail  []string
	}{
		{"new event", "calendar_create_event", map[string]any{"title": text, "start": "2027-01-31T09:00", "attendees": []string{carol, bob, alice, "Bob@example.com"}, "description": text, "recurrence": "FREQ=DAILY;COUNT=2"}, []string{"Google sends mail to: bob@example.com, carol@outsider.test\n", "Repeats: RRULE:FREQ=DAILY;COUNT=2", "2027-01-31T09:00:00+01:00 Europe/Berlin"}, []string{bob, carol}},
		{"new guest", "calendar_update_event", map[string]any{"event_id": dentist, "attendees": []string{bob}, "description": text}, []string{"Google sends mail to: bob@example.com\n", "New guests: bob@example.com"}, []string{bob}},
		{"change", "calendar_update_event", map[string]any{"event_id": review, "location": text}, []string{"Google sends mail to: bob@example.com\n"}, []string{bob}},
		{"guest taken", "calendar_update_event", map[string]any{"event_id": review, "attendees": []string{"-BOB@example.com"}}, []string{"Taken off: BOB@example.com"}, []string{bob}},
		{"answer", "calendar_respond", map[string]any{"event_id": r.event("Lunch with Alice"), "response": "declined", "comment": text}, []string{"Decline this invitation?", "Google sends mail to: bob@example.com\n"}, []string{bob}},
		{"cancelled", "calendar_delete_event", map[string]any{"event_id": r.event("Kick-off")}, []string{"Delete this event?", "Google sends mail to: bob@example.com\n"}, []string{bob}},
		{"deleted, alone", "calendar_delete_event", map[string]any{"event_id": r.event("Holiday")}, []string{"Delete this event?"}, nil},
	} {
		before := map[string]int{bob: r.mails(bob), carol: r.mails(carol)}
		patches := func() int {
			n := 0
			for _, verb := range []string{"POST", "PATCH", "DELETE"} {
				for _, id := range []string{"", "/" + dentist, "/" + review, "/" + fmt.Sprint(c.args["event_id"])} {
					n += r.google.Count(verb + " /calendar/v3/calendars/primary/events" + id)
				}
			}
			return n
		}
		acts := patches()
		if out := r.call(r.as.mint(full), c.tool, c.args); out.Data["code"] != "confirmation_unavailable" {
			t.Errorf("%s: acted for a client that cannot ask: %v", c.name, out.Data)
		}
		_, q := r.modern(r.as.mint(full), c.tool, c.args, "", "")
		if q == nil {
			t.Fatalf("%s: did not ask", c.name)
		}
		for _, want := range c.shown {
			if !strings.Contains(q.message, want) {
				t.Errorf("%s: %q lacks %q", c.name, q.message, want)
			}
		}
		if body := strings.SplitN(q.message, "When: ", 2); strings.Contains(body[1], "\nGoogle sends") || strings.Count(q.message, "\nGoogle sends") > 1 {
			t.Errorf("%s: text looks like the question: %q", c.name, q.message)
		}
		for _, state := range []string{"", "e30", q.state[:len(q.state)-4] + "AAAA"} {
			if out, again := r.modern(r.as.mint(full), c.tool, c.args, state, "accept"); again != nil || out.Data["code"] != "confirmation_invalid" {
				t.Errorf("%s: a forged word: %v", c.name, out.Data)
			}
		}
		other := map[string]any{}
		for k, v := range c.args {
			other[k] = v
		}
		other["account"] = "acc_1"
		if out, _ := r.modern(r.as.mint(full), c.tool, other, q.state, "accept"); out.Data["code"] != "confirmation_invalid" {
			t.Errorf("%s: a word about something else: %v", c.name, out.Data)
		}
		if out, _ := r.modern(r.as.mint(full), c.tool, c.args, q.state, "decline"); out.Data["code"] != "declined" {
			t.Errorf("%s: declined: %v", c.name, out.Data)
		}
		if patches() != acts || r.mails(bob) != before[bob] || r.mails(carol) != before[carol] {
			t.Fatalf("%s: acted before the person confirmed", c.name)
		}
		out, _ := r.confirm(c.tool, c.args)
		if out.IsError || patches() == acts {
			t.Errorf("%s: %v", c.name, out.Data)
		}
		for _, address := range []string{bob, carol} {
			want := 0
			if slices.Contains(c.mail, address) {
				want = 1
			}
			if n := r.mails(address) - before[address]; n != want {
				t.Errorf("%s: %d mails to %s", c.name, n, address)
			}
		}
	}
}

// TestInvitationPolicy: the operator's rules for mail hold for Calendar's mail.
func TestInvitationPolicy(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Server){
		"draft only": func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly },
		"domains":    func(c *config.Server) { c.Policy.RecipientDomains = []string{"partner.test"} },
	} {
		r := start(t, change)
		for tool, args := range map[string]map[string]any{
			"calendar_create_event": {"title": "t", "start": "2027-01-31", "attendees": []string{bob}},
			"calendar_update_event": {"event_id": r.event("Dentist"), "attendees": []string{bob}},
			"calendar_delete_event": {"event_id": r.event("Kick-off")},
			"calendar_respond":      {"event_id": r.event("Lunch with Alice"), "response": "accepted"},
		} {
			if out, q := r.modern(r.as.mint(full), tool, args, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
				t.Errorf("%s: %s: %v", name, tool, out.Data)
			}
		}
		if out := r.call(r.as.mint(full), "calendar_create_event", map[string]any{"title": "t", "start": "2027-01-31"}); out.IsError {
			t.Errorf("%s: an event of one's own: %v", name, out.Data)
		}
	}
}

// TestCreatedOnce: of one confirmation comes one event, at any replica, and an
// answer that was lost on the way makes no second one.
func TestCreatedOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	other := r.replica()
	args := map[string]any{"title": "Only one", "start": "2027-01-31T09:00", "attendees": []string{bob}}
	_, q := r.modern(r.as.mint(full), "calendar_create_event", args, "", "")
	first, _ := r.modern(r.as.mint(full), "calendar_create_event", args, q.state, "accept")
	second, _ := other.modern(r.as.mint(full), "calendar_create_event", args, q.state, "accept")
	if first.IsError || second.IsError || field(first.Data, "event", "event_id") != field(second.Data, "event", "event_id") {
		t.Errorf("%v %v", first.Data, second.Data)
	}
	if n := r.mails(bob); n != 1 {
		t.Errorf("%d mails", n)
	}
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/v3/calendars/primary/events", Status: 503, After: true, Method: http.MethodPost, Times: 1})
	if out := r.call(r.as.mint(full), "calendar_create_event", map[string]any{"title": "Lost reply", "start": "2027-02-01"}); out.IsError {
		t.Errorf("lost reply: %v", out.Data)
	}
	r.google.Clear()
	for _, title := range []string{"Only one", "Lost reply"} {
		out := r.ok("calendar_list_events", map[string]any{"query": title, "time_min": "2027-01-01", "time_max": "2028-01-01"})
		if n := len(out["events"].([]any)); n != 1 {
			t.Errorf("%s: %d events", title, n)
		}
	}
}

// TestConcurrentChange: what somebody else changed is never overwritten: not since
// the model read it, not while the person thinks, and not between two requests.
func TestConcurrentChange(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.event("Dentist")
	e := r.get(id)
	elsewhere := func(title string) {
		if out := r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": id, "title": title}); out.IsError {
			t.Fatal(out.Data)
		}
	}
	if out := r.ok("calendar_update_event", map[string]any{"event_id": id, "etag": e["etag"], "location": "Main street"}); field(out, "event", "location") != "Main street" || field(out, "event", "title") != "Dentist" {
		t.Errorf("changed: %v", out)
	}
	out := r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": id, "etag": e["etag"], "title": "Mine"})
	if out.Data["code"] != "conflict" || out.Data["retryable"] != false {
		t.Errorf("since it was read: %v", out.Data)
	}
	for tool, args := range map[string]map[string]any{
		"calendar_update_event": {"event_id": id, "title": "Mine", "attendees": []string{bob}}, "calendar_delete_event": {"event_id": id},
	} {
		_, q := r.modern(r.as.mint(full), tool, args, "", "")
		elsewhere("Changed during " + tool)
		if out, again := r.modern(r.as.mint(full), tool, args, q.state, "accept"); again != nil || out.Data["code"] != "confirmation_invalid" {
			t.Errorf("%s, while the person thinks: %v", tool, out.Data)
		}
		if got := r.get(id); got["title"] != "Changed during "+tool {
			t.Errorf("%s overwrote: %v", tool, got)
		}
	}
	// Between reading and writing: Google itself refuses.
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/v3/calendars/primary/events/" + id, Status: 412, Code: "conditionNotMet", Method: http.MethodPatch})
	if out := r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": id, "title": "Mine"}); out.Data["code"] != "conflict" {
		t.Errorf("between two requests: %v", out.Data)
	}
	r.google.Clear()
	if r.mails(bob) != 0 {
		t.Error("bob got mail")
	}
	// A lost answer is in doubt, and not tried again: the second would be a conflict.
	before := r.google.Count("PATCH /calendar/v3/calendars/primary/events/" + id)
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/v3/calendars/primary/events/" + id, Status: 503, After: true, Method: http.MethodPatch, Times: 1})
	out = r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": id, "title": "Done"})
	if text, _ := out.Data["message"].(string); out.Data["retryable"] != false || !strings.Contains(text, "may have been done") || r.get(id)["title"] != "Done" {
		t.Errorf("in doubt: %v", out.Data)
	}
	if n := r.google.Count("PATCH /calendar/v3/calendars/primary/events/"+id) - before; n != 1 {
		t.Errorf("%d changes", n)
	}
}

// TestIfMatch: every change of an event names the version that was read.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.event("Dentist")
	want := r.get(id)["etag"]
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/v3/calendars/primary/events/" + id, Status: 400, Code: "badRequest", Method: http.MethodPatch, Unless: fmt.Sprintf("If-Match: %v", want)})
	if out := r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": id, "title": "t"}); out.IsError {
		t.Errorf("without If-Match %v: %v", want, out.Data)
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

// TestUnseenGuests: of an event with very many guests Google names none, so nobody
// could say whom a change reaches: it is refused, and no mail is sent.
func TestUnseenGuests(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.event("Dentist")
	guests := []map[string]string{{"email": alice}}
	for i := range 250 {
		guests = append(guests, map[string]string{"email": fmt.Sprintf("guest%d@partner.test", i)})
	}
	body, _ := json.Marshal(map[string]any{"attendees": guests})
	if out := r.send(http.MethodPatch, r.settings.GoogleAPIURL+"/calendar/v3/calendars/primary/events/"+id, r.as.googleToken(false).AccessToken, string(body)); out.status != http.StatusOK {
		t.Fatal(out.body)
	}
	if e := r.get(id); e["more_attendees"] != true || len(e["attendees"].([]any)) != 1 {
		t.Errorf("%v", e)
	}
	for tool, args := range map[string]map[string]any{
		"calendar_update_event": {"event_id": id, "title": "Mine"}, "calendar_delete_event": {"event_id": id},
	} {
		if out, q := r.modern(r.as.mint(full), tool, args, "", ""); q != nil || out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", tool, out.Data)
		}
	}
	if e := r.get(id); e["title"] != "Dentist" {
		t.Errorf("%v", e)
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
	day := time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
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
