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
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// Kinds of events that say what the person does. Google has them in the primary
// calendar only, without guests and with times (Calendar API, "Manage focus time,
// out of office, and working location events").
const (
	focusTime   = "focusTime"
	outOfOffice = "outOfOffice"

	maxAnswer    = 500 // what invitations are declined with, in characters
	maxMeetings  = 250 // that are looked through
	maxConflicts = 20  // that a question names
)

// What Google declines by itself while such an event lasts.
const (
	declineNone = "none"
	declineNew  = "new"
	declineAll  = "all"
)

var declineModes = map[string]string{
	declineNone: "declineNone", declineNew: "declineOnlyNewConflictingInvitations", declineAll: "declineAllConflictingInvitations",
}

// kind is what the two tools do not have in common.
type kind struct {
	eventType, title, question, done string
}

var (
	focus  = kind{focusTime, "Focus time", "Set this focus time, and let Google decline meetings in your name?", "Focus time set"}
	absent = kind{outOfOffice, "Out of office", "Set this out of office, and let Google decline meetings in your name?", "Out of office set"}
)

type focusInput struct {
	Start      string `json:"start" jsonschema:"as for calendar_create_event; a date is the whole day" limit:"minlen=1,maxlen=100"`
	End        string `json:"end,omitempty" jsonschema:"default: an hour or a day on; a date is exclusive" limit:"maxlen=100"`
	Title      string `json:"title,omitempty" limit:"maxlen=300"`
	Decline    string `json:"auto_decline,omitempty" jsonschema:"invitations; default none" enum:"none,new,all"`
	Answer     string `json:"decline_message,omitempty" limit:"maxlen=500"`
	ChatStatus string `json:"chat_status,omitempty" enum:"available,doNotDisturb"`
	Account    string `json:"account,omitempty" limit:"maxlen=64"`
}

type absentInput struct {
	Start   string `json:"start" jsonschema:"as for calendar_create_event; a date is the whole day" limit:"minlen=1,maxlen=100"`
	End     string `json:"end,omitempty" jsonschema:"default: an hour or a day on; a date is exclusive" limit:"maxlen=100"`
	Title   string `json:"title,omitempty" limit:"maxlen=300"`
	Decline string `json:"auto_decline,omitempty" jsonschema:"invitations; default none" enum:"none,new,all"`
	Answer  string `json:"decline_message,omitempty" limit:"maxlen=500"`
	Account string `json:"account,omitempty" limit:"maxlen=64"`
}

func (c *product) focus(ctx context.Context, in focusInput) (tool.Output[eventOutput], error) {
	return c.status(ctx, focus, in)
}

func (c *product) absent(ctx context.Context, in absentInput) (tool.Output[eventOutput], error) {
	return c.status(ctx, absent, focusInput{Start: in.Start, End: in.End, Title: in.Title, Decline: in.Decline, Answer: in.Answer, Account: in.Account})
}

