// Package tenant says who a tenant is and which one a request belongs to: the
// ID that every store method takes, the tenant's issuer and resources, and the
// directory that resolves a request path.
//
// It never reads a Host header to build an issuer (DESIGN §1.8) and holds no
// secrets; keys and credentials only carry its ID.
package tenant
