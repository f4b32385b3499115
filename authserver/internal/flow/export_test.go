package flow

import (
	"context"

	"latchkey/authserver/internal/tenant"
)

// Parse is parse without its results, for the fuzz target.
func Parse(ctx context.Context, c Clients, t *tenant.Tenant, raw string) (redirectURI string, err error) {
	q, err := query(raw)
	if err != nil {
		return "", err
	}
	a, _, err := parse(ctx, c, t, q, "")
	if err != nil {
		return "", err
	}
	return a.RedirectURI, nil
}

// Return parses a request to a tenant and looks at it again when the person comes back, to the tenant as it is then.
func Return(ctx context.Context, c Clients, before, after *tenant.Tenant, raw string) error {
	q, err := query(raw)
	if err != nil {
		return err
	}
	a, _, err := parse(ctx, c, before, q, "")
	if err != nil {
		return err
	}
	_, err = (&Handler{Clients: c}).same(ctx, after, a)
	return err
}

// SingleValued are the parameters that may be given once.
var SingleValued = singleValued
