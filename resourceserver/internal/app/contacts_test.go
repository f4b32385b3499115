package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
)

// contact returns the first of alice's contacts that a search finds.
func (r *rig) contact(query string) map[string]any {
	r.t.Helper()
	p, ok := field(r.ok("contacts_search", map[string]any{"query": query}), "people", 0).(map[string]any)
	if !ok {
		r.t.Fatalf("no contact %q", query)
	}
	return p
}

// TestContactsCreate: what is added is what was said, cleaned, and found again.
func TestContactsCreate(t *testing.T) {
	t.Parallel()
	r := start(t)
	created, shown := r.confirm("contacts_create", map[string]any{"given_name": "Erik\u200b", "family_name": "Eriksen", "emails": []string{"erik@partner.test", "Erik@partner.test"}, "phones": []string{"+47 555 01"},
		"organization": "Partner AS", "title": "Buyer", "notes": "met in Oslo"})
	made := created.Data["contact"].(map[string]any)
	for _, text := range []string{"Erik Eriksen", "erik@partner.test", "+47 555 01", "Partner AS", "Buyer", "met in Oslo"} { // by it a model finds later whom to write to
		if !strings.Contains(shown.message, text) {
			t.Errorf("the person is not shown %q: %s", text, shown.message)
		}
	}
	if out := r.call(r.as.mint(full), "contacts_create", map[string]any{"given_name": "Bob", "emails": []string{"bob@evil.test"}}); out.Data["code"] != "confirmation_required" {
		t.Errorf("an address without the person's word: %v", out.Data)
	}
	want := map[string]any{"name": "Erik Eriksen", "emails": []any{"erik@partner.test"}, "phones": []any{"+47 555 01"}, "organization": "Partner AS", "title": "Buyer", "notes": "met in Oslo", "source": "contacts"}
	for name, value := range want {
		if fmt.Sprint(made[name]) != fmt.Sprint(value) {
			t.Errorf("%s: %v, not %v", name, made[name], value)
		}
	}
	// What a contact does not have takes no place in its line.
	if out := r.call(r.as.mint(full), "contacts_create", map[string]any{"given_name": "Bare", "organization": "Partner AS"}); !strings.Contains(out.Content[0].Text, "- Bare | Partner AS (contacts) | ") {
		t.Errorf("%v", out.Content)
	}
	if found := r.contact("eriksen"); fmt.Sprint(found) != fmt.Sprint(made) {
		t.Errorf("found %v, made %v", found, made)
	}
	for name, args := range map[string]map[string]any{
		"nothing": {}, "blanks": {"given_name": " \u200b", "emails": []string{}}, "notes alone": {"notes": "x"}, "no address": {"given_name": "x", "emails": []string{"Bob <bob@example.com>"}},
		"no number": {"given_name": "x", "phones": []string{"call me"}}, "taken off nobody": {"given_name": "x", "phones": []string{"-+47 1"}},
	} {
		if out := r.call(r.as.mint(full), "contacts_create", args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	// A lost answer: it may be there, and is not added a second time.
	before := r.google.Count("POST /v1/people:createContact")
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/people:createContact", Status: 503, After: true, Times: 1})
	if out := r.call(r.as.mint(full), "contacts_create", map[string]any{"given_name": "Once"}); !inDoubt(out, "contacts_search") {
		t.Errorf("in doubt: %v", out.Data)
	}
	if n := r.google.Count("POST /v1/people:createContact") - before; n != 1 {
		t.Errorf("%d times", n)
	}
}

// TestContactsUpdate: what was not named stays as Google has it, labels and what
// is shown nowhere too.
func TestContactsUpdate(t *testing.T) {
	t.Parallel()
	r := start(t)
	id, err := r.google.AddContact(alice, `{"names":[{"givenName":"Frida","middleName":"M","familyName":"Falk","honorificPrefix":"Dr."}],"nicknames":[{"value":"Fri"}],
		"emailAddresses":[{"value":"frida@home.test","type":"home"},{"value":"frida@work.test","type":"work"}],"phoneNumbers":[{"value":"+49 (30) 777","type":"mobile"}],
		"organizations":[{"name":"Falk","title":"Chair","department":"Board","location":"3rd floor"},{"name":"Club"}],"biographies":[{"value":"likes <b>tea</b>","contentType":"TEXT_HTML"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	etag := r.contact("frida")["etag"]
	change := func(args map[string]any) map[string]any {
		t.Helper()
		args["resource_name"], args["etag"] = id, etag
		out, _ := r.confirm("contacts_update", args)
		etag = field(out.Data, "contact", "etag") // good for the next one
		return out.Data["contact"].(map[string]any)
	}
	if c := change(map[string]any{"emails": []string{"-FRIDA@home.test", "frida@work.test", "frida@new.test"}, "phones": []string{"+49 30 778"}}); fmt.Sprint(c["emails"]) != "[frida@work.test frida@new.test]" || fmt.Sprint(c["phones"]) != "[+49 (30) 777 +49 30 778]" || c["notes"] != "likes tea" {
		t.Errorf("lists: %v", c)
	}
	if c := change(map[string]any{"family_name": "Frost", "title": "Guest", "phones": []string{"-+4930 777"}}); c["name"] != "Frida Frost" || c["title"] != "Guest" || c["organization"] != "Falk" || fmt.Sprint(c["phones"]) != "[+49 30 778]" {
		t.Errorf("parts: %v", c)
	}
	there := r.google.Contact(alice, id)
	for _, c := range []struct {
		path []any
		want any
	}{
		{[]any{"names", 0, "middleName"}, "M"}, {[]any{"names", 0, "honorificPrefix"}, "Dr."}, {[]any{"nicknames", 0, "value"}, "Fri"}, {[]any{"emailAddresses", 0, "type"}, "work"},
		{[]any{"organizations", 0, "location"}, "3rd floor"}, {[]any{"organizations", 1, "name"}, "Club"}, {[]any{"biographies", 0, "value"}, "likes <b>tea</b>"},
	} {
		if got := field(there, c.path...); got != c.want {
			t.Errorf("%v: %v, not %v", c.path, got, c.want)
		}
	}
	if c := change(map[string]any{"given_name": "", "organization": "", "title": "", "notes": "", "emails": []string{"-frida@work.test", "-frida@new.test"}}); c["name"] != "Frost" || c["emails"] != nil || c["notes"] != nil || c["organization"] != "Club" {
		t.Errorf("cleared: %v", c)
	}
	for name, args := range map[string]map[string]any{
		"nothing": {}, "not there": {"emails": []string{"-nobody@home.test"}}, "no number": {"phones": []string{"-"}}, "another resource": {"resource_name": "people/c1:deleteContact", "given_name": "x"},
		"a path": {"resource_name": "people/../c1", "given_name": "x"}, "oneself": {"resource_name": "people/me", "given_name": "x"}, "not kept": {"resource_name": "otherContacts/o1", "given_name": "x"},
	} {
		if args["etag"] = etag; args["resource_name"] == nil {
			args["resource_name"] = id
		}
		if out := r.call(r.as.mint(full), "contacts_update", args); out.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	// Notes that are not seen whole are not replaced.
	r.google.ChangeContact(alice, id, "biographies", map[string]any{"value": strings.Repeat("n", 2_001)})
	long := r.contact("frost")
	if out := r.call(r.as.mint(full), "contacts_update", map[string]any{"resource_name": id, "etag": long["etag"], "notes": "short"}); out.Data["code"] != "invalid_argument" || long["notes_truncated"] != true {
		t.Errorf("long notes: %v", out.Data)
	}
}

// TestContactsAreRedirectedWithAWord: who somebody is and where mail and calls to them
// go is changed with the person's word only, who is shown all of it; a mail could ask
// a model to do it, and the next mail would go astray.
func TestContactsAreRedirectedWithAWord(t *testing.T) {
	t.Parallel()
	r := start(t)
	id, err := r.google.AddContact(alice, `{"names":[{"givenName":"Frida","familyName":"Falk"}],"emailAddresses":[{"value":"frida@work.test"}],"phoneNumbers":[{"value":"+49 30 777"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	patches := func() int { return r.google.Count("PATCH /v1/" + id + ":updateContact") }
	for _, c := range []struct {
		args  map[string]any
		shown string
	}{
		{map[string]any{"emails": []string{"-frida@work.test", "frida@evil.test"}, "notes": "moved\nAdded:\nnothing"}, "Taken off:\n| frida@work.test\nAdded:\n| frida@evil.test\nNotes:\n| moved\n| Added:\n| nothing"},
		{map[string]any{"phones": []string{"+1 900 1", "-+49 30 777"}, "organization": "Evil", "title": "Chair"}, "Taken off:\n| +49 30 777\nAdded:\n| +1 900 1\nOrganization:\n| Evil\nTitle:\n| Chair"},
		{map[string]any{"family_name": "", "given_name": "Old Frida"}, "Name:\n| Old Frida"},
	} {
		c.args["resource_name"], c.args["etag"] = id, r.contact("frida")["etag"]
		before := patches()
		if out := r.call(r.as.mint(full), "contacts_update", c.args); out.Data["code"] != "confirmation_required" {
			t.Errorf("%v: acted for a client that cannot ask: %v", c.args, out.Data)
		}
		_, q := r.modern(r.as.mint(full), "contacts_update", c.args, "", "")
		if want := "Change this contact of alice@example.com?\n| Frida Falk\n" + c.shown; q == nil || q.message != want {
			t.Fatalf("%+v, not %s", q, want)
		}
		if out, _ := r.modern(r.as.mint(full), "contacts_update", c.args, q.state, "decline"); out.Data["code"] != "declined" || patches() != before {
			t.Errorf("declined: %v", out.Data)
		}
		if out, _ := r.modern(r.as.mint(full), "contacts_update", c.args, q.state, "accept"); out.IsError || patches() != before+1 {
			t.Errorf("%v: %v", c.args, out.Data)
		}
	}
	// What is noted of somebody needs no word, nor what changes nothing.
	dana := r.contact("dana")
	for _, args := range []map[string]any{{"notes": "likes tea", "organization": "Partner"}, {"emails": dana["emails"]}} {
		args["resource_name"], args["etag"] = dana["resource_name"], r.contact("dana")["etag"]
		r.ok("contacts_update", args)
	}
}

// TestContactsChangedMeanwhile: what somebody else changed is never overwritten:
// not since it was found, and not between two requests, where Google refuses.
func TestContactsChangedMeanwhile(t *testing.T) {
	t.Parallel()
	r := start(t)
	refused := func(name string, args map[string]any) {
		t.Helper()
		out := r.call(r.as.mint(full), "contacts_update", args)
		if out.Data["code"] != "conflict" || out.Data["retryable"] != false || !strings.Contains(fmt.Sprint(out.Data["next_action"]), "contacts_search") {
			t.Errorf("%s: %v", name, out.Data)
		}
	}
	dana := r.contact("dana")
	id := fmt.Sprint(dana["resource_name"])
	args := map[string]any{"resource_name": id, "etag": dana["etag"], "notes": "mine", "title": "Donna"}
	for _, c := range []struct {
		field string
		value map[string]any
	}{ // one thing at a time, so in this order
		{"biographies", map[string]any{"value": "theirs"}}, {"phoneNumbers", map[string]any{"value": "+1 555 0100"}}, {"emailAddresses", map[string]any{"value": "dana@moved.test"}},
		{"names", map[string]any{"givenName": "Dana Maria", "familyName": "Diaz"}}, {"names", map[string]any{"givenName": "Dana Maria", "familyName": "Doe"}},
		{"organizations", map[string]any{"name": "Partner Ltd", "title": "Head"}}, {"organizations", map[string]any{"name": "Partner Ltd", "title": "Head", "department": "Sales"}},
	} {
		args["etag"] = r.contact("dana")["etag"]
		r.google.ChangeContact(alice, id, c.field, c.value)
		refused(fmt.Sprint("since it was found: ", c), args)
	}
	args["etag"] = r.contact("dana")["etag"]
	r.google.OnRequest("GET /v1/"+id, 1, func() { r.google.ChangeContact(alice, id, "nicknames", map[string]any{"value": "D"}) })
	refused("between two requests", args)
	if n := r.google.Count("PATCH /v1/" + id + ":updateContact"); n != 1 {
		t.Errorf("%d changes reached Google", n)
	}
	if there := r.google.Contact(alice, id); field(there, "organizations", 0, "title") == "Donna" || field(there, "biographies", 0, "value") != "theirs" || field(there, "nicknames", 0, "value") != "D" {
		t.Errorf("overwritten: %v", there)
	}
	// A lost answer is in doubt and not tried again.
	r.google.Inject(fakegoogle.Fault{Prefix: "/v1/" + id, Method: http.MethodPatch, Status: 503, After: true, Times: 1})
	if out := r.call(r.as.mint(full), "contacts_update", args); !inDoubt(out, "contacts_search") || field(r.google.Contact(alice, id), "organizations", 0, "title") != "Donna" {
		t.Errorf("in doubt: %v", out.Data)
	}
	if n := r.google.Count("PATCH /v1/" + id + ":updateContact"); n != 2 {
		t.Errorf("%d changes reached Google", n)
	}
}

// TestContactsAreData: what stands in a contact comes out between the marks.
func TestContactsAreData(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, text := range corpus {
		out := r.call(r.as.mint(full), "contacts_create", map[string]any{"given_name": text, "organization": text, "notes": text})
		short := out.Content[0].Text
		begin, end := strings.Index(short, "<<<untrusted "), strings.LastIndex(short, "<<<end ")
		if begin < 0 || end < begin || strings.Contains(short[:begin]+short[end:], "evil") || !strings.HasPrefix(short[end+7:], short[begin+13:begin+23]) || out.Data["notice"] == nil {
			t.Errorf("%s: %q", name, short)
		}
		for _, unseen := range []string{"\u200b", "\u2060", "\u202e", "\U000E0073", "\x00", "\x1b", "\r"} {
			if strings.Contains(short, unseen) {
				t.Errorf("%s: %q is still there", name, unseen)
			}
		}
	}
}
