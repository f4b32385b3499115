package fakegoogle

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// User is a Google account with its data. The server's mutex guards it.
type User struct {
	Sub, Email, Name, HostedDomain string

	labels   map[string]*label
	messages []*message
	drafts   []*draft
	files    []*file
	ids      []string // generated for files that are not made yet
	events   []*event
	writers  []string // who may write into the primary calendar too
	contacts []*contact
	others   []*contact        // whom the user wrote to
	warmed   map[string]bool   // searches of people that were prepared
	pages    map[string]string // of searches in the directory: the search of a page token
	profile  *contact
	meetings []*meeting
	forms    []*form
	lists    []*taskList
	filters  []map[string]any
	vacation map[string]any
	serial   int
}

func (u *User) next(prefix string) string {
	u.serial++
	return fmt.Sprintf("%s%s%04d", prefix, u.Sub[len(u.Sub)-2:], u.serial)
}

// seed makes two users of one domain, one outside and a crowd, with mail, files, events,
// contacts and tasks around now.
func seed(now time.Time, more int) []*User {
	now = now.UTC().Truncate(time.Minute)
	users := []*User{
		{Sub: "100000000000000000011", Email: "alice@example.com", Name: "Alice Adams", HostedDomain: "example.com"},
		{Sub: "100000000000000000022", Email: "bob@example.com", Name: "Bob Brown", HostedDomain: "example.com"},
		{Sub: "100000000000000000033", Email: "carol@outsider.test", Name: "Carol Clark"},
	}
	for i := range more {
		name := fmt.Sprintf("person%02d", i+1)
		users = append(users, &User{Sub: fmt.Sprintf("1000000000000000001%02d", i+1), Email: name + "@crowd.test", Name: "P " + name, HostedDomain: "crowd.test"})
	}
	for i, u := range users {
		other := users[(i+1)%len(users)]
		u.labels = map[string]*label{}
		for _, name := range []string{"INBOX", "SENT", "DRAFT", "TRASH", "SPAM", "UNREAD", "STARRED", "IMPORTANT"} {
			u.labels[name] = &label{ID: name, Name: name, Type: "system"}
		}
		u.labels["Label_1"] = &label{ID: "Label_1", Name: "Projects", Type: "user"}
		u.seedMail(now, other)
		u.seedFiles(now)
		u.seedHistory(now, other)
		u.seedEvents(now, other)
		u.contacts = []*contact{
			newContact("CONTACT", "people/c1", other.Name, other.Email),
			newContact("CONTACT", "people/c2", "Dana Diaz", "dana@partner.test").with("+49 30 123456", map[string]any{"name": "Partner Ltd"}),
		}
		u.others = []*contact{newContact("OTHER_CONTACT", "otherContacts/o1", "Danilo Drake", "danilo@elsewhere.test")}
		u.pages = map[string]string{}
		u.profile = newContact("DOMAIN_PROFILE", "people/"+u.Sub, u.Name, u.Email)
		if u.HostedDomain != "" {
			u.profile.with("+49 30 100"+u.Sub[len(u.Sub)-2:], map[string]any{"name": "Example Works", "title": "Engineer", "department": "Tools"})
		}
		u.seedMeetings(now, other)
		u.seedForms(now)
		u.lists = []*taskList{
			{ID: "list1", Title: "My tasks", tasks: []*task{
				{ID: u.next("t"), Title: "Prepare the budget review", Status: "needsAction", Due: now.Add(48 * time.Hour).Format("2006-01-02T00:00:00.000Z")},
				{ID: u.next("t"), Title: "Book the room", Status: "needsAction"},
				{ID: u.next("t"), Title: "Order cake", Status: "completed", Completed: now.Format(time.RFC3339)},
			}},
			{ID: "list2", Title: "Garden"},
		}
	}
	return users
}

