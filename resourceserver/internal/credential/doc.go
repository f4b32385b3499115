// Package credential turns a principal and a tool's least Google scopes into a
// Google access token: through the exchange, with a bounded cache, one exchange
// at a time for equal needs, and one forced refresh when Google refuses a token.
// It also maps what the exchange refuses to what the person or the operator has
// to do (DESIGN §6).
//
// It must never hold a refresh token (there is none on this side), never let a
// token of one grant serve another, and never turn an outage into a demand to
// sign in again.
package credential
