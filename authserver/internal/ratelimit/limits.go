package ratelimit

import (
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/ratelimit"
)

// Name names a limit.
type Name uint8

const (
	RegisterAddress Name = iota
	RegisterNetwork
	RegisterFresh
	RegisterBusy
	ManageAddress
	AuthorizeAddress
	AuthorizeClient
	FormsAddress
	PagesAddress
	CallbackAddress
	TokenAddress
	TokenClient
	PushAddress
	PushClient
	IntrospectAddress
	IntrospectClient
	RevokeAddress
	RevokeClient
	GuessAddress
	GuessClient
	GuessToken
	FetchAddress
	FetchNetwork
	FetchFresh
	FetchBusy
	ExchangeTenant
	ExchangePerson
	ExchangeTool
	AdminAddress
	AdminTokenAddress
	RewrapTenant
	VerifyTenant

	names int = iota
)

// definition is what is fixed about a limit. Its numbers are a tenant's.
type definition struct {
	limit ratelimit.Limit // by default
	where string          // what is counted
	per   string          // by what

	// deployment: counted once for all tenants. What is protected is the server's
	// own, and nobody has more of it by naming more tenants.
	deployment bool
	// closed: while PostgreSQL cannot be asked, the answer is 503 and not the sieve's.
	closed bool
}

// definitions are all limits; docs/limits.md is made of it. What a tenant may have
// of its own has its number in pkg/ratelimit.
var definitions = [names]definition{
	RegisterAddress: {ratelimit.Limit{Name: "register", Quota: 120, Window: time.Hour, Burst: 60}, "registrations", "address", true, true},
	RegisterNetwork: {ratelimit.Limit{Name: "register-network", Quota: 240, Window: time.Hour, Burst: 90}, "registrations", "network (/24, IPv6 /48)", true, true},
	RegisterFresh:   {ratelimit.RegisterTenant, "registrations from networks with at most 3 of late", "tenant", false, true},
	RegisterBusy:    {ratelimit.RegisterTenantBusy, "registrations from networks with more", "tenant", false, true},
	ManageAddress:   {ratelimit.Limit{Name: "manage", Quota: 120, Window: time.Minute, Burst: 60}, "requests at a registration (RFC 7592)", "address", true, false},

	AuthorizeAddress: {ratelimit.Limit{Name: "authorize", Quota: 600, Window: time.Minute, Burst: 300}, "authorization requests", "address", true, false},
	AuthorizeClient:  {ratelimit.AuthorizeClient, "authorization requests", "address and client", false, false},
	FormsAddress:     {ratelimit.Limit{Name: "forms", Quota: 120, Window: time.Minute, Burst: 60}, "forms that people send: consent, sign-in, their account", "address", true, false},
	PagesAddress:     {ratelimit.Limit{Name: "pages", Quota: 600, Window: time.Minute, Burst: 300}, "pages of the account", "address", true, false},
	CallbackAddress:  {ratelimit.Limit{Name: "callback", Quota: 600, Window: time.Minute, Burst: 300}, "returns from Google", "address", true, false},

	TokenAddress:      {ratelimit.Limit{Name: "token", Quota: 12000, Window: time.Minute, Burst: 6000}, "token requests", "address", true, false},
	TokenClient:       {ratelimit.TokenClient, "token requests", "address and client", false, false},
	PushAddress:       {ratelimit.Limit{Name: "par", Quota: 300, Window: time.Minute, Burst: 150}, "pushed requests", "address", true, false},
	PushClient:        {ratelimit.PushClient, "pushed requests", "address and client", false, false},
	IntrospectAddress: {ratelimit.Limit{Name: "introspect", Quota: 12000, Window: time.Minute, Burst: 3000}, "introspections", "address", true, false},
	IntrospectClient:  {ratelimit.IntrospectClient, "introspections", "address and client", false, false},
	RevokeAddress:     {ratelimit.Limit{Name: "revoke", Quota: 3000, Window: time.Minute, Burst: 1000}, "revocations", "address", true, false},
	RevokeClient:      {ratelimit.RevokeClient, "revocations", "address and client", false, false},
	GuessAddress:      {ratelimit.Limit{Name: "guess", Quota: 300, Window: time.Minute}, "failed client authentications, forged codes and refresh tokens", "address", true, false},
	GuessClient:       {ratelimit.Limit{Name: "guess-client", Quota: 20, Window: time.Minute}, "failed client authentications", "address and client", false, false},
	GuessToken:        {ratelimit.Limit{Name: "guess-token", Quota: 20, Window: time.Minute}, "forged codes and refresh tokens", "address and client", false, false},

	FetchAddress: {ratelimit.Limit{Name: "fetch", Quota: 30, Window: time.Minute, Burst: 15}, "fetches of unknown client metadata documents", "address", true, false},
	FetchNetwork: {ratelimit.Limit{Name: "fetch-network", Quota: 30, Window: time.Minute}, "fetches of unknown client metadata documents", "network (/24, IPv6 /48)", true, false},
	FetchFresh:   {ratelimit.Limit{Name: "fetch-all", Quota: 1200, Window: time.Minute, Burst: 120}, "such fetches for networks with at most 3 of late", "deployment", true, false},
	FetchBusy:    {ratelimit.Limit{Name: "fetch-all-busy", Quota: 300, Window: time.Minute, Burst: 30}, "such fetches for networks with more", "deployment", true, false},

	ExchangeTenant: {ratelimit.Tenant, "token exchanges", "tenant", false, false},
	ExchangePerson: {ratelimit.Person, "token exchanges", "person", false, false},
	ExchangeTool:   {ratelimit.Tool, "token exchanges", "person and tool", false, false},

	AdminAddress:      {ratelimit.Limit{Name: "admin", Quota: 1200, Window: time.Minute, Burst: 300}, "requests to the admin API", "address", true, false},
	AdminTokenAddress: {ratelimit.Limit{Name: "admin-token", Quota: 120, Window: time.Minute, Burst: 60}, "requests for its tokens", "address", true, false},
	// Each goes through all that a tenant has stored.
	RewrapTenant: {ratelimit.Limit{Name: "admin-rewrap", Quota: 12, Window: time.Hour, Burst: 4}, "rewraps begun by the admin API", "tenant", false, false},
	VerifyTenant: {ratelimit.Limit{Name: "admin-verify", Quota: 12, Window: time.Hour, Burst: 4}, "verifications of the audit trail begun by the admin API", "tenant", false, false},
}