func (u *User) seedMail(now time.Time, other *User) {
	add := func(thread, from, subject, body string, age time.Duration, labels ...string) string {
		m := newMessage(u.next("m"), thread, from, u.Email, subject, now.Add(-age))
		if thread == "" {
			m.ThreadID = m.ID
		}
		m.LabelIDs = labels
		m.Payload = textPart(body)
		u.messages = append(u.messages, m)
		return m.ThreadID
	}
	budget := add("", other.Name+" <"+other.Email+">", "Budget 2027", "Hello "+u.Name+",\r\n\r\nplease look at the budget draft before Thursday.\r\n\r\n"+other.Name+"\r\n", 72*time.Hour, "INBOX", "Label_1")
	add(budget, u.Name+" <"+u.Email+">", "Re: Budget 2027", "Will do. One question: is travel included?\r\n\r\nOn Monday "+other.Name+" wrote:\r\n> please look at the budget draft before Thursday.\r\n", 50*time.Hour, "SENT")
	add(budget, other.Name+" <"+other.Email+">", "Re: Budget 2027", "Yes, travel is included.\r\n", 26*time.Hour, "INBOX", "UNREAD", "Label_1")
	html := newMessage(u.next("m"), "", "Newsletter <news@partner.test>", u.Email, "Autumn news", now.Add(-20*time.Hour))
	html.ThreadID, html.LabelIDs = html.ID, []string{"INBOX", "UNREAD"}
	html.Payload = &part{MimeType: "multipart/mixed", Parts: []*part{
		{MimeType: "multipart/alternative", Parts: []*part{
			body("text/plain", "Autumn news\r\nThe office moves in December.\r\n"),
			body("text/html", "<html><head><style>p{color:red}</style></head><body><h1>Autumn news</h1><p>The office moves in <b>December</b>.</p></body></html>"),
		}},
		{PartID: "2", MimeType: "application/pdf", Filename: "plan.pdf", Body: &partBody{AttachmentID: "att1", Size: 15, content: []byte("%PDF-1.4 fake\r\n")}},
	}}
	u.messages = append(u.messages, html)
	notes := newMessage(u.next("m"), "", other.Name+" <"+other.Email+">", u.Email, "Minutes", now.Add(-90*time.Hour))
	notes.ThreadID, notes.LabelIDs = notes.ID, []string{"INBOX"}
	notes.Payload = &part{MimeType: "multipart/mixed", Parts: []*part{
		{PartID: "0", MimeType: "text/plain", Headers: body("text/plain", "").Headers, Body: body("text/plain", "The minutes are attached.\r\n").Body},
		{PartID: "1", MimeType: "text/plain", Filename: "minutes.txt", Headers: body("text/plain", "").Headers, Body: &partBody{AttachmentID: "att2", Size: 32, content: []byte("Minutes\r\nWe agreed on nothing.\n")}},
	}}
	u.messages = append(u.messages, notes)
	for i := range 30 { // enough for several pages
		add("", "Robot <robot@partner.test>", fmt.Sprintf("Build %d finished", i+1), fmt.Sprintf("Build %d is green.\r\n", i+1), time.Duration(100+i)*time.Hour, "INBOX")
	}
}

func (u *User) seedFiles(now time.Time) {
	folder := &file{ID: u.next("f"), Name: "Projects", MimeType: folderType, Modified: now.Add(-200 * time.Hour)}
	u.files = []*file{
		folder,
		{ID: u.next("f"), Name: "Budget 2027", MimeType: sheetType, Parents: []string{folder.ID}, Modified: now.Add(-30 * time.Hour), rows: [][]any{{"Item", "Amount"}, {"Travel", 1200}, {"Hardware", 3400}}},
		{ID: u.next("f"), Name: "Meeting notes", MimeType: docType, Parents: []string{folder.ID}, Modified: now.Add(-10 * time.Hour), content: []byte("Meeting notes\nWe agreed on the budget.\n")},
		{ID: u.next("f"), Name: "plan.txt", MimeType: "text/plain", Modified: now.Add(-5 * time.Hour), content: []byte("The plan of " + u.Name + ".\n")},
		{ID: u.next("f"), Name: "old draft", MimeType: "text/plain", Modified: now.Add(-400 * time.Hour), Trashed: true, content: []byte("old")},
	}
}

func (u *User) seedEvents(now time.Time, other *User) {
	day := now.Truncate(24 * time.Hour)
	add := func(summary string, start time.Time, length time.Duration, guests ...string) {
		u.events = append(u.events, &event{ID: u.next("e"), Summary: summary, start: start, end: start.Add(length), organizer: u.Email, guests: invite(guests...), created: now, status: "confirmed"})
	}
	add("Budget review", day.Add(34*time.Hour), time.Hour, other.Email)
	add("Stand-up", day.Add(33*time.Hour), 15*time.Minute, other.Email)
	add("Dentist", day.Add(82*time.Hour), time.Hour)
	add("Kick-off", day.Add(-40*time.Hour), time.Hour, other.Email)
	lunch := &event{ID: u.next("e"), Summary: "Lunch with " + u.Name, start: day.Add(60 * time.Hour), end: day.Add(61 * time.Hour), organizer: other.Email, guests: invite(u.Email), created: now, status: "confirmed"}
	u.events, other.events = append(u.events, lunch), append(other.events, lunch)
	u.events = append(u.events, &event{ID: u.next("e"), Summary: "Holiday", start: day.Add(120 * time.Hour), end: day.Add(144 * time.Hour), allDay: true, organizer: u.Email, created: now, status: "confirmed"})
}

func newMessage(id, thread, from, to, subject string, at time.Time) *message {
	return &message{
		ID: id, ThreadID: thread, at: at, from: from, to: to, subject: subject,
		headers: []header{{"From", from}, {"To", to}, {"Subject", subject}, {"Date", at.Format(time.RFC1123Z)}, {"Message-ID", "<" + id + "@mail.fake>"}},
	}
}

func textPart(text string) *part { return body("text/plain", text) }

func body(mimeType, text string) *part {
	return &part{
		MimeType: mimeType, Headers: []header{{"Content-Type", mimeType + `; charset="UTF-8"`}},
		Body: &partBody{Size: len(text), Data: base64.URLEncoding.EncodeToString([]byte(text))},
	}
}

func lower(parts ...string) string { return strings.ToLower(strings.Join(parts, " ")) }
