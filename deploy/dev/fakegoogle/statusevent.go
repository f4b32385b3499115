package fakegoogle

import "slices"

// statusProperties are what a focus time or an out of office does.
type statusProperties struct {
	AutoDeclineMode string `json:"autoDeclineMode,omitempty"`
	DeclineMessage  string `json:"declineMessage,omitempty"`
	ChatStatus      string `json:"chatStatus,omitempty"`
}

const (
	declineAll = "declineAllConflictingInvitations"
	declineNew = "declineOnlyNewConflictingInvitations"
)

// asStatus makes a new event a focus time or an out of office, if the request says
// so as Google takes it: opaque, in the primary calendar, with fitting properties
// (Calendar API, "Manage focus time, out of office, and working location events").
func (c *call) asStatus(e *event, in *eventBody) error {
	switch in.EventType {
	case "", "default":
		return nil
	case "focusTime":
		e.does = in.FocusTimeProperties
	case "outOfOffice":
		e.does = in.OutOfOfficeProperties
	default:
		return badRequest("Invalid event type.")
	}
	e.kind = in.EventType
	switch p := e.does; {
	case p == nil || p.ChatStatus != "" && e.kind != "focusTime":
		return e.malformed("The properties do not fit the type of the event.")
	case !slices.Contains([]string{"", "declineNone", declineAll, declineNew}, p.AutoDeclineMode) || !slices.Contains([]string{"", "available", "doNotDisturb"}, p.ChatStatus):
		return e.malformed("Invalid property.")
	case in.Transparency != "opaque":
		return e.malformed("A status event must be opaque.")
	case e.calendar != "" || c.user != c.token.user:
		return e.malformed("A status event can only be in the primary calendar.")
	}
	return nil
}

func (e *event) malformed(message string) error {
	return &apiError{400, "INVALID_ARGUMENT", map[string]string{"focusTime": "malformedFocusTimeEvent", "outOfOffice": "malformedOutOfOfficeEvent"}[e.kind], message}
}

// fits: a status event has times and no guests, and an out of office no description.
func (e *event) fits() error {
	switch {
	case e.kind == "":
		return nil
	case e.allDay:
		return e.malformed("A status event must have a start and an end time.")
	case len(e.guests) > 0 || e.meet != "" || e.kind == "outOfOffice" && e.Description != "":
		return e.malformed("A status event cannot have this.")
	}
	return nil
}

func (e *event) eventType() string {
	if e.kind == "" {
		return "default"
	}
	return e.kind
}

// showStatus adds what an event does to its view.
func (e *event) showStatus(out map[string]any) {
	if out["eventType"] = e.eventType(); e.kind != "" {
		out[e.kind+"Properties"], out["transparency"] = e.does, "opaque"
	}
}

// autoDecline answers for people who have a status event at the time of an
// invitation: the invitations that a new status event finds, and the status events
// that a new invitation finds.
func (c *call) autoDecline(e *event) {
	overlap := func(a, b *event) bool { return a.start.Before(b.end) && b.start.Before(a.end) }
	if e.kind != "" {
		for _, other := range c.user.events {
			if e.does.AutoDeclineMode == declineAll && other.organizer != c.user.Email && overlap(e, other) {
				c.declineFor(c.user, other, e.does)
			}
		}
		return
	}
	for _, u := range c.s.users {
		for _, s := range u.events {
			if s.kind != "" && s.organizer == u.Email && s.status != "cancelled" && overlap(e, s) && slices.Contains([]string{declineAll, declineNew}, s.does.AutoDeclineMode) {
				c.declineFor(u, e, s.does)
			}
		}
	}
}

func (c *call) declineFor(u *User, e *event, p *statusProperties) {
	for _, g := range e.guests {
		if g.Email == u.Email && g.ResponseStatus != "declined" && e.status != "cancelled" {
			g.ResponseStatus, g.Comment = "declined", p.DeclineMessage
			e.version++
			c.s.counters["calendar mail "+e.organizer]++
		}
	}
}
