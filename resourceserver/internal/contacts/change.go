package contacts

import (
	"slices"
	"strings"

	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

// change is what is written of a contact: whole fields, named by a mask.
type change struct {
	person people.Person
	mask   []string
	off    []string // addresses and numbers that go
	added  []string // and that come
}

func (c *change) set(name, member string) {
	c.mask = append(c.mask, name)
	c.person.ForceSendFields = append(c.person.ForceSendFields, member) // an empty field is one that goes
}

// change puts what is given over a contact.
func (in updateInput) change(old *people.Person) (*change, error) {
	c := &change{}
	if in.GivenName != nil || in.FamilyName != nil {
		c.person.Names = in.names(old.Names)
		c.set("names", "Names")
	}
	if len(in.Emails) > 0 {
		list, err := emails.regroup(old.EmailAddresses, in.Emails, c)
		if err != nil {
			return nil, err
		}
		c.person.EmailAddresses = list
		c.set("emailAddresses", "EmailAddresses")
	}
	if len(in.Phones) > 0 {
		list, err := phones.regroup(old.PhoneNumbers, in.Phones, c)
		if err != nil {
			return nil, err
		}
		c.person.PhoneNumbers = list
		c.set("phoneNumbers", "PhoneNumbers")
	}
	if in.Organization != nil || in.Title != nil {
		c.person.Organizations = in.organizations(old)
		c.set("organizations", "Organizations")
	}
	if in.Notes != nil {
		if text := strings.TrimSpace(content.Clean(*in.Notes)); text != "" {
			c.person.Biographies = []*people.Biography{{Value: text, ContentType: "TEXT_PLAIN"}}
		}
		c.set("biographies", "Biographies")
	}
	return c, nil
}

// names has the one name that Google takes. Parts that are not given stay, and
// nothing that says the whole in another way does.
func (in updateInput) names(old []*people.Name) []*people.Name {
	var n people.Name
	if len(old) > 0 {
		n = *old[0]
	}
	n.DisplayName, n.DisplayNameLastFirst, n.UnstructuredName = "", "", ""
	if in.GivenName != nil {
		n.GivenName = content.Line(*in.GivenName, maxText)
	}
	if in.FamilyName != nil {
		n.FamilyName = content.Line(*in.FamilyName, maxText)
	}
	if n.GivenName == "" && n.FamilyName == "" && n.MiddleName == "" {
		return nil
	}
	return []*people.Name{&n}
}

// organizations changes where the person works now and leaves the others.
func (in updateInput) organizations(old *people.Person) []*people.Organization {
	out := slices.Clone(old.Organizations)
	i, o := organization(old), people.Organization{}
	if i >= 0 {
		o = *out[i]
	} else {
		i, out = len(out), append(out, nil)
	}
	if in.Organization != nil {
		o.Name = content.Line(*in.Organization, maxText)
	}
	if in.Title != nil {
		o.Title = content.Line(*in.Title, maxText)
	}
	if o.Name == "" && o.Title == "" {
		return slices.Delete(out, i, i+1)
	}
	out[i] = &o
	return out
}

// values is a list of a contact that is changed entry by entry.
type values[T any] struct {
	name   string // of the argument
	read   func(string) (string, error)
	normal func(string) string // what two spellings have in common
	of     func(*T) string
	make   func(string) *T
}

var (
	emails = values[people.EmailAddress]{
		name: "emails", normal: strings.ToLower, read: func(s string) (string, error) { return content.Address("emails", s) },
		of: func(e *people.EmailAddress) string { return e.Value }, make: func(s string) *people.EmailAddress { return &people.EmailAddress{Value: s} },
	}
	phones = values[people.PhoneNumber]{
		name: "phones", normal: digits, read: number,
		of: func(n *people.PhoneNumber) string { return n.Value }, make: func(s string) *people.PhoneNumber { return &people.PhoneNumber{Value: s} },
	}
)

// regroup adds what is given, and takes off what is given with a minus, and notes
// both. What stays keeps its label.
func (v values[T]) regroup(old []*T, given []string, c *change) ([]*T, error) {
	out := slices.Clone(old)
	for _, s := range given {
		s, off := strings.CutPrefix(strings.TrimSpace(s), "-")
		value, err := v.read(s)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(e *T) bool { return v.normal(v.of(e)) == v.normal(value) })
		switch {
		case off && at < 0:
			return nil, tool.Invalid("%s takes something off that the contact does not have.", v.name)
		case off:
			c.off = append(c.off, content.Line(v.of(out[at]), maxText))
			out = slices.Delete(out, at, at+1)
		case at < 0:
			c.added = append(c.added, value)
			out = append(out, v.make(value))
		}
	}
	return out, nil
}

// number reads a telephone number, in any spelling.
func number(s string) (string, error) {
	s = strings.TrimSpace(s)
	if digits(s) == "" || content.Line(s, maxPhone) != s {
		return "", tool.Invalid("phones must be telephone numbers of at most %d characters, best in the international form +49 30 123456.", maxPhone)
	}
	return s, nil
}
