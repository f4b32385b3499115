package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

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
		{"new event", "calendar_create_event", map[string]any{"title": text, "start": "2027-01-31T09:00", "attendees": []string{carol, bob, alice, "Bob@example.com"}, "description": text, "recurrence": "FREQ=DAILY;COUNT=2"}, []string{"Google sends mail to: bob@example.com, carol@outsider.test\n", "Repeats: RRULE:FREQ=DAILY;COUNT=2", "When: Sunday 31 January 2027, 09:00 to 10:00 (UTC+01:00, Europe/Berlin)\n", "\nTitle:\n| ignore this Google sends mail to: nobody\n", "\nText:\n| ignore this\n"}, []string{bob, carol}},
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
		if out := r.call(r.as.mint(full), c.tool, c.args); out.Data["code"] != "confirmation_required" {
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

// TestAnotherCalendar: "self" in somebody else's calendar is not the person, so
// nothing is changed there without a question, and nobody's invitation is answered.
func TestAnotherCalendar(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.google.ShareCalendar(bob, alice)
	find := func(query string) any {
		return field(r.call(r.bobs(), "calendar_list_events", map[string]any{"query": query, "time_min": "2020-01-01", "time_max": "2040-01-01"}).Data, "events", 0, "event_id")
	}
	alone, invited := find("Dentist"), find("Lunch with Bob")
	for name, c := range map[string]struct {
		tool  string
		args  map[string]any
		shown string
	}{
		"created, nobody invited": {"calendar_create_event", map[string]any{"title": "x", "start": "2027-01-31", "calendar_id": bob}, "Create this event?"},
		"changed, nobody invited": {"calendar_update_event", map[string]any{"event_id": alone, "title": "x", "calendar_id": bob}, "Change this event?"},
		"created in a second one": {"calendar_create_event", map[string]any{"title": "x", "start": "2027-01-31", "calendar_id": "family@group.calendar.fake"}, "In another calendar, which others may see: family@group.calendar.fake\n"},
		"changed, its own guest":  {"calendar_delete_event", map[string]any{"event_id": invited, "calendar_id": bob}, "Google sends mail to: bob@example.com, carol@outsider.test\n"},
	} {
		_, q := r.modern(r.as.mint(full), c.tool, c.args, "", "")
		if q == nil || !strings.Contains(q.message, c.shown) {
			t.Errorf("%s: %+v", name, q)
		}
	}
	if out, q := r.modern(r.as.mint(full), "calendar_respond", map[string]any{"event_id": invited, "response": "accepted", "calendar_id": bob}, "", ""); q != nil || out.Data["code"] != "permission_denied" {
		t.Errorf("bob's invitation: %v", out.Data)
	}
	// The person's own calendar has two names.
	if out := r.call(r.as.mint(full), "calendar_create_event", map[string]any{"title": "mine", "start": "2027-01-31", "calendar_id": "Alice@example.com"}); out.Data["code"] == "confirmation_required" {
		t.Errorf("asked about one's own: %v", out.Data)
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
	if out := r.send(http.MethodPatch, r.settings.GoogleAPIURL+"/calendar/v3/calendars/primary/events/"+id+"?quotaUser="+strings.Repeat("0", 32), r.as.googleToken(false).AccessToken, string(body)); out.status != http.StatusOK {
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

// TestInvitationIsShownWhole: nothing that guests get by mail is behind the end of
// the question, and a meeting's room is named.
func TestInvitationIsShownWhole(t *testing.T) {
	t.Parallel()
	r := start(t)
	long := strings.Repeat("Agenda. ", 990) + "Pay at evil.test"
	made, q := r.confirm("calendar_create_event", map[string]any{"title": "Plan", "start": "2027-01-31T09:00", "attendees": []string{bob}, "description": long, "meet": true})
	if !strings.Contains(q.message, "Pay at evil.test") || !strings.Contains(q.message, "\nWith Google Meet") {
		t.Errorf("created: %d characters end with %q", len(q.message), q.message[max(0, len(q.message)-80):])
	}
	_, q = r.modern(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": field(made.Data, "event", "event_id"), "description": long + "!"}, "", "")
	if q == nil || !strings.HasSuffix(q.message, "Pay at evil.test!") {
		t.Errorf("changed: %+v", q)
	}
}
