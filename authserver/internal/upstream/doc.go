// Package upstream finds the OAuth client with which people of a tenant sign in
// at Google: the tenant's own, whose secret the vault opens, or the
// deployment's, as the tenant says.
//
// It never uses one client in place of another: tokens work only with the client
// that minted them, and a person consented to one app (DESIGN §4). A client that
// cannot be read is doubt, answered 503.
package upstream
