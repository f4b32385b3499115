// Package progress shows how far a command's long work is: a bar on a terminal,
// now and then a line where there is none, JSON lines for machines.
//
// It writes to where errors go, so that what a command prints stays apart, and
// knows nothing about the work.
package progress
