package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// PolicyName names one policy, in report_only and in the log.
type PolicyName string

const (
	ByGoogleDomains PolicyName = "google_domains"
	ByProfile       PolicyName = "profile"
	ByScopes        PolicyName = "allowed_scopes"
	ByTools         PolicyName = "allowed_tools"
	ByOrigins       PolicyName = "allowed_origins"
	ByClients       PolicyName = "clients"
	ByLimits        PolicyName = "limits"
	BySessions      PolicyName = "sessions_max"
)

// reportable policies refuse or end something, so that a dry run can tell what.
// Lifetimes do not: they say how long what is made from now on lasts. Client
// documents have a mode of their own for it.
var reportable = []PolicyName{ByGoogleDomains, ByProfile, ByScopes, ByTools, ByOrigins, ByClients, ByLimits, BySessions}

// Reportable are the policies that can only report.
func Reportable() []PolicyName { return slices.Clone(reportable) }

// Limits of a policy.
const (
	MaxPolicyBytes = 64 << 10
	maxEntries     = 200
	maxSessions    = 20 // as many as the deployment allows
)

// Policy is what a tenant allows. An empty list allows everything that the
// deployment does; the zero policy restricts nothing.
type Policy struct {
	GoogleDomains  []string      `json:"google_domains,omitempty"`  // Workspace domains of those who may sign in: the hd claim, exact
	Profile        scope.Profile `json:"profile,omitempty"`         // consent profile; "": the deployment's
	AllowedScopes  []string      `json:"allowed_scopes,omitempty"`  // MCP scopes
	AllowedTools   []string      `json:"allowed_tools,omitempty"`   // enforced by the resource server
	AllowedOrigins []string      `json:"allowed_origins,omitempty"` // of browser clients; enforced by the resource server, in place of its own list
	Clients        ClientRule    `json:"clients,omitempty"`
	Approvals      []Approval    `json:"approvals,omitempty"` // of clients, each once
	Limits         LimitQuotas   `json:"limits,omitempty"`
	Lifetimes      LifetimeTexts `json:"lifetimes,omitzero"`
	SessionsMax    int           `json:"sessions_max,omitempty"` // browser sessions of one person at a time; 0: as the deployment
	Documents      *DocumentRule `json:"documents,omitempty"`    // nil: as the deployment
	ReportOnly     []PolicyName  `json:"report_only,omitempty"`  // refuse nothing, and log what they would have refused
}

// DocumentRule is a tenant's Admission.
type DocumentRule struct {
	Mode  AdmissionMode `json:"mode"`
	Hosts []string      `json:"hosts,omitempty"`
}

// LifetimeTexts replace the deployment's lifetimes, in Go's notation ("10m",
// "720h"); "" is the deployment's.
type LifetimeTexts struct {
	AccessToken     string `json:"access_token,omitempty"`     // 1m to 24h
	RefreshIdle     string `json:"refresh_idle,omitempty"`     // 1h to 8760h, at most refresh_absolute
	RefreshAbsolute string `json:"refresh_absolute,omitempty"` // 1h to 8760h
	SessionIdle     string `json:"session_idle,omitempty"`     // 5m to 720h, at most session_absolute
	SessionAbsolute string `json:"session_absolute,omitempty"` // 5m to 720h
}

