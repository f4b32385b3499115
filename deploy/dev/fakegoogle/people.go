package fakegoogle

import (
	"fmt"
	"slices"
	"strings"
)

// contact is a person as one source knows them: each field is a list of what
// Google calls by its name, such as names and emailAddresses.
type contact struct {
	resource string
	source   string // CONTACT, OTHER_CONTACT, DOMAIN_PROFILE or DOMAIN_CONTACT
	fields   map[string][]map[string]any
	version  int
}

// writable are the fields that a contact can be given here, and singletons those
// that it has at most once.
var (
	writable   = []string{"names", "emailAddresses", "phoneNumbers", "organizations", "biographies", "nicknames", "addresses"}
	singletons = []string{"names", "biographies"}
)

func newContact(source, resource, name, email string) *contact {
	given, family, _ := strings.Cut(name, " ")
	p := &contact{resource: resource, source: source, fields: map[string][]map[string]any{}}
	p.set("names", map[string]any{"givenName": given, "familyName": family})
	p.set("emailAddresses", map[string]any{"value": email, "type": "work"})
	return p
}

// with gives the contact a number and an organization.
func (p *contact) with(phone string, organization map[string]any) *contact {
	if phone != "" {
		p.set("phoneNumbers", map[string]any{"value": phone, "type": "work"})
	}
	if organization != nil {
		p.set("organizations", organization)
	}
	return p
}

// set replaces a field. What Google makes of a field itself is made here.
func (p *contact) set(field string, values ...map[string]any) {
	for i, v := range values {
		if field == "names" {
			text := func(name string) string { s, _ := v[name].(string); return s }
			v["displayName"] = strings.TrimSpace(text("givenName") + " " + text("familyName"))
			v["unstructuredName"] = v["displayName"]
		}
		v["metadata"] = map[string]any{"primary": i == 0, "sourcePrimary": i == 0, "source": map[string]any{"type": p.source, "id": p.id()}}
	}
	if p.fields[field] = values; len(values) == 0 {
		delete(p.fields, field)
	}
}

func (p *contact) id() string { return p.resource[strings.LastIndexByte(p.resource, '/')+1:] }

// etag depends on the kind of request too: of those that read many, none is good
// for a change.
func (p *contact) etag(kind string) string { return fmt.Sprintf("%%%s%d", kind, p.version) }

// view shows what a mask names, or else every field.
func (p *contact) view(mask, kind string) map[string]any {
	if mask == "" {
		mask = "metadata," + strings.Join(writable, ",")
	}
	out := map[string]any{"resourceName": p.resource, "etag": "#" + p.etag(kind)}
	for _, name := range strings.Split(mask, ",") {
		if name == "metadata" {
			out[name] = map[string]any{"objectType": "PERSON", "sources": []any{map[string]any{"type": p.source, "id": p.id(), "etag": p.etag(kind)}}}
		} else if values := p.fields[name]; len(values) > 0 {
			out[name] = values
		}
	}
	return out
}

// begins is how Google searches people: by the beginning of a word.
func (p *contact) begins(query string) bool {
	query = strings.ToLower(query)
	for _, values := range p.fields {
		for _, v := range values {
			for name, member := range v {
				if s, ok := member.(string); ok && name != "type" && (strings.HasPrefix(lower(s), query) || slices.ContainsFunc(strings.Fields(lower(s)), func(w string) bool { return strings.HasPrefix(w, query) })) {
					return true
				}
			}
		}
	}
	return false
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
			results = append(results, map[string]any{"person": p.view(c.query.Get("readMask"), "search")})
		}
	}
	return map[string]any{"results": results}, nil
}

// directory are the people of an organization: its members and whom it shares.
func (c *call) directory() []*contact {
	var out []*contact
	for _, u := range c.s.users {
		if u.HostedDomain == c.user.HostedDomain {
			out = append(out, u.profile)
		}
	}
	out = append(out, newContact("DOMAIN_CONTACT", "people/shared1", "Reception Desk", "reception@building.test").with("+49 30 555", map[string]any{"name": "Exhibition Hall", "department": "Facilities"}))
	slices.SortFunc(out, func(a, b *contact) int { return strings.Compare(a.resource, b.resource) })
	return out
}

// searchDirectory answers a page; a token is good for the very search that it
// came from.
func (c *call) searchDirectory() (any, error) {
	if c.user.HostedDomain == "" {
		return nil, &apiError{400, "FAILED_PRECONDITION", "failedPrecondition", "Must be a G Suite domain user."}
	}
	mask, query := c.query.Get("readMask"), c.query.Get("query")
	if mask == "" || query == "" || len(c.query["sources"]) == 0 {
		return nil, badRequest("At least one source must be specified.")
	}
	token := c.query.Get("pageToken")
	params := strings.Join(append(c.query["sources"], mask, query, c.query.Get("pageSize")), "\n")
	if token != "" && c.user.pages[token] != params {
		return nil, badRequest("Request parameters must match those of the request that gave the page token.")
	}
	found := slices.DeleteFunc(c.directory(), func(p *contact) bool {
		return !slices.Contains(c.query["sources"], "DIRECTORY_SOURCE_TYPE_"+p.source) || !p.begins(query)
	})
	page, next, err := paginate(c, found, c.size("pageSize", 100, 500))
	if next != "" {
		c.user.pages[next] = params
	}
	list := []any{}
	for _, p := range page {
		list = append(list, p.view(mask, "directory"))
	}
	return withNext(map[string]any{"people": list, "totalSize": len(found)}, next), err
}

func init() {
	handle("people.people.searchContacts", func(c *call) (any, error) { return c.search(c.user.contacts, "contacts") })
	handle("people.otherContacts.search", func(c *call) (any, error) { return c.search(c.user.others, "others") })
	handle("people.people.searchDirectoryPeople", (*call).searchDirectory)
	handle("people.people.connections.list", func(c *call) (any, error) {
		list := []any{}
		for _, p := range c.user.contacts {
			list = append(list, p.view(c.query.Get("personFields"), "list"))
		}
		return map[string]any{"connections": list, "totalPeople": len(list)}, nil
	})
	handle("people.people.get", (*call).person)
	handle("people.people.createContact", (*call).createContact)
	handle("people.people.updateContact", (*call).updateContact)
}
