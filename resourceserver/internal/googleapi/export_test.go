package googleapi

import (
	"net/http"

	"latchkey/resourceserver/internal/credential"
)

// Retrier and Limiter open two links of the chain to tests.
func Retrier(next http.RoundTripper) http.RoundTripper { return &retrier{next: next} }

// Limiter bounds answers to max bytes.
func Limiter(next http.RoundTripper, max int64) http.RoundTripper {
	return &limiter{next: next, max: max}
}

// Authorizer adds and renews the credential of a need.
func Authorizer(next http.RoundTripper, c *credential.Credentials, need credential.Need, first *credential.Credential, quotaUser string) http.RoundTripper {
	return &authorizer{next: next, credentials: c, need: need, current: first, quotaUser: quotaUser}
}
