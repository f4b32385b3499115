package calendar

import (
	"context"
	"fmt"
	"strings"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type calendarsInput struct {
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 50" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type calendarsOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Calendars     []calendarEntry   `json:"calendars"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type calendarEntry struct {
	ID       string `json:"calendar_id"`
	Name     string `json:"name"`
	TimeZone string `json:"time_zone"` // IANA name
	Role     string `json:"role"`      // owner, writer, reader, freeBusyReader
	Primary  bool   `json:"primary,omitempty"`
}

func (c *product) calendars(ctx context.Context, in calendarsInput) (tool.Output[calendarsOutput], error) {
	var out tool.Output[calendarsOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	service, account, err := c.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := service.CalendarList.List().MaxResults(int64(in.PageSize)).Fields("nextPageToken", "items(id,summary,summaryOverride,timeZone,accessRole,primary)").Context(ctx)
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing calendars", err)
	}
	v := calendarsOutput{Account: account, Notice: content.Notice, Calendars: []calendarEntry{}, NextPageToken: page.NextPageToken}
	var list strings.Builder
	for _, e := range page.Items {
		name := e.SummaryOverride
		if name == "" {
			name = e.Summary
		}
		entry := calendarEntry{ID: e.Id, Name: content.Line(name, maxText), TimeZone: location(e.TimeZone).String(), Role: e.AccessRole, Primary: e.Primary}
		v.Calendars = append(v.Calendars, entry)
		fmt.Fprintf(&list, "- %s | %s | %s | calendar_id %s\n", entry.Name, entry.TimeZone, entry.Role, entry.ID)
	}
	out.Value, out.Text = v, content.List(fmt.Sprintf("%s of %s", content.Count(len(v.Calendars), "calendar", "calendars"), account.Email), list.String(), v.NextPageToken)
	return out, nil
}
