package scope_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/scope"
)

// acceptedBy are the scopes of the registry of which any one opens a method.
func acceptedBy(method string) (scopes string, get, known bool) {
	for _, g := range accepting {
		if slices.Contains(g.methods, method) {
			return g.scopes, g.get, true
		}
	}
	return "", false, false
}

// TestMethodsOfTheTools pins what the tools and the rules of this table rely on.
// If Google changes one of these, a person has to look at it.
func TestMethodsOfTheTools(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"gmail.users.threads.list":                  "gmail.modify gmail.readonly",
		"gmail.users.threads.get":                   "gmail.modify gmail.readonly",
		"gmail.users.messages.get":                  "gmail.modify gmail.readonly",
		"gmail.users.messages.attachments.get":      "gmail.modify gmail.readonly",
		"gmail.users.labels.list":                   "gmail.modify gmail.readonly",
		"gmail.users.messages.batchModify":          "gmail.modify",
		"gmail.users.messages.trash":                "gmail.modify",
		"gmail.users.messages.send":                 "gmail.compose gmail.modify gmail.send",
		"gmail.users.drafts.create":                 "gmail.compose gmail.modify",
		"gmail.users.drafts.send":                   "gmail.compose gmail.modify",
		"gmail.users.settings.filters.create":       "gmail.settings.basic",
		"gmail.users.settings.filters.list":         "gmail.modify gmail.readonly gmail.settings.basic",
		"gmail.users.settings.updateVacation":       "gmail.settings.basic",
		"gmail.users.messages.delete":               "", // for good: nobody may
		"gmail.users.messages.batchDelete":          "",
		"gmail.users.threads.delete":                "",
		"gmail.users.settings.delegates.create":     "",
		"gmail.users.settings.updateAutoForwarding": "",
		"drive.files.list":                          "drive drive.file drive.readonly",
		"drive.files.get":                           "drive drive.file drive.readonly",
		"drive.files.export":                        "drive drive.file drive.readonly",
		"drive.files.create":                        "drive drive.file",
		"drive.files.copy":                          "drive drive.file",
		"drive.files.update":                        "drive drive.file",
		"drive.files.delete":                        "drive drive.file",
		"drive.permissions.create":                  "drive drive.file",
		"drive.comments.create":                     "drive drive.file",
		"drive.drives.list":                         "drive drive.readonly",
		"docs.documents.get":                        "documents documents.readonly drive drive.file drive.readonly",
		"docs.documents.batchUpdate":                "documents drive drive.file",
		"docs.documents.create":                     "documents drive drive.file",
		"sheets.spreadsheets.values.get":            "drive drive.file drive.readonly spreadsheets spreadsheets.readonly",
		"sheets.spreadsheets.values.update":         "drive drive.file spreadsheets",
		"sheets.spreadsheets.batchUpdate":           "drive drive.file spreadsheets",
		"slides.presentations.get":                  "drive drive.file drive.readonly presentations presentations.readonly",
		"slides.presentations.batchUpdate":          "drive drive.file presentations", // not what Discovery says
		"forms.forms.get":                           "drive drive.file drive.readonly forms.body forms.body.readonly",
		"forms.forms.batchUpdate":                   "drive drive.file forms.body",
		"forms.forms.responses.list":                "drive drive.file forms.responses.readonly",
		"calendar.calendarList.list":                "calendar.calendarlist.readonly",
		"calendar.events.list":                      "calendar.events calendar.events.readonly",
		"calendar.events.insert":                    "calendar.events",
		"calendar.events.patch":                     "calendar.events",
		"calendar.events.delete":                    "calendar.events",
		"calendar.freebusy.query":                   "calendar.freebusy",
		"calendar.acl.insert":                       "",
		"calendar.calendars.delete":                 "",
		"people.people.searchContacts":              "contacts contacts.readonly",
		"people.people.createContact":               "contacts",
		"people.people.searchDirectoryPeople":       "directory.readonly",
		"tasks.tasks.list":                          "tasks tasks.readonly",
		"tasks.tasks.insert":                        "tasks",
		"chat.spaces.list":                          "chat.spaces.readonly",
		"chat.spaces.messages.list":                 "chat.messages.readonly",
		"chat.spaces.messages.search":               "chat.messages.readonly",
		"chat.spaces.messages.create":               "chat.messages.create",
		"chat.spaces.messages.delete":               "",
		"meet.conferenceRecords.list":               "meetings.space.readonly",
		"meet.conferenceRecords.transcripts.list":   "meetings.space.readonly",
		"meet.spaces.create":                        "",
		"meet.conferenceRecords.participants.list":  "meetings.space.readonly",
		"sheets.spreadsheets.values.batchClear":     "drive drive.file spreadsheets",
		"slides.presentations.pages.getThumbnail":   "drive drive.file drive.readonly presentations presentations.readonly",
		"people.people.connections.list":            "contacts contacts.readonly",
		"people.otherContacts.search":               "contacts.other.readonly",
		"gmail.users.history.list":                  "gmail.modify gmail.readonly",
	} {
		if got, _, known := acceptedBy(method); !known || got != want {
			t.Errorf("%s: Discovery has %q (known: %v), the rules rely on %q", method, got, known, want)
		}
	}
}

