package tenant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// ClientRule says which clients a tenant lets in. The zero rule is AnyClient.
type ClientRule string

const (
	AnyClient      ClientRule = "any"      // as the deployment and the rule of documents say
	ApprovedClient ClientRule = "approved" // those of the approvals alone, for the scopes approved
)

// Approval is an administrator's word about one client, for all people of the
// tenant. It takes no person's consent in their place (decision 0018).
type Approval struct {
	// ClientID is what identifies the client, to the letter: the id of a registration,
	// or the address of a metadata document. A name identifies nobody: whoever
	// registers chooses it.
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`         // MCP scopes; those they imply are approved with them
	Note     string   `json:"note,omitempty"` // for administrators: why, and on whose request
}

const (
	maxClientID = 512 // the address of a metadata document
	maxNote     = 200
)

func (p Policy) checkClients() error {
	if !slices.Contains([]ClientRule{"", AnyClient, ApprovedClient}, p.Clients) {
		return fmt.Errorf("clients: %q is not any or approved", p.Clients)
	}
	if len(p.Approvals) > maxEntries {
		return fmt.Errorf("approvals has more than %d entries", maxEntries)
	}
	seen := map[string]bool{}
	for _, a := range p.Approvals {
		if err := a.check(); err != nil {
			return fmt.Errorf("approvals: %w", err)
		}
		if seen[a.ClientID] {
			return fmt.Errorf("approvals: client %s is there twice", a.ClientID)
		}
		seen[a.ClientID] = true
	}
	return nil
}

func (a Approval) check() error {
	if a.ClientID == "" || len(a.ClientID) > maxClientID || strings.ContainsFunc(a.ClientID, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
		return fmt.Errorf("%q is not the id of a client", a.ClientID)
	}
	// No empty list for all of them: what is approved is what somebody has read.
	if len(a.Scopes) == 0 {
		return fmt.Errorf("say which scopes are approved for client %s", a.ClientID)
	}
	if unknown := oauth.NewScopes(a.Scopes...).Minus(scope.Names()); !unknown.Empty() {
		return fmt.Errorf("client %s: there is no scope %s", a.ClientID, unknown)
	}
	if len(a.Note) > maxNote {
		return fmt.Errorf("client %s: the note is longer than %d bytes", a.ClientID, maxNote)
	}
	return nil
}

// Allowed are the scopes approved, with those they imply.
func (a *Approval) Allowed() oauth.Scopes { return scope.Expand(oauth.NewScopes(a.Scopes...)) }

// Approval returns what is approved of a client, whatever the rule says; nil:
// nothing.
func (p *Policy) Approval(clientID string) *Approval {
	if i := slices.IndexFunc(p.Approvals, func(a Approval) bool { return a.ClientID == clientID }); i >= 0 {
		return &p.Approvals[i]
	}
	return nil
}

// Approve adds an approval, or puts it in the place of the client's former one.
func (p *Policy) Approve(a Approval) {
	p.Unapprove(a.ClientID)
	p.Approvals = append(p.Approvals, a)
}

// Unapprove takes an approval away and reports whether there was one.
func (p *Policy) Unapprove(clientID string) bool {
	had := p.Approval(clientID) != nil
	p.Approvals = slices.DeleteFunc(slices.Clone(p.Approvals), func(a Approval) bool { return a.ClientID == clientID })
	return had
}

func (p *Policy) excludes(clientID string) bool {
	return p.Clients == ApprovedClient && p.Approval(clientID) == nil
}

// Excludes reports whether AdmitsClient refuses a client, where nothing of it is
// asked for.
func (p *Policy) Excludes(clientID string) bool {
	return p.excludes(clientID) && !p.Reports(ByClients)
}

// AdmitsClient returns nil when a client may have access at all, else why not. The
// words make no client throw away what works again once it is approved again:
// that is what unauthorized_client, invalid_client and invalid_grant would do
// (decision 0009).
func (t *Tenant) AdmitsClient(ctx context.Context, clientID string) *oauth.Error {
	if !t.Policy.excludes(clientID) || !t.Refuses(ctx, ByClients, clientID) {
		return nil
	}
	return oauth.NewError(oauth.AccessDenied, "The organisation has not approved this app. Ask its administrator to approve "+clientID+". Nothing has been deleted.")
}

// ClientScopeLimit is ScopeLimit for one client.
func (t *Tenant) ClientScopeLimit(clientID string) (oauth.Scopes, bool) {
	limit, _ := t.ScopeLimit()
	if rule, ok := t.Policy.approved(clientID); ok && !t.Policy.Reports(ByClients) {
		limit = limit.Intersect(rule.allowed)
	}
	return limit, !limit.ContainsAll(scope.Names())
}

// approved is the rule about the scopes of a client. Without an approval it has
// none, unless the rule only reports: AdmitsClient has said so then.
func (p *Policy) approved(clientID string) (scopeRule, bool) {
	if p.Clients != ApprovedClient {
		return scopeRule{}, false
	}
	a := p.Approval(clientID)
	if a == nil {
		return scopeRule{name: ByClients}, !p.Reports(ByClients)
	}
	return scopeRule{ByClients, a.Allowed()}, true
}
