// Package client owns a registered OAuth client as a value: its metadata, the
// one redirect URI match, and which authentication method it must use.
//
// It does no I/O and keeps no cache; registration makes clients, postgres
// stores them.
package client
