package meet

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	meetapi "google.golang.org/api/meet/v2"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultChars = 20_000
	entriesPage  = 100 // Google's most
	// maxRequests bounds the pages of entries that one call reads.
	maxRequests     = 30
	maxEntry        = 10_000 // characters; one entry is never parted
	participantPage = 250
	maxParticipants = 1_000
)

type transcriptInput struct {
	ConferenceID string `json:"conference_id" limit:"minlen=1,maxlen=220"`
	MaxChars     int    `json:"max_chars,omitempty" jsonschema:"default 20000" limit:"min=500,max=30000"`
	PageToken    string `json:"page_token,omitempty" limit:"maxlen=2000"`
	Account      string `json:"account,omitempty" limit:"maxlen=64"`
}

type transcriptOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	ConferenceID  string            `json:"conference_id"`
	Available     bool              `json:"available"` // there is a transcript
	State         string            `json:"state,omitempty"`
	Document      string            `json:"document_url,omitempty"`
	Participants  []string          `json:"participants"`
	Text          string            `json:"text"`
	Truncated     bool              `json:"truncated"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

// cursor is a place in a conference's transcripts: which one, Google's page, and
// how many of its entries were read.
type cursor struct {
	transcript int
	page       string
	skip       int
}

func (c cursor) String() string { return fmt.Sprintf("%d:%d:%s", c.transcript, c.skip, c.page) }

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	bad := tool.Invalid("page_token is not one that this tool returned.")
	first, rest, ok1 := strings.Cut(s, ":")
	second, page, ok2 := strings.Cut(rest, ":")
	n, err1 := strconv.Atoi(first)
	skip, err2 := strconv.Atoi(second)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || n < 0 || skip < 0 || skip > entriesPage {
		return cursor{}, bad
	}
	return cursor{n, page, skip}, nil
}

func (p *product) transcript(ctx context.Context, in transcriptInput) (tool.Output[transcriptOutput], error) {
	var out tool.Output[transcriptOutput]
	if in.MaxChars == 0 {
		in.MaxChars = defaultChars
	}
	name, err := record(in.ConferenceID)
	if err != nil {
		return out, err
	}
	at, err := parseCursor(in.PageToken)
	if err != nil {
		return out, err
	}
	records, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	v := transcriptOutput{Account: account, Notice: content.Notice, ConferenceID: strings.TrimPrefix(name, recordPrefix), Participants: []string{}}
	list, err := records.Transcripts.List(name).PageSize(entriesPage).Fields("transcripts(name,state,docsDestination/exportUri)").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("listing transcripts", err)
	}
	names, err := v.participants(ctx, records, name)
	if err != nil {
		return out, err
	}
	if v.Available = len(list.Transcripts) > 0; v.Available {
		if at.transcript >= len(list.Transcripts) {
			return out, tool.Invalid("page_token does not belong to this conference.")
		}
		first := list.Transcripts[at.transcript]
		v.State = strings.ToLower(first.State)
		if first.DocsDestination != nil {
			v.Document = first.DocsDestination.ExportUri
		}
		if err := v.fill(ctx, records, list.Transcripts, names, at, in.MaxChars); err != nil {
			return out, err
		}
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// participants are the names behind the entries.
func (v *transcriptOutput) participants(ctx context.Context, records *meetapi.ConferenceRecordsService, name string) (map[string]string, error) {
	out := map[string]string{}
	for token := ""; ; {
		call := records.Participants.List(name).PageSize(participantPage).
			Fields("nextPageToken", "participants(name,signedinUser/displayName,anonymousUser/displayName,phoneUser/displayName)").Context(ctx)
		if token != "" {
			call.PageToken(token)
		}
		page, err := call.Do()
		if err != nil {
			return nil, googleapi.Error("listing participants", err)
		}
		for _, p := range page.Participants {
			out[p.Name] = speaker(p)
			v.Participants = append(v.Participants, out[p.Name])
		}
		if token = page.NextPageToken; token == "" || len(out) >= maxParticipants {
			return out, nil
		}
	}
}

// fill reads entries from the cursor on until the characters are used up.
func (v *transcriptOutput) fill(ctx context.Context, records *meetapi.ConferenceRecordsService, transcripts []*meetapi.Transcript, names map[string]string, at cursor, left int) error {
	var b strings.Builder
	defer func() { v.Text = b.String() }()
	for range maxRequests {
		call := records.Transcripts.Entries.List(transcripts[at.transcript].Name).PageSize(entriesPage).Fields("nextPageToken", "transcriptEntries(participant,text,startTime)").Context(ctx)
		if at.page != "" {
			call.PageToken(at.page)
		}
		page, err := call.Do()
		if err != nil {
			return googleapi.Error("reading transcript", err)
		}
		for i, e := range page.TranscriptEntries {
			if i < at.skip {
				continue
			}
			who := names[e.Participant]
			if who == "" {
				who = "somebody"
			}
			line := fmt.Sprintf("%s %s: %s\n", utc(e.StartTime), who, content.Line(e.Text, maxEntry))
			n := len([]rune(line))
			if n > left && b.Len() > 0 {
				at.skip = i
				v.Truncated, v.NextPageToken = true, at.String()
				return nil
			}
			left -= n
			b.WriteString(line)
		}
		switch {
		case page.NextPageToken != "":
			at = cursor{at.transcript, page.NextPageToken, 0}
		case at.transcript+1 < len(transcripts): // it was stopped and begun again
			at = cursor{transcript: at.transcript + 1}
		default:
			return nil
		}
	}
	v.Truncated, v.NextPageToken = true, at.String()
	return nil
}

func (v transcriptOutput) text() string {
	if !v.Available {
		return "There is no transcript of this conference in " + v.Account.Email + "."
	}
	out := fmt.Sprintf("Transcript in %s, times in UTC. %s\n%s", v.Account.Email, content.Notice, content.Fence(v.Text))
	if v.NextPageToken != "" {
		out += "\nThere is more: page_token " + v.NextPageToken
	}
	return out
}
