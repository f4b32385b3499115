package consent

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Request is what consent is asked for, checked before.
type Request struct {
	Client      *client.Client
	Tenant      *tenant.Tenant
	RedirectURI string
	Resource    oauth.Resource
	Scopes      oauth.Scopes
	Offline     bool
	LoginHint   string
	Accounts    []Account // of the person, if known: to choose from
}

// Account is a Google account that the person may choose.
type Account struct {
	Handle, Alias, Email string
	Checked              bool
	Allowed              oauth.Scopes // what the app may do with it already
}

// Scope is one line of the page.
type Scope struct {
	Name, Text, Product, GoogleText string
	New                             bool   // marked as such: the app may do other things already
	Beyond                          string // the organisation that has approved the client, and not this of it
}

// View is what the page shows; text from outside is already cleaned, and the
// template escapes it.
type View struct {
	ClientName      string
	Unverified      bool
	Imitates        bool   // the name mixes alphabets
	ClientHost      string // of a client's metadata document: the one thing about it that is verified
	Publisher       string // of a document in the built-in catalogue
	ApprovedBy      string // the organisation, if its administrator has approved the client
	ApprovedAs      string // what of the client is verified, and was approved
	IssuerHost      string
	ResourceHost    string
	Destination     string // where the browser goes next, in plain words
	DestinationNote string
	Warning         string
	Account         string    // suggested by the app
	Accounts        []Account // of the person, if known; instead of Account
	AnotherChecked  bool      // none of them is suggested
	Duration        string
	Scopes          []Scope // what the app may not do yet; all of it, unless AllowedWith is known
	AllowedWith     string  // alias of the suggested account, if the app may use it already
	Allowed         []Scope // what it may do with that account already
	AccountPage     string  // where the person takes back what was allowed
	Action          string  // form target
	Sealed          string  // the sealed request
}

// NewView describes a request in words (MCP security best practices, consent
// UI; OWASP ASVS 10.7.2).
func NewView(r Request) View {
	v := View{
		ClientName: AppName(r.Client.Name), Unverified: !r.Client.Trusted(), Imitates: mixed(r.Client.Name),
		ClientHost: r.Client.Host(), Publisher: r.Client.Publisher,
		IssuerHost: hostOf(r.Tenant.Issuer.String()), ResourceHost: hostOf(r.Resource.String()),
		Account: Clean(r.LoginHint, 120), Accounts: r.Accounts,
	}
	v.AnotherChecked = !slices.ContainsFunc(v.Accounts, func(a Account) bool { return a.Checked })
	v.Destination, v.DestinationNote, v.Warning = destination(r.RedirectURI)
	if v.Warning == "" && v.Unverified && v.ClientHost != "" && v.ClientHost != v.Destination {
		// Draft client ID metadata document §6.4: identity and destination differ.
		v.Warning = "The app is described at " + v.ClientHost + " but takes you to " + v.Destination + ". Continue only if you know both."
	}
	if r.Offline {
		v.Duration = fmt.Sprintf("The app keeps access while you are away, %s at most.", days(r.Tenant.Lifetimes.RefreshAbsolute))
	} else {
		v.Duration = fmt.Sprintf("The app has access for %d minutes.", int(r.Tenant.Lifetimes.AccessToken/time.Minute))
	}
	approval := r.Tenant.Policy.Approval(r.Client.ID)
	var approved oauth.Scopes
	if approval != nil {
		v.ApprovedBy, v.ApprovedAs, approved = Organisation(r.Tenant), identity(r.Client), approval.Allowed()
	}
	var allowed oauth.Scopes
	v.AllowedWith, allowed = suggested(r.Accounts)
	for _, name := range r.Scopes.Slice() {
		d, ok := scope.Lookup(name)
		if !ok {
			continue
		}
		one := Scope{Name: d.Name, Text: d.Text, Product: d.Product, GoogleText: d.GoogleText, New: v.AllowedWith != "" && !allowed.Contains(d.Name)}
		if approval != nil && !approved.Contains(d.Name) {
			one.Beyond = v.ApprovedBy
		}
		if allowed.Contains(d.Name) {
			v.Allowed = append(v.Allowed, one)
		} else {
			v.Scopes = append(v.Scopes, one)
		}
	}
	return v
}

// suggested is the account that the page suggests, if the app may use it
// already, and for what: implied scopes are not new to it either. The page names
// the account, because with another one that is chosen it can be otherwise.
func suggested(accounts []Account) (alias string, allowed oauth.Scopes) {
	for _, a := range accounts {
		if a.Checked && !a.Allowed.Empty() {
			return a.Alias, scope.Expand(a.Allowed)
		}
	}
	return "", oauth.Scopes{}
}

