// Package config turns environment, file and flags into one typed value and
// reports every problem at once, in words that say what to do. It is the only
// place, with main, that looks at the environment.
//
// It opens no connection. There is no setting for a database, a Google client
// secret or a refresh token: this process must not have them (DESIGN §1.1).
package config
