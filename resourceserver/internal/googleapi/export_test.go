package googleapi

import "net/http"

// Retrier and Limiter open two links of the chain to tests.
func Retrier(next http.RoundTripper) http.RoundTripper { return &retrier{next: next} }

// Limiter bounds answers to max bytes.
func Limiter(next http.RoundTripper, max int64) http.RoundTripper {
	return &limiter{next: next, max: max}
}
