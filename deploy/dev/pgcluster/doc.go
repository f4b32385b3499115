// Package pgcluster runs a private PostgreSQL cluster for development and
// tests: it finds the binaries, makes the cluster once, supervises the server,
// and stops it with its parent. It listens on a unix socket in a directory of
// its own and on nothing else.
//
// It is never part of a production deployment, which brings its own database.
package pgcluster
