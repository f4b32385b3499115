// Package account holds the tools about the connection itself: which Google
// account is connected, whether it works, and what to do if not. It asks the
// exchange only; no Google API is called.
//
// A broken connection is its result and not its error: the person asked for
// exactly this. Only doubt (an outage) is an error.
package account
