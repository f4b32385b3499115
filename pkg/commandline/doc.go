// Package commandline is what the two servers' command lines have in common: lists of
// problems, tables of settings without secrets, and completion for shells. It
// knows no library for flags; the servers describe their commands to it.
//
// It must never print a secret setting's value, and reads no environment.
package commandline
