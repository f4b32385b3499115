// Package signedlink lets a person do by a link what a tool promised: fetch a file,
// or send one. A link is short-lived and works without signing in; it carries,
// sealed, the access token of the call that made it, the account and what it leads
// to. Opening it is as if the client had called again: the token is verified, its
// grant is checked for revocation and the limits count it, so a link gives nothing
// that the token would not, and ends with it. Packages download and upload stream.
//
// A link must never hold a Google credential and never outlive the token. It is no
// proof of who opens it, and nothing is kept of it: what may happen only once is
// the business of whoever serves it.
// See authserver/docs/decisions/0013-confirmation-and-download-links.md.
package signedlink
