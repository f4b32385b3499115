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

// SingleValued are the parameters that may be given once.
var SingleValued = singleValued
