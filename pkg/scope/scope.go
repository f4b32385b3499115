package scope

import (
	"slices"
	"strings"

	"latchkey/pkg/oauth"
)

// OfflineAccess is tolerated in requests (SEP-2207): clients ask for it to get
// a refresh token. It grants no access to anything.
const OfflineAccess = "offline_access"

// Definition describes one scope.
type Definition struct {
	Name       string   // the MCP scope
	Google     []string // the least Google scopes that serve it
	Implies    []string // MCP scopes that a holder has as well
	StandsIn   []string // MCP scopes whose tools a holder may use on a part of the data, with this scope's Google access
	Product    string   // heading on the consent page
	Text       string   // what the app may do, in plain words, after "This app will be able to"
	GoogleText string   // the Google access that implies, in plain words
}

// Sensitivity is the strictest class among the Google scopes that the scope
// and those it implies need.
func (d Definition) Sensitivity() Sensitivity {
	worst := NonSensitive
	for _, g := range entitled[d.Name].Slice() {
		worst = max(worst, SensitivityOf(g))
	}
	return worst
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

var byName = func() map[string]Definition {
	m := make(map[string]Definition, len(definitions))
	for _, d := range definitions {
		m[d.Name] = d
	}
	return m
}()

// expanded is the closure of each scope under Implies, the scope with it.
var expanded = func() map[string]oauth.Scopes {
	m := make(map[string]oauth.Scopes, len(definitions))
	for _, d := range definitions {
		seen, next := []string{}, []string{d.Name}
		for len(next) > 0 {
			name := next[0]
			if next = next[1:]; !slices.Contains(seen, name) {
				seen, next = append(seen, name), append(next, byName[name].Implies...)
			}
		}
		m[d.Name] = oauth.NewScopes(seen...)
	}
	return m
}()

// All returns every definition, sorted by name.
func All() []Definition {
	all := slices.Clone(definitions)
	slices.SortFunc(all, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Names returns every scope there is, without offline_access.
func Names() oauth.Scopes { return names }

var names = func() oauth.Scopes {
	all := make([]string, 0, len(definitions))
	for _, d := range definitions {
		all = append(all, d.Name)
	}
	return oauth.NewScopes(all...)
}()

// Baseline returns the scopes that a client gets if it names none: reading
// only, and no more than the tools there are at first (MCP security best
// practices, scope minimization). Everything else has to be asked for by name.
func Baseline() oauth.Scopes {
	return oauth.NewScopes("accounts", "calendar.read", "drive.read", "gmail.read")
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
	for _, name := range s.Slice() {
		out = out.Union(expanded[name])
	}
	return out
}

// Satisfies reports whether a token with the granted scopes may use what needs
// the required ones, on all data or, by a scope that stands in, on a part.
func Satisfies(granted, required oauth.Scopes) bool {
	if granted.ContainsAll(required) {
		return true
	}
	have := Expand(granted)
	lacking := required.Minus(have)
	for _, name := range have.Slice() {
		lacking = lacking.Minus(oauth.NewScopes(byName[name].StandsIn...))
	}
	return lacking.Empty()
}
