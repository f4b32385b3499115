package calendar

import (
	"context"

	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type removeInput struct {
	EventID    string `json:"event_id" limit:"minlen=1,maxlen=1100"`
	CalendarID string `json:"calendar_id,omitempty" limit:"maxlen=300"`
	Account    string `json:"account,omitempty" limit:"maxlen=64"`
}

// remove deletes an event as it was shown to the person, and no later version.
func (c *product) remove(ctx context.Context, in removeInput) (tool.Output[eventOutput], error) {
	var out tool.Output[eventOutput]
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	id := orPrimary(in.CalendarID)
	e, err := readWhole(ctx, service, id, in.EventID)
	if err != nil {
		return out, err
	}
	zone, err := ownZone(ctx, service, id, e)
	if err != nil {
		return out, err
	}
	question, rule := "Delete this event?", ""
	if len(e.Recurrence) > 0 {
		question, rule = "Delete this whole series of events?", e.Recurrence[0]
	}
	a := act{question: question, guests: invited(e, own(id, account)), calendar: id, binding: id + " " + e.Id + " " + e.Etag, always: true,
		details: details(e.Summary, spoken(moment(e.Start, zone), moment(e.End, zone)), e.Location, rule, "")}
	if err := a.allow(ctx, account); err != nil {
		return out, err
	}
	call := service.Events.Delete(id, in.EventID).SendUpdates(a.updates(account)).Context(ctx)
	call.Header().Set("If-Match", e.Etag)
	if err := call.Do(); err != nil {
		return out, doubtful(googleapi.Error("deleting event", err))
	}
	e.Status, e.Etag = "cancelled", ""
	return result("Deleted", account, e, zone), nil
}
