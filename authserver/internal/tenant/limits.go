package tenant

import (
	"fmt"
	"maps"
	"slices"

	"latchkey/pkg/ratelimit"
)

// LimitQuotas are a tenant's rate limits, by the names of docs/limits.md: how many
// per the limit's own window, in place of the deployment's number; what is
// admitted at once changes in proportion. RATE_LIMIT_SCALE is a factor on them too.
type LimitQuotas map[string]int64

func (q LimitQuotas) check() error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		l, ok := ratelimit.OfTenant(name)
		if !ok {
			return fmt.Errorf("limits: there is no limit %q that a tenant may have of its own: %v", name, ratelimit.OfTenants())
		}
		// The operator may raise a limit, but not so far that it is none: the server and
		// Google's quota are everybody's.
		if most := l.Quota * ratelimit.MostOfTenant; q[name] < 1 || q[name] > most {
			return fmt.Errorf("limits: %s %d is outside 1 to %d", name, q[name], most)
		}
	}
	return nil
}

// Of returns a limit of the deployment with the tenant's number, and whether the
// tenant has one.
func (q LimitQuotas) Of(l ratelimit.Limit) (ratelimit.Limit, bool) {
	quota, ok := q[l.Name]
	if !ok {
		return l, false
	}
	return l.WithQuota(quota), true
}
