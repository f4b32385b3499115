// Package stack runs Latchkey on one machine for development and tests:
// PostgreSQL, the stand-in for Google, and both servers as processes of their
// own, with keys made on first use. What the settings already name (a database,
// a Google client) is used instead of the stand-ins.
//
// It owns start order, readiness, logs and the end of everything it started.
// The resource server never gets a setting that belongs to the other side of
// the trust boundary. It restarts nothing by itself.
package stack
