package httpx

import (
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter is the longest Retry-After that is believed; a larger one is a
// mistake.
const MaxRetryAfter = time.Hour

// RetryAfter reads the Retry-After header (RFC 9110 §10.2.3), in seconds or as a
// date. It returns 0 for one that is absent, malformed or over, and at most
// MaxRetryAfter.
func RetryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(seconds, 0), int(MaxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), MaxRetryAfter)
	}
	return 0
}
