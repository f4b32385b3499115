package scope

import (
	"slices"
)

const google = "https://www.googleapis.com/auth/"

// Sensitivity is Google's classification of a scope, which decides whether an
// app needs verification or a security assessment.
type Sensitivity int

const (
	NonSensitive Sensitivity = iota
	Sensitive
	Restricted
)

func (s Sensitivity) String() string {
	switch s {
	case NonSensitive:
		return "non-sensitive"
	case Sensitive:
		return "sensitive"
	}
	return "restricted"
}

// Discovery has no classes: these are read off Google's pages on its OAuth
// scopes. Where they leave a doubt the stricter class stands here, so that the
// lite profile never holds a scope that needs an assessment.
var classes = map[string]Sensitivity{
	google + "calendar.calendarlist.readonly": Sensitive,
	google + "calendar.events":                Sensitive,
	google + "calendar.events.readonly":       Sensitive,
	google + "calendar.freebusy":              Sensitive,
	google + "chat.messages.create":           Restricted, // in doubt: the family chat.messages is
	google + "chat.messages.readonly":         Restricted,
	google + "chat.spaces.readonly":           Sensitive,
	google + "contacts":                       Sensitive,
	google + "contacts.other.readonly":        Sensitive,
	google + "contacts.readonly":              Sensitive,
	google + "directory.readonly":             Sensitive,
	google + "documents":                      Sensitive,
	google + "documents.readonly":             Sensitive,
	google + "drive":                          Restricted,
	google + "drive.file":                     NonSensitive,
	google + "drive.readonly":                 Restricted,
	google + "forms.body":                     Sensitive,
	google + "forms.body.readonly":            Sensitive,
	google + "forms.responses.readonly":       Sensitive,
	google + "gmail.compose":                  Restricted,
	google + "gmail.modify":                   Restricted,
	google + "gmail.readonly":                 Restricted,
	google + "gmail.send":                     Sensitive,
	google + "gmail.settings.basic":           Restricted,
	google + "meetings.space.readonly":        Sensitive,
	google + "presentations":                  Sensitive,
	google + "presentations.readonly":         Sensitive,
	google + "spreadsheets":                   Sensitive,
	google + "spreadsheets.readonly":          Sensitive,
	google + "tasks":                          Sensitive,
	google + "tasks.readonly":                 Sensitive,
}

// SensitivityOf returns Google's class of a Google scope; Restricted for one
// that has none here.
func SensitivityOf(googleScope string) Sensitivity {
	if s, ok := classes[googleScope]; ok {
		return s
	}
	return Restricted
}

// partial are the Google scopes that many methods accept and that open only a
// part of the data behind them. Discovery knows methods and no data, so to it
// such a scope covers others that open all. It covers nothing: a token for it
// would fail on the rest, and asking for it alone would hide that from the
// person.
var partial = []string{
	// "Only the specific Google Drive files you use with this app", yet all
	// methods of Docs, Sheets, Slides and Forms accept it.
	google + "drive.file",
}

// GoogleScope is what is known of one Google scope.
type GoogleScope struct {
	Name        string
	APIs        []string // whose methods accept it
	Description string   // Google's words, from Discovery
	covers      []string // scopes whose every method accepts this one as well: not the last word, see partial
}

// covers has, for each Google scope, those that nobody needs beside it.
var covers = func() map[string][]string {
	m := make(map[string][]string, len(discovered))
	for _, g := range discovered {
		if !slices.Contains(partial, g.Name) {
			m[g.Name] = g.covers
		}
	}
	return m
}()

// Covers reports whether a Google scope opens all that another opens.
func Covers(broad, narrow string) bool { return slices.Contains(covers[broad], narrow) }

// GoogleScopes returns every Google scope of the table, sorted by name.
func GoogleScopes() []GoogleScope { return slices.Clone(discovered) }
