// Package googleapi is the way to Google: one shared HTTP transport for the
// process and, per call, a chain of round trippers over it that adds the
// credential (renewed once when Google refuses it), retries what is safe to
// repeat, attributes quota, and bounds size and time. It also maps Google's
// errors to typed tool errors, and tells where an operator who forbids to share
// outside forbids to write (MayWrite).
//
// It must never build a transport per request (measured: one TCP connection
// each), never send a token of ours to Google, and never repeat a request that
// may have an effect. Errors that reach a log hold a status and a reason, never
// Google's message: that may quote content.
package googleapi
