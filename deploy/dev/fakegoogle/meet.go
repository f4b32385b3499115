package fakegoogle

import (
	"fmt"
	"strings"
	"time"
)

// meeting is a past conference with what was said in it.
type meeting struct {
	id           string
	start, end   time.Time
	participants []string
	said         []utterance // none: there is no transcript
}

type utterance struct {
	who  int
	at   time.Time
	text string
}

func (u *User) seedMeetings(now time.Time, other *User) {
	review := &meeting{id: "conf1", start: now.Add(-50 * time.Hour), end: now.Add(-49 * time.Hour), participants: []string{u.Name, other.Name}}
	for i := range 120 {
		review.said = append(review.said, utterance{i % 2, review.start.Add(time.Duration(i) * 20 * time.Second), fmt.Sprintf("Point %d of the budget.", i+1)})
	}
	u.meetings = []*meeting{
		{id: "conf2", start: now.Add(-3 * time.Hour), end: now.Add(-2 * time.Hour), participants: []string{u.Name}},
		review,
	}
}

func (m *meeting) name() string { return "conferenceRecords/" + m.id }

func (c *call) meeting() (*meeting, error) {
	for _, m := range c.user.meetings {
		if m.id == c.path["conferenceRecordsId"] {
			return m, nil
		}
	}
	return nil, notFound("Resource 'conferenceRecords'")
}

func init() {
	handle("meet.conferenceRecords.list", func(c *call) (any, error) {
		var found []*meeting
		bound := func(operator string) (time.Time, error) {
			_, rest, ok := strings.Cut(c.query.Get("filter"), "start_time"+operator+`"`)
			if !ok {
				return time.Time{}, nil
			}
			value, _, _ := strings.Cut(rest, `"`)
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return t, badRequest("Invalid filter")
			}
			return t, nil
		}
		from, err := bound(">=")
		if err != nil {
			return nil, err
		}
		to, err := bound("<")
		if err != nil {
			return nil, err
		}
		for _, m := range c.user.meetings { // newest first
			if !m.start.Before(from) && (to.IsZero() || m.start.Before(to)) {
				found = append(found, m)
			}
		}
		page, next, err := paginate(c, found, c.size("pageSize", 25, 100))
		list := []any{}
		for _, m := range page {
			list = append(list, map[string]any{"name": m.name(), "startTime": m.start.Format(time.RFC3339), "endTime": m.end.Format(time.RFC3339), "space": "spaces/s" + m.id, "expireTime": m.end.Add(30 * 24 * time.Hour).Format(time.RFC3339)})
		}
		return withNext(map[string]any{"conferenceRecords": list}, next), err
	})
	handle("meet.conferenceRecords.participants.list", func(c *call) (any, error) {
		m, err := c.meeting()
		if err != nil {
			return nil, err
		}
		list := []any{}
		for i, name := range m.participants {
			list = append(list, map[string]any{"name": fmt.Sprintf("%s/participants/p%d", m.name(), i), "signedinUser": map[string]any{"user": fmt.Sprint("users/", i), "displayName": name}})
		}
		page, next, err := paginate(c, list, c.size("pageSize", 100, 250))
		return withNext(map[string]any{"participants": page, "totalSize": len(list)}, next), err
	})
	handle("meet.conferenceRecords.transcripts.list", func(c *call) (any, error) {
		m, err := c.meeting()
		if err != nil {
			return nil, err
		}
		list := []any{}
		if len(m.said) > 0 {
			list = append(list, map[string]any{"name": m.name() + "/transcripts/t1", "state": "FILE_GENERATED", "startTime": m.start.Format(time.RFC3339), "endTime": m.end.Format(time.RFC3339),
				"docsDestination": map[string]any{"document": "documents/d" + m.id, "exportUri": "https://docs.google.com/document/d/d" + m.id + "/view"}})
		}
		page, next, err := paginate(c, list, c.size("pageSize", 10, 100))
		return withNext(map[string]any{"transcripts": page}, next), err
	})
	handle("meet.conferenceRecords.transcripts.entries.list", func(c *call) (any, error) {
		m, err := c.meeting()
		if err != nil {
			return nil, err
		}
		if c.path["transcriptsId"] != "t1" || len(m.said) == 0 {
			return nil, notFound("Transcript")
		}
		list := []any{}
		for i, s := range m.said {
			list = append(list, map[string]any{"name": fmt.Sprintf("%s/transcripts/t1/entries/e%d", m.name(), i), "participant": fmt.Sprintf("%s/participants/p%d", m.name(), s.who), "text": s.text,
				"languageCode": "en-US", "startTime": s.at.Format(time.RFC3339), "endTime": s.at.Add(10 * time.Second).Format(time.RFC3339)})
		}
		page, next, err := paginate(c, list, c.size("pageSize", 10, 100))
		return withNext(map[string]any{"transcriptEntries": page}, next), err
	})
}
