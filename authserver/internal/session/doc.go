// Package session owns browser sessions: who is signed in to this server in
// this browser. A session has a 256-bit id that only the browser holds, ends
// when it was idle for an hour, after a day whatever happens, and when the
// person says so; signing in always makes a new id (session fixation).
//
// It never says that a person may do something with an app or an account: it
// only says who they are.
package session
