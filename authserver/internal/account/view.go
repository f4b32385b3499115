package account

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// View is what the page shows; text from outside is cleaned, and the template
// escapes it.
type View struct {
	Base         string // of the forms' targets
	Token        string
	Notice       string
	Accounts     []AccountView
	Disconnected []AccountView
	Apps         []AppView
	Sessions     []SessionView
	Offers       []Offer // what a further account can be used for
}

// AccountView is a Google account.
type AccountView struct {
	Handle, Alias, Email string
	Default              bool
	State                string // in words
	Broken               bool   // wants to be repaired
	Uses                 []string
	Refreshed            string
}

// AppView is an app that has access.
type AppView struct {
	ClientID, Name, Destination string
	Excluded                    string // the organisation that has not approved it, or not any more
	Grants                      []GrantView
}

// GrantView is what an app may do with one account.
type GrantView struct {
	Alias       string
	Uses        []string
	LeftOut     []string
	Since, Used string
}

// SessionView is a browser in which the person is signed in.
type SessionView struct {
	ID, Browser, Began, Used string
	Current                  bool
}

// Offer is one line of what a further account can be used for.
type Offer struct {
	Name, Text, Product string
	Ticked              bool
}

func lifeOf(t *tenant.Tenant) session.Life {
	return session.Life{Idle: t.Lifetimes.SessionIdle, Absolute: t.Lifetimes.SessionAbsolute}
}

func (h *Handler) view(ctx context.Context, t *tenant.Tenant, s *session.Session, o *Overview) (*View, error) {
	v := &View{Base: t.Issuer.Path() + Path, Token: s.FormToken(accountForm)}
	aliases := map[uuid.UUID]string{}
	for _, c := range o.Connections {
		email, err := connection.Email(ctx, h.Vault, c)
		if err != nil {
			return nil, err
		}
		aliases[c.Connection] = c.Alias
		one := AccountView{Handle: c.Handle(), Alias: c.Alias, Email: email, Default: c.IsDefault, Refreshed: h.ago(c.Refreshed)}
		one.State, one.Broken = state(c, t.Upstream.ClientID)
		if !c.Linked {
			v.Disconnected = append(v.Disconnected, one)
			continue
		}
		one.Uses = words(scope.Usable(scope.Names(), c.GoogleScopes))
		v.Accounts = append(v.Accounts, one)
	}
	var used oauth.Scopes
	for _, g := range together(o.Grants) {
		used = used.Union(g.Scopes)
		v.add(g, GrantView{Alias: aliases[g.Connection], Uses: words(g.Scopes), LeftOut: words(g.LeftOut), Since: h.ago(g.Since), Used: h.ago(g.Used)})
	}
	for i, app := range v.Apps {
		if t.Policy.Excludes(app.ClientID) {
			v.Apps[i].Excluded = consent.Organisation(t)
		}
	}
	if used.Empty() {
		used = t.DefaultScopes
	}
	limit, _ := t.ScopeLimit()
	for _, name := range limit.Slice() {
		d, ok := scope.Lookup(name)
		if !ok || len(d.Google) == 0 { // opens nothing at Google
			continue
		}
		v.Offers = append(v.Offers, Offer{Name: d.Name, Text: d.Text, Product: d.Product, Ticked: used.Contains(d.Name)})
	}
	for _, one := range o.Sessions {
		v.Sessions = append(v.Sessions, SessionView{ID: one.ID.String(), Browser: one.Browser, Began: h.ago(one.Began), Used: h.ago(one.Used), Current: one.ID == s.ID})
	}
	return v, nil
}

// together makes one of an app's grants with one account, in the place of the newest:
// each time an app asks for more it gets a further grant, and what it may do is all of
// them. Left out is what none of them has.
func together(grants []Grant) []Grant {
	var out []Grant
	for _, g := range grants {
		i := slices.IndexFunc(out, func(o Grant) bool { return o.ClientID == g.ClientID && o.Connection == g.Connection })
		if i < 0 {
			out = append(out, g)
			continue
		}
		one := &out[i]
		one.Scopes, one.LeftOut = one.Scopes.Union(g.Scopes), one.LeftOut.Union(g.LeftOut)
		if g.Used.After(one.Used) {
			one.Used = g.Used
		}
	}
	for i := range out {
		out[i].LeftOut = out[i].LeftOut.Minus(out[i].Scopes)
	}
	return out
}

// add puts a grant to its app; the newest grant names it.
func (v *View) add(g Grant, one GrantView) {
	i := slices.IndexFunc(v.Apps, func(a AppView) bool { return a.ClientID == g.ClientID })
	if i < 0 {
		v.Apps = append(v.Apps, AppView{ClientID: g.ClientID, Name: consent.AppName(g.AppName), Destination: consent.Clean(g.Destination, 120)})
		i = len(v.Apps) - 1
	}
	v.Apps[i].Grants = append(v.Apps[i].Grants, one)
}

// state says in words how a connection is, and whether it wants to be repaired.
func state(c *connection.Record, upstream string) (string, bool) {
	switch {
	case !c.Linked:
		return "Disconnected.", false
	case c.Status == connection.Active && c.UpstreamClient != upstream:
		return "This service is registered anew at Google. Repair the connection by signing in there again.", true
	case c.Status == connection.Active && c.SealedRefresh == nil:
		return "Works for now, but Google gave no lasting access. Repair it to keep it working.", true
	case c.Status == connection.Active:
		return "Works.", false
	case c.LastError == string(google.ReauthPolicy):
		return "The administrator of this account asks for a new sign-in.", true
	case c.LastError == connection.ByOperator:
		return "The operator of this service asks for a new sign-in. Repair the connection by signing in at Google again.", true
	case c.LastError == string(google.AdminBlocked):
		return "The administrator of this account does not allow this service.", true
	}
	return "Google has ended the connection. Repair it by signing in there again.", true
}

// words puts scopes of ours into words.
func words(s oauth.Scopes) []string {
	var out []string
	for _, name := range s.Slice() {
		if d, ok := scope.Lookup(name); ok {
			out = append(out, d.Product+": "+d.Text)
		}
	}
	return out
}

// googleWords puts Google's scopes into words: those of the definitions that
// need them, else as Google writes them.
func googleWords(s oauth.Scopes) []string {
	var out []string
	for _, one := range s.Slice() {
		text := one
		for _, d := range scope.All() {
			if slices.Contains(d.Google, one) {
				text = d.Product + ": " + d.GoogleText
				break
			}
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// ago is a time in words: pages have no script that would know the person's
// time zone.
func (h *Handler) ago(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	d := h.Now().Sub(at)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 24*time.Hour:
		return count(int(d/time.Hour), "hour")
	case d < 60*24*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	}
	return "on " + at.UTC().Format("2 January 2006")
}

func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit + " ago"
	}
	return strconv.Itoa(n) + " " + unit + "s ago"
}
