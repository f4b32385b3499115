package provider

import (
	"net/http"

	"latchkey/authserver/internal/tenant"
)

// ParseToken is parse with what a test may know of its result.
func ParseToken(t *tenant.Tenant, w http.ResponseWriter, r *http.Request) (grantType, clientID string, err error) {
	q, err := parse(t, w, r)
	if err != nil {
		return "", "", err
	}
	return string(q.grantType), q.client.ClientID, nil
}

// SingleValued are the parameters that may be given once.
var SingleValued = singleValued
