package scope

import (
	"fmt"

	"latchkey/pkg/oauth"
)

// Profile bounds the scopes that clients of a tenant can be granted. The zero
// value allows none.
type Profile string

const (
	// Lite has nothing restricted, so that a Google client needs no yearly
	// security assessment. Documents, spreadsheets, presentations and forms work
	// through drive.files, on files that the app created or the person opened
	// with it: access to all of them is no use without the restricted scopes that
	// find them, and asks for far more than it gives.
	Lite Profile = "lite"
	// Standard adds reading mail and files, and writing drafts that a person sends.
	Standard Profile = "standard"
	// Full has every scope.
	Full Profile = "full"
)

var lite = oauth.NewScopes("accounts", "calendar.read", "calendar.write", "contacts.read", "drive.files", "gmail.send", "tasks.read", "tasks.write")

// What reading files implies is allowed by name too.
var standard = Expand(lite.Union(oauth.NewScopes("drive.read", "gmail.draft", "gmail.read")))

// ParseProfile reads the name of a profile.
func ParseProfile(s string) (Profile, error) {
	switch p := Profile(s); p {
	case Lite, Standard, Full:
		return p, nil
	}
	return "", fmt.Errorf("there is no consent profile %q: use lite, standard or full", s)
}

// Allowed returns the scopes that may be granted. With a scope, those that it
// implies are in the set.
func (p Profile) Allowed() oauth.Scopes {
	switch p {
	case Lite:
		return lite
	case Standard:
		return standard
	case Full:
		return names
	}
	return oauth.Scopes{}
}
