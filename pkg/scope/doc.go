// Package scope is the one table that ties a Latchkey (MCP) scope to the
// Google scopes it needs, the scopes it implies, and the words in which a
// person is asked for it. The resource server's checks, the consent page, the
// planner of Google requests and the token exchange all read this table and no
// other.
//
// What Google's scopes open is generated from Google's Discovery documents
// (google.go); what Discovery does not say, or says wrongly, is written by hand
// beside it, each with its reason: definitions.go (words, implications),
// google_rules.go (reach, classes), profile.go. authserver/docs/scopes.md shows
// the result.
//
// One scope can cover another: with gmail.modify nobody needs gmail.readonly.
// That saves a question at Google and nothing else. It never entitles: a token
// that may read mail is not served with a Google token that may delete it,
// although the person has granted both, to two apps (DESIGN §1.1).
//
// The package decides nothing about a person or a tenant and does no I/O.
package scope
