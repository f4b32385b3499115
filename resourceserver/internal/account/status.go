package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// maxAlias is how much of an account's own name is shown, in characters.
const maxAlias = 64

// Tools returns the account tools. offered are the scopes that the tools of this
// server need: the status tells of these.
func Tools(c *credential.Credentials, l Lister, offered oauth.Scopes) ([]*tool.Tool, error) {
	s := &product{credentials: c, lister: l}
	for _, d := range scope.All() {
		if offered.Contains(d.Name) {
			s.offered = append(s.offered, d)
		}
	}
	var set tool.Set
	tool.Add(&set, tool.Description{
		Name: "account_status", Title: "Google connection status",
		Description: "Show which Google account is connected, whether it works, which access the app has, and what the person can do about what is missing.",
		Scopes:      oauth.NewScopes("accounts"), Hints: tool.Read,
	}, s.status)
	tool.Add(&set, tool.Description{
		Name: "accounts_list", Title: "Linked Google accounts",
		Description: "List the linked Google accounts, for the argument account.",
		Scopes:      oauth.NewScopes("accounts"), Hints: tool.Read,
	}, s.list)
	return set.Tools()
}

type product struct {
	credentials *credential.Credentials
	lister      Lister
	offered     []scope.Definition
}

type statusInput struct {
	Check   bool   `json:"check,omitempty" jsonschema:"ask Google now instead of trusting the last answer"`
	Account string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type statusOutput struct {
	Account    *googleapi.Account `json:"account,omitempty"` // absent if there is none or it cannot be read
	Connected  bool               `json:"connected"`
	Works      bool               `json:"works"`
	Problem    string             `json:"problem,omitempty"` // as a code
	Access     []access           `json:"access"`
	Warning    string             `json:"warning,omitempty"` // what will end the connection soon, although it works
	Advice     string             `json:"advice,omitempty"`
	ConnectURL string             `json:"connect_url,omitempty"` // a page for the person to open
}

type access struct {
	Scope   string   `json:"scope"`
	Text    string   `json:"text"`
	Allowed bool     `json:"allowed"` // by the person, to this app
	Works   bool     `json:"works"`   // Google granted what it needs
	Missing []string `json:"missing_google_scopes,omitempty"`
}

func (p *product) status(ctx context.Context, in statusInput) (tool.Output[statusOutput], error) {
	var out tool.Output[statusOutput]
	need, err := googleapi.NeedOf(ctx, in.Account)
	if err != nil {
		return out, err
	}
	get := p.credentials.Get
	if in.Check {
		get = p.credentials.Verify
	}
	c, err := get(ctx, need)
	var v statusOutput
	switch {
	case err == nil:
		v = p.working(need.Principal, c)
	default:
		err = credential.ToolError(ctx, err)
		var e *tool.Error
		if !errors.As(err, &e) || !aboutConnection(e.Code) {
			return out, err
		}
		v = p.broken(need.Principal, e)
	}
	out.Value, out.Text = v, v.text()
	return out, nil
}

// aboutConnection tells a state of the connection, which is a result, from a
// failure to find out.
func aboutConnection(c tool.Code) bool {
	switch c {
	case tool.CodeNotConnected, tool.CodeReconnect, tool.CodeMissingScopes, tool.CodeTestingExpired, tool.CodeAdminPolicy:
		return true
	}
	return false
}

func (s *product) working(p *bearer.Principal, c *credential.Credential) statusOutput {
	v := statusOutput{Account: &googleapi.Account{Handle: c.Account, Email: c.Email}, Connected: true, Works: true}
	lacking := false
	for _, d := range s.offered {
		missing := missingFor(p, d, c)
		a := access{Scope: d.Name, Text: d.Text, Allowed: allowed(p, d.Name), Works: missing.Empty()}
		if !a.Works {
			a.Missing = missing.Slice()
			lacking = lacking || a.Allowed
		}
		v.Access = append(v.Access, a)
	}
	if lacking {
		v.Problem = string(tool.CodeMissingScopes)
		v.Advice = "Google has not granted everything the app was allowed. Ask the person to reconnect this server in the app and to tick the missing access."
	}
	if !c.Ends.IsZero() {
		v.Warning = ending(time.Until(c.Ends))
	}
	return v
}

// ending says that Google will end the connection by itself.
func ending(left time.Duration) string {
	when := fmt.Sprintf("in %d hours", int(math.Ceil(left.Hours())))
	switch {
	case left <= 0:
		when = "any moment now"
	case left <= time.Hour:
		when = "within the hour"
	}
	return "Google ends this connection " + when + " because the OAuth client is in testing mode. Ask the person to reconnect this server in the app before that."
}

func (s *product) broken(p *bearer.Principal, e *tool.Error) statusOutput {
	v := statusOutput{Connected: e.Code != tool.CodeNotConnected, Problem: string(e.Code), Advice: e.Message + " " + e.NextAction, ConnectURL: e.Link}
	for _, d := range s.offered {
		v.Access = append(v.Access, access{Scope: d.Name, Text: d.Text, Allowed: allowed(p, d.Name)})
	}
	return v
}

// missingFor are the Google scopes that a scope lacks, seen from what the app
// holds: there a broader scope serves a narrower one, and one that stands in
// serves in its own way.
func missingFor(p *bearer.Principal, d scope.Definition, c *credential.Credential) oauth.Scopes {
	need := oauth.NewScopes(d.Google...)
	if allowed(p, d.Name) {
		return scope.Lacking(p.Scopes, scope.Ask(p.Scopes, need), c.Scopes)
	}
	return scope.Missing(oauth.NewScopes(d.Name), c.Scopes)
}

func allowed(p *bearer.Principal, name string) bool {
	return scope.Satisfies(p.Scopes, oauth.NewScopes(name))
}

func (o statusOutput) text() string {
	var b strings.Builder
	switch {
	case o.Works:
		fmt.Fprintf(&b, "Connected to Google as %s (%s); the connection works.", o.Account.Email, o.Account.Handle)
	case o.Connected:
		b.WriteString("A Google account is connected, but the connection does not work.")
	default:
		b.WriteString("No Google account is connected.")
	}
	for _, a := range o.Access {
		state := "not allowed to this app"
		if a.Allowed {
			state = "allowed"
		}
		if a.Allowed && o.Works && !a.Works {
			state = "allowed, but Google has not granted it"
		}
		fmt.Fprintf(&b, "\n- %s: %s (%s)", a.Scope, a.Text, state)
	}
	for _, s := range []string{o.Warning, o.Advice, o.ConnectURL} {
		if s != "" {
			b.WriteString("\n" + s)
		}
	}
	return b.String()
}
