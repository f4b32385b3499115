package scope

import (
	"slices"

	"latchkey/pkg/oauth"
)

// OfflineAccess is tolerated in requests (SEP-2207): clients ask for it to get
// a refresh token. It grants no access to anything.
const OfflineAccess = "offline_access"

// Sensitivity is Google's classification of a scope, which decides whether an
// app needs verification or a security assessment.
type Sensitivity int

const (
	NonSensitive Sensitivity = iota
	Sensitive
	Restricted
)

// Definition describes one scope.
type Definition struct {
	Name        string   // the MCP scope
	Google      []string // the least Google scopes that serve it
	Implies     []string // MCP scopes that a holder has as well
	Product     string   // heading on the consent page
	Text        string   // what the app may do, in plain words, after "This app will be able to"
	GoogleText  string   // the Google access that implies, in plain words
	Sensitivity Sensitivity
}

// Identity are the Google scopes of every sign-in: who the person is.
var identity = []string{"email", "openid", "profile"}

// Sign-in scopes as Google writes them in its answers.
var answered = []string{google + "userinfo.email", google + "userinfo.profile"}

// IdentityOf returns the sign-in scopes among granted ones: they tell who the
// person is and open no data.
func IdentityOf(granted oauth.Scopes) oauth.Scopes {
	return granted.Intersect(oauth.NewScopes(append(slices.Clone(identity), answered...)...))
}

// Identity returns the Google scopes of every sign-in.
func Identity() []string { return slices.Clone(identity) }

const google = "https://www.googleapis.com/auth/"

var definitions = []Definition{
	{
		Name: "accounts", Product: "Account",
		Text:       "see which Google account is connected and whether the connection works",
		GoogleText: "Your name and e-mail address",
	},
	{
		Name: "calendar.read", Product: "Google Calendar", Sensitivity: Sensitive,
		Google:     []string{google + "calendar.calendarlist.readonly", google + "calendar.events.readonly"},
		Text:       "see your calendars and their events",
		GoogleText: "See your list of calendars and events on all of them",
	},
	{
		Name: "drive.read", Product: "Google Drive", Sensitivity: Restricted,
		Google:     []string{google + "drive.readonly"},
		Text:       "find and read your files",
		GoogleText: "See and download all your Google Drive files",
	},
	{
		Name: "gmail.read", Product: "Gmail", Sensitivity: Restricted,
		Google:     []string{google + "gmail.readonly"},
		Text:       "search and read your mail",
		GoogleText: "View your e-mail messages and settings",
	},
}

var byName = func() map[string]Definition {
	m := make(map[string]Definition, len(definitions))
	for _, d := range definitions {
		m[d.Name] = d
	}
	return m
}()

// All returns every definition, sorted by name.
func All() []Definition { return slices.Clone(definitions) }

// Names returns every scope there is, without offline_access.
func Names() oauth.Scopes {
	names := make([]string, 0, len(definitions))
	for _, d := range definitions {
		names = append(names, d.Name)
	}
	return oauth.NewScopes(names...)
}

// Lookup returns the definition of a scope.
func Lookup(name string) (Definition, bool) {
	d, ok := byName[name]
	return d, ok
}

// Expand adds every scope that the given ones imply: a broader scope satisfies
// a narrower need (MCP 2026-07-28, authorization, step-up).
func Expand(s oauth.Scopes) oauth.Scopes {
	out := s
	for {
		next := out
		for _, name := range out.Slice() {
			next = next.Union(oauth.NewScopes(byName[name].Implies...))
		}
		if next.Equal(out) {
			return out
		}
		out = next
	}
}

// Satisfies reports whether a token with the granted scopes may do what needs
// the required ones.
func Satisfies(granted, required oauth.Scopes) bool {
	return Expand(granted).ContainsAll(required)
}

// GoogleFor returns the Google scopes to ask a person for so that the MCP
// scopes work, without those of the sign-in itself.
func GoogleFor(s oauth.Scopes) oauth.Scopes {
	var out []string
	for _, name := range s.Slice() {
		out = append(out, byName[name].Google...)
	}
	return oauth.NewScopes(out...)
}

// AllowsGoogle reports whether MCP scopes entitle their holder to a Google
// scope: the exchange hands out nothing else (DESIGN §1.1).
func AllowsGoogle(mcp oauth.Scopes, googleScope string) bool {
	return GoogleFor(Expand(mcp)).Contains(googleScope)
}

// Usable narrows MCP scopes to those whose Google scopes a person really
// granted: an unticked box narrows the token, it does not fail the flow.
func Usable(mcp, grantedGoogle oauth.Scopes) oauth.Scopes {
	var out []string
	for _, name := range mcp.Slice() {
		d, ok := byName[name]
		if ok && grantedGoogle.ContainsAll(oauth.NewScopes(d.Google...)) {
			out = append(out, name)
		}
	}
	return oauth.NewScopes(out...)
}

// Needed returns the least MCP scopes that entitle to a Google scope, for an
// insufficient_scope answer.
func Needed(googleScope string) oauth.Scopes {
	for _, d := range definitions {
		if oauth.NewScopes(d.Google...).Contains(googleScope) {
			return oauth.NewScopes(d.Name)
		}
	}
	return oauth.Scopes{}
}
