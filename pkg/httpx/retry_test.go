package httpx_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/httpx"
)

// TestRetryAfter: RFC 9110 §10.2.3: seconds or a date, never negative, never endless.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for value, want := range map[string]time.Duration{
			"": 0, "0": 0, "7": 7 * time.Second, "-5": 0, "soon": 0, "1.5": 0, "99999999": httpx.MaxRetryAfter, "99999999999999999999": 0,
			time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat):  30 * time.Second,
			time.Now().Add(-30 * time.Second).UTC().Format(http.TimeFormat): 0,
			time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat):    httpx.MaxRetryAfter,
		} {
			if got := httpx.RetryAfter(http.Header{"Retry-After": {value}}); got != want {
				t.Errorf("%q: %v, want %v", value, got, want)
			}
		}
	})
}