// status makes an event of a kind once, as create does.
func (c *product) status(ctx context.Context, k kind, in focusInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	d := declining{mode: in.Decline, answer: strings.TrimSpace(content.Clean(in.Answer))}
	if d.mode == "" {
		d.mode = declineNone
	}
	if d.mode == declineNone && d.answer != "" {
		return out, tool.Invalid("decline_message goes with auto_decline new or all.")
	}
	if err := d.allowed(ctx); err != nil {
		return out, err
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	zone := time.UTC
	if !strings.HasSuffix(in.Start, "]") { // a date too: a day begins on the clocks of a zone
		if zone, err = zoneOf(ctx, service, primary); err != nil {
			return out, err
		}
	}
	times, err := parseSpan(in.Start, in.End, zone, 0)
	if err != nil {
		return out, err
	}
	times = times.timed(zone)
	title := content.Line(in.Title, maxText)
	if title == "" {
		title = k.title
	}
	e := &calendar.Event{Summary: title, Start: times.start.google(), End: times.end.google(), EventType: k.eventType, Transparency: "opaque"}
	if k.eventType == focusTime {
		e.FocusTimeProperties = &calendar.EventFocusTimeProperties{AutoDeclineMode: declineModes[d.mode], DeclineMessage: d.answer, ChatStatus: in.ChatStatus}
	} else {
		e.OutOfOfficeProperties = &calendar.EventOutOfOfficeProperties{AutoDeclineMode: declineModes[d.mode], DeclineMessage: d.answer}
	}
	a := act{question: k.question, calendar: primary, binding: k.eventType, always: d.active(),
		details: details(title, spoken(times.start.when(), times.end.when()), "", "", "")}
	if in.ChatStatus != "" {
		a.details += "In Google Chat: " + in.ChatStatus + "\n"
	}
	if err := d.tell(ctx, service, primary, times, &a); err != nil {
		return out, err
	}
	if err := a.allow(ctx, account); err != nil {
		return out, err
	}
	// It has no guests who could get mail; those of what is declined do, of Google's.
	made, err := insert(ctx, service, primary, e, "none", false)
	if err != nil {
		return out, err
	}
	return result(k.done, account, made, times.start.zoneOr(zone)), nil
}

// timed is a span of days as one of times, from midnight to midnight.
func (s span) timed(zone *time.Location) span {
	for _, end := range []*stamp{&s.start, &s.end} {
		if end.allDay {
			*end = stamp{at: midnight(end.at, zone), zone: zone}
		}
	}
	return s
}

// declining is what Google declines by itself, and with which words.
type declining struct {
	mode, answer string
}

// decliningOf reads it off an event; of most it is nothing.
func decliningOf(e *calendar.Event) declining {
	mode, answer := "", ""
	switch {
	case e.EventType == focusTime && e.FocusTimeProperties != nil:
		mode, answer = e.FocusTimeProperties.AutoDeclineMode, e.FocusTimeProperties.DeclineMessage
	case e.EventType == outOfOffice && e.OutOfOfficeProperties != nil:
		mode, answer = e.OutOfOfficeProperties.AutoDeclineMode, e.OutOfOfficeProperties.DeclineMessage
	default:
		return declining{}
	}
	answer = strings.TrimSpace(content.Clean(answer))
	for name, google := range declineModes {
		if google == mode {
			return declining{name, answer}
		}
	}
	return declining{declineNone, answer}
}

func (d declining) active() bool { return d.mode == declineNew || d.mode == declineAll }

// allowed: who will invite cannot be told before, so there must be nobody to whom
// the operator does not allow mail.
func (d declining) allowed(ctx context.Context) error {
	if p := policy.From(ctx); d.active() && (!p.MaySend() || len(p.RecipientDomains) > 0) {
		return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow declining by itself: it is mail, and whom it reaches cannot be told before. Nothing was done.",
			NextAction: "Use auto_decline none, or tell the person; they can set it in Google Calendar."}
	}
	return nil
}

// tell adds to an act what is declined in a time, and who gets mail of it now.
func (d declining) tell(ctx context.Context, service *calendar.Service, id string, times span, a *act) error {
	if !d.active() {
		return nil
	}
	var b strings.Builder
	if d.mode == declineNew {
		b.WriteString("Google declines: invitations for that time that come from now on\n")
	} else {
		b.WriteString("Google declines: every invitation for that time, those that are there and those that come\n")
	}
	if d.answer != "" {
		b.WriteString("Its answer:\n" + content.Mark(d.answer) + "\n")
	}
	if d.mode == declineAll {
		now, err := conflicts(ctx, service, id, times)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "Now there: %s\n", content.Count(len(now), "meeting", "meetings"))
		for i, e := range now {
			if i < maxConflicts {
				b.WriteString(content.Mark(content.Line(moment(e.Start, times.start.zone).String()+" "+e.Summary, maxText)) + "\n")
			}
			if o := organizer(e); !slices.Contains(a.guests, strings.Join(o, "")) {
				a.guests = append(a.guests, o...)
			}
		}
		if len(now) > maxConflicts {
			fmt.Fprintf(&b, "(%d of them are shown)\n", maxConflicts)
		}
	}
	a.details += b.String()
	return nil
}

// conflicts are the meetings of a time to which others invited the person, and that
// they have not declined.
func conflicts(ctx context.Context, service *calendar.Service, id string, times span) ([]*calendar.Event, error) {
	page, err := service.Events.List(id).SingleEvents(true).OrderBy("startTime").ShowDeleted(false).MaxAttendees(1).EventTypes("default").
		TimeMin(times.start.at.Format(time.RFC3339)).TimeMax(times.end.at.Format(time.RFC3339)).MaxResults(maxMeetings).
		Fields("nextPageToken", "items(summary,start,organizer(email,self),attendees(self,responseStatus))").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("listing meetings", err)
	}
	if page.NextPageToken != "" {
		return nil, tool.Invalid("There are more than %d events in that time: give a shorter one, or let the person set it in Google Calendar.", maxMeetings)
	}
	return slices.DeleteFunc(page.Items, func(e *calendar.Event) bool {
		return len(organizer(e)) == 0 || !slices.ContainsFunc(e.Attendees, func(g *calendar.EventAttendee) bool { return g.Self && g.ResponseStatus != "declined" })
	}), nil
}
