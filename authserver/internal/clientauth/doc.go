// Package clientauth authenticates clients: it reads the one way in which a
// request names and proves its client, and checks the proof. The token,
// revocation, introspection and pushed authorization endpoints share it, and the
// internal exchange shares its check of assertions.
//
// A Proof is made here only. Client secrets are compared by their SHA-256 in
// constant time; a credential that cannot be checked is refused, never ignored.
// Doubt about the database or about a client's keys is 503, never
// invalid_client: clients delete their registration on that.
package clientauth
