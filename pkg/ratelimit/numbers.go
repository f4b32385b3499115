package ratelimit

import "time"

// The limits that a tenant may have of its own, with the deployment's numbers.
// Those of token exchanges and tool calls, which both servers keep, are the seed's.
var (
	Tenant   = Limit{Name: "tenant", Quota: 10_000, Window: time.Hour}
	Person   = Limit{Name: "person", Quota: 1000, Window: time.Hour}
	Tool     = Limit{Name: "tool", Quota: 100, Window: time.Minute}
	Requests = Limit{Name: "requests", Quota: 1200, Window: time.Minute} // the resource server's alone

	RegisterTenant     = Limit{Name: "register-tenant", Quota: 3000, Window: time.Hour, Burst: 300}
	RegisterTenantBusy = Limit{Name: "register-tenant-busy", Quota: 500, Window: time.Hour, Burst: 100}
	AuthorizeClient    = Limit{Name: "authorize-client", Quota: 120, Window: time.Minute, Burst: 200}
	TokenClient        = Limit{Name: "token-client", Quota: 3000, Window: time.Minute, Burst: 3000}
	PushClient         = Limit{Name: "par-client", Quota: 120, Window: time.Minute}
	IntrospectClient   = Limit{Name: "introspect-client", Quota: 6000, Window: time.Minute, Burst: 1500}
	RevokeClient       = Limit{Name: "revoke-client", Quota: 600, Window: time.Minute, Burst: 300}
)

// MostOfTenant bounds a tenant's own number: so many times the deployment's.
const MostOfTenant = 100

var ofTenants = []Limit{Tenant, Person, Tool, Requests, RegisterTenant, RegisterTenantBusy, AuthorizeClient, TokenClient, PushClient, IntrospectClient, RevokeClient}

// OfTenant returns the limit with a name, if a tenant may have it of its own.
func OfTenant(name string) (Limit, bool) {
	for _, l := range ofTenants {
		if l.Name == name {
			return l, true
		}
	}
	return Limit{}, false
}

// OfTenants are the names of all limits that a tenant may have of its own.
func OfTenants() []string {
	out := make([]string, len(ofTenants))
	for i, l := range ofTenants {
		out[i] = l.Name
	}
	return out
}
