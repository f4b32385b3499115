// Package oauth is the protocol vocabulary both servers share: error codes,
// grant and token-type URNs, parsed scopes, issuer and resource identifiers,
// and the documents of RFC 8414, RFC 9728 and RFC 7591.
//
// A wire string is parsed into these types exactly once, at the edge. The
// package has no lifecycle, does no I/O and imports neither server.
package oauth
