// Package config turns environment, file and flags into one typed value and
// reports every problem at once, in words that say what to do. It is the only
// place, with main, that looks at the environment.
//
// It opens no connection; a Server value that it returns is complete and safe
// to run with.
package config
