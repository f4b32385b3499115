package ratelimit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Headers are what SetHeader sets, for those who list what browsers may read.
const Headers = "RateLimit-Policy, RateLimit, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"

// SetHeader tells where a client stands: RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-11), and the three fields of the draft's
// older versions, which more clients read.
func (s State) SetHeader(h http.Header) {
	wait := Seconds(s.Reset)
	if s.Retry > 0 {
		wait = Seconds(s.Retry)
	}
	h.Set("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;w=%d`, s.Limit.Name, s.Limit.Quota, Seconds(s.Limit.Window)))
	h.Set("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, s.Limit.Name, s.Remaining, wait))
	h.Set("RateLimit-Limit", strconv.FormatInt(s.Limit.burst(), 10))
	h.Set("RateLimit-Remaining", strconv.FormatInt(s.Remaining, 10))
	h.Set("RateLimit-Reset", strconv.FormatInt(wait, 10))
}

// Seconds rounds up: who waits so long has waited long enough.
func Seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
