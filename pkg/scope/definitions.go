package scope

// definitions is the table of MCP scopes. Google has the least scopes for what
// the text says. Implies holds where the text of the scope says as much; that
// Google's scope covers more is no reason: gmail.compose and gmail.modify send
// mail, and neither gmail.draft nor gmail.organize does. StandsIn holds where
// the Google scope opens the same methods on a part of the data.
var definitions = []Definition{
	{
		Name: "accounts", Product: "Account",
		Text:       "see which Google account is connected and whether the connection works",
		GoogleText: "Your name and e-mail address",
	},
	{
		Name: "calendar.read", Product: "Google Calendar",
		Google:     []string{google + "calendar.calendarlist.readonly", google + "calendar.events.readonly", google + "calendar.freebusy"},
		Text:       "see your calendars, their events and when you are busy",
		GoogleText: "See your list of calendars, events on all of them and your availability",
	},
	{
		Name: "calendar.write", Product: "Google Calendar",
		Google: []string{google + "calendar.events"}, Implies: []string{"calendar.read"},
		Text:       "see your calendars, create, change and delete events in them, and invite people",
		GoogleText: "See your list of calendars and your availability; view and edit events on all your calendars",
	},
	{
		Name: "chat.read", Product: "Google Chat",
		Google:     []string{google + "chat.messages.readonly", google + "chat.spaces.readonly"},
		Text:       "search and read your chats and spaces",
		GoogleText: "View your chats and spaces, and the messages and reactions in them",
	},
	{
		Name: "chat.send", Product: "Google Chat",
		Google:     []string{google + "chat.messages.create"},
		Text:       "send chat messages in your name",
		GoogleText: "Compose and send messages in Google Chat",
	},
	{
		Name: "contacts.other.read", Product: "Google Contacts",
		Google:     []string{google + "contacts.other.readonly"},
		Text:       "find people whom you wrote to and who are not among your contacts",
		GoogleText: "See and download contact info automatically saved in your “Other contacts”",
	},
	{
		Name: "contacts.read", Product: "Google Contacts",
		Google:     []string{google + "contacts.readonly"},
		Text:       "find and read your contacts",
		GoogleText: "See and download your contacts",
	},
	{
		Name: "contacts.write", Product: "Google Contacts",
		Google: []string{google + "contacts"}, Implies: []string{"contacts.read"},
		Text:       "find, add, change and delete your contacts",
		GoogleText: "See, edit, download and permanently delete your contacts",
	},
	{
		Name: "directory.read", Product: "Directory",
		Google:     []string{google + "directory.readonly"},
		Text:       "find people in the directory of your organization",
		GoogleText: "See and download your organization's Google Workspace directory",
	},
	{
		Name: "docs.read", Product: "Google Docs",
		Google:     []string{google + "documents.readonly"},
		Text:       "read your documents",
		GoogleText: "See all your Google Docs documents",
	},
	{
		Name: "docs.write", Product: "Google Docs",
		Google: []string{google + "documents"}, Implies: []string{"docs.read"},
		Text:       "read, create and change your documents",
		GoogleText: "See, edit, create and delete all your Google Docs documents",
	},
	{
		Name: "drive.files", Product: "Google Drive",
		Google: []string{google + "drive.file"},
		// On these files drive.file does all that the scopes of the editors do; what
		// it may not see, Google does not find.
		StandsIn:   []string{"docs.read", "docs.write", "forms.read", "forms.write", "sheets.read", "sheets.write", "slides.read", "slides.write"},
		Text:       "create files, documents, spreadsheets, presentations and forms, and read, change, share and delete those that it created or that you opened with it",
		GoogleText: "See, edit, create and delete only the specific Google Drive files you use with this app",
	},
	{
		Name: "drive.read", Product: "Google Drive",
		Google: []string{google + "drive.readonly"}, Implies: []string{"docs.read", "sheets.read", "slides.read"},
		Text:       "find and read your files, documents, spreadsheets and presentations among them",
		GoogleText: "See and download all your Google Drive files",
	},
	{
		Name: "drive.write", Product: "Google Drive",
		Google: []string{google + "drive"}, Implies: []string{"drive.read", "drive.files", "docs.write", "forms.write", "sheets.write", "slides.write"},
		Text:       "find, read, create, change, share and delete all your files, documents, spreadsheets, presentations and forms with their answers among them",
		GoogleText: "See, edit, create and delete all of your Google Drive files",
	},
	{
		Name: "forms.read", Product: "Google Forms",
		Google:     []string{google + "forms.body.readonly", google + "forms.responses.readonly"},
		Text:       "read your forms and the answers to them",
		GoogleText: "See all your Google Forms forms and all responses to them",
	},
	{
		Name: "forms.write", Product: "Google Forms",
		Google: []string{google + "forms.body"}, Implies: []string{"forms.read"},
		Text:       "read, create and change your forms, and read the answers to them",
		GoogleText: "See, edit, create and delete all your Google Forms forms, and see all responses to them",
	},
	{
		Name: "gmail.draft", Product: "Gmail",
		Google:     []string{google + "gmail.compose"},
		Text:       "read, write, change and delete drafts, without sending them",
		GoogleText: "Manage drafts and send e-mails (this server keeps the app from sending)",
	},
	{
		Name: "gmail.organize", Product: "Gmail",
		Google: []string{google + "gmail.modify"}, Implies: []string{"gmail.read"},
		Text:       "search and read your mail, label it, archive it and move it to the bin",
		GoogleText: "Read, compose and send e-mails from your Gmail account (this server keeps the app from writing and sending)",
	},
	{
		Name: "gmail.read", Product: "Gmail",
		Google:     []string{google + "gmail.readonly"},
		Text:       "search and read your mail",
		GoogleText: "View your e-mail messages and settings",
	},
	{
		Name: "gmail.send", Product: "Gmail",
		Google:     []string{google + "gmail.send"},
		Text:       "send mail in your name",
		GoogleText: "Send e-mail on your behalf",
	},
	{
		Name: "gmail.settings", Product: "Gmail",
		Google:     []string{google + "gmail.settings.basic"},
		Text:       "see and change your mail settings, such as filters, signatures and the out-of-office reply",
		GoogleText: "See, edit, create or change your e-mail settings and filters in Gmail",
	},
	{
		Name: "meet.read", Product: "Google Meet",
		Google:     []string{google + "meetings.space.readonly"},
		Text:       "see your past meetings, who took part, and their transcripts, notes and recordings",
		GoogleText: "Read information about any of your Google Meet conferences",
	},
	{
		Name: "sheets.read", Product: "Google Sheets",
		Google:     []string{google + "spreadsheets.readonly"},
		Text:       "read your spreadsheets",
		GoogleText: "See all your Google Sheets spreadsheets",
	},
	{
		Name: "sheets.write", Product: "Google Sheets",
		Google: []string{google + "spreadsheets"}, Implies: []string{"sheets.read"},
		Text:       "read, create and change your spreadsheets",
		GoogleText: "See, edit, create and delete all your Google Sheets spreadsheets",
	},
	{
		Name: "slides.read", Product: "Google Slides",
		Google:     []string{google + "presentations.readonly"},
		Text:       "read your presentations",
		GoogleText: "See all your Google Slides presentations",
	},
	{
		Name: "slides.write", Product: "Google Slides",
		Google: []string{google + "presentations"}, Implies: []string{"slides.read"},
		Text:       "read, create and change your presentations",
		GoogleText: "See, edit, create and delete all your Google Slides presentations",
	},
	{
		Name: "tasks.read", Product: "Google Tasks",
		Google:     []string{google + "tasks.readonly"},
		Text:       "see your tasks and task lists",
		GoogleText: "View your tasks",
	},
	{
		Name: "tasks.write", Product: "Google Tasks",
		Google: []string{google + "tasks"}, Implies: []string{"tasks.read"},
		Text:       "see, add, change and delete your tasks and task lists",
		GoogleText: "Create, edit, organize and delete all your tasks",
	},
}
