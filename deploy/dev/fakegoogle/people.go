package fakegoogle

import (
	"slices"
	"strings"
)

type contact struct{ resource, name, email, phone, organization string }

func (p *contact) view() map[string]any {
	out := map[string]any{"resourceName": p.resource, "names": []any{map[string]any{"displayName": p.name}}, "emailAddresses": []any{map[string]any{"value": p.email}}}
	if p.phone != "" {
		out["phoneNumbers"] = []any{map[string]any{"value": p.phone}}
	}
	if p.organization != "" {
		out["organizations"] = []any{map[string]any{"name": p.organization}}
	}
	return out
}

// begins is how Google searches people: by the beginning of a word.
func (p *contact) begins(query string) bool {
	query = strings.ToLower(query)
	return slices.ContainsFunc(strings.Fields(lower(p.name, p.email, p.phone, p.organization)), func(w string) bool { return strings.HasPrefix(w, query) }) ||
		strings.HasPrefix(lower(p.name), query)
}

// search finds people of a list after it was prepared by a search for nothing:
// before that, Google has nothing to search in.
func (c *call) search(list []*contact, what string) (any, error) {
	if c.query.Get("readMask") == "" {
		return nil, badRequest("Person field mask must be provided.")
	}
	if c.user.warmed == nil {
		c.user.warmed = map[string]bool{}
	}
	query := c.query.Get("query")
	if query == "" {
		c.user.warmed[what] = true
		return map[string]any{}, nil
	}
	results := []any{}
	for _, p := range list {
		if c.user.warmed[what] && p.begins(query) && len(results) < c.size("pageSize", 10, 30) {
			results = append(results, map[string]any{"person": p.view()})
		}
	}
	return map[string]any{"results": results}, nil
}

func init() {
	handle("people.people.searchContacts", func(c *call) (any, error) { return c.search(c.user.contacts, "contacts") })
	handle("people.otherContacts.search", func(c *call) (any, error) { return c.search(c.user.others, "others") })
	handle("people.people.searchDirectoryPeople", func(c *call) (any, error) {
		if c.user.HostedDomain == "" {
			return nil, &apiError{403, "PERMISSION_DENIED", "forbidden", "Must be a G Suite domain user."}
		}
		if c.query.Get("readMask") == "" || len(c.query["sources"]) == 0 {
			return nil, badRequest("At least one source must be specified.")
		}
		var found []*contact
		for _, u := range c.s.users {
			p := &contact{resource: "people/" + u.Sub, name: u.Name, email: u.Email}
			if u.HostedDomain == c.user.HostedDomain && p.begins(c.query.Get("query")) {
				found = append(found, p)
			}
		}
		slices.SortFunc(found, func(a, b *contact) int { return strings.Compare(a.email, b.email) })
		page, next, err := paginate(c, found, c.size("pageSize", 100, 500))
		list := []any{}
		for _, p := range page {
			list = append(list, p.view())
		}
		return withNext(map[string]any{"people": list}, next), err
	})
	handle("people.people.connections.list", func(c *call) (any, error) {
		list := []any{}
		for _, p := range c.user.contacts {
			list = append(list, p.view())
		}
		return map[string]any{"connections": list, "totalPeople": len(list)}, nil
	})
	handle("people.people.get", func(c *call) (any, error) {
		me := &contact{resource: "people/me", name: c.user.Name, email: c.user.Email}
		return me.view(), nil
	})
}
