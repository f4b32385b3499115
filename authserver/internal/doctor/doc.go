// Package doctor explains why a connection fails: step by step, from outside as
// an MCP client goes, and from inside with the server's settings. Each step says
// what it found, and the first that fails says what to do; those that need it are
// skipped. It looks only: it signs nobody in, makes no key and writes nothing.
//
// It must never print a secret, follow a redirect, or wait longer than Timeout
// for a step.
package doctor
