package fakegoogle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// space is a place in Chat that all its members share.
type space struct {
	ID, Name, Type string
	members        []string // e-mail addresses
	messages       []*chatMessage
	requests       map[string]*chatMessage // by request id
}

type chatMessage struct {
	id, sender, text, thread string
	at                       time.Time
}

func (s *Server) seedChat(now time.Time) {
	team := &space{ID: "TEAM", Name: "Team", Type: "SPACE", members: []string{"alice@example.com", "bob@example.com"}, requests: map[string]*chatMessage{}}
	direct := &space{ID: "DM1", Type: "DIRECT_MESSAGE", members: []string{"alice@example.com", "carol@outsider.test"}, requests: map[string]*chatMessage{}}
	for i := range 40 {
		team.messages = append(team.messages, &chatMessage{id: fmt.Sprintf("m%d", i), sender: "100000000000000000022", text: fmt.Sprintf("Status %d: the build is green", i+1), thread: "t1", at: now.Add(time.Duration(i-50) * time.Hour)})
	}
	direct.messages = []*chatMessage{{id: "m1", sender: "100000000000000000033", text: "Shall we meet?", thread: "t9", at: now.Add(-time.Hour)}}
	s.spaces = []*space{team, direct}
}

func (s *space) name() string { return "spaces/" + s.ID }

func (s *space) view() map[string]any {
	out := map[string]any{"name": s.name(), "spaceType": s.Type, "spaceUri": "https://chat.fake/" + s.ID}
	if s.Name != "" {
		out["displayName"] = s.Name
	}
	return out
}

func (m *chatMessage) view(s *space) map[string]any {
	return map[string]any{"name": s.name() + "/messages/" + m.id, "text": m.text, "createTime": m.at.Format(time.RFC3339), "sender": map[string]any{"name": "users/" + m.sender, "type": "HUMAN"},
		"thread": map[string]any{"name": s.name() + "/threads/" + m.thread}}
}

func (c *call) member(s *space) bool { return slices.Contains(s.members, c.user.Email) }

func (c *call) space() (*space, error) {
	for _, s := range c.s.spaces {
		if s.ID == c.path["spacesId"] && c.member(s) {
			return s, nil
		}
	}
	return nil, &apiError{403, "PERMISSION_DENIED", "forbidden", "The caller does not have permission"}
}

// term is one part of a search: a quoted word, or a field with a quoted value.
var term = regexp.MustCompile(`^(?:"([^"]*)"|(space\.name|create_time) (=|>=|<) "([^"]*)")(?: AND |$)`)

// searched reads a search and returns what it admits.
func searched(filter string) (func(*space, *chatMessage) bool, error) {
	var all []func(*space, *chatMessage) bool
	for filter != "" {
		m := term.FindStringSubmatch(filter)
		if m == nil {
			return nil, badRequest("Invalid filter.")
		}
		filter = filter[len(m[0]):]
		word, field, operator, value := strings.ToLower(m[1]), m[2], m[3], m[4]
		at, err := time.Parse(time.RFC3339, value)
		switch {
		case field == "":
			all = append(all, func(_ *space, m *chatMessage) bool { return strings.Contains(strings.ToLower(m.text), word) })
		case field == "space.name" && operator == "=":
			all = append(all, func(s *space, _ *chatMessage) bool { return s.name() == value })
		case field == "create_time" && operator != "=" && err == nil:
			all = append(all, func(_ *space, m *chatMessage) bool { return m.at.Before(at) == (operator == "<") })
		default:
			return nil, badRequest("Invalid filter.")
		}
	}
	if len(all) == 0 {
		return nil, badRequest("Filter is required.")
	}
	return func(s *space, m *chatMessage) bool {
		return !slices.ContainsFunc(all, func(ok func(*space, *chatMessage) bool) bool { return !ok(s, m) })
	}, nil
}

func init() {
	handle("chat.spaces.list", func(c *call) (any, error) {
		list := []any{}
		for _, s := range c.s.spaces {
			if c.member(s) {
				list = append(list, s.view())
			}
		}
		page, next, err := paginate(c, list, c.size("pageSize", 100, 1000))
		return withNext(map[string]any{"spaces": page}, next), err
	})
	handle("chat.spaces.get", func(c *call) (any, error) {
		s, err := c.space()
		if err != nil {
			return nil, err
		}
		return s.view(), nil
	})
	handle("chat.spaces.messages.list", func(c *call) (any, error) {
		s, err := c.space()
		if err != nil {
			return nil, err
		}
		var after time.Time
		if f := c.query.Get("filter"); f != "" {
			value, ok := strings.CutPrefix(f, `createTime > "`)
			if after, err = time.Parse(time.RFC3339, strings.TrimSuffix(value, `"`)); err != nil || !ok {
				return nil, badRequest("Invalid filter.")
			}
		}
		list := []any{}
		for _, m := range s.messages {
			if m.at.After(after) {
				list = append(list, m.view(s))
			}
		}
		if strings.EqualFold(c.query.Get("orderBy"), "createTime desc") {
			slices.Reverse(list)
		}
		page, next, err := paginate(c, list, c.size("pageSize", 25, 1000))
		return withNext(map[string]any{"messages": page}, next), err
	})
	handle("chat.spaces.messages.search", func(c *call) (any, error) {
		var in struct {
			Filter, PageToken string
			PageSize          int
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		if c.path["spacesId"] != "-" {
			return nil, badRequest("Parent must be spaces/-.")
		}
		admits, err := searched(in.Filter)
		if err != nil {
			return nil, err
		}
		var found []any
		for _, s := range c.s.spaces {
			for _, m := range s.messages {
				if c.member(s) && admits(s, m) {
					found = append(found, map[string]any{"message": m.view(s)})
				}
			}
		}
		slices.Reverse(found)
		c.query.Set("pageToken", in.PageToken)
		if in.PageSize <= 0 {
			in.PageSize = 25
		}
		page, next, err := paginate(c, found, min(in.PageSize, 100))
		return withNext(map[string]any{"results": append([]any{}, page...)}, next), err
	})
	handle("chat.spaces.messages.create", func(c *call) (any, error) {
		s, err := c.space()
		if err != nil {
			return nil, err
		}
		var in struct {
			Text   string
			Thread struct{ Name string }
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		id := c.query.Get("requestId")
		if old := s.requests[id]; old != nil && id != "" {
			return old.view(s), nil
		}
		thread := strings.TrimPrefix(in.Thread.Name, s.name()+"/threads/")
		if in.Text == "" || in.Thread.Name != "" && !slices.ContainsFunc(s.messages, func(m *chatMessage) bool { return m.thread == thread }) {
			return nil, badRequest("Invalid message.")
		}
		m := &chatMessage{id: c.user.next("n"), sender: c.user.Sub, text: in.Text, thread: thread, at: c.s.now().UTC()}
		if thread == "" {
			m.thread = m.id
		}
		s.messages = append(s.messages, m)
		s.requests[id] = m
		return m.view(s), nil
	})
}
