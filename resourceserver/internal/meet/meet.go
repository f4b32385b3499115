package meet

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	meetapi "google.golang.org/api/meet/v2"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	readonly    = "https://www.googleapis.com/auth/meetings.space.readonly"
	defaultPage = 25
	maxText     = 200
)

// Tools returns the Meet tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	scopes, google := oauth.NewScopes("meet.read"), oauth.NewScopes(readonly)
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "meet_list_conferences", Title: "List past meetings",
		Description: "List past Google Meet conferences, newest first. Google keeps them for 30 days.",
		Scopes:      scopes, Google: google, Hints: tool.Read, Tier: tool.Extended,
	}, p.list)
	tool.Add(&s, tool.Description{
		Name: "meet_get_transcript", Title: "Read a meeting's transcript",
		Description: "Read who said what in a conference, from the beginning, if a transcript was made.",
		Scopes:      scopes, Google: google, Hints: tool.Read, Tier: tool.Extended,
	}, p.transcript)
	return s.Tools()
}

type product struct{ api *googleapi.API }

func (p *product) open(ctx context.Context, account string) (*meetapi.ConferenceRecordsService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", meetapi.NewService)
	if err != nil {
		return nil, used, err
	}
	return service.ConferenceRecords, used, nil
}

type listInput struct {
	After     string `json:"after,omitempty" jsonschema:"RFC 3339 time or date (UTC)" limit:"maxlen=40"`
	Before    string `json:"before,omitempty" limit:"maxlen=40"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 25" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account   string `json:"account,omitempty" limit:"maxlen=64"`
}

type listOutput struct {
	Account       googleapi.Account `json:"account"`
	Conferences   []conference      `json:"conferences"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

// conference has times in UTC: Meet knows no zone of a meeting.
type conference struct {
	ID    string `json:"conference_id"`
	Start string `json:"start"`
	End   string `json:"end,omitempty"` // absent while it goes on
	Zone  string `json:"time_zone"`
	Space string `json:"space,omitempty"`
}

func (p *product) list(ctx context.Context, in listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	filter, err := in.filter()
	if err != nil {
		return out, err
	}
	records, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	call := records.List().PageSize(int64(in.PageSize)).Fields("nextPageToken", "conferenceRecords(name,startTime,endTime,space)").Context(ctx)
	if filter != "" {
		call.Filter(filter)
	}
	if in.PageToken != "" {
		call.PageToken(in.PageToken)
	}
	page, err := call.Do()
	if err != nil {
		return out, googleapi.Error("listing conferences", err)
	}
	v := listOutput{Account: account, Conferences: []conference{}, NextPageToken: page.NextPageToken}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s.\n", content.Count(len(page.ConferenceRecords), "conference", "conferences"), account.Email)
	for _, r := range page.ConferenceRecords {
		c := conference{ID: strings.TrimPrefix(r.Name, recordPrefix), Start: utc(r.StartTime), End: utc(r.EndTime), Zone: "UTC", Space: r.Space}
		v.Conferences = append(v.Conferences, c)
		fmt.Fprintf(&b, "- %s to %s UTC | conference_id %s\n", c.Start, c.End, c.ID)
	}
	if v.NextPageToken != "" {
		b.WriteString("More: page_token " + v.NextPageToken)
	}
	out.Value, out.Text = v, b.String()
	return out, nil
}

// filter writes the bounds in Google's filter language; nothing of the caller's
// text is in it.
func (in listInput) filter() (string, error) {
	var parts []string
	for _, b := range []struct{ name, operator, value string }{{"after", ">=", in.After}, {"before", "<", in.Before}} {
		if b.value == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, b.value)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, b.value); err != nil {
				return "", tool.Invalid("%s must be an RFC 3339 time such as 2026-01-31T09:00:00+01:00, or a date such as 2026-01-31.", b.name)
			}
		}
		parts = append(parts, "start_time"+b.operator+`"`+t.UTC().Format(time.RFC3339)+`"`)
	}
	return strings.Join(parts, " AND "), nil
}

func utc(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

const recordPrefix = "conferenceRecords/"

// id is one segment of a resource name: it must not lead to another resource.
var id = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

func record(s string) (string, error) {
	s = strings.TrimPrefix(s, recordPrefix)
	if !id.MatchString(s) {
		return "", tool.Invalid("conference_id must be one that meet_list_conferences returned.")
	}
	return recordPrefix + s, nil
}

// speaker is how a participant is called.
func speaker(p *meetapi.Participant) string {
	switch {
	case p.SignedinUser != nil:
		return content.Line(p.SignedinUser.DisplayName, maxText)
	case p.AnonymousUser != nil:
		return content.Line(p.AnonymousUser.DisplayName, maxText) + " (not signed in)"
	case p.PhoneUser != nil:
		return content.Line(p.PhoneUser.DisplayName, maxText) + " (by phone)"
	}
	return "somebody"
}
