package gmail

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

type vacationInput struct {
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type vacationOutput struct {
	Account googleapi.Account `json:"account"`
	Enabled bool              `json:"enabled"`
	Subject string            `json:"subject,omitempty"`
	Text    string            `json:"text,omitempty"`
	Start   string            `json:"start,omitempty"` // RFC 3339 in UTC
	End     string            `json:"end,omitempty"`
	Limited string            `json:"only,omitempty"` // who gets the reply
}

const vacationFields = "enableAutoReply,responseSubject,responseBodyPlainText,responseBodyHtml,restrictToContacts,restrictToDomain,startTime,endTime"

func (g *Gmail) getVacation(ctx context.Context, in vacationInput) (tool.Output[vacationOutput], error) {
	var out tool.Output[vacationOutput]
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	s, err := users.Settings.GetVacation("me").Fields(vacationFields).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading vacation reply", err)
	}
	out.Value = vacationOf(account, s)
	out.Text = out.Value.text()
	return out, nil
}

func vacationOf(account googleapi.Account, s *gmail.VacationSettings) vacationOutput {
	v := vacationOutput{Account: account, Enabled: s.EnableAutoReply, Subject: content.Line(s.ResponseSubject, maxSubject), Text: content.Clean(s.ResponseBodyPlainText)}
	if v.Text == "" {
		v.Text, _ = content.HTML(s.ResponseBodyHtml)
	}
	v.Text, _, _ = content.Cut(v.Text, 0, defaultChars)
	if s.StartTime > 0 {
		v.Start = date(s.StartTime)
	}
	if s.EndTime > 0 {
		v.End = date(s.EndTime)
	}
	switch {
	case s.RestrictToContacts:
		v.Limited = "contacts"
	case s.RestrictToDomain:
		v.Limited = "domain"
	}
	return v
}

func (v vacationOutput) text() string {
	if !v.Enabled {
		return "The vacation reply of " + v.Account.Email + " is off."
	}
	return fmt.Sprintf("The vacation reply of %s is on (from %s until %s, to %s).\n%s", v.Account.Email, orElse(v.Start, "now"), orElse(v.End, "it is switched off"),
		audience(v.Limited), content.Fence(v.Subject+"\n"+v.Text))
}

// audience says who gets the reply.
func audience(limited string) string {
	switch limited {
	case "contacts":
		return "nobody but its contacts"
	case "domain":
		return "nobody but people of its organization"
	}
	return "everybody who writes"
}

// spoken is a time in words for a person, with the offset in which it was given.
func spoken(given string) string {
	t, err := time.Parse(time.RFC3339, given)
	if err != nil { // none: it was read before
		return ""
	}
	return t.Format("Monday 2 January 2006, 15:04 (UTC-07:00)")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

type setVacationInput struct {
	Enabled bool   `json:"enabled"`
	Subject string `json:"subject,omitempty" limit:"maxlen=300"`
	Text    string `json:"text,omitempty" jsonschema:"plain text" limit:"maxlen=5000"`
	Start   string `json:"start,omitempty" jsonschema:"RFC 3339 time with offset" limit:"maxlen=40"`
	End     string `json:"end,omitempty" jsonschema:"RFC 3339 time with offset" limit:"maxlen=40"`
	Only    string `json:"only,omitempty" enum:"contacts,domain"`
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

func (g *Gmail) setVacation(ctx context.Context, in setVacationInput) (tool.Output[vacationOutput], error) {
	var out tool.Output[vacationOutput]
	s := &gmail.VacationSettings{EnableAutoReply: in.Enabled, ResponseSubject: content.Line(in.Subject, maxSubject), ResponseBodyPlainText: content.Clean(in.Text),
		RestrictToContacts: in.Only == "contacts", RestrictToDomain: in.Only == "domain", ForceSendFields: []string{"EnableAutoReply"}}
	if in.Enabled && in.Text == "" {
		return out, tool.Invalid("A vacation reply needs a text.")
	}
	for _, t := range []struct {
		name, value string
		into        *int64
	}{{"start", in.Start, &s.StartTime}, {"end", in.End, &s.EndTime}} {
		if t.value == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.value)
		if err != nil {
			return out, tool.Invalid("%s is not a time such as 2026-01-31T09:00:00+01:00.", t.name)
		}
		*t.into = at.UnixMilli()
	}
	if s.StartTime > 0 && s.EndTime > 0 && s.StartTime >= s.EndTime {
		return out, tool.Invalid("end must be after start.")
	}
	if p := policy.From(ctx); in.Enabled && (!p.MaySend() || len(p.RecipientDomains) > 0) {
		return out, &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow a vacation reply: it is mail, and whom it reaches cannot be told before. Nothing was changed.",
			NextAction: "Tell the person; they can switch it on in Gmail."}
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := vacationOf(account, s)
	question := "Switch off the vacation reply of " + account.Email + "?"
	if in.Enabled {
		question = fmt.Sprintf("Switch on the vacation reply of %s? It answers mail by itself.\nAnswered: %s\nFrom: %s\nUntil: %s\nSubject: %s\n%s", account.Email,
			audience(v.Limited), orElse(spoken(in.Start), "now"), orElse(spoken(in.End), "it is switched off"), v.Subject, content.Mark(v.Text))
	}
	if err := elicit.Confirm(ctx, elicit.Act{Question: question}); err != nil {
		return out, err
	}
	done, err := users.Settings.UpdateVacation("me", s).Fields(vacationFields).Context(googleapi.Idempotent(ctx)).Do()
	if err != nil {
		return out, googleapi.Error("setting vacation reply", err)
	}
	out.Value = vacationOf(account, done)
	out.Text = out.Value.text()
	return out, nil
}
