// Package exchange is the internal token exchange (RFC 8693 form, DESIGN §6):
// a resource server that proves who it is and presents the access token a
// person's client really sent gets one Google access token, for at most the
// scopes that token carries.
//
// It never returns a refresh token, never trusts the resource server's word
// for who the person is, and answers doubt with 503, never with a reason to
// sign in again. It is served on the internal listener only.
package exchange
