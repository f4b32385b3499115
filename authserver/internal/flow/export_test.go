package flow

import (
	"context"

	"latchkey/authserver/internal/tenant"
)

// Parse is parse without its results, for the fuzz target.
func Parse(ctx context.Context, c Clients, t *tenant.Tenant, query string) (redirectURI string, err error) {
	a, _, err := parse(ctx, c, t, query)
	if err != nil {
		return "", err
	}
	return a.RedirectURI, nil
}
