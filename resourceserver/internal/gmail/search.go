package gmail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/gmail/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultPage = 20
	// parallel bounds the reads of one search: Gmail limits concurrent requests
	// per person.
	parallel    = 8
	maxSubject  = 300
	maxSender   = 200
	maxSnippet  = 300
	labelUnread = "UNREAD"
)

type searchInput struct {
	Query     string `json:"query,omitempty" jsonschema:"empty: the newest threads" limit:"maxlen=1000"`
	PageSize  int    `json:"page_size,omitempty" jsonschema:"default 20" limit:"min=1,max=100"`
	PageToken string `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=500"`
	Account   string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type searchOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	Threads       []thread          `json:"threads"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type thread struct {
	ID       string `json:"thread_id"`
	Subject  string `json:"subject"`
	From     string `json:"from"` // of the newest message, as the rest
	Date     string `json:"date"` // RFC 3339 in UTC
	Snippet  string `json:"snippet"`
	Messages int    `json:"messages"`
	Unread   bool   `json:"unread"`

	newest int64 // ms since the epoch
}

func (g *Gmail) search(ctx context.Context, in searchInput) (tool.Output[searchOutput], error) {
	var out tool.Output[searchOutput]
	if in.PageSize == 0 {
		in.PageSize = defaultPage
	}
	users, account, err := g.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	list := users.Threads.List("me").Q(in.Query).MaxResults(int64(in.PageSize)).Fields("threads/id", "nextPageToken").Context(ctx)
	if in.PageToken != "" {
		list.PageToken(in.PageToken)
	}
	page, err := list.Do()
	if err != nil {
		return out, googleapi.Error("listing threads", err)
	}
	found := make([]*thread, len(page.Threads))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, t := range page.Threads {
		group.Go(func() error {
			full, err := users.Threads.Get("me", t.Id).Format("metadata").MetadataHeaders("Subject", "From", "Date").
				Fields("id", "messages(internalDate,labelIds,snippet,payload/headers)").Context(groupCtx).Do()
			if err == nil {
				found[i] = summary(full)
				return nil
			}
			err = googleapi.Error("reading thread", err)
			var e *tool.Error
			if errors.As(err, &e) && e.Code == tool.CodeNotFound {
				return nil // deleted between the two requests
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	out.Value = searchOutput{Account: account, Notice: content.Notice, Threads: []thread{}, NextPageToken: page.NextPageToken}
	for _, t := range found {
		if t != nil {
			out.Value.Threads = append(out.Value.Threads, *t)
		}
	}
	slices.SortStableFunc(out.Value.Threads, func(a, b thread) int { return cmp.Compare(b.newest, a.newest) })
	out.Text = out.Value.text()
	return out, nil
}

func summary(t *gmail.Thread) *thread {
	out := &thread{ID: t.Id, Messages: len(t.Messages)}
	for i, m := range t.Messages {
		if i == 0 {
			out.Subject = content.Header(header(m.Payload, "Subject"), maxSubject)
		}
		out.Unread = out.Unread || slices.Contains(m.LabelIds, labelUnread)
		if m.InternalDate >= out.newest {
			out.newest = m.InternalDate
			out.From = content.Header(header(m.Payload, "From"), maxSender)
			out.Snippet = content.Line(html.UnescapeString(m.Snippet), maxSnippet)
		}
	}
	out.Date = date(out.newest)
	return out
}

func date(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func header(p *gmail.MessagePart, name string) string {
	if p != nil {
		for _, h := range p.Headers {
			if strings.EqualFold(h.Name, name) {
				return h.Value
			}
		}
	}
	return ""
}

func (o searchOutput) text() string {
	var list strings.Builder
	for _, t := range o.Threads {
		unread := ""
		if t.Unread {
			unread = " (unread)"
		}
		fmt.Fprintf(&list, "- %s | %s | %s%s | thread_id %s\n", t.Date, t.From, t.Subject, unread, t.ID)
	}
	return content.List(content.Count(len(o.Threads), "thread", "threads")+" in "+o.Account.Email, list.String(), o.NextPageToken)
}
