// Package app is the composition root of the resource server: it builds every
// part from the configuration, connects them by explicit fields, and runs the
// commands. routes.go is the whole route table.
//
// It holds no rule of its own: a check found here belongs into a package.
package app
