// Package grant owns a grant as a value: what a person allowed a client to do
// at a resource, and the forms of the two strings that stand for it, the
// authorization code and the refresh token.
//
// Both strings are arithmetic over the grant's id: a MAC makes forged ones
// fail before the database is asked, and the successor of a refresh token is
// a function of grant, generation and key (DESIGN §4). The package does no
// I/O; single use is decided by the store's one conditional statement.
package grant
