package calendar

import (
	"context"

	"google.golang.org/api/calendar/v3"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type respondInput struct {
	EventID    string `json:"event_id" limit:"minlen=1,maxlen=1100"`
	Response   string `json:"response" enum:"accepted,declined,tentative"`
	Comment    string `json:"comment,omitempty" jsonschema:"for the organizer" limit:"maxlen=300"`
	CalendarID string `json:"calendar_id,omitempty" limit:"maxlen=300"`
	Account    string `json:"account,omitempty" limit:"maxlen=64"`
}

var questions = map[string]string{
	"accepted": "Accept this invitation?", "declined": "Decline this invitation?", "tentative": "Accept this invitation tentatively?",
}

// respond answers for the person. Only their own answer is written: Google keeps
// the other guests of an event that says attendeesOmitted.
func (c *product) respond(ctx context.Context, in respondInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	id := orPrimary(in.CalendarID)
	e, err := read(ctx, service, id, in.EventID)
	if err != nil {
		return out, err
	}
	invitee := ""
	for _, a := range e.Attendees {
		if a.Self {
			invitee = a.Email
		}
	}
	if invitee == "" {
		return out, tool.Invalid("The person is not invited to this event.")
	}
	// In the person's own calendar it may be another address of theirs.
	if !own(id, account) && !same(invitee, account.Email) {
		return out, &tool.Error{Code: tool.CodePermissionDenied, Message: "The invitation in this calendar is somebody else's; nothing was answered.",
			NextAction: "Tell the person. Leave calendar_id out to answer the person's own invitations."}
	}
	zone, err := ownZone(ctx, service, id, e)
	if err != nil {
		return out, err
	}
	answer := &calendar.EventAttendee{Email: invitee, ResponseStatus: in.Response, Comment: content.Line(in.Comment, maxText)}
	a := act{question: questions[in.Response], guests: organizer(e), calendar: id, binding: id + " " + e.Id + " " + e.Etag,
		details: details(e.Summary, spoken(moment(e.Start, zone), moment(e.End, zone)), e.Location, "", answer.Comment)}
	if err := a.allow(ctx, account); err != nil {
		return out, err
	}
	patch := &calendar.Event{Attendees: []*calendar.EventAttendee{answer}, AttendeesOmitted: true}
	call := service.Events.Patch(id, in.EventID, patch).SendUpdates(a.updates(account)).MaxAttendees(wholeGuests).Fields(eventFields).Context(ctx)
	call.Header().Set("If-Match", e.Etag)
	done, err := call.Do()
	if err != nil {
		return out, doubtful(googleapi.Error("answering invitation", err))
	}
	return result("Answered", account, done, zone), nil
}

// organizer is who learns of an answer, if it is somebody else.
func organizer(e *calendar.Event) []string {
	if e.Organizer == nil || e.Organizer.Self || e.Organizer.Email == "" {
		return nil
	}
	return []string{e.Organizer.Email}
}