// Organisation is a tenant for people.
func Organisation(t *tenant.Tenant) string {
	if name := Clean(t.Name, 80); name != "" {
		return name
	}
	return "Your organisation"
}

// identity is what of a client is verified: where it is described, or which
// registration it is. A name is not: whoever registers chooses it.
func identity(c *client.Client) string {
	if host := c.Host(); host != "" {
		return host
	}
	return c.ID
}

// destination says where the browser goes after consent. The host of the
// redirect URI must be displayed clearly, and loopback deserves a warning (MCP
// 2025-11-25, localhost redirect URI risks).
func destination(redirectURI string) (where, note, warning string) {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return "an unknown place", "", "Do not continue."
	}
	switch {
	case u.Scheme == "https":
		return u.Host, "", ""
	case oauth.LoopbackHost(u.Hostname()):
		where = "an app on this computer"
		if u.Port() != "" {
			where += ", port " + u.Port()
		}
		return where, u.Hostname(), "Continue only if you have just started this yourself in an app on this computer: any program running here could have asked."
	}
	return "an app on this device", Clean(u.Scheme, 40) + "://", "Continue only if you have just started this yourself in that app: other apps on this device could pose as it."
}

// Selected narrows a request to the ticked scopes. A scope that was not asked
// for cannot be ticked.
func Selected(requested oauth.Scopes, ticked []string) oauth.Scopes {
	if len(ticked) > oauth.MaxScopes {
		return oauth.Scopes{}
	}
	return requested.Intersect(oauth.NewScopes(ticked...))
}

// Snapshot is the record of what the person was shown, kept with the consent.
type Snapshot struct {
	ClientName  string   `json:"client_name"`
	Destination string   `json:"destination"`
	Resource    string   `json:"resource"`
	Scopes      []string `json:"scopes"`
	Offline     bool     `json:"offline"`
	LeftOut     []string `json:"left_out,omitempty"`    // allowed here and not at Google
	ApprovedBy  string   `json:"approved_by,omitempty"` // the organisation that the page named
}

// NewSnapshot takes the snapshot of a request after the person's choice.
func NewSnapshot(r Request) Snapshot {
	where, _, _ := destination(r.RedirectURI)
	s := Snapshot{ClientName: Clean(r.Client.Name, 80), Destination: where, Resource: r.Resource.String(), Scopes: r.Scopes.Slice(), Offline: r.Offline}
	if r.Tenant.Policy.Approval(r.Client.ID) != nil {
		s.ApprovedBy = Organisation(r.Tenant)
	}
	return s
}

// AppName is what people are shown as the name of a client.
func AppName(s string) string {
	if s = Clean(s, 80); s == "" {
		return "An app without a name"
	}
	return s
}

// alike are alphabets that have letters which look like another's.
var alike = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Cherokee}

// mixed reports whether a word mixes them, as imitations of a known name do
// (Unicode TS #39 §5).
func mixed(s string) bool {
	for _, word := range strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) }) {
		var first *unicode.RangeTable
		for _, c := range word {
			i := slices.IndexFunc(alike, func(t *unicode.RangeTable) bool { return unicode.Is(t, c) })
			if i < 0 {
				continue
			}
			if first == nil {
				first = alike[i]
			}
			if first != alike[i] {
				return true
			}
		}
	}
	return false
}

// maxMarks bounds the marks on one letter: more than any language writes would
// cover the lines above and below.
const maxMarks = 4

// blank are characters that count as graphic and show nothing.
func blank(c rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c) || c == '\u2800'
}

// Clean makes self-asserted text safe to read: no control, format (zero width,
// direction override), private-use or blank characters, no towers of marks, white
// space folded, at most limit characters. Text of marks alone is none. Escaping is
// the template's work.
func Clean(s string, limit int) string {
	var b strings.Builder
	n, marks, shows := 0, 0, false
	for _, field := range strings.FieldsFunc(s, unicode.IsSpace) {
		if b.Len() > 0 {
			b.WriteByte(' ')
			n++
		}
		for _, c := range field {
			if !unicode.IsGraphic(c) || unicode.Is(unicode.Co, c) || blank(c) {
				continue
			}
			if !unicode.In(c, unicode.Mn, unicode.Me) {
				marks, shows = 0, true
			} else if marks++; marks > maxMarks {
				continue
			}
			if n++; n > limit {
				return strings.TrimSpace(b.String()) + "…"
			}
			b.WriteRune(c)
		}
	}
	if !shows {
		return ""
	}
	return strings.TrimSpace(b.String())
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	if host, port, err := net.SplitHostPort(u.Host); err == nil && oauth.LoopbackHost(host) {
		return "this computer, port " + port
	}
	return u.Host
}

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "one day"
}
