// Package bearertest is test support: an endpoint's guard and the tokens that it
// takes, without an authorization server. It must never be imported by production
// code.
package bearertest
