package fakegoogle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// AddContact gives a person a contact as its JSON at Google and returns its
// resource name.
func (s *Server) AddContact(email, body string) (string, error) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := u.addContact([]byte(body))
	if err != nil {
		return "", err
	}
	return p.resource, nil
}

// ChangeContact is a change that somebody makes elsewhere.
func (s *Server) ChangeContact(email, resource, field string, values ...map[string]any) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := u.contact(resource); p != nil {
		p.set(field, values...)
		p.version++
	}
}

// Contact is all that Google knows of a contact; nil for one that is not there.
func (s *Server) Contact(email, resource string) map[string]any {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := u.contact(resource)
	if p == nil {
		return nil
	}
	// A copy, in the form in which a client reads it.
	b, err := json.Marshal(p.view("", "get"))
	var out map[string]any
	if err != nil || json.Unmarshal(b, &out) != nil {
		return nil
	}
	return out
}

func (u *User) contact(resource string) *contact {
	for _, p := range u.contacts {
		if p.resource == resource {
			return p
		}
	}
	return nil
}

// person gets one contact, or who asks.
func (c *call) person() (any, error) {
	mask := c.query.Get("personFields")
	if mask == "" {
		return nil, badRequest("personFields mask is required.")
	}
	if c.path["peopleId"] == "me" {
		return c.user.profile.view(mask, "get"), nil
	}
	if p := c.user.contact("people/" + c.path["peopleId"]); p != nil {
		return p.view(mask, "get"), nil
	}
	return nil, notFound("Requested entity was")
}

// personBody is a person of a request.
type personBody struct {
	Metadata struct {
		Sources []struct{ Type, ID, Etag string }
	}
	fields map[string][]map[string]any
}

// readPerson reads a person; only the named fields count, or all.
func readPerson(body []byte, only []string) (*personBody, error) {
	in := &personBody{fields: map[string][]map[string]any{}}
	raw := map[string]json.RawMessage{}
	if json.Unmarshal(body, &raw) != nil || json.Unmarshal(body, in) != nil {
		return nil, &apiError{400, "INVALID_ARGUMENT", "parseError", "Parse Error"}
	}
	for _, name := range only {
		var values []map[string]any
		if b, ok := raw[name]; ok && json.Unmarshal(b, &values) != nil {
			return nil, badRequest("Invalid value at 'person." + name + "'")
		}
		if len(values) > 1 && slices.Contains(singletons, name) {
			return nil, badRequest("Request cannot specify more than one " + name + " of a contact.")
		}
		in.fields[name] = values
	}
	return in, nil
}

func (u *User) addContact(body []byte) (*contact, error) {
	in, err := readPerson(body, writable)
	if err != nil {
		return nil, err
	}
	p := &contact{resource: "people/" + u.next("c"), source: "CONTACT", fields: map[string][]map[string]any{}}
	for name, values := range in.fields {
		p.set(name, values...)
	}
	u.contacts = append(u.contacts, p)
	return p, nil
}

func (c *call) createContact() (any, error) {
	p, err := c.user.addContact(c.body)
	if err != nil {
		return nil, err
	}
	return p.view(c.query.Get("personFields"), "get"), nil
}

// updateContact replaces the fields of the mask, if the source that the request
// names is as it was read.
func (c *call) updateContact() (any, error) {
	p := c.user.contact("people/" + c.path["peopleId"])
	if p == nil {
		return nil, notFound("Requested entity was")
	}
	mask := strings.Split(c.query.Get("updatePersonFields"), ",")
	for _, name := range mask {
		if !slices.Contains(writable, name) {
			return nil, badRequest(fmt.Sprintf("Invalid updatePersonFields mask path: %q.", name))
		}
	}
	in, err := readPerson(c.body, mask)
	if err != nil {
		return nil, err
	}
	etag := ""
	for _, s := range in.Metadata.Sources {
		if s.Type == p.source && s.ID == p.id() {
			etag = s.Etag
		}
	}
	switch etag {
	case "":
		return nil, badRequest("Request must set person.etag or person.metadata.sources.etag for the source that is being updated.")
	case p.etag("get"):
	default:
		return nil, &apiError{400, "FAILED_PRECONDITION", "failedPrecondition", "Request person.etag is different than the current person.etag. Clear local cache and get the latest person."}
	}
	for _, name := range mask {
		p.set(name, in.fields[name]...)
	}
	p.version++
	return p.view(c.query.Get("personFields"), "get"), nil
}
