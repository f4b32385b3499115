// Package accesstoken is the RFC 9068 profile of Latchkey's access tokens:
// their claims, the one verifier, and the cache of a remote key set.
//
// It verifies and never issues; signing belongs to the authorization server's
// keyset package. Scope and policy decisions are the caller's.
package accesstoken
