// Package metadata serves the protected-resource metadata of RFC 9728, by which
// MCP clients find the authorization server. The document is made once, from
// the configuration and never from a request: the resource and the issuer are
// byte-identical to what tokens carry (DESIGN §1.8).
//
// It must never list offline_access (SEP-2207) or more scopes than the baseline.
package metadata
