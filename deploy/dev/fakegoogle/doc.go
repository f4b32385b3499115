// Package fakegoogle is a stand-in for Google in development and tests: the
// authorization page with account chooser and consent, token endpoint, ID
// tokens, userinfo, revocation, security events (Cross-Account Protection), and
// stateful Gmail, Drive, Calendar, Chat, Docs, Forms, Meet, People, Sheets and
// Tasks APIs with seeded data.
//
// Every API call is held to the scopes that the method lists in Google's own
// Discovery document (methods.json, generated), and an unknown token is never
// accepted. Faults can be switched on by the Go API and at /control/fault, and
// security events sent to a receiver at /control/signal.
//
// The forms of the authorization page are made for scripts too: the chooser
// has one field, account (an e-mail address); the consent page has one scope
// checkbox per scope and a decision button, approve or deny.
//
// It keeps everything in memory and is never linked into a production binary.
package fakegoogle

//go:generate go run ../cmd/discoverytable methods.json
