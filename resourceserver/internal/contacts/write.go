package contacts

import (
	"context"
	"strings"

	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// What is read and written is the contact alone, without what Google knows of the
// same person from their profile.
const (
	ownSource = "READ_SOURCE_TYPE_CONTACT"
	wholeMask = contactMask + ",metadata"
	maxPhone  = 60
)

type createInput struct {
	GivenName    string   `json:"given_name,omitempty" limit:"maxlen=200"`
	FamilyName   string   `json:"family_name,omitempty" limit:"maxlen=200"`
	Emails       []string `json:"emails,omitempty" limit:"maxitems=10"`
	Phones       []string `json:"phones,omitempty" limit:"maxitems=10"`
	Organization string   `json:"organization,omitempty" limit:"maxlen=200"`
	Title        string   `json:"title,omitempty" jsonschema:"at the organization" limit:"maxlen=200"`
	Notes        string   `json:"notes,omitempty" limit:"maxlen=2000"`
	Account      string   `json:"account,omitempty" limit:"maxlen=64"`
}

type contactOutput struct {
	Account googleapi.Account `json:"account"`
	Notice  string            `json:"notice"`
	Contact person            `json:"contact"`
}

func (p *product) create(ctx context.Context, in createInput) (tool.Output[contactOutput], error) {
	var out tool.Output[contactOutput]
	asked := updateInput{GivenName: &in.GivenName, FamilyName: &in.FamilyName, Emails: in.Emails, Phones: in.Phones, Organization: some(in.Organization), Title: some(in.Title), Notes: some(in.Notes)}
	c, err := asked.change(&people.Person{})
	if err != nil {
		return out, err
	}
	made := &people.Person{Names: c.person.Names, EmailAddresses: c.person.EmailAddresses, PhoneNumbers: c.person.PhoneNumbers, Organizations: c.person.Organizations}
	if len(made.Names)+len(made.EmailAddresses)+len(made.PhoneNumbers)+len(made.Organizations) == 0 {
		return out, tool.Invalid("A contact needs a name, an address, a number or an organization.")
	}
	made.Biographies = c.person.Biographies
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := asked.allowNew(ctx, account, c); err != nil {
		return out, err
	}
	// Not repeated: it would be there twice.
	done, err := api.CreateContact(made).PersonFields(wholeMask).Sources(ownSource).Fields(contactFields).Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("adding contact", err), "Google did not answer: the contact may have been added.", "Look with contacts_search before you try again.")
	}
	return result("Added", account, done), nil
}

// some is a text that is given.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type updateInput struct {
	ID           string   `json:"resource_name" limit:"minlen=1,maxlen=200"`
	Etag         string   `json:"etag" jsonschema:"of contacts_search; refuses if it changed since" limit:"minlen=1,maxlen=100"`
	GivenName    *string  `json:"given_name,omitempty" limit:"maxlen=200"`
	FamilyName   *string  `json:"family_name,omitempty" limit:"maxlen=200"`
	Emails       []string `json:"emails,omitempty" jsonschema:"to add; -address takes one off" limit:"maxitems=10"`
	Phones       []string `json:"phones,omitempty" jsonschema:"to add; -number takes one off" limit:"maxitems=10"`
	Organization *string  `json:"organization,omitempty" limit:"maxlen=200"`
	Title        *string  `json:"title,omitempty" limit:"maxlen=200"`
	Notes        *string  `json:"notes,omitempty" limit:"maxlen=2000"`
	Account      string   `json:"account,omitempty" limit:"maxlen=64"`
}

// update changes parts of a contact that still is what the model was shown. From
// the reading here to the writing Google holds it to that, by the etag of its
// source.
func (p *product) update(ctx context.Context, in updateInput) (tool.Output[contactOutput], error) {
	var out tool.Output[contactOutput]
	id, err := resourceName(in.ID)
	if err != nil {
		return out, err
	}
	if in.GivenName == nil && in.FamilyName == nil && len(in.Emails) == 0 && len(in.Phones) == 0 && in.Organization == nil && in.Title == nil && in.Notes == nil {
		return out, tool.Invalid("There is nothing to change.")
	}
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	now, err := api.Get(id).PersonFields(wholeMask).Sources(ownSource).Fields("resourceName,metadata(sources(type,id,etag))," + contactMask).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading contact", err)
	}
	source := sourceOf(now)
	if source == nil {
		return out, tool.Invalid("This is none of the person's own contacts, which alone can be changed here; contacts_create adds one.")
	}
	if in.Etag != version(now) {
		return out, changed()
	}
	if len([]rune(notes(now))) > maxNotes && in.Notes != nil {
		return out, tool.Invalid("The notes on this contact are longer than can be shown here, so they are for the person to change in Google Contacts.")
	}
	c, err := in.change(now)
	if err != nil {
		return out, err
	}
	if err := in.allow(ctx, account, now, c); err != nil {
		return out, err
	}
	c.person.Metadata = &people.PersonMetadata{Sources: []*people.Source{source}}
	done, err := api.UpdateContact(id, &c.person).UpdatePersonFields(strings.Join(c.mask, ",")).PersonFields(wholeMask).Sources(ownSource).Fields(contactFields).Context(ctx).Do()
	if precondition(err) {
		return out, changed()
	}
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("changing contact", err), "Google did not answer: the contact may have been changed.", "Look with contacts_search before you try again.")
	}
	return result("Changed", account, done), nil
}

// sourceOf is the contact among the sources of a person.
func sourceOf(p *people.Person) *people.Source {
	if p.Metadata == nil {
		return nil
	}
	for _, s := range p.Metadata.Sources {
		if s.Type == "CONTACT" && s.Etag != "" {
			return &people.Source{Type: s.Type, Id: s.Id, Etag: s.Etag}
		}
	}
	return nil
}

// result tells of one contact.
func result(what string, account googleapi.Account, p *people.Person) tool.Output[contactOutput] {
	v := contactOutput{Account: account, Notice: content.Notice, Contact: describe(p, fromContacts)}
	var b strings.Builder
	v.Contact.write(&b)
	return tool.Output[contactOutput]{Value: v, Text: content.List(what+" in the contacts of "+account.Email, b.String(), "")}
}