// ParsePolicy reads a policy strictly: a member that this program does not know
// may restrict something, so it is refused and not dropped.
func ParsePolicy(b []byte) (Policy, error) {
	var p Policy
	if len(b) > MaxPolicyBytes {
		return p, fmt.Errorf("policy is longer than %d bytes", MaxPolicyBytes)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("policy: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Policy{}, errors.New("policy: more than one JSON value")
	}
	if err := p.Check(); err != nil {
		return Policy{}, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	for name, list := range map[PolicyName][]string{ByGoogleDomains: p.GoogleDomains, ByScopes: p.AllowedScopes, ByTools: p.AllowedTools, ByOrigins: p.AllowedOrigins} {
		if len(list) > maxEntries {
			return fmt.Errorf("%s has more than %d entries", name, maxEntries)
		}
	}
	for _, d := range p.GoogleDomains {
		if !ValidHost(d) || strings.Contains(d, ":") {
			return fmt.Errorf("google_domains: %q is not a domain in lower case", d)
		}
	}
	if p.Profile != "" {
		if _, err := scope.ParseProfile(string(p.Profile)); err != nil {
			return err
		}
	}
	if unknown := oauth.NewScopes(p.AllowedScopes...).Minus(scope.Names()); !unknown.Empty() {
		return fmt.Errorf("allowed_scopes: there is no scope %s", unknown)
	}
	for _, t := range p.AllowedTools {
		if !toolName(t) {
			return fmt.Errorf("allowed_tools: %q is not the name of a tool", t)
		}
	}
	for _, o := range p.AllowedOrigins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.User != nil || strings.Contains(o, "*") || o != strings.ToLower(u.Scheme+"://"+u.Host) {
			return fmt.Errorf("allowed_origins: %q is not an origin such as https://app.example.com", o)
		}
	}
	if p.SessionsMax < 0 || p.SessionsMax > maxSessions {
		return fmt.Errorf("sessions_max: %d is outside 0 to %d", p.SessionsMax, maxSessions)
	}
	for _, name := range p.ReportOnly {
		if !slices.Contains(reportable, name) {
			return fmt.Errorf("report_only: %q is not one of %v", name, reportable)
		}
	}
	for _, err := range []error{p.Documents.check(), p.checkClients(), p.Limits.check()} {
		if err != nil {
			return err
		}
	}
	_, err := p.Lifetimes.Over(DefaultLifetimes())
	return err
}

func (r *DocumentRule) check() error {
	if r == nil {
		return nil
	}
	if !slices.Contains([]AdmissionMode{AdmitNone, AdmitListed, AdmitReportOnly, AdmitOpen}, r.Mode) {
		return fmt.Errorf("documents: mode %q is not disabled, allow-list, report-only or open", r.Mode)
	}
	if len(r.Hosts) > maxEntries {
		return fmt.Errorf("documents: more than %d hosts", maxEntries)
	}
	for _, h := range r.Hosts {
		if !ValidHost(h) {
			return fmt.Errorf("documents: %q is not a host name in lower case", h)
		}
	}
	return nil
}

func toolName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// ValidHost reports whether s is a host name in lower case, with a port or
// without.
func ValidHost(s string) bool {
	u, err := url.Parse("https://" + s + "/")
	return err == nil && s != "" && len(s) <= 253 && u.Host == s && s == strings.ToLower(s) && u.Hostname() != "" &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-:") == "" && !strings.HasPrefix(s, ".") && !strings.HasPrefix(s, "-")
}

// Over returns the lifetimes with those of the tenant in place.
func (l LifetimeTexts) Over(out Lifetimes) (Lifetimes, error) {
	for _, one := range []struct {
		name, text  string
		least, most time.Duration
		into        *time.Duration
	}{
		{"access_token", l.AccessToken, time.Minute, 24 * time.Hour, &out.AccessToken},
		{"refresh_idle", l.RefreshIdle, time.Hour, 365 * 24 * time.Hour, &out.RefreshIdle},
		{"refresh_absolute", l.RefreshAbsolute, time.Hour, 365 * 24 * time.Hour, &out.RefreshAbsolute},
		{"session_idle", l.SessionIdle, 5 * time.Minute, 30 * 24 * time.Hour, &out.SessionIdle},
		{"session_absolute", l.SessionAbsolute, 5 * time.Minute, 30 * 24 * time.Hour, &out.SessionAbsolute},
	} {
		if one.text == "" {
			continue
		}
		d, err := time.ParseDuration(one.text)
		if err != nil || d < one.least || d > one.most {
			return Lifetimes{}, fmt.Errorf("lifetimes: %s %q is not a duration from %v to %v", one.name, one.text, one.least, one.most)
		}
		*one.into = d
	}
	// What ends for good ends the shorter life with it.
	out.RefreshIdle, out.SessionIdle = min(out.RefreshIdle, out.RefreshAbsolute), min(out.SessionIdle, out.SessionAbsolute)
	// A client outlives the refresh tokens that it holds.
	out.ClientUsed = max(out.ClientUsed, out.RefreshIdle+24*time.Hour)
	return out, nil
}

// Reports says whether a policy only reports what it would refuse.
func (p Policy) Reports(name PolicyName) bool { return slices.Contains(p.ReportOnly, name) }

// Refuses is asked where a policy refuses something. It reports true when the
// policy is enforced; when it only reports, the request's log line names tenant,
// policy and client, and the request goes on.
func (t *Tenant) Refuses(ctx context.Context, p PolicyName, clientID string) bool {
	if !t.Policy.Reports(p) {
		httpx.Annotate(ctx, slog.String("policy", string(p)))
		return true
	}
	httpx.Annotate(ctx, slog.Group("would_refuse", slog.String("policy", string(p)), slog.String("tenant", t.ID.String()), slog.String("client", clientID)))
	return false
}

// Permitted narrows scopes to those that the tenant allows the client.
func (t *Tenant) Permitted(ctx context.Context, asked oauth.Scopes, clientID string) oauth.Scopes {
	asked = asked.Intersect(t.Profile.Allowed())
	rules := t.Policy.scopes()
	if rule, ok := t.Policy.approved(clientID); ok {
		rules = append(rules, rule)
	}
	for _, rule := range rules {
		if kept := asked.Intersect(rule.allowed); !kept.Equal(asked) && t.Refuses(ctx, rule.name, clientID) {
			asked = kept
		}
	}
	return asked
}

// ScopeLimit returns the scopes that what is enforced leaves, for whichever
// client, and whether it leaves any out at all.
func (t *Tenant) ScopeLimit() (oauth.Scopes, bool) {
	limit := t.Profile.Allowed()
	for _, rule := range t.Policy.scopes() {
		if !t.Policy.Reports(rule.name) {
			limit = limit.Intersect(rule.allowed)
		}
	}
	return limit, !limit.ContainsAll(scope.Names())
}

type scopeRule struct {
	name    PolicyName
	allowed oauth.Scopes
}

func (p Policy) scopes() []scopeRule {
	var rules []scopeRule
	if p.Profile != "" {
		rules = append(rules, scopeRule{ByProfile, p.Profile.Allowed()})
	}
	if len(p.AllowedScopes) > 0 {
		rules = append(rules, scopeRule{ByScopes, scope.Expand(oauth.NewScopes(p.AllowedScopes...))})
	}
	return rules
}

// AdmitsDomain reports whether a person of a Workspace domain may sign in. It is
// Google's hd claim and never the e-mail address: anybody can have a Google
// account under an address of any domain.
func (t *Tenant) AdmitsDomain(ctx context.Context, hostedDomain, clientID string) bool {
	return len(t.Policy.GoogleDomains) == 0 || (hostedDomain != "" && slices.Contains(t.Policy.GoogleDomains, strings.ToLower(hostedDomain))) ||
		!t.Refuses(ctx, ByGoogleDomains, clientID)
}
