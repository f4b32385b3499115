// Package google is the authorization server as a client of Google: the
// authorization URL, the code exchange, the ID token check, refresh, revoke,
// and the classes into which Google's errors fall (DESIGN §6).
//
// It never stores a token and never decides what an error means for a
// connection. It is the only importer of x/oauth2 in this server.
package google