// fresh is how many units a network may have used of late and still count as one
// that has just come: what it asks for is not refused for what others did.
const fresh = 3

// Limits are the numbers of every limit.
type Limits [names]ratelimit.Limit

// Default are the numbers of docs/limits.md times a factor; 0 is none.
func Default(factor float64) *Limits {
	l := &Limits{}
	for i, d := range definitions {
		l[i] = d.limit.Scaled(factor)
	}
	return l
}

// Of returns a limit of a tenant, or of the deployment for nil, and the limit that
// the tenant has only said and does not enforce, off for none. Limits that are
// counted for the deployment are never a tenant's to say.
type Of func(t *tenant.Tenant, n Name) (enforced, reported ratelimit.Limit)

// Everywhere is Of for a deployment whose tenants all have the same.
func Everywhere(l *Limits) Of {
	return func(_ *tenant.Tenant, n Name) (enforced, reported ratelimit.Limit) { return l[n], ratelimit.Limit{} }
}

// ByPolicy is Of with the numbers that the tenants' policies have in place of the
// default ones, times the factor.
func ByPolicy(factor float64) Of {
	of := Default(factor)
	return func(t *tenant.Tenant, n Name) (enforced, reported ratelimit.Limit) {
		if t == nil || len(t.Policy.Limits) == 0 || definitions[n].deployment {
			return of[n], ratelimit.Limit{}
		}
		own, said := t.Policy.Limits.Of(definitions[n].limit)
		switch {
		case !said:
			return of[n], ratelimit.Limit{}
		case t.Policy.Reports(tenant.ByLimits):
			return of[n], own.Scaled(factor)
		}
		return own.Scaled(factor), ratelimit.Limit{}
	}
}
