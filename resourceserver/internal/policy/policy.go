package policy

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// Send says what becomes of mail.
type Send string

const (
	SendConfirm   Send = "confirm"    // sent after the person confirmed
	SendDraftOnly Send = "draft_only" // the person sends it in Gmail
)

// Share says what becomes of sharing with people outside.
type Share string

const (
	ShareConfirm Share = "confirm"
	ShareBlock   Share = "block"
)

// Confirmation says where a person confirms what a tool is about to do.
type Confirmation string

const (
	ConfirmByClient Confirmation = "client" // in their client, where it can ask
	ConfirmOnPage   Confirmation = "page"   // on the authorization server's page only
)

// Policy is what is allowed. The zero value allows drafts only and no sharing, and
// takes no client's word for its person's.
type Policy struct {
	Send          Send
	ExternalShare Share
	Confirmation  Confirmation
	// RecipientDomains are the only domains to which mail may be sent; none
	// means any. Lower case, in ASCII form, compared exactly: a subdomain is
	// another domain.
	RecipientDomains []string
}

// MaySend reports whether mail may leave at all.
func (p Policy) MaySend() bool { return p.Send == SendConfirm }

// MayShareOutside reports whether a person may be asked about sharing outside.
func (p Policy) MayShareOutside() bool { return p.ExternalShare == ShareConfirm }

// MayAskByClient reports whether a client's word counts as its person's: whoever holds
// the token of a call can answer for them then (decision 0022).
func (p Policy) MayAskByClient() bool { return p.Confirmation == ConfirmByClient }

// Reaches reports whether mail may go to an address (addr-spec, RFC 5322 §3.4.1).
func (p Policy) Reaches(address string) bool {
	if len(p.RecipientDomains) == 0 {
		return true
	}
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return false
	}
	domain, err := Domain(address[at+1:])
	if err != nil {
		return false
	}
	for _, d := range p.RecipientDomains {
		if d == domain {
			return true
		}
	}
	return false
}

// Domain returns the one form in which domains are compared.
func Domain(s string) (string, error) {
	out, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.ToLower(s), "."))
	if err != nil || !strings.Contains(out, ".") || strings.ContainsAny(out, "*/@ ") {
		return "", fmt.Errorf("%q is not a domain", s)
	}
	return out, nil
}

// SameOrganization reports whether two addresses belong to one organization. At Google's
// public domains nobody does.
func SameOrganization(own, other string) bool {
	domain := func(a string) string {
		d, err := Domain(a[strings.LastIndexByte(a, '@')+1:])
		if err != nil || d == "gmail.com" || d == "googlemail.com" {
			return ""
		}
		return d
	}
	return domain(own) != "" && domain(own) == domain(other)
}

type key struct{}

// With puts the policy of a call into its context.
func With(ctx context.Context, p Policy) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns the policy of a call: without one, the one that allows the least.
func From(ctx context.Context) Policy {
	p, _ := ctx.Value(key{}).(Policy)
	return p
}