// TestReadingScopesOnlyRead: no scope for reading opens a method that changes
// data. Those that are no GET and change none are named here.
func TestReadingScopesOnlyRead(t *testing.T) {
	t.Parallel()
	harmless := []string{
		"people.otherContacts.copyOtherContactToMyContactsGroup",                         // needs contacts as well, which Discovery cannot say
		"calendar.freebusy.query", "chat.spaces.messages.search", "drive.files.download", // queries in a body
		// Notifications of changes: the caller's own subscriptions.
		"calendar.calendarList.watch", "calendar.channels.stop", "calendar.events.watch", "drive.changes.watch", "drive.channels.stop", "drive.files.watch",
		"forms.forms.watches.create", "forms.forms.watches.delete", "forms.forms.watches.renew", "gmail.users.stop", "gmail.users.watch",
	}
	reading := 0
	for _, d := range scope.All() {
		if !strings.HasSuffix(d.Name, ".read") {
			continue
		}
		reading++
		for m := range opened(scope.Entitled(mcp(d.Name))) {
			if _, get, _ := acceptedBy(m); !get && !slices.Contains(harmless, m) {
				t.Errorf("%s opens %s", d.Name, m)
			}
		}
	}
	if reading != 13 {
		t.Errorf("%d scopes for reading", reading)
	}
}

// TestCoverage: the relation is an order, so that of two scopes one is always
// left to ask for, and a scope that opens a part of the data covers nothing.
func TestCoverage(t *testing.T) {
	t.Parallel()
	all := scope.GoogleScopes()
	edges := 0
	for _, a := range all {
		for _, b := range all {
			if !scope.Covers(a.Name, b.Name) {
				continue
			}
			edges++
			if scope.Covers(b.Name, a.Name) {
				t.Errorf("%s and %s cover each other", a.Name, b.Name)
			}
			for _, c := range all {
				if scope.Covers(b.Name, c.Name) && !scope.Covers(a.Name, c.Name) {
					t.Errorf("%s covers %s covers %s, and the first not the last", a.Name, b.Name, c.Name)
				}
			}
			if a.Name == google+"drive.file" {
				t.Errorf("the app's own files cover %s", b.Name)
			}
		}
	}
	for _, pair := range [][2]string{{"gmail.modify", "gmail.send"}, {"gmail.compose", "gmail.send"}, {"drive", "drive.file"}, {"drive.readonly", "documents.readonly"}, {"calendar.events", "calendar.events.readonly"}} {
		if !scope.Covers(google+pair[0], google+pair[1]) {
			t.Errorf("%s does not cover %s", pair[0], pair[1])
		}
	}
	if edges != 26 {
		t.Errorf("%d pairs in which one scope covers the other: look at the new ones before changing this number", edges)
	}
}
