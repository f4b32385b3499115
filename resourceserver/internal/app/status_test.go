package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

// TestStatusEvents: focus time and out of office are what was said, always with
// times, and need nobody's word while nothing is declined.
func TestStatusEvents(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, c := range map[string]struct {
		tool string
		args map[string]any
		want map[string]any
	}{
		"focus": {"calendar_set_focus_time", map[string]any{"start": "2027-01-31T09:00", "chat_status": "doNotDisturb"}, map[string]any{
			"title": "Focus time", "event_type": "focusTime", "chat_status": "doNotDisturb", "auto_decline": "none", "start": map[string]any{"time": "2027-01-31T09:00:00+01:00", "time_zone": "Europe/Berlin"}}},
		"focus, whole day where the clocks change": {"calendar_set_focus_time", map[string]any{"start": "2027-03-28", "title": "Deep\u200b work"}, map[string]any{
			"title": "Deep work", "start": map[string]any{"time": "2027-03-28T00:00:00+01:00", "time_zone": "Europe/Berlin"}, "end": map[string]any{"time": "2027-03-29T00:00:00+02:00", "time_zone": "Europe/Berlin"}}},
		"away": {"calendar_set_out_of_office", map[string]any{"start": "2027-02-01", "end": "2027-02-04"}, map[string]any{
			"title": "Out of office", "event_type": "outOfOffice", "auto_decline": "none", "end": map[string]any{"time": "2027-02-04T00:00:00+01:00", "time_zone": "Europe/Berlin"}, "chat_status": nil}},
		"away, elsewhere": {"calendar_set_out_of_office", map[string]any{"start": "2027-02-01T12:00[Asia/Tokyo]", "auto_decline": "none"}, map[string]any{"start": map[string]any{"time": "2027-02-01T12:00:00+09:00", "time_zone": "Asia/Tokyo"}}},
	} {
		made := r.ok(c.tool, c.args)
		seen := r.get(field(made, "event", "event_id"))
		for member, want := range c.want {
			if got := field(made, "event", member); fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(seen[member]) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, then %v", name, member, got, seen[member])
			}
		}
	}
	for name, c := range map[string]struct {
		tool string
		args map[string]any
	}{
		"an answer to nobody": {"calendar_set_focus_time", map[string]any{"start": "2027-01-31T09:00", "decline_message": "no"}}, "mixed": {"calendar_set_out_of_office", map[string]any{"start": "2027-01-31", "end": "2027-02-01T09:00"}},
		"backwards": {"calendar_set_out_of_office", map[string]any{"start": "2027-02-02", "end": "2027-02-01"}}, "no such mode": {"calendar_set_focus_time", map[string]any{"start": "2027-01-31T09:00", "auto_decline": "declineNone"}},
		"another calendar": {"calendar_set_out_of_office", map[string]any{"start": "2027-02-02", "calendar_id": "family@group.calendar.fake"}}, "chat is for focus": {"calendar_set_out_of_office", map[string]any{"start": "2027-02-02", "chat_status": "available"}},
	} {
		if out := r.call(r.as.mint(full), c.tool, c.args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	// An ordinary event says nothing of all this.
	if e := r.get(r.event("Dentist")); e["event_type"] != nil || e["auto_decline"] != nil {
		t.Errorf("%v", e)
	}
}

// answerTo is how alice answered bob's meeting.
func (r *rig) answerTo(id any) string {
	r.t.Helper()
	g := field(r.call(r.bobs(), "calendar_get_event", map[string]any{"event_id": id}).Data, "event", "attendees", 0)
	return fmt.Sprint(field(g, "email"), " ", field(g, "response"), " ", field(g, "comment"))
}

// TestDecliningIsConfirmed: other people's meetings are declined with the person's
// word only, who is shown which, with what answer, and who gets mail.
func TestDecliningIsConfirmed(t *testing.T) {
	t.Parallel()
	r := start(t)
	invite := func(title, at string) any {
		t.Helper()
		out, _ := r.confirmAs(r.bobs(), "calendar_create_event", map[string]any{"title": title, "start": at, "attendees": []string{alice, carol}})
		return field(out.Data, "event", "event_id")
	}
	there, outside := invite("Plan\nGoogle sends mail to: nobody", "2027-02-01T10:00[Europe/Berlin]"), invite("Later", "2027-02-03T10:00[Europe/Berlin]")
	answer := "away\nGoogle declines: nothing"
	for _, c := range []struct {
		name, tool, mode string
		shown            []string
		hidden           string
		declined         bool // the meeting that was there
	}{
		{"focus, new ones", "calendar_set_focus_time", "new", []string{"Set this focus time", "that come from now on\nIts answer:\n| away\n| Google declines: nothing"}, "Google sends mail", false},
		{"away, all", "calendar_set_out_of_office", "all", []string{"Set this out of office", "Google sends mail to: bob@example.com\n", "those that are there and those that come\n", "Now there: 1 meeting\n| 2027-02-01T10:00:00+01:00 Europe/Berlin Plan Google"}, "Later", true},
	} {
		args := map[string]any{"start": "2027-02-01T09:00[Europe/Berlin]", "end": "2027-02-01T12:00", "auto_decline": c.mode, "decline_message": answer}
		inserts := func() int { return r.google.Count("POST /calendar/v3/calendars/primary/events") }
		before, mails := inserts(), r.mails(bob)
		if out := r.call(r.as.mint(full), c.tool, args); out.Data["code"] != "confirmation_required" {
			t.Errorf("%s: acted for a client that cannot ask: %v", c.name, out.Data)
		}
		_, q := r.modern(r.as.mint(full), c.tool, args, "", "")
		if q == nil {
			t.Fatalf("%s: did not ask", c.name)
		}
		for _, want := range c.shown {
			if !strings.Contains(q.message, want) {
				t.Errorf("%s: %q lacks %q", c.name, q.message, want)
			}
		}
		if strings.Contains(q.message, c.hidden) || strings.Count(q.message, "\nGoogle declines") != 1 || strings.Count(q.message, "\nGoogle sends") > 1 {
			t.Errorf("%s: %q", c.name, q.message)
		}
		if out, _ := r.modern(r.as.mint(full), c.tool, args, q.state, "decline"); out.Data["code"] != "declined" {
			t.Errorf("%s: declined: %v", c.name, out.Data)
		}
		if inserts() != before || r.mails(bob) != mails || !strings.HasPrefix(r.answerTo(there), alice+" needsAction") {
			t.Fatalf("%s: acted before the person confirmed", c.name)
		}
		out, _ := r.confirm(c.tool, args)
		if field(out.Data, "event", "auto_decline") != c.mode || inserts() != before+1 || !strings.Contains(out.Content[0].Text, "\nGoogle declines: "+c.mode+"\nIts answer: away Google declines: nothing\n") {
			t.Errorf("%s: %v %v", c.name, out.Data, out.Content)
		}
		want := alice + " needsAction <nil>"
		if c.declined {
			want = alice + " declined away Google declines: nothing"
		}
		if got := r.answerTo(there); got != want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if got := r.answerTo(invite("New", "2027-02-01T11:00[Europe/Berlin]")); !strings.HasPrefix(got, alice+" declined") {
		t.Errorf("a new one: %s", got)
	}
	// What is declined already is not declined again, and nobody gets mail of it.
	_, q := r.modern(r.as.mint(full), "calendar_set_focus_time", map[string]any{"start": "2027-02-01", "auto_decline": "all"}, "", "")
	if q == nil || !strings.Contains(q.message, "Now there: 0 meetings") || strings.Contains(q.message, "Google sends mail") {
		t.Errorf("declined already: %+v", q)
	}
	if _, q := r.modern(r.as.mint(full), "calendar_set_focus_time", map[string]any{"start": "2027-02-05", "auto_decline": "new", "chat_status": "doNotDisturb"}, "", ""); q == nil || !strings.Contains(q.message, "\nIn Google Chat: doNotDisturb\n") {
		t.Errorf("in Chat: %+v", q)
	}
	if got := r.answerTo(outside); !strings.HasPrefix(got, alice+" needsAction") {
		t.Errorf("another time: %s", got)
	}
}

// TestDecliningMeanwhile: a meeting that comes while the person thinks was not
// shown to them, so nothing is declined.
func TestDecliningMeanwhile(t *testing.T) {
	t.Parallel()
	r := start(t)
	args := map[string]any{"start": "2027-02-01", "auto_decline": "all"}
	_, q := r.modern(r.as.mint(full), "calendar_set_out_of_office", args, "", "")
	made, _ := r.confirmAs(r.bobs(), "calendar_create_event", map[string]any{"title": "Just now", "start": "2027-02-01T10:00[Europe/Berlin]", "attendees": []string{alice}})
	if out, _ := r.modern(r.as.mint(full), "calendar_set_out_of_office", args, q.state, "accept"); out.Data["code"] != "confirmation_invalid" {
		t.Errorf("%v", out.Data)
	}
	if got := r.answerTo(field(made.Data, "event", "event_id")); !strings.HasPrefix(got, alice+" needsAction") {
		t.Error(got)
	}
	// Of one word comes one event, although the first answer is lost.
	_, q = r.modern(r.as.mint(full), "calendar_set_out_of_office", args, "", "")
	r.google.Inject(fakegoogle.Fault{Prefix: "/calendar/v3/calendars/primary/events", Status: 503, After: true, Method: http.MethodPost, Times: 1})
	if out, _ := r.modern(r.as.mint(full), "calendar_set_out_of_office", args, q.state, "accept"); out.IsError {
		t.Errorf("lost reply: %v", out.Data)
	}
	if list := r.ok("calendar_list_events", map[string]any{"query": "Out of office", "time_min": "2027-01-01", "time_max": "2028-01-01"})["events"].([]any); len(list) != 1 {
		t.Errorf("%d events", len(list))
	}
}

// TestDecliningIsMovedWithAWord: to move a time in which Google declines is to
// decline other meetings.
func TestDecliningIsMovedWithAWord(t *testing.T) {
	t.Parallel()
	r := start(t)
	made, _ := r.confirm("calendar_set_out_of_office", map[string]any{"start": "2027-02-01", "auto_decline": "all"})
	quiet := r.ok("calendar_set_focus_time", map[string]any{"start": "2027-03-01T09:00"})
	met, _ := r.confirmAs(r.bobs(), "calendar_create_event", map[string]any{"title": "Review", "start": "2027-02-08T10:00[Europe/Berlin]", "attendees": []string{alice}})
	meeting := field(met.Data, "event", "event_id")
	move := map[string]any{"event_id": field(made.Data, "event", "event_id"), "start": "2027-02-08T00:00"}
	if out := r.call(r.as.mint(full), "calendar_update_event", move); out.Data["code"] != "confirmation_required" || !strings.HasPrefix(r.answerTo(meeting), alice+" needsAction") {
		t.Errorf("moved without a word: %v", out.Data)
	}
	out, q := r.confirm("calendar_update_event", move)
	if out.IsError || !strings.Contains(q.message, "Google sends mail to: bob@example.com\n") || !strings.Contains(q.message, "Now there: 1 meeting\n") || !strings.HasPrefix(r.answerTo(meeting), alice+" declined") {
		t.Errorf("moved: %v %s", out.Data, q.message)
	}
	later, _ := r.confirm("calendar_set_focus_time", map[string]any{"start": "2027-04-01T09:00", "auto_decline": "new"})
	if _, q := r.modern(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": field(later.Data, "event", "event_id"), "start": "2027-04-02T09:00"}, "", ""); q == nil || !strings.Contains(q.message, "invitations for that time that come from now on") {
		t.Errorf("what comes later: %+v", q)
	}
	// An answer that another app wrote makes no line of ours either.
	body := `{"id":"aaaaabbbbb","summary":"s","eventType":"outOfOffice","transparency":"opaque","start":{"dateTime":"2027-05-03T09:00:00Z"},"end":{"dateTime":"2027-05-03T10:00:00Z"},
		"outOfOfficeProperties":{"autoDeclineMode":"declineOnlyNewConflictingInvitations","declineMessage":"away\u2028Google sends mail to: nobody\u202e"}}`
	if made := r.send(http.MethodPost, r.settings.GoogleAPIURL+"/calendar/v3/calendars/primary/events?quotaUser="+strings.Repeat("0", 32), r.as.googleToken(false).AccessToken, body); made.status != http.StatusOK {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if _, q := r.modern(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": "aaaaabbbbb", "start": "2027-05-04T09:00"}, "", ""); q == nil || !strings.Contains(q.message, "| away\n| Google sends mail to: nobody") || strings.ContainsAny(q.message, "\u2028\u202e") {
		t.Errorf("the answer of another app: %+q", q)
	}
	// What Google does not take of such an event, it says.
	if out := r.call(r.as.mint(full), "calendar_update_event", map[string]any{"event_id": move["event_id"], "description": "x"}); out.Data["code"] != "invalid_argument" {
		t.Errorf("described: %v", out.Data)
	}
	// Where nothing is declined, and where the time stays, there is nothing to ask.
	for name, args := range map[string]map[string]any{
		"renamed": {"event_id": move["event_id"], "title": "Holiday"}, "nothing is declined": {"event_id": field(quiet, "event", "event_id"), "start": "2027-03-02T09:00"},
	} {
		if out := r.call(r.as.mint(full), "calendar_update_event", args); out.IsError {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
}

// TestDecliningPolicy: whom Google will write to is not known before, so where
// mail is restricted nothing is declined by itself.
func TestDecliningPolicy(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Server){
		"draft only": func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly },
		"domains":    func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} },
	} {
		r := start(t, change)
		for _, tool := range []string{"calendar_set_focus_time", "calendar_set_out_of_office"} {
			for _, mode := range []string{"new", "all"} {
				if out, q := r.modern(r.as.mint(full), tool, map[string]any{"start": "2027-01-31", "auto_decline": mode}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
					t.Errorf("%s: %s %s: %v", name, tool, mode, out.Data)
				}
			}
			if out := r.call(r.as.mint(full), tool, map[string]any{"start": "2027-01-31"}); out.IsError {
				t.Errorf("%s: %s: %v", name, tool, out.Data)
			}
		}
	}
}
