package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Narrows returns nil when p allows nothing that the standing policy does not:
// lists that restrict have only entries of the standing ones, fewer sessions may
// be had, fewer policies only report, and everything else is as it was. It is
// what a tenant's own administrator may make of the policy that the deployment
// gave the tenant.
func (p Policy) Narrows(standing Policy) error {
	for _, one := range []struct {
		name       PolicyName
		from, into []string
	}{
		{ByGoogleDomains, standing.GoogleDomains, p.GoogleDomains}, {ByScopes, standing.AllowedScopes, p.AllowedScopes},
		{ByTools, standing.AllowedTools, p.AllowedTools},
	} {
		switch {
		case len(one.from) == 0:
		case len(one.into) == 0:
			return fmt.Errorf("%s would restrict nothing any more", one.name)
		case !within(one.into, one.from):
			return fmt.Errorf("%s would allow more than it does", one.name)
		}
	}
	if standing.SessionsMax > 0 && (p.SessionsMax == 0 || p.SessionsMax > standing.SessionsMax) {
		return fmt.Errorf("sessions_max would be more than %d", standing.SessionsMax)
	}
	for _, name := range p.ReportOnly {
		if !slices.Contains(standing.ReportOnly, name) {
			return fmt.Errorf("report_only: %s is enforced", name)
		}
	}
	// Enforced, these take the place of the deployment's, which may allow less: the
	// others only ever take away.
	for _, name := range []PolicyName{ByProfile, ByLimits} {
		if standing.Reports(name) && !p.Reports(name) {
			return fmt.Errorf("report_only: that %s is enforced is for the deployment to say", name)
		}
	}
	p.GoogleDomains, p.AllowedScopes, p.AllowedTools, p.SessionsMax, p.ReportOnly =
		standing.GoogleDomains, standing.AllowedScopes, standing.AllowedTools, standing.SessionsMax, standing.ReportOnly
	mine, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding policy: %w", err)
	}
	theirs, err := json.Marshal(standing)
	if err != nil {
		return fmt.Errorf("encoding policy: %w", err)
	}
	if string(mine) != string(theirs) {
		return fmt.Errorf("only google_domains, allowed_scopes, allowed_tools, sessions_max and report_only may be narrowed here; the rest is the deployment's")
	}
	return nil
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
